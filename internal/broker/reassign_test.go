package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/vfs"
)

// reassign asks for the replicas of a partition; none cancels what is under way.
func (c *several) reassign(topic string, number int32, replicas ...int32) {
	c.t.Helper()
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition, p.Replicas = number, replicas
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.TimeoutMillis, req.Topics = 20_000, append(req.Topics, t)
	resp := ask(c, func(ctx context.Context, cl *kgo.Client) (*kmsg.AlterPartitionAssignmentsResponse, error) {
		return req.RequestWith(ctx, cl)
	})
	if resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		c.t.Fatalf("reassign %s-%d to %v: %+v", topic, number, replicas, resp)
	}
}

// ask asks any broker that is alive: a client may begin with one that is not.
func ask[R any](c *several, request func(context.Context, *kgo.Client) (R, error)) R {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for {
		cl := c.client()
		resp, err := request(ctx, cl)
		cl.Close()
		if err == nil {
			return resp
		}
		if ctx.Err() != nil || !network.Refused(err) && !network.Disconnected(err) {
			c.t.Fatal(err)
		}
	}
}

// underWay are the reassignments that the cluster lists.
func (c *several) underWay() (all []string) {
	c.t.Helper()
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.TimeoutMillis, req.Topics = 20_000, nil // all
	listed := ask(c, func(ctx context.Context, cl *kgo.Client) (*kmsg.ListPartitionReassignmentsResponse, error) {
		return req.RequestWith(ctx, cl)
	})
	for _, t := range listed.Topics {
		for _, p := range t.Partitions {
			all = append(all, fmt.Sprintf("%s-%d %v adding %v removing %v", t.Topic, p.Partition, p.Replicas, p.AddingReplicas, p.RemovingReplicas))
		}
	}
	return all
}

// placed waits until a partition has exactly those replicas, all of them in sync, and nothing is under way.
func (c *several) placed(topic string, number int, replicas ...int32) {
	c.t.Helper()
	c.await(fmt.Sprintf("%s-%d to be on %v", topic, number, replicas), func() bool {
		t := c.one().publisher.Image().Topic(topic)
		if t == nil {
			return false
		}
		p := t.Partitions[number]
		isr := slices.Sorted(slices.Values(p.ISR))
		return slices.Equal(p.Replicas, replicas) && p.Reassignment == nil && slices.Equal(isr, slices.Sorted(slices.Values(replicas))) && metadata.Has(p.ISR, p.Leader)
	})
}

// folders are the names in the data directory of a node that begin with a partition's; what is to be removed after a while counts.
func (c *several) folders(id int, partition string) (all []string) {
	c.t.Helper()
	files, err := c.disks[id].ReadDir("data")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), partition) {
			all = append(all, f.Name())
		}
	}
	return all
}

// TestReassignment moves a partition to other brokers, one after another, while a producer and a group go on; whoever has it no more keeps nothing.
func TestReassignment(t *testing.T) {
	c := newSeveral(t, replicated+"log.segment.delete.delay.ms=0\n")
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	c.reassignments(1)
	w := c.workload("moved")
	w.goesOn("at first", 20)
	for _, to := range [][]int32{{2}, {3}, {1, 2}, {3, 2}, {1, 2, 3}, {1}} {
		before := c.one().publisher.Image().Topic("moved").Partitions[0].Replicas
		c.reassign("moved", 0, to...)
		c.placed("moved", 0, to...)
		w.goesOn(fmt.Sprintf("on %v", to), 20)
		for _, id := range before {
			if !slices.Contains(to, id) {
				c.await(fmt.Sprintf("node %d to have removed its replica", id), func() bool {
					return c.nodes[int(id)].replicas.Partition(c.topicID("moved"), 0) == nil && len(c.folders(int(id), "moved-0")) == 0
				})
			}
		}
	}
	w.check()
	if under := c.underWay(); under != nil {
		t.Errorf("under way: %v", under)
	}
}

// reassignments creates the topic of a test on one broker.
func (c *several) reassignments(on int32) {
	c.t.Helper()
	c.createOn("moved", on)
	for _, n := range c.nodes {
		c.until("the topic", n, func(img *metadata.Image) bool { return img.Topic("moved") != nil })
	}
}

// createOn creates a topic of one partition with those replicas.
func (c *several) createOn(topic string, replicas ...int32) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	cl := c.client()
	defer cl.Close()
	a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	a.Replicas = replicas
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, -1, -1
	rt.ReplicaAssignment = append(rt.ReplicaAssignment, a)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.Topics = 20_000, append(req.Topics, rt)
	if resp, err := req.RequestWith(ctx, cl); err != nil || resp.Topics[0].ErrorCode != 0 {
		c.t.Fatalf("create %s on %v: %v, %+v", topic, replicas, err, resp)
	}
}

// topicID waits until the node that is asked has heard of the topic.
func (c *several) topicID(topic string) [16]byte {
	c.t.Helper()
	var t *metadata.Topic
	c.await("topic "+topic, func() bool {
		t = c.one().publisher.Image().Topic(topic)
		return t != nil
	})
	return t.ID
}

// TestReassignmentCancelled: a replica that cannot be made is listed, and taken back.
func TestReassignmentCancelled(t *testing.T) {
	c := newSeveral(t, replicated)
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	dead := c.leader()%3 + 1
	from := dead%3 + 1
	c.reassignments(int32(from))
	cl := c.client(kgo.DefaultProduceTopic("moved"))
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.kill(dead)
	c.until("the dead broker to be fenced", c.one(), func(img *metadata.Image) bool { return img.Broker(int32(dead)).Fenced })
	c.reassign("moved", 0, int32(dead))
	want := fmt.Sprintf("moved-0 [%d %d] adding [%d] removing [%d]", dead, from, dead, from)
	if under := c.underWay(); len(under) != 1 || under[0] != want {
		t.Fatalf("under way: %v, want %s", under, want)
	}
	// Producers go on with the replica that there is, though two are to be in sync of topics that have two.
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.reassign("moved", 0)
	c.placed("moved", 0, int32(from))
	if under := c.underWay(); under != nil {
		t.Errorf("under way: %v", under)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// TestReplicasThatWentWhileAway: a broker that was down while a partition went to others, and while a topic was deleted, comes back and keeps neither.
func TestReplicasThatWentWhileAway(t *testing.T) {
	c := newSeveral(t, replicated+"log.segment.delete.delay.ms=0\n")
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	away := c.leader()%3 + 1
	one, two := int32(away%3+1), int32((away+1)%3+1)
	c.createOn("moved", int32(away), one)
	c.createOn("deleted", int32(away), one)
	cl := c.client()
	for _, topic := range []string{"moved", "deleted"} {
		c.inSync(topic)
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		c.await("the folder of "+topic, func() bool { return len(c.folders(away, topic+"-0")) == 1 })
	}
	if err := c.nodes[away].Stop(); err != nil {
		t.Fatal(err)
	}
	delete(c.nodes, away)
	c.reassign("moved", 0, one, two)
	c.placed("moved", 0, one, two)
	deleted := ask(c, func(ctx context.Context, cl *kgo.Client) (kadm.DeleteTopicResponses, error) {
		return kadm.NewClient(cl).DeleteTopics(ctx, "deleted")
	})
	if err := deleted.Error(); err != nil {
		t.Fatal(err)
	}
	c.start(away)
	c.await("the replica that went to others to be removed", func() bool { return len(c.folders(away, "moved-0")) == 0 })
	// What nothing is known of is set aside, as Kafka does.
	if left := c.folders(away, "deleted-0"); len(left) != 1 || !strings.HasSuffix(left[0], "-stray") {
		t.Errorf("of the deleted topic there is %v", left)
	}
	c.createOn("deleted", int32(away))
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "moved", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.reassign("moved", 0, int32(away), one, two)
	c.placed("moved", 0, int32(away), one, two)
	c.same("moved")
}

// TestPreferredLeaders: a broker that was away leads its partitions again, by itself or when it is asked for, and an unclean election is one that is
// asked for.
func TestPreferredLeaders(t *testing.T) {
	for _, balanced := range []bool{true, false} {
		t.Run(fmt.Sprint("balanced ", balanced), func(t *testing.T) {
			c := newSeveral(t, fmt.Sprintf("leader.imbalance.check.interval.seconds=1\nauto.leader.rebalance.enable=%v\n", balanced))
			c.start(1, 2, 3)
			c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
			c.create("orders", 6, 3)
			c.inSync("orders")
			victim := c.leader()%3 + 1
			c.kill(victim)
			c.until("others to lead", c.one(), func(img *metadata.Image) bool { return !slices.Contains(leaders(img, "orders"), int32(victim)) })
			c.start(victim)
			c.inSync("orders")
			preferred := func(img *metadata.Image) bool {
				for _, p := range img.Topic("orders").Partitions {
					if p.Leader != p.Replicas[0] {
						return false
					}
				}
				return true
			}
			if !balanced {
				if preferred(c.one().publisher.Image()) {
					t.Fatal("nobody asked for an election")
				}
				c.elect(t, kadm.ElectPreferredReplica, "orders")
			}
			c.until("preferred leaders", c.one(), preferred)
		})
	}
}

// elect asks for elections of all partitions of a topic.
func (c *several) elect(t *testing.T, how kadm.ElectLeadersHow, topic string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := kadm.TopicsSet{}
	for i := range c.one().publisher.Image().Topic(topic).Partitions {
		s.Add(topic, int32(i))
	}
	cl := c.client()
	defer cl.Close()
	results, err := kadm.NewClient(cl).ElectLeaders(ctx, how, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results[topic] {
		if r.Err != nil && !strings.Contains(r.Err.Error(), "ELECTION_NOT_NEEDED") {
			t.Errorf("elect a leader of %s-%d: %v", topic, r.Partition, r.Err)
		}
	}
}

// TestOffsetsTopicGrows: what groups committed on one broker has as many replicas as it is to have once others have joined.
func TestOffsetsTopicGrows(t *testing.T) {
	c := newSeveral(t, "offsets.topic.num.partitions=3\n")
	c.disks[1] = vfs.NewMem()
	n, err := c.startOne(1, "node.id=1\nlisteners=PLAINTEXT://n1:9092\nlog.dirs=data\n"+c.extra)
	if err != nil {
		t.Fatal(err)
	}
	c.nodes[1] = n
	cl := c.client(kgo.SeedBrokers("n1:9092"))
	admin := kadm.NewClient(cl)
	if resp, err := admin.CreateTopic(t.Context(), 1, 1, nil, "early"); err != nil || resp.Err != nil {
		t.Fatal(err, resp.Err)
	}
	var offsets kadm.Offsets
	offsets.AddOffset("early", 0, 7, -1)
	for i := range 9 {
		if err := admin.CommitAllOffsets(t.Context(), fmt.Sprint("group", i), offsets); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	delete(c.nodes, 1)
	c.start(1, 2, 3)
	c.until("three replicas of each partition, who is to lead spread over the brokers", c.one(), func(img *metadata.Image) bool {
		first := map[int32]bool{}
		for _, p := range img.Topic(offsetsTopic).Partitions {
			if len(p.ISR) != 3 || p.Reassignment != nil {
				return false
			}
			first[p.Replicas[0]] = true
		}
		return len(first) == 3
	})
	c.elect(t, kadm.ElectPreferredReplica, offsetsTopic)
	after := kadm.NewClient(c.client())
	for i := range 9 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		got, err := after.FetchOffsets(ctx, fmt.Sprint("group", i))
		cancel()
		if o, ok := got.Lookup("early", 0); err != nil || !ok || o.At != 7 {
			t.Errorf("group %d has committed %+v, %v", i, o, err)
		}
	}
}
