package broker

import (
	"context"
	"fmt"
	"strings"
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
	b.repairs.add(d.Path)
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
	b.opts.Log.Error("a part of a log is damaged: its records are refused, all others are served",
		"file", d.Path, "position", d.From, "bytes", d.To-d.From, "first offset", d.First, "last offset", d.Next-1, "error", d.Why)
}

// forgetDamages has what is found in a file from now on told again.
func (b *Broker) forgetDamages(path string) {
	b.damages.Lock()
	defer b.damages.Unlock()
	for key := range b.damages.told {
		if strings.HasPrefix(key, path+":") {
			delete(b.damages.told, key)
		}
	}
}

// scrub starts to read the old segments of each directory, once in a while, until ctx ends.
func (b *Broker) scrub(ctx context.Context) {
	interval, rate := b.opts.Config.Scrub()
	for _, d := range b.dirs {
		s := scrub.New(scrub.Options{
			FS: b.opts.FS, Clock: b.opts.Clock, Path: d.Path(), Interval: interval, BytesPerSecond: rate,
			OnRead: b.counts.scrubbed.Add, OnDamage: b.foundDamage, OnUnreadable: b.repairs.add,
			Warn: func(err error) { b.opts.Log.Warn("scrub", "directory", d.Path(), "error", err) },
		})
		b.upkeep.Go(func() { s.Run(ctx) })
	}
}
