package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
)

// TestDoubtfulLeader: a broker that hears of no controller may have been replaced, and not know it. After a session it acknowledges nothing that only it has,
// where others could lead instead, and does not say what is committed; when it is confirmed again it does.
func TestDoubtfulLeader(t *testing.T) {
	clk := newLeaping(t)
	c := newSeveral(t, "broker.session.timeout.ms=60000\noffsets.topic.num.partitions=1\n")
	c.clock = clk
	c.start(1, 2, 3)
	cl := c.client(kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()) // which its requests have
	admin := kadm.NewClient(cl)
	c.create("committed", 1, 3)
	for _, n := range c.nodes { // the client asks any of them for its id
		c.until("the topic", n, func(img *metadata.Image) bool { return img.Topic("committed") != nil })
	}
	var offsets kadm.Offsets
	offsets.AddOffset("committed", 0, 17, -1)
	if err := admin.CommitAllOffsets(t.Context(), "group", offsets); err != nil {
		t.Fatal(err)
	}
	last := c.leads("__consumer_offsets", 0)
	var others []int32
	for id := int32(1); id <= 3; id++ {
		if int(id) != last {
			others = append(others, id)
		}
	}
	c.createOn("replicated", int32(last), others[0], others[1])
	c.createOn("alone", int32(last))
	produce := func(topic string) protocol.ErrorCode { return c.produceOnce(cl, last, topic, 0) }
	fetch := func() string { return c.offsetOnce(cl, last, "group", "committed") }
	c.await("records to be taken", func() bool { return produce("replicated") == protocol.None && produce("alone") == protocol.None })
	if got := fetch(); got != "17" {
		t.Fatalf("the committed offset is %s", got)
	}
	for _, id := range others {
		c.kill(int(id))
	}
	c.await("records with acks=1 to be refused", func() bool {
		clk.Advance(time.Second)
		return produce("replicated") == protocol.NotLeaderOrFollower
	})
	if got, want := fetch(), protocol.NotCoordinator.String(); got != want {
		t.Errorf("the committed offset of a broker that may be replaced is %s, want %s", got, want)
	}
	if code := produce("alone"); code != protocol.None {
		t.Errorf("a record of a partition that nobody else can lead: %s", code)
	}
	c.start(int(others[0]), int(others[1]))
	c.await("the committed offset again", func() bool {
		got, err := admin.FetchOffsets(t.Context(), "group")
		o, ok := got.Lookup("committed", 0)
		return err == nil && ok && o.At == 17
	})
}

// TestTrustedFromTheStart: clients come to a broker as soon as the metadata let it serve, which is long before its second heartbeat. Then it takes acks=1 of what it
// leads, and says what groups have committed: clients do not come again for what acks=0 has lost, and some for no refusal.
func TestTrustedFromTheStart(t *testing.T) {
	c := newSeveral(t, "broker.session.timeout.ms=300000\nbroker.heartbeat.interval.ms=90000\noffsets.topic.num.partitions=3\n")
	c.start(1, 2, 3)
	cl := c.client(kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	c.create("replicated", 3, 3)
	for _, n := range c.nodes {
		c.until("the topic", n, func(img *metadata.Image) bool { return img.Topic("replicated") != nil })
	}
	for partition := range int32(3) {
		if code := c.produceOnce(cl, c.leads("replicated", int(partition)), "replicated", partition); code != protocol.None {
			t.Errorf("a record for partition %d: %s", partition, code)
		}
	}
	admin := kadm.NewClient(cl)
	for _, group := range []string{"a", "b", "c"} { // one on each partition
		var offsets kadm.Offsets
		offsets.AddOffset("replicated", 0, 17, -1)
		if err := admin.CommitAllOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
		at := admin.FindGroupCoordinators(t.Context(), group)[group].NodeID
		if got := c.offsetOnce(cl, int(at), group, "replicated"); got != "17" {
			t.Errorf("the committed offset of group %s at broker %d: %s", group, at, got)
		}
	}
}

// produceOnce sends a record to one broker as the client's acks say, and does not try again.
func (c *several) produceOnce(cl *kgo.Client, broker int, topic string, partition int32) protocol.ErrorCode {
	c.t.Helper()
	b := record.NewBuilder(record.CompressionOf(record.None))
	b.Append(record.Record{Timestamp: record.NoTimestamp, Value: []byte("value")})
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = 1, 1000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, TopicID: c.topicID(topic), Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: b.Build()}}}}
	resp, err := req.RequestWith(c.t.Context(), cl.Broker(broker))
	if err != nil {
		c.t.Fatal(err)
	}
	return protocol.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// offsetOnce asks one broker for the committed offset of a group in partition 0 of a topic, and returns that or why there is none.
func (c *several) offsetOnce(cl *kgo.Client, broker int, group, topic string) string {
	c.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	req.Groups = []kmsg.OffsetFetchRequestGroup{{Group: group, MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, TopicID: c.topicID(topic), Partitions: []int32{0}}}}}
	resp, err := req.RequestWith(c.t.Context(), cl.Broker(broker))
	if err != nil {
		c.t.Fatal(err)
	}
	if g := resp.Groups[0]; g.ErrorCode != 0 || len(g.Topics) == 0 {
		return protocol.ErrorCode(g.ErrorCode).String()
	} else {
		return fmt.Sprint(g.Topics[0].Partitions[0].Offset)
	}
}
