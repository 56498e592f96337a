package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/bench/node"
)

const (
	recordBytes = 1 << 10
	tableKeys   = 20_000
	// warmUp is how long producers send at full speed before that counts.
	warmUp = 2 * time.Second
)

// What may not be exceeded.
const (
	p99Times = 2.0
	gcShare  = 0.02
)

// loadTest is one run of the first kind.
type loadTest struct {
	options
	broker *node.Broker
	batch  []byte
}

func load(ctx context.Context, o options) error {
	return onBroker(o, func(b *node.Broker) error {
		t := &loadTest{options: o, broker: b, batch: node.Batch(o.batch, recordBytes, 0)}
		return t.run(ctx)
	}, "log.durability="+o.durability, "log.retention.check.interval.ms=5000", "log.segment.delete.delay.ms=1000", "log.cleaner.backoff.ms=1000")
}

func (t *loadTest) run(ctx context.Context) error {
	mb := float64(len(t.batch)) / 1e6
	rate := t.rate / float64(len(t.batch))
	if rate == 0 {
		most, err := t.findMaximum(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("maximum: %.0f MB/s, %.0f requests/s\n", most*mb, most)
		rate = t.share * most
	}
	if err := t.prepare(ctx); err != nil {
		return err
	}
	offered := t.offer("load", rate)
	before, err := t.broker.Metrics(ctx)
	if err != nil {
		return err
	}
	quiet, err := offered.run(ctx, t.quiet, nil)
	if err != nil {
		return err
	}
	after, err := t.broker.Metrics(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("quiet:   %.0f MB/s for %v: %v, %s\n", offered.rate*mb, t.quiet, quiet, syncs(before, after))
	busy, verdict, err := t.busy(ctx, offered)
	if err != nil {
		return err
	}
	fmt.Printf("busy:    %.0f MB/s for %v: %v\n", offered.rate*mb, t.time, busy)
	times := float64(busy.quantile(.99)) / float64(quiet.quantile(.99))
	fmt.Printf("p99 with all that: %.2f x the quiet one (%.1f x at most)\n", times, p99Times)
	if times > p99Times {
		verdict = errors.Join(verdict, fmt.Errorf("p99 is %.2f x the quiet one", times))
	}
	return verdict
}

func (t *loadTest) offer(topic string, rate float64) offer {
	return offer{addr: t.broker.Addr, topic: topic, producers: t.producers, acks: int16(t.acks), batch: t.batch, rate: rate}
}

// findMaximum returns how many requests a second are answered at full speed, on a topic that goes afterwards.
func (t *loadTest) findMaximum(ctx context.Context) (float64, error) {
	if err := node.CreateTopic(ctx, t.broker.Addr, "maximum", int32(t.producers), 1, nil); err != nil {
		return 0, err
	}
	full := t.offer("maximum", 0)
	if _, err := full.run(ctx, warmUp, nil); err != nil {
		return 0, err
	}
	h, err := full.run(ctx, t.maximum, nil)
	if err != nil {
		return 0, err
	}
	err = t.asAdmin(func(admin *kadm.Client) error { _, err := admin.DeleteTopic(ctx, "maximum"); return err })
	return float64(h.total()) / t.maximum.Seconds(), err
}

func (t *loadTest) asAdmin(do func(*kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.broker.Addr))
	if err != nil {
		return err
	}
	defer client.Close()
	return do(kadm.NewClient(client))
}

// prepare makes the topics, writes the cold one, and waits until the disk is at rest.
func (t *loadTest) prepare(ctx context.Context) error {
	for topic, settings := range map[string]map[string]string{
		"load":  {"segment.bytes": fmt.Sprint(t.segment)},
		"cold":  nil,
		"table": {"cleanup.policy": "compact", "segment.bytes": fmt.Sprint(16 << 20), "min.cleanable.dirty.ratio": "0.01"},
	} {
		partitions := int32(1)
		if topic == "load" {
			partitions = int32(t.producers)
		}
		if err := node.CreateTopic(ctx, t.broker.Addr, topic, partitions, 1, settings); err != nil {
			return err
		}
	}
	if err := t.fill(ctx, "cold", t.cold); err != nil {
		return err
	}
	if err := atRest(ctx); err != nil {
		return err
	}
	return t.coldReader().evictAll(t.cold)
}

func (t *loadTest) coldReader() *coldReader {
	return &coldReader{addr: t.broker.Addr, topic: "cold", data: t.broker.Data, rate: t.coldRate}
}

// fill appends so many bytes to the only partition of a topic.
func (t *loadTest) fill(ctx context.Context, topic string, n int64) error {
	c, err := node.Dial(t.broker.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	batch := node.Batch(900, recordBytes, 0)
	for ; n > 0 && ctx.Err() == nil; n -= int64(len(batch)) {
		if _, err := c.Ask(node.Produce(topic, 0, 1, batch)); err != nil {
			return fmt.Errorf("fill %s: %w", topic, err)
		}
	}
	return ctx.Err()
}

// busy is the load with retention, compaction and a reader of cold data beside it. What does not hold is in verdict.
func (t *loadTest) busy(ctx context.Context, offered offer) (h *hist, verdict, err error) {
	retention := fmt.Sprint(t.retention)
	if err := t.asAdmin(func(admin *kadm.Client) error {
		_, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.bytes", Value: &retention}}, "load")
		return err
	}); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cold := t.coldReader()
	updates := offer{addr: t.broker.Addr, topic: "table", producers: 1, acks: int16(t.acks), batch: node.Batch(100, recordBytes, tableKeys), rate: t.updates / 100}
	var beside sync.WaitGroup
	var coldErr, updateErr error
	beside.Go(func() {
		if coldErr = cold.run(ctx); coldErr != nil {
			cancel()
		}
	})
	beside.Go(func() {
		if _, updateErr = updates.run(ctx, t.time+time.Hour, nil); ctx.Err() == nil {
			cancel()
		} else if errors.Is(updateErr, context.Canceled) {
			updateErr = nil
		}
	})
	w, err := newWatch(ctx, t.broker, cold)
	if err == nil {
		h, err = offered.run(ctx, t.time, w.request)
	}
	cancel()
	beside.Wait()
	if err = errors.Join(err, coldErr, updateErr); err != nil {
		return nil, nil, err
	}
	verdict, err = w.end()
	return h, verdict, err
}
