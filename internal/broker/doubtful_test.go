package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
)

// TestDoubtfulLeader: a broker that hears of no controller may have been replaced, and not know it. After a session it acknowledges nothing that only it has,
// where others could lead instead, and does not say what is committed; when it is confirmed again it does.
func TestDoubtfulLeader(t *testing.T) {
	c := newSeveral(t, "broker.session.timeout.ms=900\ncontroller.quorum.election.timeout.ms=400\noffsets.topic.num.partitions=1\n")
	c.start(1, 2, 3)
	cl := c.client(kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()) // which its requests have
	admin := kadm.NewClient(cl)
	c.create("committed", 1, 3)
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
	b := record.NewBuilder(record.CompressionOf(record.None))
	b.Append(record.Record{Timestamp: record.NoTimestamp, Value: []byte("value")})
	batch := b.Build()
	produce := func(topic string) protocol.ErrorCode {
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = 1, 1000
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, TopicID: c.topicID(topic), Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch}}}}
		resp, err := req.RequestWith(t.Context(), cl.Broker(last))
		if err != nil {
			t.Fatal(err)
		}
		return protocol.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	fetch := func() string {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group = "group"
		req.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "group", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "committed", TopicID: c.topicID("committed"), Partitions: []int32{0}}}}}
		resp, err := req.RequestWith(t.Context(), cl.Broker(last))
		if err != nil {
			t.Fatal(err)
		}
		if g := resp.Groups[0]; g.ErrorCode != 0 || len(g.Topics) == 0 {
			return protocol.ErrorCode(g.ErrorCode).String()
		} else {
			return fmt.Sprint(g.Topics[0].Partitions[0].Offset)
		}
	}
	c.await("records to be taken", func() bool { return produce("replicated") == protocol.None && produce("alone") == protocol.None })
	if got := fetch(); got != "17" {
		t.Fatalf("the committed offset is %s", got)
	}
	for _, id := range others {
		c.kill(int(id))
	}
	c.await("records with acks=1 to be refused", func() bool { return produce("replicated") == protocol.NotLeaderOrFollower })
	if got, want := fetch(), protocol.CoordinatorNotAvailable.String(); got != want {
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

// TestLetInIsConfirmedAtOnce: the heartbeat that lets a broker in confirms nothing yet, and it does not stay doubtful until another one is due.
func TestLetInIsConfirmedAtOnce(t *testing.T) {
	c := newSeveral(t, "broker.session.timeout.ms=3600000\nbroker.heartbeat.interval.ms=1200000\n")
	c.start(1, 2, 3)
	for id, n := range c.nodes {
		c.await(fmt.Sprintf("broker %d to be confirmed", id), func() bool { return !n.doubtful() })
	}
}
