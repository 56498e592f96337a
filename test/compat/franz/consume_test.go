package franz

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/test/compat/broker"
)

// hundred produces 100 records to one partition, ten to a batch, a second apart in their timestamps.
func hundred(t *testing.T) (topic string, start time.Time) {
	t.Helper()
	topic = broker.Topic(t, 1)
	cl := broker.Client(t, kgo.DefaultProduceTopic(topic))
	start = time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for b := range 10 {
		var rs []*kgo.Record
		for i := range 10 {
			n := b*10 + i
			rs = append(rs, &kgo.Record{Value: fmt.Appendf(nil, "%d", n), Timestamp: start.Add(time.Duration(n) * time.Second)})
		}
		produce(t, cl, rs)
	}
	return topic, start
}

// TestConsumeFrom starts at the start, an offset, a time and before the end.
func TestConsumeFrom(t *testing.T) {
	topic, start := hundred(t)
	for name, c := range map[string]struct {
		at    kgo.Offset
		first int64
	}{
		"start":      {kgo.NewOffset().AtStart(), 0},
		"offset":     {kgo.NewOffset().At(37), 37},
		"time":       {kgo.NewOffset().AfterMilli(start.Add(55 * time.Second).UnixMilli()), 55},
		"before end": {kgo.NewOffset().AtEnd().Relative(-5), 95},
	} {
		t.Run(name, func(t *testing.T) {
			cl := broker.Client(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: c.at}}))
			for i, r := range poll(t, cl, int(100-c.first)) {
				if want := c.first + int64(i); r.Offset != want || string(r.Value) != fmt.Sprint(want) {
					t.Fatalf("offset %d value %s, want %d", r.Offset, r.Value, want)
				}
			}
		})
	}
}

// begun is closed when a client sends its first Fetch: by then it knows where it begins.
type begun struct {
	once    sync.Once
	fetches chan struct{}
}

func (b *begun) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == 1 {
		b.once.Do(func() { close(b.fetches) })
	}
}

// TestConsumeEnd waits at the end and sees what comes, and only that; read_committed sees the same.
func TestConsumeEnd(t *testing.T) {
	for name, level := range map[string]kgo.IsolationLevel{"read uncommitted": kgo.ReadUncommitted(), "read committed": kgo.ReadCommitted()} {
		t.Run(name, func(t *testing.T) {
			topic, _ := hundred(t)
			b := &begun{fetches: make(chan struct{})}
			cl := broker.Client(t, kgo.WithHooks(b), kgo.FetchIsolationLevel(level), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtEnd()}}))
			<-b.fetches
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if fs := cl.PollFetches(ctx); fs.NumRecords() != 0 {
				t.Fatalf("read %d records at the end", fs.NumRecords())
			}
			produce(t, broker.Client(t, kgo.DefaultProduceTopic(topic)), []*kgo.Record{{Value: []byte("new")}})
			if r := poll(t, cl, 1)[0]; r.Offset != 100 || string(r.Value) != "new" {
				t.Errorf("read offset %d value %s", r.Offset, r.Value)
			}
		})
	}
}

// TestFollow consumes while a producer produces, over many partitions and fetch sessions.
func TestFollow(t *testing.T) {
	topic := broker.Topic(t, 20)
	consumer := broker.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	producer := broker.Client(t, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	for round := range 20 {
		var sent []*kgo.Record
		for i := range 40 {
			sent = append(sent, &kgo.Record{Value: fmt.Appendf(nil, "%d-%d", round, i)})
		}
		produce(t, producer, sent)
		equal(t, sent, poll(t, consumer, len(sent)))
	}
}

// TestListOffsets asks for every special timestamp and for times before, within and after the log.
func TestListOffsets(t *testing.T) {
	topic, start := hundred(t)
	cl := broker.Client(t)
	for name, c := range map[string]struct{ ask, offset int64 }{
		"latest":           {-1, 100},
		"earliest":         {-2, 0},
		"max timestamp":    {-3, 99},
		"earliest local":   {-4, 0},
		"before the first": {start.UnixMilli() - 1, 0},
		"of the 42nd":      {start.UnixMilli() + 42_000, 42},
		"between two":      {start.UnixMilli() + 42_001, 43},
		"after the last":   {start.UnixMilli() + 1_000_000, -1},
	} {
		t.Run(name, func(t *testing.T) {
			req := kmsg.NewPtrListOffsetsRequest()
			req.ReplicaID = -1
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic = topic
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Timestamp = c.ask
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			shards := cl.RequestSharded(broker.Context(t), req)
			if len(shards) != 1 || shards[0].Err != nil {
				t.Fatalf("list offsets: %+v", shards)
			}
			p := shards[0].Resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
			if p.ErrorCode != 0 || p.Offset != c.offset {
				t.Errorf("error %d, offset %d, want %d", p.ErrorCode, p.Offset, c.offset)
			}
		})
	}
}
