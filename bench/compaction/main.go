// Command compaction measures what compaction does to a topic, and to others meanwhile, over the network against any broker:
//
//	go run ./bench/compaction -bootstrap HOST:PORT [-updates 1000000] [-keys 10000] [-size 100]
//
// It writes the updates into a compacted topic and checks that nothing but the newest record of each key stays, at its offset; it
// deletes a tenth of the keys and checks that their tombstones go after their time. While that goes on a second topic gets small
// batches at a steady rate, whose latency it compares with that of a quiet broker. It owns the two topics, which it makes and
// removes, and touches nothing else. How long it waits for the cleaner depends on the broker's log.cleaner.backoff.ms.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type options struct {
	bootstrap           string
	updates, keys, size int
	segment             int
	retention           time.Duration
	wait                time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bootstrap, "bootstrap", "127.0.0.1:9092", "broker")
	flag.IntVar(&o.updates, "updates", 1_000_000, "records to write")
	flag.IntVar(&o.keys, "keys", 10_000, "keys they are of")
	flag.IntVar(&o.size, "size", 100, "bytes of a value")
	flag.IntVar(&o.segment, "segment", 16<<20, "segment.bytes of the compacted topic")
	flag.DurationVar(&o.retention, "retention", 5*time.Second, "delete.retention.ms of the compacted topic")
	flag.DurationVar(&o.wait, "wait", 3*time.Minute, "how long to wait for the cleaner at most")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "compaction:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	options
	client *kgo.Client
	admin  *kadm.Client
	topic  string
	probed string
	newest []int64 // by key, the offset of its newest record; -1 once that is a tombstone
	end    int64
}

func run(ctx context.Context, o options) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(o.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(64<<10))
	if err != nil {
		return err
	}
	defer client.Close()
	name := fmt.Sprintf("bench-compaction-%d", time.Now().UnixNano())
	b := &bench{options: o, client: client, admin: kadm.NewClient(client), topic: name, probed: name + "-probe", newest: make([]int64, o.keys)}
	if err := b.create(ctx); err != nil {
		return err
	}
	defer b.admin.DeleteTopics(context.WithoutCancel(ctx), b.topic, b.probed)
	began := time.Now()
	if err := b.update(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("wrote      %d updates of %d keys in %v\n", o.updates, o.keys, took.Round(time.Millisecond))
	quiet, err := b.probe(ctx, 5*time.Second)
	if err != nil {
		return err
	}
	fmt.Printf("quiet      %v\n", quiet)
	if err := b.compact(ctx); err != nil {
		return err
	}
	return b.tombstones(ctx)
}

func text(s string) *string { return &s }

func (b *bench) create(ctx context.Context) error {
	_, err := b.admin.CreateTopic(ctx, 1, 1, map[string]*string{
		"cleanup.policy": text("compact"), "segment.bytes": text(fmt.Sprint(b.segment)), "min.cleanable.dirty.ratio": text("1.0"),
		"delete.retention.ms": text(fmt.Sprint(b.retention.Milliseconds())),
	}, b.topic)
	if err != nil {
		return fmt.Errorf("create %s: %w", b.topic, err)
	}
	if _, err := b.admin.CreateTopic(ctx, 1, 1, nil, b.probed); err != nil {
		return fmt.Errorf("create %s: %w", b.probed, err)
	}
	return nil
}

func (b *bench) key(k int) []byte { return fmt.Appendf(nil, "key-%08d", k) }

// put writes one record; its value begins with its number.
func (b *bench) put(ctx context.Context, key int, value []byte, failed chan error) {
	b.newest[key] = b.end
	if value == nil {
		b.newest[key] = -1
	} else {
		binary.BigEndian.PutUint64(value, uint64(b.end))
	}
	b.end++
	b.client.Produce(ctx, &kgo.Record{Topic: b.topic, Key: b.key(key), Value: value}, func(_ *kgo.Record, err error) {
		if err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	})
}

func (b *bench) update(ctx context.Context) error {
	failed := make(chan error, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	for range b.updates {
		value := make([]byte, max(b.size, 8))
		for i := 8; i < len(value); i++ {
			value[i] = byte('a' + rng.IntN(26))
		}
		b.put(ctx, rng.IntN(b.keys), value, failed)
	}
	return b.flush(ctx, failed)
}

func (b *bench) flush(ctx context.Context, failed chan error) error {
	if err := b.client.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return fmt.Errorf("produce: %w", err)
	default:
		return nil
	}
}

// set changes settings of the compacted topic.
func (b *bench) set(ctx context.Context, name, value string) error {
	answers, err := b.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: text(value)}}, b.topic)
	if err == nil {
		_, err = answers.On(b.topic, nil)
	}
	if err != nil {
		return fmt.Errorf("set %s of %s: %w", name, b.topic, err)
	}
	return nil
}
