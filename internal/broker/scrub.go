package broker

import (
	"context"
	"path/filepath"

	"github.com/moldau/moldau/internal/logdir/scrub"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/repair"
)

// scrub starts to read the old segments of each directory, once in a while, until ctx ends.
func (b *Broker) scrub(ctx context.Context) {
	interval, rate := b.opts.Config.Scrub()
	for _, d := range b.dirs {
		s := scrub.New(scrub.Options{
			FS: b.opts.FS, Clock: b.opts.Clock, Path: d.Path(), Interval: interval, BytesPerSecond: rate,
			OnRead: b.counts.scrubbed.Add, OnDamage: b.repairs.Found, OnUnreadable: b.repairs.Add,
			Warn: func(err error) { b.opts.Log.Warn("scrub", "directory", d.Path(), "error", err) },
		})
		b.upkeep.Go(func() { s.Run(ctx) })
	}
}

// newRepairs makes what hears of damage, before any log is opened.
func (b *Broker) newRepairs() *repair.Repairer {
	_, rate := b.opts.Config.Scrub()
	return repair.New(repair.Options{
		Broker: b.opts.Config.NodeID, Clock: b.opts.Clock, Log: b.opts.Log, BytesPerSecond: rate, Fetcher: b.fetcher,
		Replica: b.replicaIn,
		Active:  func(broker int32) bool { return b.replicas.brokers.Broker(broker).Active() },
	})
}

// replicaIn returns the replica whose folder that is, or nil.
func (b *Broker) replicaIn(folder string) *partition.Partition {
	for p := range b.replicas.all() {
		if p.ID().DirName() == filepath.Base(folder) && b.dirs[p.dir].Path() == filepath.Dir(folder) {
			return p.Partition
		}
	}
	return nil
}
