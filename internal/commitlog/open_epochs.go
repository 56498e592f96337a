package commitlog

import (
	"math"
	"slices"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/record"
)

// Leader epochs lie in the header of each batch and in a file, and no CRC covers either. A bit that is wrong in one of them must not make a
// partition that nobody can lead: a log whose last epoch is above the leader's takes nothing. So the one is held against the other, and the lower
// counts where nothing else tells.

// likelyEpoch is the epoch of a batch that was synced once. The file was written before the recovery point went beyond the batch.
func (o *opening) likelyEpoch(b record.Batch) int32 {
	e := b.LeaderEpoch()
	filed, ok := o.filedEpoch(b.BaseOffset())
	switch {
	case e < o.lastEpoch && ok:
		return max(filed, o.lastEpoch)
	case e >= 0 && e < o.lastEpoch:
		return o.lastEpoch
	case ok && filed < e && filed >= o.lastEpoch && !o.listed(e):
		return filed
	}
	return e
}

// listed says whether the epochs' file has an epoch, be it with another start.
func (o *opening) listed(e int32) bool {
	return slices.ContainsFunc(o.filed, func(f epoch.Entry) bool { return f.Epoch == e })
}

// filedEpoch is what the epochs' file says.
func (o *opening) filedEpoch(offset int64) (int32, bool) {
	if o.rescan {
		return epoch.None, false // it could not be read
	}
	return o.stopped.At(offset)
}

// finishEpochs checks the epochs against the log and makes them those of its extent.
func (o *opening) finishEpochs() error {
	l := o.l
	o.epochs.TruncateStart(l.marks.logStart.Load())
	if o.rescan || !o.epochsMatch() {
		l.recovered.Rebuilt++
		if err := o.readEpochs(); err != nil {
			return err
		}
	} else if !o.r.Clean {
		if err := o.firstEpochs(); err != nil {
			return err
		}
	}
	o.epochs.TruncateStart(l.marks.logStart.Load())
	o.epochs.TruncateEnd(o.end)
	l.mu.newEpochs = o.rescan || !slices.Equal(o.filed, o.epochs.Entries())
	epochs := o.epochs // alone: what points into the opening keeps all of it
	l.epochs.Store(&epochs)
	return nil
}

// epochsMatch says whether the batches next to each epoch's start have the epochs that the file gives their offsets. In a log without
// gaps that is the epoch's first batch, and one of an older epoch. Compaction may have taken the first batches of an epoch, or
// all: then the file alone knows where it began, and must not be replaced by what the batches say. After a clean stop only the last epoch is
// looked at, which decides who may lead.
func (o *opening) epochsMatch() bool {
	entries := o.epochs.Entries()
	fits := func(b record.Batch) bool {
		e, ok := o.epochs.At(max(b.BaseOffset(), entries[0].Start))
		return ok && e == b.LeaderEpoch()
	}
	for i, e := range slices.Backward(entries) {
		if e.Start < o.ls.bases[0] || e.Start >= o.end {
			continue
		}
		b, err := o.l.batchAt(e.Start)
		if err != nil {
			return o.r.Clean // it cannot be asked
		}
		if b != nil && (!fits(b) || i > 0 && b.BaseOffset() < e.Start) {
			return false // where there is none, a gap reaches to the end
		}
		if o.r.Clean {
			return true
		}
		if b == nil || i == 0 {
			continue // it begins at the log start, be it inside a batch; what lies before has no entry any more
		}
		if b, err = o.l.batchAt(e.Start - 1); err != nil || b != nil && b.BaseOffset() < e.Start && !fits(b) {
			return false
		}
	}
	return true
}

// firstEpochs adds the epochs of batches at the log's beginning that the file lacks: a log start that was raised took them out of it, and a
// crash has put the log start back to where it was. Without them nobody would see where a follower's log diverges there.
func (o *opening) firstEpochs() error {
	start, first, highest := o.l.marks.logStart.Load(), o.end, int32(math.MaxInt32)
	if entries := o.epochs.Entries(); len(entries) > 0 {
		first, highest = entries[0].Start, entries[0].Epoch
	}
	var all epoch.Cache
	for _, s := range o.segments {
		if s.Base() >= first || start >= first {
			break
		}
		err := s.Headers(max(start, s.Base()), func(b record.Batch, _ int64) bool {
			e := b.LeaderEpoch()
			if latest, ok := all.Latest(); b.BaseOffset() < first && e >= 0 && e <= highest && (!ok || e > latest) {
				all.Assign(e, max(b.BaseOffset(), start))
			}
			return b.BaseOffset() < first
		})
		if err != nil {
			return err
		}
	}
	if len(all.Entries()) == 0 {
		return nil
	}
	for _, e := range o.epochs.Entries() {
		if latest, _ := all.Latest(); e.Epoch > latest {
			all.Assign(e.Epoch, e.Start)
		}
	}
	o.epochs = all
	o.l.recovered.Rebuilt++
	return nil
}

// readEpochs takes the epochs from all batches.
func (o *opening) readEpochs() error {
	var runs []epochRun
	for _, s := range o.segments {
		err := s.Headers(s.Base(), func(b record.Batch, _ int64) bool {
			runs = enterEpoch(runs, b.LeaderEpoch(), b.BaseOffset())
			return true
		})
		if err != nil {
			return err
		}
	}
	if k := len(runs) - 1; k >= 0 && runs[k].batches == 1 && (o.r.Clean || runs[k].start < o.r.Point) { // of what lies above the file knows nothing
		if filed, ok := o.filedEpoch(runs[k].start); ok && !o.listed(runs[k].epoch) {
			runs[k].epoch = min(runs[k].epoch, filed)
		}
	}
	o.epochs.Clear()
	for _, r := range runs {
		if latest, ok := o.epochs.Latest(); !ok || r.epoch > latest {
			o.epochs.Assign(r.epoch, r.start)
		}
	}
	return nil
}

// epochRun is a number of batches with one epoch, and where they begin.
type epochRun struct {
	epoch   int32
	start   int64
	batches int
}

// enterEpoch adds a batch. Epochs never fall, so where one does a batch is wrong: the one before, if it stands alone, else this one.
func enterEpoch(runs []epochRun, e int32, base int64) []epochRun {
	if e < 0 {
		return runs
	}
	for len(runs) > 0 && runs[len(runs)-1].epoch > e && runs[len(runs)-1].batches == 1 {
		base = runs[len(runs)-1].start
		runs = runs[:len(runs)-1]
	}
	k := len(runs) - 1
	switch {
	case k < 0 || runs[k].epoch < e:
		return append(runs, epochRun{e, base, 1})
	case runs[k].epoch == e:
		runs[k].batches++
	}
	return runs
}
