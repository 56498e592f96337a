package handler

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// leads are partitions that the test's broker leads and broker 8 follows.
type leads []*partition.Partition

func (l leads) Partition(topic uuid.UUID, n int32) *partition.Partition {
	if topic != (uuid.UUID{1}) || int(n) >= len(l) {
		return nil
	}
	return l[n]
}

// newLeads is a rig whose broker leads some durable partitions of topic orders, with broker 8 in their ISRs.
func newLeads(t *testing.T, partitions int) (*rig, leads) {
	r := newRig(t, "listeners=PLAINTEXT://127.0.0.1:9092,CLIENT://127.0.0.1:9192\nlistener.security.protocol.map=CLIENT:PLAINTEXT,PLAINTEXT:PLAINTEXT\ninter.broker.listener.name=PLAINTEXT")
	r.topic("orders", 1, partitions)
	r.controller.apply(t, &metadata.BrokerRecord{Broker: metadata.Broker{ID: 8, Epoch: 4, Directories: []uuid.UUID{{8}}}})
	dir, err := logdir.Open(logdir.Options{FS: vfs.NewMem(), Random: random.Seeded(1), Path: "data", NodeID: testNode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	var all leads
	for n := range partitions {
		settings := &partition.Settings{Log: &commitlog.Config{Delete: true, Durable: true}, MinISR: 2, LagMax: time.Hour, Rules: record.Rules{MaxBatchBytes: 1 << 20}}
		var p *partition.Partition
		made := make(chan struct{})
		log, err := dir.Log(commitlog.ID{Topic: "orders", TopicID: uuid.UUID{1}, Partition: int32(n)}, settings.Log, func(end int64) {
			<-made
			p.Synced(end)
		})
		if err != nil {
			t.Fatal(err)
		}
		p = partition.New(log.ID(), &partition.Host{Broker: testNode}, log, settings, 0, false)
		close(made)
		p.Registered(3)
		p.Apply(twoBrokers{}, &metadata.Partition{Leader: testNode, LeaderEpoch: 2, Replicas: []int32{testNode, 8}, ISR: []int32{testNode, 8}})
		all = append(all, p)
	}
	r.h.Partitions = all
	return r, all
}

func (l leads) append(t *testing.T, n int, records int) {
	t.Helper()
	b := record.NewBuilder(record.CompressionOf(record.None))
	for i := range records {
		b.Append(record.Record{Timestamp: 1, Value: fmt.Append(nil, "value ", i)})
	}
	if _, err := l[n].Append(b.Build(), false); err != nil {
		t.Fatal(err)
	}
}

// asks is a follower's connection.
type asks struct {
	*wire
	session, epoch int32
}

// position is a partition of a request.
func position(n int32, offset, synced int64) protocol.FetchPartition {
	p := protocol.FetchPartition{Partition: n, CurrentLeaderEpoch: 2, FetchOffset: offset, LastFetchedEpoch: 2, MaxBytes: 1 << 20, HighWatermark: 1<<63 - 1, SyncedEnd: synced}
	if offset == 0 {
		p.LastFetchedEpoch = -1
	}
	return p
}

// told is a position that asks for nothing.
func told(n int32, offset, synced int64) protocol.FetchPartition {
	p := position(n, offset, synced)
	p.MaxBytes = 0
	return p
}

func (a *asks) ask(wait time.Duration, change func(*protocol.FetchRequest), parts ...protocol.FetchPartition) {
	a.t.Helper()
	q := &protocol.FetchRequest{ReplicaID: 8, ReplicaEpoch: 4, MaxWaitMs: int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: 10 << 20, SessionID: a.session, SessionEpoch: a.epoch}
	if len(parts) > 0 {
		q.Topics = []protocol.FetchTopic{{ID: uuid.UUID{1}, Partitions: parts}}
	}
	if change != nil {
		change(q)
	}
	if a.epoch >= 0 {
		a.epoch++
	}
	frame := protocol.AppendRequestHeader(make([]byte, 4), protocol.RequestHeader{Key: protocol.KeyFetch, Version: protocol.FollowerVersion, ClientID: "broker-8"})
	frame = q.AppendTo(frame, protocol.FollowerVersion)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	if _, err := a.conn.Write(frame); err != nil {
		a.t.Fatal(err)
	}
}

func (a *asks) answer() *protocol.FetchAnswer {
	a.t.Helper()
	_ = a.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(a.conn, size[:]); err != nil {
		a.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(a.conn, body); err != nil {
		a.t.Fatal(err)
	}
	all := new(protocol.FetchAnswer)
	if err := all.Decode(body[5:]); err != nil {
		a.t.Fatal(err)
	}
	return all
}

// show is an answer for a person.
func show(a *protocol.FetchAnswer) string {
	s := a.Error.String()
	for _, p := range a.Partitions {
		s += fmt.Sprintf(" %d:%s hw %d", p.Partition, p.Error, p.HighWatermark)
		if p.Told {
			s += fmt.Sprintf(" at %d end %d epoch %d", p.Replica.FetchOffset, p.Replica.LogEnd, p.Replica.LeaderEpoch)
		}
		if len(p.Records) > 0 {
			b, _, err := record.Next(p.Records)
			s += fmt.Sprintf(" records from %d %v", b.BaseOffset(), err)
		}
		if p.Diverges {
			s += fmt.Sprintf(" diverges %d %d", p.Diverging.Epoch, p.Diverging.EndOffset)
		}
	}
	return s
}

func (a *asks) expect(want string) {
	a.t.Helper()
	if got := show(a.answer()); got != want {
		a.t.Errorf("answered\n%s, want\n%s", got, want)
	}
}

// expectOf is expect for one partition: of the others a new high watermark may be told, now or later.
func (a *asks) expectOf(n int32, want string) {
	a.t.Helper()
	got := a.answer()
	got.Partitions = slices.DeleteFunc(got.Partitions, func(p protocol.FetchedPartition) bool { return p.Partition != n })
	if show(got) != want {
		a.t.Errorf("answered\n%s, want\n%s", show(got), want)
	}
}

// begin opens a session.
func (a *asks) begin(parts ...protocol.FetchPartition) {
	a.t.Helper()
	a.session, a.epoch = 0, 0
	a.ask(0, nil, parts...)
	got := a.answer()
	if a.session = got.SessionID; a.session == 0 || got.Error != protocol.None {
		a.t.Fatalf("no session: %s", show(got))
	}
}

const long = 30 * time.Second

// until waits with a deadline for what other goroutines do.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestFollowersSession(t *testing.T) {
	r, l := newLeads(t, 3)
	a := &asks{wire: r.dial()}
	a.ask(0, nil, position(0, 0, 0), position(1, 0, 0), position(9, 0, 0))
	got := a.answer()
	if want := "NONE 9:UNKNOWN_TOPIC_OR_PARTITION hw -1 at 0 end -1 epoch -1 0:NONE hw 0 at 0 end 0 epoch 2 1:NONE hw 0 at 0 end 0 epoch 2"; show(got) != want {
		t.Errorf("answered\n%s, want\n%s", show(got), want)
	}
	a.session = got.SessionID

	// A request that names nothing waits for all that is followed, and is answered for what there is.
	a.ask(long, nil)
	l.append(t, 1, 3)
	a.expect("NONE 1:NONE hw 0 at 0 end 3 epoch 2 records from 0 <nil>")

	// The next one waits: nothing is sent twice, though the follower has not said where it is. Another one has it answered, and waits itself.
	a.ask(long, nil)
	a.ask(long, nil, position(1, 3, 0))
	a.expect("NONE")

	// What is only told is counted, and moves the high watermark, which the answer before tells.
	eventually(t, "the leader's sync", func() bool { return l[1].Log().SyncedEnd() == 3 })
	a.ask(long, nil, told(1, 3, 3))
	a.expect("NONE 1:NONE hw 3 at 3 end 3 epoch 2")
	if hw := l[1].HighWatermark(); hw != 3 {
		t.Errorf("the high watermark is %d", hw)
	}
	l.append(t, 0, 1)
	a.expect("NONE 0:NONE hw 0 at 0 end 1 epoch 2 records from 0 <nil>")

	// Both may wait; what was read for the one is not read for the other.
	a.ask(long, nil, position(0, 1, 1))
	l.append(t, 1, 2)
	a.expectOf(1, "NONE 1:NONE hw 3 at 3 end 5 epoch 2 records from 3 <nil>")

	// A divergence, an offset out of range, and what is forgotten.
	a.ask(long, nil, position(1, 7, 7))
	a.expectOf(1, "NONE 1:NONE hw 3 at 7 end 5 epoch 2 diverges 2 5")
	a.ask(long, nil, func() protocol.FetchPartition { p := position(1, 7, 7); p.LastFetchedEpoch = -1; return p }())
	a.expectOf(1, "NONE 1:OFFSET_OUT_OF_RANGE hw 3 at 7 end 5 epoch 2")
	a.ask(0, func(q *protocol.FetchRequest) {
		q.Forgotten = []protocol.ForgottenTopic{{ID: uuid.UUID{1}, Partitions: []int32{1}}}
	}, position(2, 0, 0))
	a.expectOf(2, "NONE 2:NONE hw 0 at 0 end 0 epoch 2")
	l.append(t, 1, 1)
	a.ask(20*time.Millisecond, nil)
	a.expectOf(1, "NONE")

	// Another leader: who waits is told.
	a.ask(long, nil)
	l[2].Apply(twoBrokers{}, &metadata.Partition{Leader: 8, LeaderEpoch: 3, PartitionEpoch: 1, Replicas: []int32{testNode, 8}, ISR: []int32{testNode, 8}})
	a.expectOf(2, "NONE 2:FENCED_LEADER_EPOCH hw 0 at 0 end 0 epoch 3")
	a.ask(long, nil, func() protocol.FetchPartition { p := position(0, 1, 1); p.CurrentLeaderEpoch = 3; return p }())
	a.expectOf(0, "NONE 0:UNKNOWN_LEADER_EPOCH hw 1 at 1 end 1 epoch 2")
	a.ask(long, func(q *protocol.FetchRequest) { q.ReplicaEpoch = 3 }, position(0, 1, 1))
	a.expectOf(0, "NONE 0:STALE_BROKER_EPOCH hw 1 at 1 end 1 epoch 2")

	// The end of the connection is the end of the session.
	a.ask(long, nil, position(0, 1, 1))
	a.conn.Close()
	eventually(t, "the end of the session", func() bool {
		r.h.followers.mu.Lock()
		defer r.h.followers.mu.Unlock()
		return len(r.h.followers.sessions) == 0
	})
}

func TestFollowersWithoutSession(t *testing.T) {
	r, l := newLeads(t, 1)
	l.append(t, 0, 2)
	a := &asks{wire: r.dial(), epoch: -1}
	a.ask(long, nil, position(0, 0, 0))
	a.expect("NONE 0:NONE hw 0 at 0 end 2 epoch 2 records from 0 <nil>")
	eventually(t, "the leader's sync", func() bool { return l[0].Log().SyncedEnd() == 2 })
	a.ask(long, nil, position(0, 2, 2)) // and does not wait
	a.expect("NONE 0:NONE hw 2 at 2 end 2 epoch 2")

	// Who is no broker gets none.
	a.epoch = 0
	a.ask(long, func(q *protocol.FetchRequest) { q.ReplicaID = 11 }, position(0, 0, 0))
	got := a.answer()
	if want := "NONE 0:UNKNOWN_LEADER_EPOCH hw 2 at 0 end 2 epoch 2"; show(got) != want || got.SessionID != 0 {
		t.Errorf("answered %s, want %s; session %d", show(got), want, got.SessionID)
	}

	// Sessions that are not there, are another's, or are elsewhere.
	a.session, a.epoch = 99, 1
	a.ask(long, nil)
	a.expect("FETCH_SESSION_ID_NOT_FOUND")
	a.begin(position(0, 2, 2))
	other := &asks{wire: r.dial(), session: a.session, epoch: 1}
	other.ask(long, nil)
	other.expect("FETCH_SESSION_ID_NOT_FOUND")
	a.epoch = 7
	a.ask(long, nil)
	a.expect("INVALID_FETCH_SESSION_EPOCH")

	// Another connection of the same broker takes its place: who waits on the old one is answered.
	a.epoch = 1
	a.ask(long, nil)
	eventually(t, "the request to wait", func() bool {
		r.h.followers.mu.Lock()
		s := r.h.followers.sessions[8]
		r.h.followers.mu.Unlock()
		s.turn.Lock()
		defer s.turn.Unlock()
		return s.parked != nil
	})
	other.begin(position(0, 2, 2))
	a.expect("NONE")
	other.ask(long, nil)
	l.append(t, 0, 1)
	other.expect("NONE 0:NONE hw 2 at 2 end 3 epoch 2 records from 2 <nil>")
}

// TestFollowersLimits: what does not fit waits for its turn, and too little for longer.
func TestFollowersLimits(t *testing.T) {
	r, l := newLeads(t, 3)
	a := &asks{wire: r.dial()}
	a.begin(position(0, 0, 0), position(1, 0, 0), position(2, 0, 0))
	for n := range l {
		l.append(t, n, 1)
	}
	one := func(q *protocol.FetchRequest) { q.MaxBytes = 1 }
	for n := range int32(3) { // one each, though a limit of a byte is less
		a.ask(long, one)
		got := a.answer()
		if len(got.Partitions) != 1 || len(got.Partitions[0].Records) == 0 || got.Partitions[0].Partition != n {
			t.Fatalf("answer %d is %s", n, show(got))
		}
	}
	a.ask(long, func(q *protocol.FetchRequest) { q.MinBytes = 150 }, position(0, 1, 1), position(1, 1, 1))
	l.append(t, 0, 1)
	l.append(t, 1, 1)
	got := a.answer()
	records := 0
	for _, p := range got.Partitions {
		records += min(1, len(p.Records))
	}
	if records != 2 {
		t.Errorf("answered %s", show(got))
	}
	a.ask(20*time.Millisecond, func(q *protocol.FetchRequest) { q.MinBytes = 1 << 20 }, position(0, 2, 2))
	l.append(t, 0, 1)
	if got := a.answer(); len(got.Partitions) == 0 || len(got.Partitions[len(got.Partitions)-1].Records) == 0 {
		t.Errorf("when its time is over it is answered %s", show(got))
	}
}

// TestFollowersListener: clients are no followers, whatever they call themselves.
func TestFollowersListener(t *testing.T) {
	r, l := newLeads(t, 1)
	l.append(t, 0, 1)
	socket, err := r.net.Listen(t.Context(), "127.0.0.1:9192")
	if err != nil {
		t.Fatal(err)
	}
	r.serving.Go(func() { _ = r.server.Serve(t.Context(), "CLIENT", socket) })
	r.addr = socket.Addr().String()
	a := &asks{wire: r.dial(), epoch: -1}
	a.ask(0, nil, position(0, 0, 0))
	a.expect("NONE 0:NOT_LEADER_OR_FOLLOWER hw -1")
}
