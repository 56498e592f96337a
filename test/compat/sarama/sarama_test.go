// Package sarama tests the broker with Sarama. It holds tests only.
package sarama

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/group"
)

func TestMain(m *testing.M) {
	group.Parallel()
	broker.Main(m)
}

// library is Sarama as a member of groups.
type library struct {
	version   sarama.KafkaVersion
	balancers []sarama.BalanceStrategy
}

type member struct {
	cg     sarama.ConsumerGroup
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// config is what all clients of these tests have in common.
func config(version sarama.KafkaVersion) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = version
	c.ClientID = "sarama-tests"
	c.Metadata.Retry.Backoff = 50 * time.Millisecond
	return c
}

// Join starts a member.
func (l library) Join(t testing.TB, s group.Settings) group.Member {
	c := config(l.version)
	c.Net.Proxy.Enable, c.Net.Proxy.Dialer = true, s.Cable
	c.Consumer.Return.Errors = true
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = s.Commits == group.Auto
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	c.Consumer.Group.Session.Timeout = s.Session
	c.Consumer.Group.Heartbeat.Interval = group.Heartbeat
	c.Consumer.Group.Rebalance.Timeout = group.Rebalance
	c.Consumer.Group.InstanceId = s.Instance
	if l.balancers != nil {
		c.Consumer.Group.Rebalance.GroupStrategies = l.balancers
	}
	cg, err := sarama.NewConsumerGroup([]string{s.Addr}, s.Group, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{cg: cg, cancel: cancel}
	m.done.Go(func() {
		for err := range cg.Errors() {
			s.Failed(err)
		}
	})
	m.done.Go(func() {
		for ctx.Err() == nil {
			err := cg.Consume(ctx, []string{s.Topic}, handler{s})
			if errors.Is(err, sarama.ErrClosedConsumerGroup) {
				return
			}
			if err != nil && ctx.Err() == nil {
				s.Failed(err)
				return
			}
		}
	})
	return m
}

// Close ends the member.
func (m *member) Close() {
	m.cancel()
	_ = m.cg.Close()
	m.done.Wait()
}

type handler struct{ s group.Settings }

func (handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				if session.Context().Err() == nil { // the claim alone ended
					h.s.Lost(1)
				}
				return nil
			}
			h.s.Seen(m.Partition, string(m.Value))
			switch h.s.Commits {
			case group.Each:
				session.MarkMessage(m, "")
				session.Commit()
			case group.Auto:
				session.MarkMessage(m, "")
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func of(b ...sarama.BalanceStrategy) []sarama.BalanceStrategy { return b }

var (
	eager       = map[string][]sarama.BalanceStrategy{"range": nil, "round robin": of(sarama.NewBalanceStrategyRoundRobin()), "sticky": of(sarama.NewBalanceStrategySticky())}
	cooperative = of(sarama.NewBalanceStrategyCooperativeSticky())
)

// TestGroup takes members of each balancer, and of the versions that users set, through a group's life.
func TestGroup(t *testing.T) {
	t.Parallel()
	libraries := map[string]library{"cooperative": {sarama.MaxVersion, cooperative}}
	for name, b := range eager {
		libraries[name] = library{sarama.MaxVersion, b}
	}
	for _, v := range []sarama.KafkaVersion{sarama.V0_11_0_0, sarama.V1_1_0_0, sarama.V2_1_0_0, sarama.V2_4_0_0, sarama.V2_8_0_0, sarama.V3_6_0_0} {
		libraries[v.String()] = library{version: v}
	}
	for name, l := range libraries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group.Life(t, l)
		})
	}
}

// TestGroupRestart starts members again with and without commits.
func TestGroupRestart(t *testing.T) {
	t.Parallel()
	group.Restart(t, library{version: sarama.MaxVersion})
}

// TestGroupCooperative sees members keep what they keep through a rebalance.
func TestGroupCooperative(t *testing.T) {
	t.Parallel()
	group.Cooperative(t, library{sarama.MaxVersion, cooperative})
}

// TestGroupStatic restarts a static member.
func TestGroupStatic(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]library{
		"range": {version: sarama.MaxVersion}, "cooperative": {sarama.MaxVersion, cooperative}, "2.3": {version: sarama.V2_3_0_0}, "2.4": {version: sarama.V2_4_0_0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group.Static(t, l)
		})
	}
}
