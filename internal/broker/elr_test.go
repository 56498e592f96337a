package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/vfs"
)

// apart starts three nodes that vote and host nothing, and brokers that do not vote: any of those may die, and the metadata go on.
func (c *several) apart(brokers ...int) {
	c.t.Helper()
	started := make(chan *Broker)
	properties := map[int]string{}
	for id := 1; id <= 3; id++ {
		properties[id] = c.voter(id)
	}
	for _, id := range brokers {
		properties[id] = c.alone(id)
	}
	for id := range properties {
		c.disks[id] = vfs.NewMem()
	}
	for id, text := range properties {
		go func() {
			n, err := c.startOne(id, text+"controller.listener.names=CONTROLLER\nlog.dirs=data\n"+c.extra)
			if err != nil {
				c.t.Errorf("start node %d: %v", id, err)
			}
			started <- n
		}()
	}
	for range properties {
		if n := <-started; n != nil {
			c.nodes[int(n.opts.Config.NodeID)] = n
		}
	}
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// voter are the properties of a node that votes and hosts nothing.
func (c *several) voter(id int) string {
	return fmt.Sprintf("process.roles=controller\nnode.id=%[1]d\ncontroller.quorum.voters=%[2]s\nlisteners=CONTROLLER://n%[1]d:9093\n", id, testVoters)
}

// alone are the properties of a broker that does not vote.
func (c *several) alone(id int) string {
	return fmt.Sprintf("process.roles=broker\nnode.id=%[1]d\ncontroller.quorum.voters=%[2]s\nlisteners=PLAINTEXT://n%[1]d:9092\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n", id, testVoters)
}

// again starts a broker that does not vote once more.
func (c *several) again(id int) { c.startAgain(id, c.alone(id)) }

func (c *several) startAgain(id int, properties string) {
	c.t.Helper()
	n, err := c.startOne(id, properties+"controller.listener.names=CONTROLLER\nlog.dirs=data\n"+c.extra)
	if err != nil {
		c.t.Fatalf("start node %d: %v", id, err)
	}
	c.nodes[id] = n
}

// TestLeadersFromELR: of two replicas the one dies and then the other. The first one that is back leads, where two had to have every record: it has
// all that was acknowledged. Where one was enough it does not lead before somebody says so.
func TestLeadersFromELR(t *testing.T) {
	c := newSeveral(t, "")
	c.apart(4, 5)
	c.until("two brokers that serve", c.nodes[1], unfenced(4, 5))
	cl := c.client(kgo.SeedBrokers("n4:9092", "n5:9092"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10*time.Millisecond))
	admin := kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for topic, least := range map[string]string{"safe": "2", "quick": "1"} {
		if resp, err := admin.CreateTopic(ctx, 1, 2, map[string]*string{"min.insync.replicas": &least}, topic); err != nil || resp.Err != nil {
			t.Fatal(err, resp.Err)
		}
		c.inSync(topic)
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("both")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	of := func(topic string) *metadata.Partition { return c.nodes[1].publisher.Image().Topic(topic).Partitions[0] }
	c.kill(5)
	c.until("one replica in sync", c.nodes[1], func(img *metadata.Image) bool {
		return len(img.Topic("safe").Partitions[0].ISR) == 1 && len(img.Topic("quick").Partitions[0].ISR) == 1
	})
	if safe, quick := of("safe"), of("quick"); !slices.Equal(safe.ELR, []int32{5}) || len(quick.ELR) != 0 {
		t.Errorf("may lead besides: %v, %v", safe.ELR, quick.ELR)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "quick", Value: []byte("one")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.kill(4)
	c.until("no leader", c.nodes[1], func(img *metadata.Image) bool {
		return slices.Equal(leaders(img, "safe"), []int32{-1}) && slices.Equal(leaders(img, "quick"), []int32{-1})
	})
	c.again(5)
	c.until("the replica that has every acknowledged record to lead", c.nodes[1], func(img *metadata.Image) bool { return slices.Equal(leaders(img, "safe"), []int32{5}) })
	if quick := of("quick"); quick.Leader != metadata.NoLeader {
		t.Fatalf("a replica that lacks a record leads: %+v", quick)
	}
	once := c.client(kgo.SeedBrokers("n5:9092"), kgo.RecordRetries(1), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := once.ProduceSync(ctx, &kgo.Record{Topic: "safe", Value: []byte("alone")}).FirstErr(); !errors.Is(err, kerr.NotEnoughReplicas) {
		t.Errorf("produce with one of two replicas: %v", err)
	}
	s := kadm.TopicsSet{}
	s.Add("quick", 0)
	if results, err := kadm.NewClient(once).ElectLeaders(ctx, kadm.ElectLiveReplica, s); err != nil || results["quick"][0].Err != nil {
		t.Fatal(err, results)
	}
	c.until("the replica that is left to lead", c.nodes[1], func(img *metadata.Image) bool { return slices.Equal(leaders(img, "quick"), []int32{5}) })
	c.again(4)
	c.inSync("safe")
	c.inSync("quick")
	for topic, want := range map[string][]string{"safe": {"both"}, "quick": {"both"}} {
		for _, id := range []int{4, 5} {
			if got := values(t, written(t, c.nodes[id].replicas.Partition(c.topicID(topic), 0))); !slices.Equal(got, want) {
				t.Errorf("broker %d has %q of %s", id, got, topic)
			}
		}
	}
}

// TestELRFollowsFiles: a controller that becomes active goes by its own file, which may ask for fewer replicas in sync than the one before did.
func TestELRFollowsFiles(t *testing.T) {
	c := newSeveral(t, "min.insync.replicas=2\n")
	c.apart(4, 5)
	c.until("two brokers that serve", c.nodes[1], unfenced(4, 5))
	admin := kadm.NewClient(c.client(kgo.SeedBrokers("n4:9092", "n5:9092")))
	if resp, err := admin.CreateTopic(t.Context(), 1, 2, nil, "orders"); err != nil || resp.Err != nil {
		t.Fatal(err, resp.Err)
	}
	c.inSync("orders")
	c.kill(5)
	elr := func(want ...int32) func(*metadata.Image) bool {
		return func(img *metadata.Image) bool { return slices.Equal(img.Topic("orders").Partitions[0].ELR, want) }
	}
	c.until("the replica that is away to be in the ELR", c.nodes[4], elr(5))
	c.extra = "min.insync.replicas=1\n"
	for id := 1; id <= 3; id++ {
		c.kill(id)
		c.startAgain(id, c.voter(id))
	}
	c.until("the ELR to be empty", c.nodes[4], elr())
}
