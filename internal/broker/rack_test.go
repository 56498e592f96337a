package broker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/partition"
)

// TestFetchFromFollowers: a consumer reads from the replica in its rack, which is no leader, sees what is committed, soon, and goes back to the leader
// when that replica is gone.
func TestFetchFromFollowers(t *testing.T) {
	c := newSeveral(t, replicated+"replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector\n")
	c.own = func(id int) string { return fmt.Sprintf("broker.rack=rack%d\n", id) }
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	near := c.leader()%3 + 1
	lead := near%3 + 1
	c.createOn("orders", int32(lead), int32(near))
	c.inSync("orders")
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	producer := c.client(kgo.DefaultProduceTopic("orders"), kgo.ProducerLinger(0))
	next := 0
	produce := func() {
		t.Helper()
		if err := producer.ProduceSync(ctx, &kgo.Record{Value: fmt.Append(nil, next)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		next++
	}
	consumer := c.client(kgo.Rack(fmt.Sprint("rack", near)), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(10*time.Second),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	read := 0
	consume := func() {
		t.Helper()
		for read < next {
			fetches := consumer.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("waited in vain for record %d", read)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if string(r.Value) != fmt.Sprint(read) {
					t.Errorf("record %d says %s", read, r.Value)
				}
				read++
			})
		}
	}
	of := func(id int) *partition.Partition { return c.nodes[id].replicas.Partition(c.topicID("orders"), 0) }
	for range 20 {
		produce()
		consume() // each as it comes: the follower hears at once what is committed
	}
	if from, leader := of(near).Traffic().BytesOut.Load(), of(lead).Traffic().BytesOut.Load(); from == 0 || leader != 0 {
		t.Errorf("%d bytes were read from the follower, %d from the leader", from, leader)
	}
	// One in the leader's rack, and one that names none, read from the leader.
	for _, rack := range []string{fmt.Sprint("rack", lead), "", "nowhere"} {
		before := of(near).Traffic().BytesOut.Load()
		other := c.client(kgo.Rack(rack), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for got := 0; got < next; {
			got += other.PollFetches(ctx).NumRecords()
			if ctx.Err() != nil {
				t.Fatalf("waited in vain in rack %q", rack)
			}
		}
		other.Close()
		if after := of(near).Traffic().BytesOut.Load(); after != before {
			t.Errorf("a consumer in rack %q reads from a follower in another one", rack)
		}
	}
	// The partition goes away from the near broker.
	c.reassign("orders", 0, int32(lead))
	c.placed("orders", 0, int32(lead))
	produce()
	consume()
}

// TestRackOfReadersIsNoMatter: without the setting nobody is sent elsewhere.
func TestRackOfReadersIsNoMatter(t *testing.T) {
	c := newSeveral(t, replicated)
	c.own = func(id int) string { return fmt.Sprintf("broker.rack=rack%d\n", id) }
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	c.createOn("orders", 1, 2)
	c.inSync("orders")
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	cl := c.client(kgo.Rack("rack2"), kgo.DefaultProduceTopic("orders"), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err := cl.ProduceSync(ctx, &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := cl.PollFetches(ctx).NumRecords(); got != 1 {
		t.Fatalf("read %d records", got)
	}
	if from := c.nodes[2].replicas.Partition(c.topicID("orders"), 0).Traffic().BytesOut.Load(); from != 0 {
		t.Errorf("%d bytes were read from a follower", from)
	}
}
