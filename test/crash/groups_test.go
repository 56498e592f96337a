package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const sessionTimeout = 3 * time.Second

// goOn is how long consumers may take to read on by themselves after a start: a session and a rebalance.
const goOn = sessionTimeout + 20*time.Second

// workers are the clients of groups: a producer, groups of consumers, which rebalance and lose members, and registers, which are groups
// without members. Committed offsets must never go back, no group may be stuck, and every record reaches every group.
type workers struct {
	addr      string
	topic     string
	admin     *kadm.Client
	groups    []*groupLoad
	registers []*register
	alive     context.Context
	stop      context.CancelFunc
	running   sync.WaitGroup
	producing context.CancelFunc
	producer  sync.WaitGroup

	produced atomic.Int64 // acknowledged records
	ends     [partitions]atomic.Int64
	commits  atomic.Int64
	writes   atomic.Int64
	reads    atomic.Int64
	failed   atomic.Pointer[error]
}

func newWorkers(t *testing.T, addr string, random *rand.Rand) *workers {
	t.Helper()
	w := &workers{addr: addr, topic: fmt.Sprintf("crash-groups-%d", random.Int63())}
	w.alive, w.stop = context.WithCancel(context.Background())
	t.Cleanup(func() { w.stop(); w.running.Wait(); w.producer.Wait() })
	cl := w.client(t)
	w.admin = kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(w.alive, time.Minute)
	defer cancel()
	if _, err := w.admin.CreateTopic(ctx, partitions, -1, nil, w.topic); err != nil {
		t.Fatalf("create topic: %v", err)
	}
	for i, balancer := range []kgo.GroupBalancer{kgo.CooperativeStickyBalancer(), kgo.RangeBalancer(), kgo.RoundRobinBalancer()} {
		g := &groupLoad{w: w, name: fmt.Sprintf("crash-group-%d-%d", i, random.Int63()), balancer: balancer}
		for k := range g.seen {
			g.seen[k] = map[int64]bool{}
		}
		w.groups = append(w.groups, g)
		for range 3 {
			g.join()
		}
	}
	for i := range 4 {
		r := &register{w: w, group: fmt.Sprintf("crash-register-%d-%d", i, random.Int63())}
		w.registers = append(w.registers, r)
		r.run(t)
	}
	w.produce(t)
	return w
}

func (w *workers) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(w.options(), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// options make clients notice soon that the broker is back.
func (w *workers) options() []kgo.Opt {
	return []kgo.Opt{seeds(w.addr), kgo.MetadataMinAge(20 * time.Millisecond), kgo.AlwaysRetryEOF(), kgo.RequestRetries(1000),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })}
}

func (w *workers) fail(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	w.failed.CompareAndSwap(nil, &err)
}

// produce writes some hundred records a second until finish.
func (w *workers) produce(t *testing.T) {
	cl := w.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1000))
	ctx, cancel := context.WithCancel(w.alive)
	w.producing = cancel
	w.producer.Go(func() {
		tick := time.NewTicker(15 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			<-tick.C
			for p := range int32(partitions) {
				cl.Produce(w.alive, &kgo.Record{Topic: w.topic, Partition: p, Value: fmt.Append(nil, i)}, func(r *kgo.Record, err error) {
					if err != nil {
						if w.alive.Err() == nil {
							w.fail("produce: %w", err)
						}
						return
					}
					w.produced.Add(1)
					for end := &w.ends[r.Partition]; ; {
						now := end.Load()
						if now > r.Offset || end.CompareAndSwap(now, r.Offset+1) {
							break
						}
					}
				})
			}
		}
		_ = cl.Flush(w.alive)
	})
}

// churn lets one member of a random group leave and another come, while the broker is about to be killed.
func (w *workers) churn(random *rand.Rand) {
	g := w.groups[random.Intn(len(w.groups))]
	g.join()
	if random.Intn(2) == 0 {
		g.leave()
	} else {
		g.vanish()
	}
}

// await returns when every group has seen n records. Until then some group at least has to move all the time.
func (w *workers) await(t *testing.T, n int64) {
	t.Helper()
	for _, g := range w.groups {
		last, since := g.consumed.Load(), time.Now()
		for g.consumed.Load() < n {
			if err := w.failed.Load(); err != nil {
				t.Fatal(*err)
			}
			if now := g.consumed.Load(); now != last {
				last, since = now, time.Now()
			}
			if time.Since(since) > goOn {
				t.Fatalf("group %s is stuck at %d of %d records for %v: %s", g.name, last, n, goOn, w.describe(g.name))
			}
			<-time.After(5 * time.Millisecond)
		}
	}
}

func (w *workers) describe(group string) string {
	ctx, cancel := context.WithTimeout(w.alive, 5*time.Second)
	defer cancel()
	d, err := w.admin.DescribeGroups(ctx, group)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("state %s, %d members", d[group].State, len(d[group].Members))
}

// checkCommitted compares what the broker has of every group with what it acknowledged before the kill.
func (w *workers) checkCommitted(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(w.alive, time.Minute)
	defer cancel()
	for _, g := range w.groups {
		acked := g.ackedNow() // first, since consumers go on
		offsets := w.offsets(t, ctx, g.name)
		for p, want := range acked {
			got, _ := offsets.Lookup(w.topic, int32(p))
			if want > 0 && got.At < want {
				t.Errorf("group %s, partition %d: the committed offset is %d, and %d was acknowledged", g.name, p, got.At, want)
			}
		}
	}
}

// offsets reads what a group committed. A connection from before a kill may still fail once.
func (w *workers) offsets(t *testing.T, ctx context.Context, group string) kadm.OffsetResponses {
	t.Helper()
	for {
		offsets, err := w.admin.FetchOffsets(ctx, group)
		if err == nil {
			return offsets
		}
		if refused := (*kerr.Error)(nil); ctx.Err() != nil || errors.As(err, &refused) && !refused.Retriable {
			t.Fatalf("fetch the offsets of %s: %v", group, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// finish stops the producer, waits until every group has every record, and checks that none is missing.
func (w *workers) finish(t *testing.T) {
	t.Helper()
	w.producing()
	w.producer.Wait()
	total := int64(0)
	for p := range w.ends {
		total += w.ends[p].Load()
	}
	w.await(t, total)
	w.checkCommitted(t)
	w.stop()
	w.running.Wait()
	if err := w.failed.Load(); err != nil {
		t.Fatal(*err)
	}
	if w.writes.Load() == 0 || w.commits.Load() == 0 || w.reads.Load() == 0 {
		t.Error("nothing was committed or read")
	}
	for _, g := range w.groups {
		for p := range g.seen {
			for o := range w.ends[p].Load() {
				if !g.seen[p][o] {
					t.Errorf("group %s never got offset %d of partition %d", g.name, o, p)
					break
				}
			}
		}
	}
}

// groupLoad is one group: its members, and what they saw and committed.
type groupLoad struct {
	w        *workers
	name     string
	balancer kgo.GroupBalancer
	consumed atomic.Int64 // different records

	mu      sync.Mutex
	seen    [partitions]map[int64]bool
	acked   [partitions]int64 // largest commit that was acknowledged
	members []*member
}

// member is one consumer. Its goroutine closes its client, which leaves the group unless the cable is cut.
type member struct {
	cable *cable
	stop  context.CancelFunc
}

// cable is what connects a client. Once cut it carries nothing any more.
type cable struct {
	mu     sync.Mutex
	broken bool
	conns  []net.Conn
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		conn.Close()
		return nil, errors.New("the cable is cut")
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
	for _, conn := range c.conns {
		conn.Close()
	}
}

func (g *groupLoad) ackedNow() [partitions]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.acked
}

// join starts a consumer.
func (g *groupLoad) join() {
	cord := new(cable)
	cl, err := kgo.NewClient(append(g.w.options(), kgo.Dialer(cord.dial), kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(g.w.topic), kgo.DisableAutoCommit(),
		kgo.Balancers(g.balancer), kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(200*time.Millisecond), kgo.RebalanceTimeout(sessionTimeout),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.BlockRebalanceOnPoll(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		g.w.fail("new member of %s: %w", g.name, err)
		return
	}
	ctx, stop := context.WithCancel(g.w.alive)
	g.mu.Lock()
	g.members = append(g.members, &member{cord, stop})
	g.mu.Unlock()
	g.w.running.Go(func() {
		defer cl.CloseAllowingRebalance()
		for ctx.Err() == nil {
			g.consume(ctx, cl)
		}
	})
}

// consume takes what there is, and commits it.
func (g *groupLoad) consume(ctx context.Context, cl *kgo.Client) {
	defer cl.AllowRebalance()
	fetches := cl.PollRecords(ctx, 500)
	commit := map[string]map[int32]kgo.EpochOffset{g.w.topic: {}}
	g.mu.Lock()
	fetches.EachRecord(func(r *kgo.Record) {
		if !g.seen[r.Partition][r.Offset] {
			g.seen[r.Partition][r.Offset] = true
			g.consumed.Add(1)
		}
		commit[g.w.topic][r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
	})
	g.mu.Unlock()
	if len(commit[g.w.topic]) == 0 {
		return
	}
	cl.CommitOffsetsSync(ctx, commit, func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			return // nobody knows what became of it
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if p.ErrorCode == 0 {
					g.acked[p.Partition] = max(g.acked[p.Partition], commit[g.w.topic][p.Partition].Offset)
					g.w.commits.Add(1)
				}
			}
		}
	})
}

// oldest takes the member that has been there for longest out of the list.
func (g *groupLoad) oldest() *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.members[0]
	g.members = g.members[1:]
	return m
}

// leave ends a member, which says so to the group.
func (g *groupLoad) leave() {
	g.oldest().stop()
}

// vanish ends a member without a word, as a kill of its process does: the session has to run out.
func (g *groupLoad) vanish() {
	m := g.oldest()
	m.cable.cut()
	m.stop()
}

// register is a group without members whose one offset is written by one goroutine, each time larger by one, and read by another. For such
// a register being linearizable means: a read gives at least what was acknowledged before it began, at most what was sent
// before it ended, and never less than the read before.
type register struct {
	w     *workers
	group string
	sent  atomic.Int64
	acked atomic.Int64
}

func (r *register) run(t *testing.T) {
	writer, reader := kadm.NewClient(r.w.client(t)), kadm.NewClient(r.w.client(t))
	r.w.running.Go(func() {
		for n := int64(1); r.w.alive.Err() == nil; n++ {
			<-time.After(2 * time.Millisecond)
			r.sent.Store(n)
			if r.write(writer, n) {
				r.acked.Store(n)
				r.w.writes.Add(1)
			}
		}
	})
	r.w.running.Go(func() {
		last := int64(0)
		for ; r.w.alive.Err() == nil; <-time.After(5 * time.Millisecond) {
			least := max(last, r.acked.Load())
			got, ok := r.read(reader)
			if most := r.sent.Load(); ok && (got < least || got > most) {
				r.w.fail("register %s: read %d, and %d was there before, at most %d was sent", r.group, got, least, most)
			}
			if ok {
				last = got
				r.w.reads.Add(1)
			}
		}
	})
}

// write commits n and tries on until the broker says that it has it. A write of n again changes nothing.
func (r *register) write(cl *kadm.Client, n int64) bool {
	var offsets kadm.Offsets
	offsets.AddOffset(r.w.topic, 0, n, -1)
	for deadline := time.Now().Add(2 * time.Minute); r.w.alive.Err() == nil; {
		if time.Now().After(deadline) {
			r.w.fail("register %s: offset %d cannot be committed", r.group, n)
			return false
		}
		ctx, cancel := context.WithTimeout(r.w.alive, 30*time.Second)
		err := cl.CommitAllOffsets(ctx, r.group, offsets)
		cancel()
		if err == nil {
			return true
		}
		if refused := (*kerr.Error)(nil); errors.As(err, &refused) && !refused.Retriable {
			r.w.fail("register %s: commit %d: %w", r.group, n, err)
		}
		<-time.After(10 * time.Millisecond)
	}
	return false
}

func (r *register) read(cl *kadm.Client) (int64, bool) {
	ctx, cancel := context.WithTimeout(r.w.alive, 30*time.Second)
	defer cancel()
	offsets, err := cl.FetchOffsets(ctx, r.group)
	if err != nil {
		if refused := (*kerr.Error)(nil); errors.As(err, &refused) && !refused.Retriable {
			r.w.fail("register %s: %w", r.group, err)
		}
		return 0, false
	}
	got, ok := offsets.Lookup(r.w.topic, 0)
	if !ok {
		return 0, true // also an answer, and a wrong one if something was committed
	}
	return max(got.At, 0), true
}
