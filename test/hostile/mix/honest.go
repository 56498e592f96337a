package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	recordSize  = flag.Int("record", 16, "bytes of a record of the honest producer")
	durability  = flag.String("durability", "disk", "of a Moldau's topics: disk, or memory, which leaves out how fast the disk syncs")
	outstanding = flag.Int("outstanding", 500, "records of it that may wait for their acknowledgement") // so that these, and not the disk, bound the rate
)

// The honest clients: a producer of acks=all that sends a record for each that is acknowledged, a consumer behind it, and a third that sends a
// record every 20 ms and notes how long its acknowledgement takes.
const (
	topic      = "honest"
	probed     = "probed"
	partitions = 3
	probeEvery = 20 * time.Millisecond
)

type honest struct {
	producer, consumer, prober *kgo.Client
	end                        context.CancelFunc
	running                    sync.WaitGroup

	sent     [partitions]int64 // next number of each partition; the producer's alone
	acked    [partitions]atomic.Int64
	received [partitions]atomic.Int64 // the consumer has seen all numbers below
	produced atomic.Int64
	consumed atomic.Int64
	stopped  atomic.Bool // no more is produced
	wrong    atomic.Pointer[error]

	mu    sync.Mutex // guards times
	times []time.Duration
}

func newHonest(ctx context.Context, addr string) (*honest, error) {
	h := &honest{}
	var err error
	client := func(opts ...kgo.Opt) *kgo.Client {
		if err != nil {
			return nil
		}
		var c *kgo.Client
		c, err = kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordDeliveryTimeout(5*time.Minute))...)
		return c
	}
	h.producer = client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(*outstanding))
	h.prober = client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	h.consumer = client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	admin := kadm.NewClient(h.producer)
	keep, segment := strconv.Itoa(1<<30), strconv.Itoa(64<<20)
	for name, n := range map[string]int32{topic: partitions, probed: 1} {
		if _, err := admin.CreateTopic(ctx, n, 1, map[string]*string{"retention.bytes": &keep, "segment.bytes": &segment}, name); err != nil {
			return nil, fmt.Errorf("create %s: %w", name, err)
		}
	}
	run, end := context.WithCancel(ctx)
	h.end = end
	h.running.Go(func() { h.produce(run) })
	h.running.Go(func() { h.consume(run) })
	h.running.Go(func() { h.probe(run) })
	return h, nil
}

func (h *honest) close() {
	h.end()
	for _, c := range []*kgo.Client{h.producer, h.consumer, h.prober} {
		c.Close() // what it has sent would be waited for otherwise, however long the broker is silent
	}
	h.running.Wait()
}

func (h *honest) fail(err error) { h.wrong.CompareAndSwap(nil, &err) }

func (h *honest) failed() error {
	if err := h.wrong.Load(); err != nil {
		return *err
	}
	return nil
}

func (h *honest) produce(ctx context.Context) {
	value := make([]byte, *recordSize)
	for i := range value {
		value[i] = byte(i * 7)
	}
	for p := 0; !h.stopped.Load() && ctx.Err() == nil; p = (p + 1) % partitions {
		v := slices.Clone(value)
		binary.BigEndian.PutUint64(v, uint64(h.sent[p]))
		h.sent[p]++
		h.producer.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(p), Value: v}, func(r *kgo.Record, err error) {
			switch {
			case err == nil:
				h.acked[r.Partition].Store(int64(binary.BigEndian.Uint64(r.Value)) + 1) // the client tells them in order
				h.produced.Add(1)
			case ctx.Err() == nil:
				h.fail(fmt.Errorf("an honest record is refused: %w", err))
			}
		})
	}
}

func (h *honest) consume(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := h.consumer.PollFetches(ctx)
		fetches.EachError(func(_ string, p int32, err error) {
			if ctx.Err() == nil && !kerr.IsRetriable(err) {
				h.fail(fmt.Errorf("the honest consumer of partition %d is refused: %w", p, err))
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			n, want := int64(binary.BigEndian.Uint64(r.Value)), h.received[r.Partition].Load()
			if n != want {
				h.fail(fmt.Errorf("partition %d offset %d has record %d, want %d", r.Partition, r.Offset, n, want))
			}
			h.received[r.Partition].Store(n + 1)
			h.consumed.Add(1)
		})
	}
}

func (h *honest) probe(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		err := h.prober.ProduceSync(ctx, &kgo.Record{Topic: probed, Value: []byte("are you there?")}).FirstErr()
		took := time.Since(began)
		if err != nil && ctx.Err() == nil {
			h.fail(fmt.Errorf("the probe is refused: %w", err))
			return
		}
		h.mu.Lock()
		h.times = append(h.times, took)
		h.mu.Unlock()
	}
}

// figures are what the honest clients did in a while.
type figures struct {
	produced, consumed float64 // records a second
	worst              float64 // of the seconds
	p50, p99, longest  time.Duration
	// Processor time, in cores: of the broker, of the honest clients and of the attackers.
	broker, own, others float64
}

func (f figures) String() string {
	return fmt.Sprintf("produced %.0f/s (%.0f in the worst second), consumed %.0f/s, probe p50 %s, p99 %s, at most %s; cores %.2f broker, %.2f honest, %.2f attackers",
		f.produced, f.worst, f.consumed, millis(f.p50), millis(f.p99), millis(f.longest), f.broker, f.own, f.others)
}

func (h *honest) measure(ctx context.Context, d time.Duration) (figures, error) {
	h.mu.Lock()
	h.times = nil
	h.mu.Unlock()
	began, produced, consumed := time.Now(), h.produced.Load(), h.consumed.Load()
	worst := -1.0
	for last, from := began, produced; time.Since(began) < d; {
		if err := pause(ctx, time.Second); err != nil {
			return figures{}, err
		}
		if err := h.failed(); err != nil {
			return figures{}, err
		}
		now, n := time.Now(), h.produced.Load()
		rate := float64(n-from) / now.Sub(last).Seconds()
		if worst < 0 || rate < worst {
			worst = rate
		}
		if *verbose {
			fmt.Printf("  %4.0f s: %.0f/s\n", now.Sub(began).Seconds(), rate)
		}
		last, from = now, n
	}
	took := time.Since(began).Seconds()
	f := figures{produced: float64(h.produced.Load()-produced) / took, consumed: float64(h.consumed.Load()-consumed) / took, worst: worst}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.times); n > 0 {
		slices.Sort(h.times)
		f.p50, f.p99, f.longest = h.times[n/2], h.times[n*99/100], h.times[n-1]
	}
	return f, nil
}

func (h *honest) acknowledged() (n int64) {
	for i := range h.acked {
		n += h.acked[i].Load()
	}
	return n
}

// finish lets the producer end and the consumer catch up, and returns how many acknowledged records it did not see.
func (h *honest) finish(ctx context.Context) (lost int64, err error) {
	h.stopped.Store(true)
	if err := h.producer.Flush(ctx); err != nil {
		return 0, err
	}
	for range 60 {
		lost = 0
		for i := range h.acked {
			lost += max(0, h.acked[i].Load()-h.received[i].Load())
		}
		if lost == 0 {
			break
		}
		if err := pause(ctx, time.Second); err != nil {
			return lost, err
		}
	}
	return lost, h.failed()
}
