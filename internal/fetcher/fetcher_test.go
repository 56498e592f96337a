package fetcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/replica"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// fake is a replica whose log is a number: a byte of records is an offset.
type fake struct {
	id commitlog.ID

	mu      sync.Mutex
	leader  int32 // -1: it follows nobody
	r       replica.FetchRequest
	hw      int64
	err     error
	answers []replica.FetchAnswer
	slow    chan struct{} // if set, an answer by which the log is cut waits for it
}

func newFake(n int32, leader int32) *fake {
	return &fake{id: commitlog.ID{Topic: "orders", TopicID: uuid.UUID{1}, Partition: n}, leader: leader,
		r: replica.FetchRequest{Replica: 2, BrokerEpoch: 9, LeaderEpoch: 3, LastEpoch: replica.NoEpoch}}
}

func (p *fake) ID() commitlog.ID { return p.id }

func (p *fake) NextFetch() (int32, replica.FetchRequest, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leader, p.r, p.leader >= 0
}

func (p *fake) AppendAsFollower(r replica.FetchRequest, a replica.FetchAnswer, batches []byte) error {
	if p.slow != nil && (a.Diverging != nil || a.Err != nil) {
		<-p.slow
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = append(p.answers, a)
	switch {
	case p.err != nil:
		return p.err
	case r.LeaderEpoch != p.r.LeaderEpoch || a.LeaderEpoch != p.r.LeaderEpoch || r.Offset != p.r.Offset || strings.Contains(string(batches), "bad"):
		return nil
	case a.Err == replica.ErrOffsetOutOfRange:
		p.r.Offset, p.r.LogStart = a.LogStart, a.LogStart
		return nil
	case a.Diverging != nil:
		p.r.Offset, p.r.LastEpoch = a.Diverging.End, a.Diverging.Epoch
		return nil
	}
	if p.r.Offset += int64(len(batches)); len(batches) > 0 {
		p.r.LastEpoch = a.LeaderEpoch
	}
	p.hw, p.r.LogStart = min(a.HighWatermark, p.r.Offset), max(p.r.LogStart, a.LogStart)
	return nil
}

func (p *fake) change(f *Fetcher, how func()) {
	p.mu.Lock()
	how()
	p.mu.Unlock()
	f.Changed(p)
}

// rig is a fetcher and the brokers that it fetches from, whose answers the test gives.
type rig struct {
	t       *testing.T
	f       *Fetcher
	net     *network.Mem
	clock   *quickClock
	serving sync.WaitGroup
	servers []*server.Server
	asked   [3]chan *ask // by broker
	polls   [3]*ask      // that wait for something to happen

	mu   sync.Mutex
	all  []*ask
	over bool
}

// ask is a request that a broker has received.
type ask struct {
	t     *testing.T
	q     protocol.FetchRequest
	req   *server.Request
	reply server.Reply
	done  atomic.Bool
}

// quickClock lets pauses of a second and less pass at once, and notes them.
type quickClock struct {
	clock.Clock
	mu     sync.Mutex
	passed time.Duration
	pauses []time.Duration
}

func (c *quickClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Clock.Now().Add(c.passed)
}

func (c *quickClock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	c.passed += d
	c.pauses = append(c.pauses, d)
	c.mu.Unlock()
	return c.Clock.After(time.Millisecond)
}

// serve is a broker's handler.
type serve struct {
	t  *testing.T
	to chan *ask
	r  *rig
}

func (s serve) Serve(req *server.Request, reply server.Reply) {
	a := &ask{t: s.t, req: req, reply: reply}
	if err := a.q.Decode(req.Header.Version, req.Body); err != nil || req.Header.Key != protocol.KeyFetch || req.Header.Version != protocol.FollowerVersion {
		s.t.Errorf("request %s version %d: %v", req.Header.Key, req.Header.Version, err)
	}
	s.r.mu.Lock()
	over := s.r.over
	s.r.all = append(s.r.all, a)
	s.r.mu.Unlock()
	if over { // it was on its way when the test ended
		a.done.Store(true)
		reply.Close(errors.New("the test is over"))
		return
	}
	s.to <- a
}

func newRig(t *testing.T) *rig {
	return newRigWith(t, Settings{WaitMax: 500 * time.Millisecond, MinBytes: 1, MaxBytes: 1000, ResponseMaxBytes: 10_000, Backoff: time.Second, Timeout: 20 * time.Second})
}

func newRigWith(t *testing.T, settings Settings) *rig {
	r := &rig{t: t, net: network.NewMem(), clock: &quickClock{Clock: clock.Real}}
	for i := range r.asked {
		r.asked[i] = make(chan *ask, 1000)
		s, err := server.New(server.Options{Handler: serve{t, r.asked[i], r}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := r.net.Listen(t.Context(), fmt.Sprintf("n%d:1", i))
		if err != nil {
			t.Fatal(err)
		}
		r.serving.Go(func() { _ = s.Serve(context.Background(), "PLAINTEXT", l) })
		r.servers = append(r.servers, s)
	}
	r.f = New(Options{Broker: 2, Network: r.net, Clock: r.clock, Log: slog.New(slog.DiscardHandler),
		Address:  func(id int32) (string, bool) { return fmt.Sprintf("n%d:1", id), id < 3 },
		Settings: settings})
	t.Cleanup(func() {
		r.f.Close()
		r.mu.Lock()
		r.over = true
		for _, a := range r.all {
			if !a.done.Swap(true) {
				a.reply.Close(errors.New("the test is over"))
			}
		}
		r.mu.Unlock()
		for _, s := range r.servers {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			cancel()
		}
		r.serving.Wait()
	})
	return r
}

// next is the next request to a broker.
func (r *rig) next(broker int) *ask {
	r.t.Helper()
	select {
	case a := <-r.asked[broker]:
		return a
	case <-time.After(20 * time.Second):
		r.t.Fatalf("waited in vain for a request to broker %d", broker)
	}
	return nil
}

// asks is the next request to a broker that names a partition. One that names none is answered when another one comes, as leaders do.
func (r *rig) asks(broker int) *ask {
	r.t.Helper()
	for {
		a := r.next(broker)
		if poll := r.polls[broker]; poll != nil {
			poll.answer(poll.q.SessionID)
			r.polls[broker] = nil
		}
		if len(a.q.Topics) > 0 {
			return a
		}
		r.polls[broker] = a
	}
}

func (a *ask) answer(session int32, parts ...protocol.FetchResponsePartition) {
	a.send(&protocol.FetchResponse{SessionID: session, Topics: []protocol.FetchResponseTopic{{ID: uuid.UUID{1}, Partitions: parts}}})
}

func (a *ask) send(resp *protocol.FetchResponse) {
	a.done.Store(true)
	_, spans := resp.AppendTo(a.req.AppendHeader(nil), nil, protocol.FollowerVersion)
	a.reply.Send(spans, nil)
}

// show is a request for a person.
func (a *ask) show() string {
	s := fmt.Sprintf("epoch %d", a.q.SessionEpoch)
	for _, t := range a.q.Forgotten {
		s += fmt.Sprintf(" without %d", t.Partitions)
	}
	for _, t := range a.q.Topics {
		slices.SortFunc(t.Partitions, func(a, b protocol.FetchPartition) int { return int(a.Partition - b.Partition) })
		for _, p := range t.Partitions {
			s += fmt.Sprintf(" %d at %d synced %d of %d", p.Partition, p.FetchOffset, p.SyncedEnd, p.LastFetchedEpoch)
			if p.MaxBytes == 0 {
				s += " told"
			}
		}
	}
	return s
}

func (a *ask) expect(want string) *ask {
	a.t.Helper()
	if got := a.show(); got != want {
		a.t.Errorf("asked %s, want %s", got, want)
	}
	return a
}

// records answers for a partition with some.
func records(n int32, at int64, bytes string, hw int64) protocol.FetchResponsePartition {
	p := protocol.FetchResponsePartition{Partition: n, HighWatermark: hw, PreferredReadReplica: -1, Replica: &protocol.ReplicaAnswer{FetchOffset: at, LogEnd: at + int64(len(bytes)), LeaderEpoch: 3}}
	if len(bytes) > 0 {
		p.Records = []vfs.Span{vfs.MemSpan([]byte(bytes))}
	}
	return p
}

func failed(n int32, at int64, code protocol.ErrorCode) protocol.FetchResponsePartition {
	p := records(n, at, "", -1)
	p.Error = code
	return p
}

func (r *rig) await(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestFollows(t *testing.T) {
	r := newRig(t)
	p := newFake(0, 1)
	r.f.Changed(p)
	a := r.next(1).expect("epoch 0 0 at 0 synced 0 of -1")
	if q := &a.q; q.ReplicaID != 2 || q.ReplicaEpoch != 9 || q.MaxWaitMs != 0 || q.MinBytes != 1 || q.MaxBytes != 10_000 || q.Topics[0].Partitions[0].MaxBytes != 1000 || q.Topics[0].Partitions[0].CurrentLeaderEpoch != 3 {
		t.Errorf("the first request is %+v", q)
	}
	a.answer(77, records(0, 0, "", 0))
	a = r.next(1).expect("epoch 1")
	if a.q.SessionID != 77 || a.q.MaxWaitMs != 500 {
		t.Errorf("the second request is %+v", a.q)
	}
	a.answer(77, records(0, 0, "abc", 0))
	wait := r.next(1).expect("epoch 2 0 at 3 synced 0 of 3")

	// While that waits, what is synced is told, and another partition is asked for.
	p.change(r.f, func() { p.r.SyncedEnd = 3 })
	second := r.next(1).expect("epoch 3 0 at 3 synced 3 of 3 told")
	q := newFake(1, 1)
	r.f.Changed(q) // two are under way
	wait.answer(77, records(0, 3, "", 3))
	third := r.next(1).expect("epoch 4 1 at 0 synced 0 of -1")
	r.await("the high watermark", func() bool { // the third may be sent while the answer is being taken
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.hw == 3
	})
	second.answer(77)
	third.answer(77, records(0, 3, "defg", 3), records(1, 0, "xy", 0))
	a = r.next(1).expect("epoch 5 0 at 7 synced 3 of 3 1 at 2 synced 0 of 3")

	// One goes elsewhere, and the other one nowhere.
	q.change(r.f, func() { q.leader, q.r.LeaderEpoch = 0, 4 })
	r.next(0).expect("epoch 0 1 at 2 synced 0 of 3").answer(5)
	r.next(0).expect("epoch 1").answer(5, records(1, 2, "z", 0)) // of an epoch that is over
	if got := r.asks(0).show(); !strings.HasSuffix(got, " 1 at 2 synced 0 of 3") {
		t.Errorf("asked %s", got)
	}
	r.next(1).expect("epoch 6 without [1]")
	a.answer(77, records(1, 2, "old", 0))
	p.change(r.f, func() { p.leader = -1 })
	r.await("the connection to broker 1 to end", func() bool {
		r.f.mu.Lock()
		defer r.f.mu.Unlock()
		return r.f.sources[1] == nil && len(r.f.all) == 1
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.r.Offset != 2 {
		t.Errorf("an answer of a leader that is none any more was taken: %+v", q.answers)
	}
}

// TestTellsLogStart: a partition that waits for records tells where its log begins, once it has followed its leader's log start.
// TestCutsHoldUpNobody: while the log of a partition is cut, which takes syncs, others that follow the same leader go on.
func TestCutsHoldUpNobody(t *testing.T) {
	diverges, beyond := records(0, 5, "", 0), failed(0, 5, protocol.OffsetOutOfRange)
	diverges.DivergingEpoch = &protocol.EpochEndOffset{Epoch: 1, EndOffset: 3}
	beyond.LogStartOffset = 3
	for what, answer := range map[string]protocol.FetchResponsePartition{"diverges": diverges, "begins anew": beyond} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			cut, other := newFake(0, 1), newFake(1, 1)
			cut.slow, cut.r.Offset, cut.r.LastEpoch = make(chan struct{}), 5, 2
			r.f.Changed(other)
			r.next(1).answer(77)
			r.f.Changed(cut)
			done := sync.OnceFunc(func() { close(cut.slow) })
			t.Cleanup(done)
			asked := func(want string) *ask {
				t.Helper()
				a := r.asks(1)
				if got := a.show(); !strings.Contains(got, want) {
					t.Errorf("asked %s, want %s", got, want)
				}
				return a
			}
			asked(" 0 at 5 ").answer(77, answer, records(1, 0, "xy", 0))
			asked(" 1 at 2 ").answer(77, records(1, 2, "z", 0))
			asked(" 1 at 3 ")
			done()
			asked(" 0 at 3 ")
		})
	}
}

func TestTellsLogStart(t *testing.T) {
	r := newRig(t)
	r.f.Changed(newFake(0, 1))
	r.next(1).answer(77, records(0, 0, "abc", 3))
	deleted := records(0, 3, "", 3)
	deleted.LogStartOffset = 2
	r.next(1).expect("epoch 1 0 at 3 synced 0 of 3").answer(77, deleted)
	a := r.asks(1)
	if got := a.show(); !strings.HasSuffix(got, " 0 at 3 synced 0 of 3 told") || a.q.Topics[0].Partitions[0].LogStartOffset != 2 {
		t.Errorf("asked %s, log start %d", got, a.q.Topics[0].Partitions[0].LogStartOffset)
	}
}

// TestTellsFromOutside: a partition that is not in the ISR is told again and again while it waits for records, until it is in the ISR.
func TestTellsFromOutside(t *testing.T) {
	r := newRig(t)
	p, in := newFake(0, 1), newFake(1, 1)
	p.r.Outside = true
	r.f.Changed(in)
	r.f.Changed(p)
	told := 0
	a := r.next(1)
	for end := time.Now().Add(20 * time.Second); told < 3; a = r.next(1) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for a partition to be told again: %s", a.show())
		}
		for _, topic := range a.q.Topics {
			for _, part := range topic.Partitions {
				if part.Partition == 0 && part.MaxBytes == 0 {
					told++
				} else if part.MaxBytes == 0 {
					t.Errorf("one that is in the ISR is told again: %s", a.show())
				}
			}
		}
		r.clock.After(200 * time.Millisecond) // the leader lets it wait
		a.answer(77)
	}
	p.change(r.f, func() { p.r.Outside = false })
	for range 5 { // what was under way, and nothing more
		r.clock.After(500 * time.Millisecond)
		a.answer(77)
		a = r.next(1)
	}
	a.expect(fmt.Sprintf("epoch %d", a.q.SessionEpoch))
}

// TestErrors: a partition that a leader has an error for is asked for again after a pause, which grows, and the others go on.
func TestErrors(t *testing.T) {
	r := newRig(t)
	p := newFake(0, 1)
	r.f.Changed(p)
	r.next(1).answer(77)
	r.next(1).answer(77, failed(0, 0, protocol.NotLeaderOrFollower))
	for n := range 12 {
		r.asks(1).answer(77, failed(0, 0, []protocol.ErrorCode{protocol.UnknownTopicID, protocol.StorageError, protocol.FencedLeaderEpoch}[n%3]))
	}
	r.clock.mu.Lock()
	longest, first := slices.Max(r.clock.pauses), slices.Min(r.clock.pauses)
	r.clock.mu.Unlock()
	if longest > time.Second || longest < 900*time.Millisecond || first > pauseMin {
		t.Errorf("pauses from %s to %s", first, longest)
	}
	p.mu.Lock()
	if len(p.answers) > 0 {
		t.Errorf("the replica was given %+v", p.answers)
	}
	p.mu.Unlock()
	out := failed(0, 0, protocol.OffsetOutOfRange)
	out.LogStartOffset = 40
	r.asks(1).answer(77, out)
	diverged := records(0, 40, "", 0)
	diverged.DivergingEpoch = &protocol.EpochEndOffset{Epoch: 2, EndOffset: 38}
	r.asks(1).answer(77, diverged)
	r.asks(1).answer(77, records(0, 38, "ab", 39))
	r.asks(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.r.Offset != 40 || p.hw != 39 || p.r.LastEpoch != 3 {
		t.Errorf("%+v, high watermark %d", p.r, p.hw)
	}
}

// TestHostileAnswers: answers that contradict themselves change nothing, and are not asked for without end.
func TestHostileAnswers(t *testing.T) {
	untold := records(0, 0, "abc", 0)
	untold.Replica = nil
	for name, p := range map[string]protocol.FetchResponsePartition{
		"of another offset":       records(0, 7, "abc", 0),
		"that the replica drops":  records(0, 0, "bad", 0),
		"by who does not know us": untold,
		"that diverges and is none": func() protocol.FetchResponsePartition {
			p := records(0, 0, "", 0)
			p.DivergingEpoch = &protocol.EpochEndOffset{Epoch: -1}
			return p
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			f := newFake(0, 1)
			f.r.LastEpoch = replica.NoEpoch
			r.f.Changed(f)
			r.next(1).answer(77, p)
			for range 12 {
				r.asks(1).answer(77, p)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.r.Offset != 0 {
				t.Errorf("the log ends at %d", f.r.Offset)
			}
			r.clock.mu.Lock()
			defer r.clock.mu.Unlock()
			if !slices.ContainsFunc(r.clock.pauses, func(d time.Duration) bool { return d > 500*time.Millisecond }) {
				t.Errorf("pauses of %v", r.clock.pauses)
			}
		})
	}
	t.Run("of a partition not asked", func(t *testing.T) {
		r := newRig(t)
		f, elsewhere := newFake(0, 1), newFake(5, 0)
		r.f.Changed(f)
		a := r.next(1).expect("epoch 0 0 at 0 synced 0 of -1")
		r.f.Changed(elsewhere)
		other := r.next(0).expect("epoch 0 5 at 0 synced 0 of -1")
		foreign := []protocol.FetchResponsePartition{records(5, 0, "abc", 3), records(6, 0, "abc", 3), failed(5, 0, protocol.OffsetOutOfRange)}
		for n := range 40 { // what was asked is still waited for, and not asked again
			a.answer(77, foreign...)
			a = r.next(1).expect(fmt.Sprintf("epoch %d", n+1))
		}
		for _, p := range []*fake{f, elsewhere} {
			p.mu.Lock()
			if len(p.answers) > 0 || p.r.Offset != 0 {
				t.Errorf("partition %d is at %d, after %+v", p.id.Partition, p.r.Offset, p.answers)
			}
			p.mu.Unlock()
		}
		a.answer(77, append(foreign, records(0, 0, "abc", 0))...)
		r.next(1).expect("epoch 41 0 at 3 synced 0 of 3")
		other.answer(5, records(5, 0, "xy", 0))
		r.next(0).expect("epoch 1 5 at 2 synced 0 of 3")
		r.clock.mu.Lock()
		defer r.clock.mu.Unlock()
		if len(r.clock.pauses) > 0 {
			t.Errorf("those who were answered had to pause: %v", r.clock.pauses)
		}
	})
	for name, answer := range map[string]func(*ask){
		"an error":        func(a *ask) { a.send(&protocol.FetchResponse{Error: protocol.FetchSessionIDNotFound}) },
		"no session":      func(a *ask) { a.answer(0) },
		"nonsense":        func(a *ask) { a.done.Store(true); a.reply.SendBytes(a.req.AppendHeader(nil)) },
		"another request": func(a *ask) { a.done.Store(true); a.reply.SendBytes([]byte{1, 2, 3, 4, 0, 0}) },
		"nothing":         func(a *ask) { a.done.Store(true); a.reply.Close(errors.New("gone")) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.f.Changed(newFake(0, 1))
			for range 12 {
				answer(r.next(1).expect("epoch 0 0 at 0 synced 0 of -1"))
			}
			r.clock.mu.Lock()
			defer r.clock.mu.Unlock()
			if longest := slices.Max(r.clock.pauses); longest != time.Second {
				t.Errorf("the longest pause is %s", longest)
			}
		})
	}
}

// TestFailedDisk: a replica that cannot append is asked for seldom, until it can again.
func TestFailedDisk(t *testing.T) {
	r := newRig(t)
	p, q := newFake(0, 1), newFake(1, 1)
	p.err = errors.New("no space")
	r.f.Changed(p)
	r.f.Changed(q)
	tries, others := 0, int64(0)
	for tries < 12 {
		a := r.next(1)
		var parts []protocol.FetchResponsePartition
		for _, topic := range a.q.Topics {
			for _, x := range topic.Partitions {
				if x.Partition == 0 {
					tries++
				} else {
					others = x.FetchOffset
				}
				if x.MaxBytes > 0 {
					parts = append(parts, records(x.Partition, x.FetchOffset, "a", 0))
				}
			}
		}
		a.answer(77, parts...)
	}
	if others < 5 {
		t.Errorf("the other partition is at %d", others)
	}
	p.mu.Lock()
	p.err = nil
	p.mu.Unlock()
	r.await("the replica to go on", func() bool {
		select {
		case a := <-r.asked[1]:
			a.answer(77, records(0, 0, "a", 0))
		default:
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.r.Offset == 1
	})
}

// TestSilentLeader: one that does not answer in time is dialled anew.
func TestSilentLeader(t *testing.T) {
	r := newRigWith(t, Settings{WaitMax: 10 * time.Millisecond, MaxBytes: 1000, ResponseMaxBytes: 10_000, Backoff: time.Second, Timeout: 20 * time.Millisecond})
	r.f.Changed(newFake(0, 1))
	first := r.next(1).expect("epoch 0 0 at 0 synced 0 of -1")
	if again := r.next(1).expect("epoch 0 0 at 0 synced 0 of -1"); again.req.Conn == first.req.Conn {
		t.Error("it is asked by the same connection")
	}
}
