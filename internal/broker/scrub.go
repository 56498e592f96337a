package broker

import (
	"context"
	"fmt"
	"sync"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/logdir/scrub"
)

// damagesMax bounds how many damaged places are remembered, so that each is told of once.
const damagesMax = 10_000

// damages are the damaged places that were told of.
type damages struct {
	sync.Mutex
	told map[string]bool
}

// foundDamage hears of each place in a segment that is not what was written, from readers and from the scrub.
func (b *Broker) foundDamage(d *segment.DamageError) {
	key := fmt.Sprint(d.Path, ":", d.From)
	b.damages.Lock()
	told := b.damages.told[key]
	if !told && len(b.damages.told) < damagesMax {
		if b.damages.told == nil {
			b.damages.told = map[string]bool{}
		}
		b.damages.told[key] = true
	}
	b.damages.Unlock()
	if told {
		return
	}
	b.counts.damaged.Inc()
	b.opts.Log.Error("a part of a log is damaged: its records are refused with CORRUPT_MESSAGE, all others are served",
		"file", d.Path, "position", d.From, "bytes", d.To-d.From, "first offset", d.First, "last offset", d.Next-1, "error", d.Why)
}

// scrub starts to read the old segments of each directory, once in a while, until ctx ends.
func (b *Broker) scrub(ctx context.Context) {
	interval, rate := b.opts.Config.Scrub()
	for _, d := range b.dirs {
		s := scrub.New(scrub.Options{
			FS: b.opts.FS, Clock: b.opts.Clock, Path: d.Path(), Interval: interval, BytesPerSecond: rate,
			OnRead: b.counts.scrubbed.Add, OnDamage: b.foundDamage,
			Warn: func(err error) { b.opts.Log.Warn("scrub", "directory", d.Path(), "error", err) },
		})
		b.upkeep.Go(func() { s.Run(ctx) })
	}
}
