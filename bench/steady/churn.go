package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/bench/node"
)

const (
	// guestsMax bounds those that are there at the same time: a broker that is slower than they come is one that fails.
	guestsMax = 500
	// clearing is how long after the last guest the broker is looked at once more: deleted topics have gone from the disk then.
	clearing = 45 * time.Second
	resident = "resident" // the topic that stays
)

// crowd is those who come and go.
type crowd struct {
	broker  *node.Broker
	number  atomic.Int64
	there   atomic.Int64
	done    atomic.Int64
	failed  atomic.Int64
	first   atomic.Pointer[error] // of the failures
	waiting sync.WaitGroup
}

func churn(ctx context.Context, o options) error {
	// What is kept for clients that have gone is kept for a minute, so that an hour shows whether it goes.
	return onBroker(o, func(b *node.Broker) error { return churnOn(ctx, o, b) },
		"group.initial.rebalance.delay.ms=0", "log.retention.check.interval.ms=10000",
		"log.segment.delete.delay.ms=10000", "log.cleaner.backoff.ms=5000", "producer.id.expiration.ms=60000",
		"offsets.retention.minutes=1", "offsets.retention.check.interval.ms=10000")
}

func churnOn(ctx context.Context, o options, b *node.Broker) error {
	if err := node.CreateTopic(ctx, b.Addr, resident, 4, 1, map[string]string{"segment.bytes": "1048576", "retention.bytes": "4194304"}); err != nil {
		return err
	}
	cr := &crowd{broker: b}
	cr.let(ctx, cr.visit) // so that all parts that work on demand are there
	cr.waiting.Wait()
	time.Sleep(time.Second)
	before, err := look(ctx, b)
	if err != nil {
		return err
	}
	fmt.Printf("%8s %9s %9s %11s %12s %12s %8s %9s\n", "minute", "RSS, MB", "heap, MB", "goroutines", "descriptors", "connections", "topics", "visitors")
	fmt.Printf("%8s %v %8s\n", "before", before, "-")
	minutes, err := cr.comeAndGo(ctx, o)
	cr.waiting.Wait()
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(clearing):
	}
	after, err := look(ctx, b)
	if err != nil {
		return err
	}
	fmt.Printf("%8s %v %8s\n", "after", after, "-")
	verdict := judge(minutes, before, after)
	if n := cr.failed.Load(); n > 0 {
		verdict = errors.Join(verdict, fmt.Errorf("%d guests failed, one with: %w", n, *cr.first.Load()))
	}
	return verdict
}

// comeAndGo lets guests come at their rates and returns what the broker took, minute by minute.
func (cr *crowd) comeAndGo(ctx context.Context, o options) (minutes []sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.time)
	defer cancel()
	var coming sync.WaitGroup
	coming.Go(func() { cr.at(ctx, o.visitors, cr.visit) })
	coming.Go(func() { cr.at(ctx, o.callers, cr.call) })
	coming.Go(func() { minutes, err = cr.watch(ctx) })
	coming.Wait()
	return minutes, err
}

// at lets guests in at a rate, until ctx ends. They are seen to their end.
func (cr *crowd) at(ctx context.Context, rate float64, guest func(context.Context, int64) error) {
	if rate <= 0 {
		return
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			cr.let(context.WithoutCancel(ctx), guest)
		}
	}
}

// let lets one guest in.
func (cr *crowd) let(ctx context.Context, guest func(context.Context, int64) error) {
	if cr.there.Load() >= guestsMax {
		cr.fail(fmt.Errorf("%d guests are there already", guestsMax))
		return
	}
	cr.there.Add(1)
	n := cr.number.Add(1)
	cr.waiting.Go(func() {
		defer cr.there.Add(-1)
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := guest(ctx, n); err != nil {
			cr.fail(fmt.Errorf("guest %d: %w", n, err))
		}
	})
}

func (cr *crowd) fail(err error) {
	cr.failed.Add(1)
	cr.first.CompareAndSwap(nil, &err)
}

// visitRecords is what a visitor writes and reads.
const visitRecords = 50

// visit is a client that makes a topic, writes it with a producer id of its own, reads it as a group, and removes both.
func (cr *crowd) visit(ctx context.Context, n int64) error {
	name := fmt.Sprintf("visitor-%d", n)
	client, err := kgo.NewClient(kgo.SeedBrokers(cr.broker.Addr), kgo.ClientID(name), kgo.ConsumerGroup(name), kgo.ConsumeTopics(name),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, name); err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	value := make([]byte, 500)
	records := []*kgo.Record{{Topic: resident, Value: value}}
	for range visitRecords {
		records = append(records, &kgo.Record{Topic: name, Value: value})
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	for got := 0; got < visitRecords; {
		f := client.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		got += f.NumRecords()
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := client.LeaveGroupContext(ctx); err != nil {
		return fmt.Errorf("leave the group: %w", err)
	}
	if _, err := admin.DeleteGroup(ctx, name); err != nil {
		return fmt.Errorf("delete group: %w", err)
	}
	if _, err := admin.DeleteTopic(ctx, name); err != nil {
		return fmt.Errorf("delete topic: %w", err)
	}
	cr.done.Add(1)
	return nil
}

// call is a connection that ends in one of the ways in which connections end.
func (cr *crowd) call(ctx context.Context, n int64) error {
	c, err := node.Dial(cr.broker.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Versions(); err != nil {
		return fmt.Errorf("ask for versions: %w", err)
	}
	switch n % 5 {
	case 0: // in the middle of a request
		frame := c.Frame(node.Produce(resident, 0, 1, node.Batch(8, 100, 0)))
		_, err := c.Write(frame[:len(frame)/2])
		return err
	case 1: // while a fetch waits for records
		return c.Send(node.Fetch(resident, 3, 1<<40, 1<<20, 30*time.Second))
	case 2: // with something that is no request
		_, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		return err
	case 3: // after having been silent
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Second):
		}
		_, err := c.Metadata(resident)
		return err
	}
	_, err = c.Metadata(resident)
	return err
}
