package broker

import (
	"context"
	"iter"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/commitlog/cleaner"
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

// compact lets the cleaner's threads work until ctx ends.
func (b *Broker) compact(ctx context.Context) {
	s := b.opts.Config.Cleaner()
	cleaner.New(cleaner.Options{
		Threads: s.Threads, Backoff: s.Backoff, KeyBytes: s.KeyBytes, KeyLoad: s.KeyLoad, Buffer: s.Buffer, BytesPerSecond: s.BytesPerSecond,
		Clock: b.opts.Clock, Log: b.opts.Log,
		Logs: func() iter.Seq[cleaner.Log] {
			return func(yield func(cleaner.Log) bool) {
				for p := range b.replicas.all() {
					if !yield(cleanable{p.Partition, &b.counts}) {
						return
					}
				}
			}
		},
	}).Run(ctx)
}
