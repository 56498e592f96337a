package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/vfs"
)

// member is a consumer of a group that notes what it owns and reads.
type member struct {
	*kgo.Client
	mu      sync.Mutex
	owns    map[int32]bool
	changed chan struct{} // has something when owns has changed
	read    map[string]int
	told    chan struct{} // has something when read has changed
	polling sync.WaitGroup
}

// join makes a member of group "readers" that reads "orders" from the start and commits what it has read.
func (n *node) join(opts ...kgo.Opt) *member {
	n.t.Helper()
	m := &member{owns: map[int32]bool{}, read: map[string]int{}, changed: make(chan struct{}, 1000), told: make(chan struct{}, 1)}
	note := func(owns bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, c *kgo.Client, parts map[string][]int32) {
			if !owns {
				if err := c.CommitUncommittedOffsets(ctx); err != nil {
					n.t.Errorf("commit before a rebalance: %v", err)
				}
			}
			m.mu.Lock()
			for _, p := range parts["orders"] {
				delete(m.owns, p)
				if owns {
					m.owns[p] = true
				}
			}
			m.mu.Unlock()
			m.changed <- struct{}{}
		}
	}
	m.Client = n.client(append([]kgo.Opt{
		kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(note(true)), kgo.OnPartitionsRevoked(note(false)), kgo.BlockRebalanceOnPoll(),
		kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100 * time.Millisecond), kgo.FetchMaxWait(100 * time.Millisecond),
	}, opts...)...)
	m.polling.Go(func() {
		for {
			fetches := m.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			m.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { m.read[string(r.Value)]++ })
			m.mu.Unlock()
			select {
			case m.told <- struct{}{}:
			default:
			}
			m.AllowRebalance()
		}
	})
	return m
}

// until waits for the member to own just these partitions.
func (m *member) until(t *testing.T, ctx context.Context, want ...int32) {
	t.Helper()
	for {
		m.mu.Lock()
		owned := slices.Sorted(maps.Keys(m.owns))
		m.mu.Unlock()
		if slices.Equal(owned, want) {
			return
		}
		select {
		case <-m.changed:
		case <-ctx.Done():
			t.Fatalf("a member owns %v, want %v", owned, want)
		}
	}
}

// leave commits, leaves the group and ends.
func (m *member) leave() {
	m.CloseAllowingRebalance()
	m.polling.Wait()
}

// TestGroupSharesPartitions is the heart of consumer groups: two members share two partitions, one leaves and the other takes over; what
// was committed is not read again, what was not read is not lost, also over a restart of the broker.
func TestGroupSharesPartitions(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{"eager": kgo.RangeBalancer(), "cooperative": kgo.CooperativeStickyBalancer()} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewMem()
			n := start(t, disk, "group.initial.rebalance.delay.ms=0\n")
			n.create("orders", 2, nil)
			balance := kgo.Balancers(balancer)
			first := n.join(balance)
			first.until(t, n.context(), 0, 1)
			second := n.join(balance)
			sharing := func() bool {
				first.mu.Lock()
				defer first.mu.Unlock()
				second.mu.Lock()
				defer second.mu.Unlock()
				return len(first.owns) == 1 && len(second.owns) == 1 && !maps.Equal(first.owns, second.owns)
			}
			for ctx := n.context(); !sharing(); {
				select {
				case <-first.changed:
				case <-second.changed:
				case <-ctx.Done():
					t.Fatal("two members do not share two partitions")
				}
			}
			n.produceBoth(0, 100)
			first.has(t, n.context(), 50)
			second.has(t, n.context(), 50)
			second.leave()
			first.until(t, n.context(), 0, 1)
			n.produceBoth(100, 200)
			first.has(t, n.context(), 150)
			first.leave()

			n.stop()
			n = start(t, disk, "group.initial.rebalance.delay.ms=0\n")
			n.produceBoth(200, 300)
			third := n.join(balance)
			third.has(t, n.context(), 100)
			third.leave()
			times := map[string]int{}
			for _, m := range []*member{first, second, third} {
				for value, n := range m.read {
					times[value] += n
				}
			}
			for i := range 300 {
				if times[fmt.Sprint(i)] != 1 {
					t.Errorf("record %d was read %d times", i, times[fmt.Sprint(i)])
				}
			}
			groups, err := kadm.NewClient(n.client()).DescribeGroups(n.context(), "readers")
			if g := groups["readers"]; err != nil || g.State != "Empty" || g.ProtocolType != "consumer" {
				t.Errorf("afterwards: %+v, %v", g, err)
			}
			lags, err := kadm.NewClient(n.client()).Lag(n.context(), "readers")
			if lag := lags["readers"]; err != nil || lag.Error() != nil || lag.Lag.Total() != 0 {
				t.Errorf("lag: %+v, %v", lag, err)
			}
		})
	}
}

// produceBoth writes records numbered from a number to another, in turn to both partitions.
func (n *node) produceBoth(from, to int) {
	n.t.Helper()
	c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := from; i < to; i++ {
		c.Produce(n.context(), &kgo.Record{Topic: "orders", Partition: int32(i % 2), Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				n.t.Errorf("produce: %v", err)
			}
		})
	}
	if err := c.Flush(n.context()); err != nil {
		n.t.Fatal(err)
	}
}

// has waits until the member has read so many records.
func (m *member) has(t *testing.T, ctx context.Context, count int) {
	t.Helper()
	for {
		m.mu.Lock()
		n := len(m.read)
		m.mu.Unlock()
		if n >= count {
			return
		}
		select {
		case <-m.told:
		case <-ctx.Done():
			t.Fatalf("a member has read %d records of %d", n, count)
		}
	}
}
