package broker

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/commitlog/cleaner"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/partition"
)

// cleanable shows a replica to the cleaner.
type cleanable struct {
	*partition.Partition
	counts *counts
}

func (p cleanable) Dirt(now time.Time) (commitlog.Dirt, error) {
	return p.Log().Dirt(now, p.HighWatermark())
}

func (p cleanable) Repairs() int64 { return p.Log().Repairs() }

func (p cleanable) Clean(opts commitlog.CleanOptions) (commitlog.Cleaned, error) {
	opts.HighWatermark = p.HighWatermark()
	done, err := p.Log().Clean(opts)
	c := p.counts
	c.cleanerRead.Add(done.BytesRead)
	c.cleanerWritten.Add(done.BytesWritten)
	if err != nil {
		c.failed.Inc()
		return done, err
	}
	c.cleaned.Inc()
	c.recordsRemoved.Add(max(0, done.RecordsBefore-done.RecordsAfter))
	c.bytesRemoved.Add(max(0, done.BytesBefore-done.BytesAfter))
	return done, nil
}

// compact lets the cleaner's threads work until ctx ends. When its settings change, they begin anew with the new ones: a pass under way is
// given up.
func (b *Broker) compact(ctx context.Context) {
	for s := b.live.now().Cleaner(); ctx.Err() == nil; {
		working, stop := context.WithCancel(ctx)
		var threads sync.WaitGroup
		c := b.cleaner(s)
		threads.Go(func() { c.Run(working) })
		s = b.otherCleaner(ctx, s)
		stop()
		threads.Wait()
	}
}

// otherCleaner waits until the cleaner's settings are others, or ctx ends.
func (b *Broker) otherCleaner(ctx context.Context, s config.Cleaner) config.Cleaner {
	for {
		select {
		case <-ctx.Done():
			return s
		case next := <-b.cleaning:
			if next != s {
				return next
			}
		}
	}
}

func (b *Broker) cleaner(s config.Cleaner) *cleaner.Cleaner {
	return cleaner.New(cleaner.Options{
		Threads: s.Threads, Backoff: s.Backoff, KeyBytes: s.KeyBytes, KeyLoad: s.KeyLoad, Buffer: s.Buffer, BytesPerSecond: s.BytesPerSecond,
		Clock: b.opts.Clock, Log: b.opts.Log,
		Logs: b.cleanable,
	})
}

// cleanable yields the replicas that are compacted.
func (b *Broker) cleanable() iter.Seq[cleaner.Log] {
	return func(yield func(cleaner.Log) bool) {
		for p := range replicasOf(&b.replicas.compacted) {
			if !yield(cleanable{p.Partition, &b.counts}) {
				return
			}
		}
	}
}
