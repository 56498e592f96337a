package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// quick are the settings of a broker whose groups do not wait for more members.
const quick = "group.initial.rebalance.delay.ms=0\noffsets.topic.num.partitions=5\n"

// session is the time-out of consumers, which a slow machine keeps.
const session = 30 * time.Second

// consumer joins a group on a topic; it commits when it is told.
func (n *node) consumer(group, topic string, opts ...kgo.Opt) *kgo.Client {
	return n.client(append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.HeartbeatInterval(20 * time.Millisecond), kgo.SessionTimeout(session), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}, opts...)...)
}

// poll reads count records.
func (n *node) poll(c *kgo.Client, count int) {
	n.t.Helper()
	for got := 0; got < count; {
		fetches := c.PollRecords(n.context(), count-got)
		if err := fetches.Err(); err != nil {
			n.t.Fatalf("poll after %d of %d records: %v", got, count, err)
		}
		got += fetches.NumRecords()
	}
}

// committed is the offset of partition 0 that a group has committed, -1 for none.
func (n *node) committed(group, topic string) int64 {
	n.t.Helper()
	offsets, err := kadm.NewClient(n.client()).FetchOffsets(n.context(), group)
	if err != nil {
		n.t.Fatal(err)
	}
	if o, ok := offsets.Lookup(topic, 0); ok {
		return o.At
	}
	return -1
}

func TestGroupGoesOnWhereItCommitted(t *testing.T) {
	n := start(t, vfs.NewMem(), quick)
	n.create("orders", 1, nil)
	n.produce("orders", 10)
	c := n.consumer("readers", "orders")
	n.poll(c, 4)
	if err := c.CommitUncommittedOffsets(n.context()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := n.committed("readers", "orders"); got != 4 {
		t.Errorf("committed %d", got)
	}
	n.stop()

	n = start(t, n.disk, quick)
	if got := n.committed("readers", "orders"); got != 4 {
		t.Errorf("after a restart: committed %d", got)
	}
	c = n.consumer("readers", "orders")
	first := c.PollRecords(n.context(), 1).Records()
	if len(first) != 1 || first[0].Offset != 4 {
		t.Errorf("the next consumer starts with %v", first)
	}
	c.Close()
	n.stop()
}

// TestOffsetsInEveryCodec restarts a broker whose topic of offsets is compressed.
func TestOffsetsInEveryCodec(t *testing.T) {
	for codec := range 5 {
		properties := fmt.Sprint(quick, "offsets.topic.compression.codec=", codec, "\n")
		n := start(t, vfs.NewMem(), properties)
		n.create("orders", 1, nil)
		var offsets kadm.Offsets
		offsets.AddOffset("orders", 0, 7, -1)
		if err := kadm.NewClient(n.client()).CommitAllOffsets(n.context(), "tools", offsets); err != nil {
			t.Fatal(err)
		}
		n.stop()
		n = start(t, n.disk, properties)
		if got := n.committed("tools", "orders"); got != 7 {
			t.Errorf("codec %d: committed %d after a restart", codec, got)
		}
		n.stop()
	}
}

// TestPowerLossKeepsCommittedOffsets cuts the power after commits, in every model of what a disk keeps.
func TestPowerLossKeepsCommittedOffsets(t *testing.T) {
	for seed := range uint64(6) {
		for _, model := range []vfs.Survivors{vfs.LoseUnsynced, vfs.TearSectors, vfs.Reorder} {
			t.Run(fmt.Sprintf("%v/%d", model, seed), func(t *testing.T) {
				disk := vfs.NewMem()
				n := start(t, disk, quick)
				n.create("orders", 1, nil)
				n.produce("orders", 40)
				c := n.consumer("readers", "orders")
				admin := kadm.NewClient(n.client())
				for i := range 10 * (1 + seed) {
					var offsets kadm.Offsets
					offsets.AddOffset("orders", 0, int64(i), -1)
					if err := admin.CommitAllOffsets(n.context(), "tools", offsets); err != nil {
						t.Fatal(err)
					}
				}
				n.poll(c, int(5*(1+seed)))
				if err := c.CommitUncommittedOffsets(n.context()); err != nil {
					t.Fatal(err)
				}
				crashed := disk.Crash(model, seed)
				n.Abort()
				n.Broker = nil

				clk := newLeaping(t)
				n = startBy(t, clk, crashed, quick)
				admin = kadm.NewClient(n.client())
				if got, want := n.committed("tools", "orders"), int64(10*(1+seed))-1; got != want {
					t.Errorf("a tool committed %d, and %d is there", want, got)
				}
				if got, want := n.committed("readers", "orders"), int64(5*(1+seed)); got != want {
					t.Errorf("a member committed %d, and %d is there", want, got)
				}
				if rest := int(40 - 5*(1+seed)); rest > 0 {
					c = n.consumer("readers", "orders") // beside one that is a member by the log
					n.await("the new member to wait for the old one", func() bool {
						described, err := admin.DescribeGroups(n.context(), "readers")
						return err == nil && described["readers"].State == "PreparingRebalance"
					})
					clk.Advance(session)
					n.poll(c, rest)
					c.Close()
				}
				n.stop()
			})
		}
	}
}

func TestDeletedTopicTakesItsOffsets(t *testing.T) {
	n := start(t, vfs.NewMem(), quick)
	n.create("orders", 1, nil)
	n.create("kept", 1, nil)
	admin := kadm.NewClient(n.client())
	var offsets kadm.Offsets
	offsets.AddOffset("orders", 0, 7, -1)
	offsets.AddOffset("kept", 0, 8, -1)
	if err := admin.CommitAllOffsets(n.context(), "tools", offsets); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteTopics(n.context(), "orders"); err != nil {
		t.Fatal(err)
	}
	n.create("orders", 1, nil)
	for n.committed("tools", "orders") != -1 { // the coordinator hears of it a moment later; the context bounds it
	}
	if got := n.committed("tools", "kept"); got != 8 {
		t.Errorf("the offset of another topic is %d", got)
	}
	n.stop()
	n = start(t, n.disk, quick)
	if a, b := n.committed("tools", "orders"), n.committed("tools", "kept"); a != -1 || b != 8 {
		t.Errorf("after a restart: %d and %d", a, b)
	}
	n.stop()
}

// heartbeats counts those of a client that were answered.
type heartbeats struct{ answered atomic.Int64 }

func (h *heartbeats) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key == int16(protocol.KeyHeartbeat) && e2e.Err() == nil {
		h.answered.Add(1)
	}
}

// TestGroupsOnAFullDisk: while nothing can be written commits are refused, and members live on, keep their partitions and can be told
// what was committed; when there is space again they commit.
func TestGroupsOnAFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	clk := newLeaping(t)
	n := startBy(t, clk, mem, quick)
	n.create("orders", 1, nil)
	n.produce("orders", 10)
	lost := make(chan struct{}, 10)
	var beats heartbeats
	c := n.consumer("readers", "orders", kgo.WithHooks(&beats), kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { lost <- struct{}{} }))
	n.poll(c, 4)
	if err := c.CommitUncommittedOffsets(n.context()); err != nil {
		t.Fatal(err)
	}
	mem.SetCapacity(mem.Used())
	admin := kadm.NewClient(n.client(kgo.RequestRetries(0), kgo.RetryTimeout(time.Millisecond)))
	refused := 0
	for i := range 20_000 { // what is preallocated is used up first
		var offsets kadm.Offsets
		offsets.AddOffset("orders", 0, int64(i), -1)
		if err := admin.CommitAllOffsets(n.context(), "tools", offsets); errors.Is(err, kerr.CoordinatorNotAvailable) {
			if refused++; refused == 20 {
				break
			}
		} else if err != nil {
			t.Fatalf("commit on a full disk: %v", err)
		}
	}
	if refused != 20 {
		t.Fatalf("%d commits were refused by a full disk", refused)
	}
	for range 4 { // together more than a session
		sent := beats.answered.Load()
		n.await("heartbeats on a full disk", func() bool { return beats.answered.Load() > sent+1 })
		clk.Advance(session / 3)
		if got := n.committed("readers", "orders"); got != 4 {
			t.Fatalf("committed %d while the disk is full", got)
		}
		described, err := admin.DescribeGroups(n.context(), "readers")
		if g := described["readers"]; err != nil || g.State != "Stable" || len(g.Members) != 1 {
			t.Fatalf("the group is %+v, %v", g, err)
		}
	}
	mem.SetCapacity(0)
	n.poll(c, 3)
	if err := c.CommitUncommittedOffsets(n.context()); err != nil {
		t.Fatal(err)
	}
	if got := n.committed("readers", "orders"); got != 7 || len(lost) > 0 {
		t.Errorf("committed %d when there is space again, and lost the partitions %d times", got, len(lost))
	}
	c.Close()
	n.stop()
}

// TestTopicsOfTheImageThatLeads: a snapshot brings at once a topic and the lead of the partition that has offsets of it. They are loaded while
// requests still go by the metadata before it, in which the topic is missing.
func TestTopicsOfTheImageThatLeads(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	n.create("orders", 1, nil)
	before := n.publisher.Image()
	id := uuid.UUID{7}
	after, delta, err := metadata.Apply(before, before.Index()+1, []metadata.Record{&metadata.TopicRecord{Name: "later", ID: id}})
	if err != nil {
		t.Fatal(err)
	}
	n.publisher.While(func() { n.groups.follow(before, after, delta) })
	if got, ok := n.groups.topicID("later"); !ok || got != id || n.publisher.Image().Topic("later") != nil {
		t.Errorf("the coordinator finds %v, %v; the current image has %v", got, ok, n.publisher.Image().Topic("later"))
	}
	if _, ok := n.groups.topicID("orders"); !ok {
		t.Error("the topic before it is missing")
	}
	if _, ok := n.groups.topicID("gone"); ok {
		t.Error("there is a topic that nobody made")
	}
}
