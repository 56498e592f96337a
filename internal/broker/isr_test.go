package broker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// withFollower starts a node whose metadata know a second broker, which is not there, and gives them a topic together.
func withFollower(t *testing.T, properties string) (n *node, other int64, topic uuid.UUID) {
	t.Helper()
	n = start(t, vfs.NewMem(), properties)
	img := n.publisher.Image()
	resp, err := n.control.Do(n.context(), &controller.RegisterBroker{ClusterID: img.ClusterID(), ID: 9, Incarnation: uuid.UUID{9}, Directories: []uuid.UUID{{9}}, Unfence: true})
	if err != nil {
		t.Fatal(err)
	}
	created, err := n.control.Do(n.context(), &controller.CreateTopics{Topics: []controller.NewTopic{{Name: "orders", Partitions: -1, ReplicationFactor: -1,
		Assignments: []controller.Assignment{{Brokers: []int32{n.opts.Config.NodeID, 9}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if e := created.(*controller.CreateTopicsResponse).Topics[0].Error; e.Failed() {
		t.Fatal(e)
	}
	return n, resp.(*controller.RegisterBrokerResponse).Epoch, created.(*controller.CreateTopicsResponse).Topics[0].ID
}

// one is a batch of one record.
func one() record.Batch {
	b := record.NewBuilder(record.Compression{})
	b.Append(record.Record{Timestamp: 1, Value: []byte("value")})
	return b.Build()
}

// TestDeadFollowerLeavesTheISR: its leader has the controller take it out, and what waited for it is committed.
func TestDeadFollowerLeavesTheISR(t *testing.T) {
	n, other, topic := withFollower(t, "")
	p := n.replicas.Partition(topic, 0)
	info, err := p.Append(one(), true)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	if committed, err := p.Await(&partition.Wait{End: info.Last + 1, Epoch: info.Epoch, Done: func(err error) { done <- err }}); committed || err != nil {
		t.Fatalf("committed %v, %v", committed, err)
	}
	n.replicas.Died(9, other)
	eventually(t, "the answer", func() bool { return len(done) > 0 })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ISR without it", func() bool { // the partition hears of it while the image is being published
		isr := n.publisher.Image().Partition(topic, 0).ISR
		return len(isr) == 1 && isr[0] == n.opts.Config.NodeID
	})
}

// TestSilentFollowerLeavesTheISR: one that never fetches does after a while.
func TestSilentFollowerLeavesTheISR(t *testing.T) {
	n, _, topic := withFollower(t, "replica.lag.time.max.ms=50")
	eventually(t, "the ISR without it", func() bool { return len(n.publisher.Image().Partition(topic, 0).ISR) == 1 })
}

// TestFencedBrokerLeadsNot: another incarnation of this broker registers, and this one leads nothing from then on.
func TestFencedBrokerLeadsNot(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	n.create("orders", 1, nil)
	img := n.publisher.Image()
	p := n.replicas.Partition(img.Topic("orders").ID, 0)
	if _, leads := p.State(); !leads {
		t.Fatal("it does not lead")
	}
	self := img.Broker(n.opts.Config.NodeID)
	if _, err := n.control.Do(n.context(), &controller.RegisterBroker{ClusterID: img.ClusterID(), ID: self.ID, Incarnation: uuid.UUID{1},
		Directories: self.Directories, Listeners: self.Listeners, Unfence: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Append(one(), true); !errors.Is(err, partition.ErrNotLeader) {
		t.Errorf("an append: %v", err)
	}
}

// answers is a controller that answers as it is told.
type answers struct {
	to    chan *controller.AlterPartition
	give  chan controller.PartitionAltered
	whole chan controller.Error
}

func (a *answers) Do(ctx context.Context, r controller.Request) (controller.Response, error) {
	select {
	case a.to <- r.(*controller.AlterPartition):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case e := <-a.whole:
		if e.Code == protocol.NotController {
			return nil, controller.ErrNotController
		}
		return &controller.AlterPartitionResponse{Error: e}, nil
	case p := <-a.give:
		return &controller.AlterPartitionResponse{Partitions: []controller.PartitionAltered{p}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pauses is a clock on which a pause is over when the test says so.
type pauses struct {
	clock.Clock
	over chan time.Time
}

func (p pauses) After(time.Duration) <-chan time.Time { return p.over }

// TestProposals: one that is not answered is made again, after a pause; of a refused one the leader makes another; a taken one counts.
func TestProposals(t *testing.T) {
	n, other, topic := withFollower(t, "")
	n.stopUpkeep() // this test answers in the controller's place
	n.upkeep.Wait()
	p := n.replicas.Partition(topic, 0)
	to := &answers{to: make(chan *controller.AlterPartition), give: make(chan controller.PartitionAltered), whole: make(chan controller.Error)}
	over := make(chan time.Time)
	ctx, cancel := context.WithCancel(n.context())
	n.replicas.isr.clock = pauses{clock.Real, over}
	told := make(lines, 100)
	n.replicas.isr.log = slog.New(slog.NewTextHandler(told, nil))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.replicas.isr.run(ctx, to)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	got := func() *controller.AlterPartition {
		t.Helper()
		select {
		case r := <-to.to:
			return r
		case <-n.context().Done():
			t.Fatal("no proposal comes")
			return nil
		}
	}
	n.replicas.Died(9, other)
	first := got()
	if len(first.Partitions) != 1 || first.Partitions[0].TopicID != topic || len(first.Partitions[0].ISR) != 1 || first.Epoch != n.publisher.Image().Broker(first.Broker).Epoch {
		t.Fatalf("%+v", first)
	}
	to.whole <- controller.Error{Code: protocol.NotController}
	over <- time.Time{}
	if again := got(); again.Partitions[0].PartitionEpoch != first.Partitions[0].PartitionEpoch || !slices.Equal(again.Partitions[0].ISR, first.Partitions[0].ISR) {
		t.Errorf("after no answer it proposes %+v", again)
	}
	to.give <- controller.PartitionAltered{Error: controller.Error{Code: protocol.IneligibleReplica}}
	over <- time.Time{}
	if again := got(); len(again.Partitions[0].ISR) != 1 {
		t.Errorf("after a refusal it proposes %+v", again)
	}
	to.give <- controller.PartitionAltered{Error: controller.Error{Code: protocol.InvalidRequest, Message: "nothing can be made of it"}}
	over <- time.Time{}
	if again := got(); len(again.Partitions[0].ISR) != 1 {
		t.Errorf("after a proposal that was taken for invalid it proposes %+v", again)
	}
	now := *n.publisher.Image().Partition(topic, 0)
	now.ISR, now.PartitionEpoch = now.ISR[:1:1], now.PartitionEpoch+1
	to.give <- controller.PartitionAltered{Partition: &now}
	eventually(t, "the new ISR", func() bool { a, _ := p.State(); return len(a.ISR) == 1 })
	said := ""
	for len(told) > 0 {
		said += <-told
	}
	for _, words := range []string{"code=INELIGIBLE_REPLICA", "nothing can be made of it"} {
		if strings.Count(said, words) != 1 {
			t.Errorf("the log does not tell once of %q: %s", words, said)
		}
	}
	for code, want := range map[protocol.ErrorCode]bool{protocol.None: false, protocol.StaleBrokerEpoch: true, protocol.FencedLeaderEpoch: true,
		protocol.InvalidUpdateVersion: true, protocol.UnknownTopicID: true, protocol.InvalidRequest: true} {
		if err := refusedISR(controller.Error{Code: code}); (err != nil) != want {
			t.Errorf("%s: %v", code, err)
		}
	}
}

var _ decider = (*controller.Loop)(nil)

// TestKnownBrokers: what the replicas know of brokers is that of the newest image.
func TestKnownBrokers(t *testing.T) {
	n, other, _ := withFollower(t, "")
	if b := n.replicas.brokers.Broker(9); b == nil || b.Epoch != other {
		t.Fatalf("%+v", b)
	}
	if _, err := n.control.Do(n.context(), &controller.AlterBroker{ID: 9, Epoch: other, State: controller.Unregistered}); err != nil {
		t.Fatal(err)
	}
	if b := n.replicas.brokers.Broker(9); b != (*metadata.Broker)(nil) {
		t.Fatalf("%+v", b)
	}
}
