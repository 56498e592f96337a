package crash

import (
	"context"
	"fmt"
	"math/rand"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKillUnderCompactedTopic kills the broker while idempotent producers write to a topic that is compacted all the time. They must go on
// with their sequences over what compaction took away; the newest value of every key must be there, at the offset that was acknowledged,
// no value twice, and the values of a key in order.
func TestKillUnderCompactedTopic(t *testing.T) {
	t.Logf("seed %d", *seed)
	random := rand.New(rand.NewSource(*seed))
	p := newProcess(t)
	p.configure(t, eager)
	p.start(t)
	table := newTable(t, p.addr, random)
	for round := 1; round <= *rounds; round++ {
		more := table.acks.Load() + 2000 + random.Int63n(8000)
		table.await(t, more)
		p.kill(t)
		p.start(t)
		table.await(t, table.acks.Load()+500)
		if t.Failed() {
			t.Fatalf("round %d failed; again with -seed %d", round, *seed)
		}
	}
	table.stop()
	acked := table.acks.Load()
	kept := table.check(t)
	for deadline := time.Now().Add(time.Minute); p.exe != "" && int64(kept) > acked/2; kept = table.check(t) { // the cleaner may be behind
		if time.Now().After(deadline) {
			t.Fatalf("%d records are left of %d: hardly any were compacted away", kept, acked)
		}
	}
	p.kill(t)
	p.start(t)
	if again := table.check(t); again > kept {
		t.Errorf("%d records after the last kill, there were %d", again, kept)
	}
	t.Logf("%d records acknowledged, %d left, %d kills", acked, kept, *rounds)
}

const tableKeys = 50 // of each producer

// table is a compacted topic with some producers, each of which counts up in keys of its own.
type table struct {
	addr      string
	topic     string
	acks      atomic.Int64
	failed    atomic.Pointer[error]
	cancel    context.CancelFunc
	done      []chan struct{}
	producers []*tableProducer
}

// tableProducer's fields are its goroutine's, and for others once that ended.
type tableProducer struct {
	acked  [tableKeys]int64 // newest value
	offset [tableKeys]int64 // and where it is
}

func newTable(t *testing.T, addr string, random *rand.Rand) *table {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb := &table{addr: addr, topic: fmt.Sprintf("crash-table-%d", random.Int63()), cancel: cancel}
	t.Cleanup(tb.stop)
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append((&workers{addr: addr}).options(), opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	compact, small := "compact", "20000"
	if _, err := kadm.NewClient(client()).CreateTopic(ctx, 1, 1, map[string]*string{"cleanup.policy": &compact, "internal.segment.bytes": &small}, tb.topic); err != nil {
		t.Fatalf("create topic: %v", err)
	}
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		cl := client(kgo.DefaultProduceTopic(tb.topic), kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(4000), kgo.ProducerLinger(0),
			kgo.MaxBufferedRecords(500), kgo.StopProducerOnDataLossDetected())
		producer, done := &tableProducer{}, make(chan struct{})
		tb.producers, tb.done = append(tb.producers, producer), append(tb.done, done)
		go func() {
			defer close(done)
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for n := int64(1); ctx.Err() == nil; n++ {
				k := int(n*n) % tableKeys // some keys never, some often
				cl.Produce(context.Background(), &kgo.Record{Key: fmt.Appendf(nil, "%d-%d", i, k), Value: strconv.AppendInt(nil, n, 10)}, func(r *kgo.Record, err error) {
					if err != nil {
						err = fmt.Errorf("producer %d: value %d: %w", i, n, err)
						tb.failed.CompareAndSwap(nil, &err)
						return
					}
					producer.acked[k], producer.offset[k] = n, r.Offset // in order: promises of a client come one by one
					tb.acks.Add(1)
				})
				<-tick.C
			}
			flushing, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			if err := cl.Flush(flushing); err != nil {
				err = fmt.Errorf("producer %d: flush: %w", i, err)
				tb.failed.CompareAndSwap(nil, &err)
			}
		}()
	}
	return tb
}

func (tb *table) stop() {
	tb.cancel()
	for _, done := range tb.done {
		<-done
	}
}

func (tb *table) await(t *testing.T, n int64) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); tb.acks.Load() < n; <-time.After(5 * time.Millisecond) {
		if err := tb.failed.Load(); err != nil {
			t.Fatal(*err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d records are acknowledged", tb.acks.Load(), n)
		}
	}
}

// check reads the topic, once its producers have ended, and returns how many records it holds.
func (tb *table) check(t *testing.T) (records int) {
	t.Helper()
	if err := tb.failed.Load(); err != nil {
		t.Fatal(*err)
	}
	cl, err := kgo.NewClient(append((&workers{addr: tb.addr}).options(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{tb.topic: {0: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, tb.topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(tb.topic, 0)
	value, offset := map[string]int64{}, map[string]int64{}
	for next := int64(0); next < end.Offset; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read up to offset %d of %d", next, end.Offset)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			n, err := strconv.ParseInt(string(r.Value), 10, 64)
			if key := string(r.Key); err != nil || n <= value[key] || r.Offset < next {
				t.Errorf("key %s: value %q at offset %d, after %d at offset %d", key, r.Value, r.Offset, value[key], offset[key])
			} else {
				value[key], offset[key] = n, r.Offset
			}
			next = r.Offset + 1
			records++
		})
	}
	for i, p := range tb.producers {
		for k, n := range p.acked {
			if key := fmt.Sprintf("%d-%d", i, k); n > 0 && (value[key] != n || offset[key] != p.offset[k]) {
				t.Errorf("key %s: newest is %d at offset %d, %d was acknowledged at offset %d", key, value[key], offset[key], n, p.offset[k])
			}
		}
	}
	return records
}
