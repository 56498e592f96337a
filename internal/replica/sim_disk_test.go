package replica

import (
	"math/rand/v2"
	"slices"

	"github.com/moldau/moldau/internal/commitlog/epoch"
)

// record is one batch.
type record struct {
	base, end int64
	epoch     LeaderEpoch
	value     uint64
}

// disk is the log of a replica, as far as replication sees it.
type disk struct {
	start, synced, end int64
	told               int64 // the synced end as reported, which is another only where a sync lies
	records            []record
	epochs             epoch.Cache
	cuts               int // truncations
	uncut              bool
}

func (d *disk) LogStart() int64  { return d.start }
func (d *disk) LogEnd() int64    { return d.end }
func (d *disk) SyncedEnd() int64 { return d.told }

func (d *disk) LatestEpoch() (LeaderEpoch, bool) {
	e, ok := d.epochs.Latest()
	return LeaderEpoch(e), ok
}

func (d *disk) EndOffsetFor(e LeaderEpoch) (LeaderEpoch, int64) {
	known, end := d.epochs.EndOffset(int32(e), d.end)
	return LeaderEpoch(known), end
}

func (d *disk) append(r record) {
	d.records = append(d.records, r)
	d.epochs.Assign(int32(r.epoch), r.base)
	d.end = r.end
}

// truncate is durable, and so is what it leaves.
func (d *disk) truncate(end int64) {
	d.cuts++
	d.records = slices.DeleteFunc(d.records, func(r record) bool { return r.end > end })
	d.end = d.start
	if k := len(d.records); k > 0 {
		d.end = d.records[k-1].end
	}
	if !d.uncut {
		d.epochs.TruncateEnd(d.end)
	}
	d.synced, d.told = min(d.synced, d.end), min(d.told, d.end)
}

func (d *disk) reset(at int64) {
	d.cuts++
	d.records = nil
	d.epochs.Clear()
	d.start, d.synced, d.told, d.end = at, at, at, at
}

func (d *disk) advance(start int64) {
	d.start = start
	d.records = slices.DeleteFunc(d.records, func(r record) bool { return r.end <= start })
	if len(d.records) == 0 {
		d.epochs.Clear()
		d.end = max(d.end, start)
	} else {
		d.epochs.TruncateStart(start)
	}
	d.synced, d.told = max(d.synced, start), max(d.told, start)
}

func (d *disk) sync(end int64, lie bool) {
	if d.told = max(d.told, end); !lie {
		d.synced = max(d.synced, end)
	}
}

// crash keeps what is synced and some of the rest.
func (d *disk) crash(rng *rand.Rand) {
	unsynced := 0
	for _, r := range d.records {
		if r.end > d.synced {
			unsynced++
		}
	}
	drop := rng.IntN(unsynced + 1)
	if drop > 0 {
		d.cut(drop)
	}
	d.synced = d.end
	d.told = d.end
}

// cut drops the last n batches.
func (d *disk) cut(n int) {
	d.records = d.records[:len(d.records)-n]
	end := d.start
	if k := len(d.records); k > 0 {
		end = d.records[k-1].end
	}
	d.truncate(end)
}

// read returns a few batches from the one that has the offset on.
func (d *disk) read(offset int64, most int) []record {
	if offset < d.start {
		return nil
	}
	i := d.index(offset)
	return slices.Clone(d.records[i:min(i+most, len(d.records))])
}

// index is the place of the batch that has the offset, or of the next.
func (d *disk) index(offset int64) int { return find(d.records, offset) }

func find(records []record, offset int64) int {
	i, _ := slices.BinarySearchFunc(records, offset, func(r record, offset int64) int {
		if r.end <= offset {
			return -1
		}
		return 1
	})
	return i
}
