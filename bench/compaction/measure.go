package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// latency is what a probe saw.
type latency struct {
	n             int
	p50, p99, max time.Duration
}

func (l latency) String() string {
	return fmt.Sprintf("producer beside it: p50 %v, p99 %v, max %v of %d", l.p50.Round(10*time.Microsecond), l.p99.Round(10*time.Microsecond),
		l.max.Round(10*time.Microsecond), l.n)
}

// probeEvery is the pace of the second topic's producer.
const probeEvery = 5 * time.Millisecond

// probe writes a small record at a steady pace, acks=all, for as long as given, or until ctx ends.
func (b *bench) probe(ctx context.Context, long time.Duration) (latency, error) {
	var took []time.Duration
	value := make([]byte, 100)
	for next := time.Now(); long <= 0 || time.Since(next) < long; {
		began := time.Now()
		if err := b.client.ProduceSync(context.WithoutCancel(ctx), &kgo.Record{Topic: b.probed, Value: value}).FirstErr(); err != nil {
			return latency{}, fmt.Errorf("probe: %w", err)
		}
		took = append(took, time.Since(began))
		if ctx.Err() != nil || long > 0 && len(took) >= int(long/probeEvery) {
			break
		}
		time.Sleep(max(probeEvery-time.Since(began), 0))
	}
	slices.Sort(took)
	return latency{len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1]}, nil
}

// compact lets the cleaner act and measures until the topic is down to what must stay.
func (b *bench) compact(ctx context.Context) error {
	before, err := b.scan(ctx)
	if err != nil {
		return err
	}
	if before.records != b.end {
		return fmt.Errorf("%d records before compaction, %d were written", before.records, b.end)
	}
	probing, stop := context.WithCancel(ctx)
	defer stop()
	beside := make(chan latency, 1)
	failed := make(chan error, 1)
	go func() {
		l, err := b.probe(probing, 0)
		beside <- l
		failed <- err
	}()
	began := time.Now()
	if err := b.set(ctx, "min.cleanable.dirty.ratio", "0.0001"); err != nil {
		return err
	}
	// A reader of everything would be measured too, so this waits for the first record to go before it looks at the rest.
	if err := b.untilFirstGoes(ctx); err != nil {
		return err
	}
	first := time.Since(began)
	time.Sleep(time.Second)
	stop()
	l := <-beside
	if err := <-failed; err != nil {
		return err
	}
	// The active segment is not compacted: what it holds may stay beside the newest of each key.
	left, err := b.until(ctx, func(s seen) bool { return s.records < int64(b.keys)+b.activeRecords() })
	if err != nil {
		return err
	}
	fmt.Printf("compacted  %d records, %d bytes of keys and values to %d, %d; first seen %v after the cleaner was let in, all of it %v after\n",
		before.records, before.bytes, left.records, left.bytes, first.Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond))
	fmt.Printf("meanwhile  %v\n", l)
	return b.verify(left)
}

// untilFirstGoes waits until the topic does not begin with its first record any more.
func (b *bench) untilFirstGoes(ctx context.Context) error {
	for end := time.Now().Add(b.wait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		client, err := kgo.NewClient(kgo.SeedBrokers(b.bootstrap), kgo.FetchMaxBytes(1), kgo.FetchMaxPartitionBytes(1),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.topic: {0: kgo.NewOffset().AtStart()}}))
		if err != nil {
			return err
		}
		fetches := client.PollRecords(ctx, 1)
		client.Close()
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read the first record of %s: %w", b.topic, err)
		}
		if records := fetches.Records(); len(records) > 0 && records[0].Offset > 0 {
			return nil
		}
	}
	return fmt.Errorf("nothing was compacted in %v", b.wait)
}

// activeRecords is how many records the active segment can hold.
func (b *bench) activeRecords() int64 { return int64(b.segment / (b.size + 12)) }

// tombstones deletes every tenth key and waits until nothing of them is left.
func (b *bench) tombstones(ctx context.Context) error {
	failed := make(chan error, 1)
	for k := 0; k < b.keys; k += 10 {
		b.put(ctx, k, nil, failed)
	}
	deleted := (b.keys + 9) / 10
	began := time.Now()
	first := time.Duration(0)
	s, err := b.until(ctx, func(s seen) bool {
		// Other keys go on being written, so that segments roll and there is something to compact.
		for i := range b.segment / (b.size + 12) {
			if k := i % b.keys; k%10 != 0 {
				b.put(ctx, k, make([]byte, max(b.size, 8)), failed)
			}
		}
		if b.client.Flush(ctx) != nil {
			return false
		}
		if s.tombstones > 0 {
			first = time.Since(began)
		}
		return s.tombstones == 0 && len(s.newest) == b.keys-deleted
	})
	if err != nil {
		return err
	}
	if err := b.flush(ctx, failed); err != nil {
		return err
	}
	fmt.Printf("tombstones of %d keys last seen after %v, gone after %v (delete.retention.ms %v); %d keys are left\n", deleted, first.Round(100*time.Millisecond),
		time.Since(began).Round(100*time.Millisecond), b.retention, len(s.newest))
	if s, err = b.scan(ctx); err != nil {
		return err
	}
	return b.verify(s)
}

// seen is what a reader of the whole topic saw.
type seen struct {
	records, bytes int64
	tombstones     int
	newest         map[string]int64 // offset of each key's newest record that is no tombstone
}

// until scans the topic until ok says that it looks as it should.
func (b *bench) until(ctx context.Context, ok func(seen) bool) (seen, error) {
	for end := time.Now().Add(b.wait); ; {
		s, err := b.scan(ctx)
		if err != nil || ok(s) {
			return s, err
		}
		if time.Now().After(end) {
			return s, fmt.Errorf("after %v there are still %d records of %d keys and %d tombstones", b.wait, s.records, len(s.newest), s.tombstones)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// scan reads the topic from its beginning. Offsets must grow, and values say at which offset they were written.
func (b *bench) scan(ctx context.Context) (seen, error) {
	s := seen{newest: map[string]int64{}}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.bootstrap), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return s, err
	}
	defer client.Close()
	for last := int64(-1); last < b.end-1; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return s, fmt.Errorf("read %s: %w", b.topic, err)
		}
		for r := range fetches.RecordsAll() {
			if r.Offset <= last {
				return s, fmt.Errorf("offset %d after %d", r.Offset, last)
			}
			last = r.Offset
			s.records++
			s.bytes += int64(len(r.Key) + len(r.Value))
			if r.Value == nil {
				s.tombstones++
				delete(s.newest, string(r.Key))
				continue
			}
			if at := int64(binary.BigEndian.Uint64(r.Value)); at != r.Offset {
				return s, fmt.Errorf("the record written at offset %d is at %d", at, r.Offset)
			}
			s.newest[string(r.Key)] = r.Offset
		}
	}
	return s, nil
}

// verify compares what a reader saw with what was written.
func (b *bench) verify(s seen) error {
	want := 0
	for k, offset := range b.newest {
		if offset < 0 {
			continue
		}
		want++
		if got, ok := s.newest[string(b.key(k))]; !ok || got != offset {
			return fmt.Errorf("%s: newest record seen at %d (%v), written at %d", b.key(k), got, ok, offset)
		}
	}
	if want != len(s.newest) {
		return fmt.Errorf("%d keys seen, %d were written and not deleted", len(s.newest), want)
	}
	return nil
}
