package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// rates are the scenarios that last: what a throttled client gets, and what another one beside it notices.
func rates(length time.Duration) []scenario {
	const quota = 2_000_000
	return []scenario{
		{"produce at 2 MB/s", func(ctx context.Context, b *broker) ([]figure, error) {
			return besides(b, length, quota, "producer_byte_rate", func(c *conn, topic string, _ int64) (int, int64, error) {
				req := produceOf(topic, 1, 50_000)
				_, err := c.ask(produceVersion, req)
				return 50_000, 0, err
			})
		}},
		{"fetch at 2 MB/s", func(ctx context.Context, b *broker) ([]figure, error) {
			return besides(b, length, quota, "consumer_byte_rate", func(c *conn, topic string, at int64) (int, int64, error) {
				resp, err := c.ask(fetchVersion, fetchOf(topic, at, 100_000))
				if err != nil {
					return 0, at, err
				}
				n := recordBytes(resp.(*kmsg.FetchResponse))
				return n, (at + int64(n)/10_000) % 40, nil
			})
		}},
	}
}

// besides runs a greedy client under a quota, and beside it one without, whose requests it times; before that, this one alone.
func besides(b *broker, length time.Duration, quota float64, key string, take func(c *conn, topic string, at int64) (int, int64, error)) ([]figure, error) {
	topic, err := b.topic()
	if err != nil {
		return nil, err
	}
	if err := b.fill(topic, 50); err != nil {
		return nil, err
	}
	id, err := b.client(key, quota)
	if err != nil {
		return nil, err
	}
	alone, err := b.latency(topic, length/4, nil)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	var beside []time.Duration
	var wg sync.WaitGroup
	var besideErr error
	wg.Go(func() { beside, besideErr = b.latency(topic, 0, done) })
	greedy, err := b.dial(id, "")
	if err != nil {
		return nil, err
	}
	defer greedy.Close()
	bytes, at, start, last := 0, int64(0), time.Now(), time.Duration(0)
	for time.Since(start) < length {
		n, next, err := take(greedy, topic, at)
		if err != nil {
			return nil, err
		}
		bytes, at, last = bytes+n, next, time.Since(start)
	}
	close(done)
	wg.Wait()
	if besideErr != nil {
		return nil, besideErr
	}
	percentile := func(d []time.Duration, p float64) float64 {
		slices.Sort(d)
		return float64(d[int(p*float64(len(d)-1))].Microseconds()) / 1000
	}
	part := float64(bytes) / last.Seconds() / quota
	return []figure{
		{name: fmt.Sprintf("part of the quota that is used in %v", length), unit: "", text: verdict(part)},
		{name: "which is", unit: "%", value: part * 100},
		{name: "another client's produce alone, p50", unit: "ms", value: percentile(alone, 0.5)},
		{name: "beside it, p50", unit: "ms", value: percentile(beside, 0.5)},
		{name: "alone, p99", unit: "ms", value: percentile(alone, 0.99)},
		{name: "beside it, p99", unit: "ms", value: percentile(beside, 0.99)},
	}, nil
}

func verdict(part float64) string {
	if part < 0.9 || part > 1.1 {
		return fmt.Sprintf("%.2f, not within a tenth", part)
	}
	return "within a tenth"
}

// latency times small requests of a client without a quota, one each 10 ms, for some time or until done.
func (b *broker) latency(topic string, length time.Duration, done chan struct{}) (all []time.Duration, err error) {
	c, err := b.dial(unique("other"), "")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	end := time.After(length)
	if done != nil {
		end = nil
	}
	for {
		select {
		case <-done:
			return all, nil
		case <-end:
			return all, nil
		case <-time.After(10 * time.Millisecond):
		}
		start := time.Now()
		if _, err := c.ask(produceVersion, produceOf(topic, 1, 100)); err != nil {
			return nil, err
		}
		all = append(all, time.Since(start))
	}
}
