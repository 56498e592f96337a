// Package franz tests the broker with franz-go. It holds tests only.
package franz

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/group"
)

func TestMain(m *testing.M) {
	group.Parallel()
	broker.Main(m)
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// TestProduce writes with every codec, acks and kind of producer and reads all of it back.
func TestProduce(t *testing.T) {
	kinds := map[string][]kgo.Opt{
		"acks=0":     {kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()},
		"acks=1":     {kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()},
		"acks=all":   {kgo.DisableIdempotentWrite()},
		"idempotent": nil,
	}
	for codec, compression := range codecs {
		for kind, opts := range kinds {
			t.Run(codec+"/"+kind, func(t *testing.T) {
				topic := broker.Topic(t, 3)
				cl := broker.Client(t, append(opts, kgo.ProducerBatchCompression(compression), kgo.DefaultProduceTopic(topic))...)
				sent := records(500)
				produce(t, cl, sent)
				equal(t, sent, consume(t, topic, len(sent)))
			})
		}
	}
}

// TestOldProduce writes and reads as clients of older Kafka versions do.
func TestOldProduce(t *testing.T) {
	for name, version := range map[string]*kversion.Versions{
		"0.11": kversion.V0_11_0(), "1.0": kversion.V1_0_0(), "2.1": kversion.V2_1_0(), "2.8": kversion.V2_8_0(), "3.5": kversion.V3_5_0(), "4.0": kversion.V4_0_0(),
	} {
		t.Run(name, func(t *testing.T) {
			topic := broker.Topic(t, 2)
			opts := []kgo.Opt{kgo.MaxVersions(version), kgo.DefaultProduceTopic(topic)}
			sent := records(100)
			produce(t, broker.Client(t, opts...), sent)
			equal(t, sent, consume(t, topic, len(sent), opts...))
		})
	}
}

// TestKeys expects a key's records in one partition and records without a key in every partition: of those the
// client sends 64 KiB to one before it chooses another.
func TestKeys(t *testing.T) {
	topic := broker.Topic(t, 3)
	cl := broker.Client(t, kgo.DefaultProduceTopic(topic))
	seen := map[string]int32{}
	var unkeyed []int32
	for i := range 60 {
		for _, r := range produce(t, cl, []*kgo.Record{{Key: fmt.Appendf(nil, "key-%d", i%6), Value: []byte("v")}, {Value: make([]byte, 64<<10)}}) {
			if r.Key == nil {
				unkeyed = append(unkeyed, r.Partition)
			} else if p, ok := seen[string(r.Key)]; ok && p != r.Partition {
				t.Errorf("key %s went to partition %d and to %d", r.Key, p, r.Partition)
			} else {
				seen[string(r.Key)] = r.Partition
			}
		}
	}
	slices.Sort(unkeyed)
	if got := slices.Compact(unkeyed); len(got) != 3 {
		t.Errorf("records without a key went to partitions %v only", got)
	}
}

// TestAutoCreate produces to a topic that is not there.
func TestAutoCreate(t *testing.T) {
	topic := broker.Name(t)
	cl := broker.Client(t, kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(topic))
	sent := records(10)
	produce(t, cl, sent)
	equal(t, sent, consume(t, topic, len(sent)))
}

// TestLargeRecords fills several batches of the greatest size, and expects a greater one to be refused.
func TestLargeRecords(t *testing.T) {
	topic := broker.Topic(t, 1)
	cl := broker.Client(t, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()))
	var sent []*kgo.Record
	for i := range 8 {
		sent = append(sent, &kgo.Record{Key: fmt.Appendf(nil, "%d", i), Value: make([]byte, 900_000)})
	}
	produce(t, cl, sent)
	equal(t, sent, consume(t, topic, len(sent)))

	big := broker.Client(t, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(4<<20), kgo.BrokerMaxWriteBytes(8<<20))
	if err := big.ProduceSync(broker.Context(t), &kgo.Record{Value: make([]byte, 2<<20)}).FirstErr(); err == nil {
		t.Error("a batch of 2 MiB was accepted by a topic with max.message.bytes=1048588")
	}
}

// records returns n records with and without keys, values and headers.
func records(n int) []*kgo.Record {
	out := make([]*kgo.Record, n)
	for i := range out {
		r := &kgo.Record{Value: fmt.Appendf(nil, "value %d, long enough to be worth compressing, worth compressing", i)}
		switch i % 4 {
		case 1:
			r.Key = fmt.Appendf(nil, "key %d", i%10)
		case 2:
			r.Key, r.Headers = []byte{}, []kgo.RecordHeader{{Key: "n", Value: fmt.Appendf(nil, "%d", i)}, {Key: "empty"}}
		case 3:
			r.Key, r.Value = fmt.Appendf(nil, "deleted %d", i), nil
		}
		out[i] = r
	}
	return out
}

func produce(t *testing.T, cl *kgo.Client, rs []*kgo.Record) []*kgo.Record {
	t.Helper()
	if err := cl.ProduceSync(broker.Context(t), rs...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
	return rs
}

// consume reads n records of a topic from its start.
func consume(t *testing.T, topic string, n int, opts ...kgo.Opt) []*kgo.Record {
	t.Helper()
	opts = append([]kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500_000_000)}, opts...)
	return poll(t, broker.Client(t, opts...), n)
}

// poll reads n records and fails if there are fewer.
func poll(t *testing.T, cl *kgo.Client, n int) (out []*kgo.Record) {
	t.Helper()
	ctx := broker.Context(t)
	for len(out) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			if ctx.Err() == context.DeadlineExceeded {
				t.Fatalf("%d records of %d came", len(out), n)
			}
			t.Fatalf("consume: %v", err)
		}
		out = append(out, fs.Records()...)
	}
	if len(out) > n {
		t.Fatalf("%d records came, not %d", len(out), n)
	}
	return out
}

// equal compares what was sent with what was read, partition by partition, in order. Each partition must
// keep the order of sending; what acks=0 does not tell, such as offsets, is not compared.
func equal(t *testing.T, sent, got []*kgo.Record) {
	t.Helper()
	text := func(r *kgo.Record) string { return fmt.Sprintf("%q %q %q", r.Key, r.Value, r.Headers) }
	split := func(rs []*kgo.Record) map[int32][]string {
		m := map[int32][]string{}
		for _, r := range rs {
			m[r.Partition] = append(m[r.Partition], text(r)+fmt.Sprint(r.Key == nil, r.Value == nil))
		}
		return m
	}
	a, b := split(sent), split(got)
	if len(a) != len(b) {
		t.Errorf("sent to %d partitions, read from %d", len(a), len(b))
	}
	for p := range a {
		if !slices.Equal(a[p], b[p]) {
			t.Errorf("partition %d: sent %d records, read %d that differ", p, len(a[p]), len(b[p]))
		}
	}
}
