package crash

import (
	"context"
	"fmt"
	"math/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const tableKeys = 50 // of each producer

// table is a compacted topic with some idempotent producers, each of which counts up in keys of its own. They must go on with their
// sequences over what compaction took away.
type table struct {
	addr      string
	topic     string
	acks      atomic.Int64
	failed    atomic.Pointer[error]
	alive     context.Context
	abort     context.CancelFunc
	producers []*tableProducer
	kept      int // records that were read last
}

// tableProducer's numbers are its goroutine's, and for others while that does not run.
type tableProducer struct {
	client *kgo.Client
	next   int64
	acked  [tableKeys]int64 // newest value
	offset [tableKeys]int64 // and where it is
}

func newTable(t *testing.T, addr string, random *rand.Rand) *table {
	t.Helper()
	tb := &table{addr: addr, topic: fmt.Sprintf("crash-table-%d", random.Int63())}
	tb.alive, tb.abort = context.WithCancel(context.Background())
	t.Cleanup(tb.abort)
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append((&workers{addr: addr}).options(), opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	compact, small := "compact", "20000"
	if _, err := kadm.NewClient(client()).CreateTopic(tb.alive, 1, -1, map[string]*string{"cleanup.policy": &compact, "internal.segment.bytes": &small}, tb.topic); err != nil {
		t.Fatalf("create topic: %v", err)
	}
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		tb.producers = append(tb.producers, &tableProducer{client: client(kgo.DefaultProduceTopic(tb.topic), kgo.ProducerBatchCompression(codec),
			kgo.ProducerBatchMaxBytes(4000), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(500), kgo.StopProducerOnDataLossDetected())})
	}
	return tb
}

// run produces as long as during takes, and until all of it is acknowledged.
func (tb *table) run(during func()) {
	ctx, cancel := context.WithCancel(tb.alive)
	var wg sync.WaitGroup
	for i, p := range tb.producers {
		wg.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				p.next++
				tb.produce(i, p, p.next)
				<-tick.C
			}
			flushing, cancel := context.WithTimeout(tb.alive, 2*time.Minute)
			defer cancel()
			if err := p.client.Flush(flushing); err != nil {
				err = fmt.Errorf("producer %d: flush: %w", i, err)
				tb.failed.CompareAndSwap(nil, &err)
			}
		})
	}
	finished := false
	defer func() {
		if !finished {
			tb.abort()
		}
		cancel()
		wg.Wait()
	}()
	during()
	finished = true
}

func (tb *table) produce(i int, p *tableProducer, n int64) {
	k := int(n*n) % tableKeys // some keys never, some often
	p.client.Produce(tb.alive, &kgo.Record{Key: fmt.Appendf(nil, "%d-%d", i, k), Value: strconv.AppendInt(nil, n, 10)}, func(r *kgo.Record, err error) {
		if err != nil {
			err = fmt.Errorf("producer %d: value %d: %w", i, n, err)
			tb.failed.CompareAndSwap(nil, &err)
			return
		}
		p.acked[k], p.offset[k] = n, r.Offset // in order: promises of a client come one by one
		tb.acks.Add(1)
	})
}

// check reads the topic while no producer runs: the newest value of every key is there, at the offset that was acknowledged, no value
// twice, and the values of a key in order.
func (tb *table) check(t *testing.T) {
	t.Helper()
	tb.kept = 0
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
			tb.kept++
		})
	}
	for i, p := range tb.producers {
		for k, n := range p.acked {
			if key := fmt.Sprintf("%d-%d", i, k); n > 0 && (value[key] != n || offset[key] != p.offset[k]) {
				t.Errorf("key %s: newest is %d at offset %d, %d was acknowledged at offset %d", key, value[key], offset[key], n, p.offset[k])
			}
		}
	}
}
