package sarama

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/IBM/sarama"

	"github.com/moldau/moldau/test/compat/broker"
)

// nothing is a member that reads nothing.
type nothing struct{}

func (nothing) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (nothing) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (nothing) ConsumeClaim(s sarama.ConsumerGroupSession, _ sarama.ConsumerGroupClaim) error {
	<-s.Context().Done()
	return nil
}

// TestAdmin lists, describes, alters and deletes groups and their offsets, at an old version and the newest.
func TestAdmin(t *testing.T) {
	t.Parallel()
	for _, version := range []sarama.KafkaVersion{sarama.V2_4_0_0, sarama.V3_0_0_0, sarama.MaxVersion} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			admin(t, version)
		})
	}
}

func admin(t *testing.T, version sarama.KafkaVersion) {
	topic := broker.Topic(t, 2)
	empty, busy := "sarama-empty-"+topic, "sarama-busy-"+topic
	a, err := sarama.NewClusterAdmin([]string{broker.Addr()}, config(version))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	r, err := a.AlterConsumerGroupOffsets(empty, map[string]map[int32]sarama.OffsetAndMetadata{topic: {0: {Offset: 5, LeaderEpoch: -1, Metadata: "five"}, 1: {Offset: 6, LeaderEpoch: -1}}}, nil)
	if err != nil {
		t.Fatalf("alter offsets: %v", err)
	}
	for p, code := range r.Errors[topic] {
		if code != sarama.ErrNoError {
			t.Errorf("alter offsets of partition %d: %v", p, code)
		}
	}
	offsets := func() (zero, one *sarama.OffsetFetchResponseBlock) {
		t.Helper()
		r, err := a.ListConsumerGroupOffsets(empty, map[string][]int32{topic: {0, 1}})
		if err != nil {
			t.Fatalf("list offsets: %v", err)
		}
		return r.GetBlock(topic, 0), r.GetBlock(topic, 1)
	}
	if zero, one := offsets(); zero.Offset != 5 || zero.Metadata != "five" || one.Offset != 6 {
		t.Errorf("offsets %+v %+v", zero, one)
	}

	cg, err := sarama.NewConsumerGroup([]string{broker.Addr()}, busy, config(version))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- cg.Consume(ctx, []string{topic}, nothing{}) }()
	var d *sarama.GroupDescription
	broker.Eventually(t, "the member's group is stable", func() bool {
		ds, err := a.DescribeConsumerGroups([]string{empty, busy})
		if err != nil || len(ds) != 2 {
			t.Fatalf("describe: %v %v", ds, err)
		}
		for _, g := range ds {
			if g.GroupId == busy {
				d = g
			} else if g.State != "Empty" || len(g.Members) != 0 {
				t.Fatalf("the empty group: %+v", g)
			}
		}
		return d.State == "Stable"
	})
	if d.Protocol != "range" || d.ProtocolType != "consumer" || len(d.Members) != 1 {
		t.Fatalf("described %+v", d)
	}
	for _, m := range d.Members {
		as, err := m.GetMemberAssignment()
		if err != nil || len(as.Topics[topic]) != 2 || m.ClientId != "sarama-tests" || !strings.HasPrefix(m.ClientHost, "/127.0.0.1") {
			t.Errorf("the member %+v with %+v: %v", m, as, err)
		}
	}
	all, err := a.ListConsumerGroups()
	if kind, ok := all[busy]; err != nil || !ok || kind != "consumer" {
		t.Errorf("list: %q %v %v", kind, ok, err)
	}
	if _, ok := all[empty]; !ok {
		t.Errorf("the empty group is not listed")
	}
	if err := a.DeleteConsumerGroupOffset(busy, topic, 0); !errors.Is(err, sarama.ErrGroupSubscribedToTopic) {
		t.Errorf("delete an offset in use: %v", err)
	}
	if err := a.DeleteConsumerGroup(busy); !errors.Is(err, sarama.ErrNonEmptyGroup) {
		t.Errorf("delete a group in use: %v", err)
	}

	if err := a.DeleteConsumerGroupOffset(empty, topic, 0); err != nil {
		t.Errorf("delete an offset: %v", err)
	}
	if zero, one := offsets(); zero.Offset != -1 || one.Offset != 6 {
		t.Errorf("offsets after one was deleted: %+v %+v", zero, one)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("consume: %v", err)
	}
	if err := cg.Close(); err != nil {
		t.Errorf("leave: %v", err)
	}
	for _, g := range []string{empty, busy} {
		if err := a.DeleteConsumerGroup(g); err != nil {
			t.Errorf("delete %s: %v", g, err)
		}
	}
	if all, err = a.ListConsumerGroups(); err != nil {
		t.Fatal(err)
	}
	for _, g := range []string{empty, busy} {
		if _, ok := all[g]; ok {
			t.Errorf("the deleted group %s is listed", g)
		}
	}
}
