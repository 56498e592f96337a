package franz

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/group"
)

// library is franz-go as a member of groups.
type library struct{ opts []kgo.Opt }

type member struct {
	cl     *kgo.Client
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Join starts a member.
func (l library) Join(t testing.TB, s group.Settings) group.Member {
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.Addr), kgo.Dialer(s.Cable.DialContext), kgo.ConsumerGroup(s.Group), kgo.ConsumeTopics(s.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(s.Session), kgo.HeartbeatInterval(group.Heartbeat), kgo.RebalanceTimeout(group.Rebalance), kgo.FetchMaxWait(200 * time.Millisecond),
	}
	if s.Commits != group.Auto { // which commits in a callback of its own
		lost := func(_ context.Context, _ *kgo.Client, ps map[string][]int32) { s.Lost(len(ps[s.Topic])) }
		opts = append(opts, kgo.DisableAutoCommit(), kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost))
	}
	if s.Instance != "" {
		opts = append(opts, kgo.InstanceID(s.Instance))
	}
	cl, err := kgo.NewClient(append(opts, l.opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{cl: cl, cancel: cancel}
	m.done.Go(func() {
		for ctx.Err() == nil {
			fs := cl.PollFetches(ctx)
			for _, e := range fs.Errors() {
				if ctx.Err() == nil {
					s.Failed(e.Err)
				}
			}
			for r := range fs.RecordsAll() {
				s.Seen(r.Partition, string(r.Value))
				if s.Commits == group.Each {
					if err := cl.CommitRecords(ctx, r); err != nil && ctx.Err() == nil {
						s.Failed(err)
					}
				}
			}
		}
	})
	return m
}

// Close ends the member.
func (m *member) Close() {
	m.cancel()
	m.done.Wait()
	m.cl.Close()
}

// TestGroup takes members of each balancer, and of the versions that older clients speak, through a group's life.
func TestGroup(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]kgo.Opt{
		"default":     nil,
		"range":       {kgo.Balancers(kgo.RangeBalancer())},
		"round robin": {kgo.Balancers(kgo.RoundRobinBalancer())},
		"sticky":      {kgo.Balancers(kgo.StickyBalancer())},
		"0.11":        {kgo.MaxVersions(kversion.V0_11_0())},
		"2.0":         {kgo.MaxVersions(kversion.V2_0_0())},
		"2.2":         {kgo.MaxVersions(kversion.V2_2_0())},
		"2.3":         {kgo.MaxVersions(kversion.V2_3_0())},
		"2.4":         {kgo.MaxVersions(kversion.V2_4_0())},
		"3.0":         {kgo.MaxVersions(kversion.V3_0_0())},
		"3.2":         {kgo.MaxVersions(kversion.V3_2_0())},
		"4.0":         {kgo.MaxVersions(kversion.V4_0_0())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group.Life(t, library{opts})
		})
	}
}

// TestGroupRestart starts members again with and without commits.
func TestGroupRestart(t *testing.T) {
	t.Parallel()
	group.Restart(t, library{})
}

// TestGroupStatic restarts a static member, with each kind of balancer and with the first version that knew them.
func TestGroupStatic(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]kgo.Opt{
		"cooperative": nil, "range": {kgo.Balancers(kgo.RangeBalancer())}, "2.3": {kgo.MaxVersions(kversion.V2_3_0())}, "3.2": {kgo.MaxVersions(kversion.V3_2_0())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group.Static(t, library{opts})
		})
	}
}

// TestGroupGeneration sees the same generation after a static member's restart, and the next one after a rebalance.
func TestGroupGeneration(t *testing.T) {
	t.Parallel()
	topic := broker.Topic(t, 2)
	join := func(instance string) *kgo.Client {
		cl := broker.Client(t, kgo.ConsumerGroup("generation-"+topic), kgo.ConsumeTopics(topic), kgo.InstanceID(instance), kgo.HeartbeatInterval(100*time.Millisecond),
			kgo.Balancers(kgo.RangeBalancer()))
		broker.Eventually(t, instance+" is a member", func() bool {
			_, generation := cl.GroupMetadata()
			return generation > 0
		})
		return cl
	}
	generation := func(cl *kgo.Client) int32 { _, g := cl.GroupMetadata(); return g }
	a := join("a")
	first := generation(a)
	b := join("b")
	second := generation(b)
	broker.Eventually(t, "both have the same generation", func() bool { return generation(a) == second })
	a.Close()
	a = join("a")
	if third := generation(a); second != first+1 || third != second || generation(b) != second {
		t.Errorf("generations %d of one member, %d of two, %d after a restart, %d of the other then", first, second, third, generation(b))
	}
}

// TestGroupCooperative sees members keep what they keep through a rebalance.
func TestGroupCooperative(t *testing.T) {
	t.Parallel()
	group.Cooperative(t, library{[]kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer())}})
}

// TestGroupMixed has a member of the eager kind refused by a cooperative group.
func TestGroupMixed(t *testing.T) {
	t.Parallel()
	topic := broker.Topic(t, 1)
	opts := []kgo.Opt{kgo.ConsumerGroup("mixed-" + topic), kgo.ConsumeTopics(topic)}
	cl := broker.Client(t, opts...)
	broker.Eventually(t, "one is a member", func() bool { _, g := cl.GroupMetadata(); return g > 0 })
	fs := broker.Client(t, append(opts, kgo.Balancers(kgo.RangeBalancer()))...).PollFetches(broker.Context(t))
	var session *kgo.ErrGroupSession
	if err := fs.Err(); !errors.As(err, &session) {
		t.Errorf("a member with no protocol in common got %v", err)
	}
}
