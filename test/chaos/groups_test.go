package chaos

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// group is consumers that share the idempotent topic and commit how far they are.
type group struct {
	l        *load
	name     string
	balancer kgo.GroupBalancer
	pulse    *pulse

	mu    sync.Mutex
	seen  [partitions][]bool   // by offset
	count int64                // different records
	sent  [partitions]int64    // largest commit
	acked [partitions]int64    // largest commit that was acknowledged
	stop  []context.CancelFunc // of the members
}

func (l *load) newGroup(name string, balancer kgo.GroupBalancer) *group {
	return &group{l: l, name: name, balancer: balancer, pulse: l.pulse("records of group " + name)}
}

// join starts a member.
func (g *group) join() error {
	opts := g.l.options(kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(g.l.idempotent), kgo.DisableAutoCommit(), kgo.Balancers(g.balancer), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if !g.l.patient {
		opts = append(opts, kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(300*time.Millisecond), kgo.RebalanceTimeout(6*time.Second), kgo.FetchMaxWait(500*time.Millisecond))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(g.l.alive)
	g.mu.Lock()
	g.stop = append(g.stop, stop)
	g.mu.Unlock()
	g.l.running.Go(func() {
		defer cl.CloseAllowingRebalance()
		for ctx.Err() == nil {
			g.consume(ctx, cl)
		}
	})
	return nil
}

// leave ends the oldest member, which says so to the group.
func (g *group) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop[0]()
	g.stop = g.stop[1:]
}

// consume takes what there is, and commits it.
func (g *group) consume(ctx context.Context, cl *kgo.Client) {
	defer cl.AllowRebalance()
	fetches := cl.PollRecords(ctx, 500)
	g.l.complain("group "+g.name, fetches)
	offsets := map[int32]kgo.EpochOffset{}
	g.mu.Lock()
	fetches.EachRecord(func(r *kgo.Record) {
		g.l.c.saw("group "+g.name, r.Topic, r.Partition, entryOf(r.Value), r.Offset)
		for seen := &g.seen[r.Partition]; int64(len(*seen)) <= r.Offset; {
			*seen = append(*seen, false)
		}
		if !g.seen[r.Partition][r.Offset] {
			g.seen[r.Partition][r.Offset] = true
			g.count++
			g.pulse.beat()
		}
		offsets[r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
		g.sent[r.Partition] = max(g.sent[r.Partition], r.Offset+1)
	})
	g.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{g.l.idempotent: offsets}, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			g.l.surfaced("group "+g.name+": commit", err)
			return // nobody knows what became of it
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if p.ErrorCode == 0 {
					g.acked[p.Partition] = max(g.acked[p.Partition], offsets[p.Partition].Offset)
					g.l.commits.Add(1)
				} else {
					g.l.surfaced("group "+g.name+": commit", kerr.ErrorForCode(p.ErrorCode))
				}
			}
		}
	})
}

// surfaced is told of an error that reached the user of a client. Those of a rebalance are no fault: the member is told to join anew. Nor are connections
// that are lost or refused: franz-go gives up a single request for them, whoever serves, and its users try again. Impatient clients also give up what a
// patient one tries again.
func (l *load) surfaced(what string, err error) {
	for _, no := range []error{kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID} {
		if errors.Is(err, no) {
			return
		}
	}
	refusal := (*kerr.Error)(nil)
	if !errors.As(err, &refusal) {
		l.unconnected.Add(1)
	} else if l.patient || !refusal.Retriable {
		l.c.add(refused, "%s: %v", what, err)
	}
}

// holes are the offsets below the ends that no member has seen.
func (g *group) holes(ends [partitions]int64) (n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for part, end := range ends {
		for offset := range end {
			if offset >= int64(len(g.seen[part])) || !g.seen[part][offset] {
				n++
			}
		}
	}
	return n
}

// checkCommitted compares what the brokers have of every group with what they acknowledged.
func (l *load) checkCommitted(within time.Duration) {
	cl, err := kgo.NewClient(l.options()...)
	if err != nil {
		l.c.add(refused, "a client: %v", err)
		return
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for _, g := range l.groups {
		g.mu.Lock()
		least := g.acked // before the question, since members go on
		g.mu.Unlock()
		offsets, ok := l.fetchOffsets(ctx, kadm.NewClient(cl), g.name)
		if !ok {
			l.c.add(stuck, "the offsets of group %s cannot be had within %v", g.name, within)
			continue
		}
		g.mu.Lock()
		most := g.sent
		g.mu.Unlock()
		for part := range int32(partitions) {
			got, _ := offsets.Lookup(l.idempotent, part)
			l.c.committed(g.name, part, max(got.At, 0), least[part], most[part])
		}
	}
}

// fetchOffsets asks until there is an answer.
func (l *load) fetchOffsets(ctx context.Context, admin *kadm.Client, group string) (kadm.OffsetResponses, bool) {
	for ctx.Err() == nil {
		offsets, err := admin.FetchOffsets(ctx, group)
		if err == nil {
			return offsets, true
		}
		l.surfaced("offsets of "+group, err)
		<-time.After(20 * time.Millisecond)
	}
	return nil, false
}

// register is a group without members whose one offset is written by one goroutine, each time larger by one, and read by another. For such
// a register being linearizable means: a read gives at least what was acknowledged before it began, at most what was sent
// before it ended, and never less than the read before.
type register struct {
	l             *load
	group         string
	writes, reads *pulse
	sent, acked   atomic.Int64
}

func (r *register) start() error {
	var clients [2]*kgo.Client
	for i := range clients {
		var err error
		if clients[i], err = kgo.NewClient(r.l.options()...); err != nil {
			return err
		}
	}
	r.l.running.Go(func() {
		defer clients[0].Close()
		for n := int64(1); r.l.alive.Err() == nil; n++ {
			<-time.After(10 * time.Millisecond)
			r.sent.Store(n)
			if r.write(clients[0], n) {
				r.acked.Store(n)
				r.l.commits.Add(1)
				r.writes.beat()
			}
		}
	})
	r.l.running.Go(func() {
		defer clients[1].Close()
		for last := int64(0); r.l.alive.Err() == nil; <-time.After(20 * time.Millisecond) {
			least := max(last, r.acked.Load())
			offsets, ok := r.l.fetchOffsets(r.l.alive, kadm.NewClient(clients[1]), r.group)
			if !ok {
				continue
			}
			at, _ := offsets.Lookup(r.l.plain, 0)
			last = max(at.At, 0)
			r.l.c.committed(r.group, 0, last, least, r.sent.Load())
			r.reads.beat()
		}
	})
	return nil
}

// write commits n and tries on until a broker says that it has it. A write of n again changes nothing.
func (r *register) write(cl *kgo.Client, n int64) bool {
	for r.l.alive.Err() == nil {
		err := r.commit(cl, n)
		if err == nil {
			return true
		}
		r.l.surfaced("commit of "+r.group, err)
		<-time.After(10 * time.Millisecond)
	}
	return false
}

// commit asks once. kadm's CommitOffsets asks for the id of the topic before, and where it gets no answer, as at the end of a run, it gives UNKNOWN_TOPIC_OR_PARTITION
// out for what a broker has said.
func (r *register) commit(cl *kgo.Client, n int64) error {
	partition := kmsg.NewOffsetCommitRequestTopicPartition()
	partition.Offset = n
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = r.l.plain, r.l.plainID, []kmsg.OffsetCommitRequestTopicPartition{partition}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Topics = r.group, []kmsg.OffsetCommitRequestTopic{topic}
	resp, err := req.RequestWith(r.l.alive, cl)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			return kerr.ErrorForCode(p.ErrorCode)
		}
	}
	return errors.New("the answer to a commit names no partition")
}
