// Package kafkago tests the broker with segmentio/kafka-go, whose readers speak the oldest versions of the group APIs
// that are left. It knows neither static members nor cooperative balancers. The package holds tests only.
package kafkago

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/group"
)

func TestMain(m *testing.M) {
	group.Parallel()
	broker.Main(m)
}

// library is kafka-go as a member of groups.
type library struct{ balancers []kafka.GroupBalancer }

type member struct {
	r      *kafka.Reader
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Join starts a member.
func (l library) Join(t testing.TB, s group.Settings) group.Member {
	c := kafka.ReaderConfig{
		Brokers: []string{s.Addr}, GroupID: s.Group, Topic: s.Topic, GroupBalancers: l.balancers, StartOffset: kafka.FirstOffset,
		Dialer:         &kafka.Dialer{ClientID: "kafka-go-tests", DialFunc: s.Cable.DialContext, Timeout: 5 * time.Second},
		SessionTimeout: s.Session, HeartbeatInterval: group.Heartbeat, RebalanceTimeout: group.Rebalance, MaxWait: 200 * time.Millisecond,
	}
	if s.Commits == group.Auto {
		c.CommitInterval = 100 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{r: kafka.NewReader(c), cancel: cancel}
	m.done.Go(func() {
		for {
			var msg kafka.Message
			var err error
			if s.Commits == group.Auto {
				msg, err = m.r.ReadMessage(ctx)
			} else {
				msg, err = m.r.FetchMessage(ctx)
			}
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				s.Failed(err)
				continue
			}
			s.Seen(int32(msg.Partition), string(msg.Value))
			if s.Commits == group.Each {
				if err := m.r.CommitMessages(ctx, msg); err != nil && ctx.Err() == nil {
					s.Failed(err)
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
	_ = m.r.Close()
}

// TestGroup takes members of each balancer through a group's life.
func TestGroup(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]kafka.GroupBalancer{"default": nil, "range": {kafka.RangeGroupBalancer{}}, "round robin": {kafka.RoundRobinGroupBalancer{}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group.Life(t, library{b})
		})
	}
}

// TestGroupRestart starts members again with and without commits.
func TestGroupRestart(t *testing.T) {
	t.Parallel()
	group.Restart(t, library{})
}

// TestAdmin commits, fetches and deletes offsets, lists, describes and deletes groups.
func TestAdmin(t *testing.T) {
	t.Parallel()
	ctx, topic := broker.Context(t), broker.Topic(t, 2)
	empty, busy := "kafka-go-empty-"+topic, "kafka-go-busy-"+topic
	cl := &kafka.Client{Addr: kafka.TCP(broker.Addr()), Timeout: 20 * time.Second}
	committed, err := cl.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: empty, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: 5, Metadata: "five"}, {Partition: 1, Offset: 6}}}})
	if err != nil || len(committed.Topics[topic]) != 2 {
		t.Fatalf("commit: %+v %v", committed, err)
	}
	for _, p := range committed.Topics[topic] {
		if p.Error != nil {
			t.Errorf("commit of partition %d: %v", p.Partition, p.Error)
		}
	}
	offsets := func() string {
		t.Helper()
		r, err := cl.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: empty, Topics: map[string][]int{topic: {0, 1}}})
		if err != nil || r.Error != nil {
			t.Fatalf("fetch offsets: %v %v", err, r.Error)
		}
		var out []string
		for _, p := range r.Topics[topic] {
			out = append(out, fmt.Sprintf("%d: %d %q %v", p.Partition, p.CommittedOffset, p.Metadata, p.Error))
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	if got := offsets(); got != `0: 5 "five" <nil>, 1: 6 "" <nil>` {
		t.Errorf("offsets %q", got)
	}

	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker.Addr()}, GroupID: busy, Topic: topic, HeartbeatInterval: group.Heartbeat, MaxWait: 200 * time.Millisecond,
		Dialer: &kafka.Dialer{ClientID: "kafka-go-tests", Timeout: 5 * time.Second}})
	var d kafka.DescribeGroupsResponseGroup
	broker.Eventually(t, "the reader's group is stable", func() bool {
		ds, err := cl.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{busy}})
		if err != nil || len(ds.Groups) != 1 || ds.Groups[0].Error != nil {
			t.Fatalf("describe: %+v %v", ds, err)
		}
		d = ds.Groups[0]
		return d.GroupState == "Stable"
	})
	if len(d.Members) != 1 || d.Members[0].ClientID != "kafka-go-tests" || d.Members[0].ClientHost != "/127.0.0.1" || len(d.Members[0].MemberAssignments.Topics) != 1 ||
		len(d.Members[0].MemberAssignments.Topics[0].Partitions) != 2 || !slices.Equal(d.Members[0].MemberMetadata.Topics, []string{topic}) {
		t.Errorf("described %+v", d)
	}
	listed := func() map[string]string {
		t.Helper()
		l, err := cl.ListGroups(ctx, &kafka.ListGroupsRequest{})
		if err != nil || l.Error != nil {
			t.Fatalf("list: %v %v", err, l.Error)
		}
		out := map[string]string{}
		for _, g := range l.Groups {
			out[g.GroupID] = g.ProtocolType
		}
		return out
	}
	all := listed()
	if kind, ok := all[empty]; !ok || kind != "" || all[busy] != "consumer" {
		t.Errorf("listed %v", all)
	}

	deleteOffset := func(group string, want error) {
		t.Helper()
		r, err := cl.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
		if err != nil || r.Error != nil || len(r.Topics[topic]) != 1 || !errors.Is(r.Topics[topic][0].Error, want) {
			t.Errorf("delete an offset of %s: %+v %v", group, r, err)
		}
	}
	deleteOffset(busy, kafka.GroupSubscribedToTopic)
	deleteOffset(empty, nil)
	if got := offsets(); got != `0: -1 "" <nil>, 1: 6 "" <nil>` {
		t.Errorf("offsets %q after one was deleted", got)
	}
	deleteGroup := func(group string, want error) {
		t.Helper()
		r, err := cl.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
		if err != nil || !errors.Is(r.Errors[group], want) {
			t.Errorf("delete %s: %+v %v", group, r, err)
		}
	}
	deleteGroup(busy, kafka.NonEmptyGroup)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	deleteGroup(busy, nil)
	deleteGroup(empty, nil)
	all = listed()
	for _, g := range []string{empty, busy} {
		if _, ok := all[g]; ok {
			t.Errorf("the deleted group %s is listed", g)
		}
	}
}
