package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// TruncateTo removes everything from offset on; a batch that contains it goes whole. The caller sees to it that nothing is appended
// meanwhile. When it returns the cut is durable.
//
// The order is what makes a crash harmless. What stays is synced first, so that neither the journal nor a scan is needed for
// it. Then the log forgets the rest, and Env.OnTruncated makes the lower recovery point durable; then segments go, the newest first,
// then the file of the last one is cut. Whatever of that a crash keeps is a log that ends somewhere between here and there.
func (l *Log) TruncateTo(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("truncate %s to %d: %w", l.id, offset, ErrOffsetOutOfRange)
	}
	if err := l.env.offline(); err != nil {
		return err
	}
	if err := l.use(); err != nil {
		return err
	}
	defer l.leave()
	defer l.hold()()
	l.mu.Lock()
	if l.mu.state == closed {
		l.mu.Unlock()
		return ErrClosed
	}
	if offset >= l.marks.logEnd.Load() {
		// An epoch that began and got no record before another leader was elected goes all the same.
		l.changeEpochsLocked(func(c *epoch.Cache) bool { return c.TruncateEnd(l.marks.logEnd.Load()) })
		l.mu.Unlock()
		return nil
	}
	segments := l.segments()
	l.mu.Unlock()
	if len(segments) == 0 || offset < segments[0].Base() {
		return l.beginAnew(offset)
	}
	if err := l.syncHeld(); err != nil {
		return fmt.Errorf("truncate %s: %w", l.id, err)
	}
	at := len(segments) - 1
	for segments[at].Base() > offset {
		at--
	}
	recovery, cleaned := l.marks.recovery.Load(), l.marks.cleaned.Load()
	if err := l.prepareCut(segments[at].Base()); err != nil {
		l.restoreMarks(recovery, cleaned)
		return fmt.Errorf("truncate %s to %d: %w", l.id, offset, err)
	}
	l.mu.Lock()
	removed, err := l.forgetLocked(offset)
	l.mu.Unlock()
	if err != nil { // memory and files do not say the same any more
		return l.env.failHalfway(fmt.Errorf("truncate %s to %d: %w", l.id, offset, err))
	}
	if err := l.cutFiles(removed); err != nil {
		return l.env.failHalfway(fmt.Errorf("truncate %s to %d: %w", l.id, offset, err))
	}
	l.restoreMarks(recovery, cleaned)
	if err := l.reloadProducers(); err != nil {
		return l.env.failHalfway(fmt.Errorf("truncate %s to %d: %w", l.id, offset, err))
	}
	return nil
}

// prepareCut has the owner's checkpoints say that nothing from point on is known to be whole, while all of it is. So a disk without room for them refuses the cut
// before anything has changed; afterwards they say what they have to already.
func (l *Log) prepareCut(point int64) error {
	l.mu.Lock()
	l.mu.cuts++       // a sync that began before raises no mark
	l.cuttingLocked() // and none begins
	l.marks.recovery.Store(min(l.marks.recovery.Load(), point))
	l.marks.cleaned.Store(min(l.marks.cleaned.Load(), point))
	l.mu.Unlock()
	if l.env.OnTruncated == nil {
		return nil
	}
	return l.env.fail(l.env.OnTruncated(l))
}

// restoreMarks takes back what prepareCut lowered, as far as the log reaches: all of that is synced.
func (l *Log) restoreMarks(recovery, cleaned int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := l.marks.logEnd.Load()
	l.marks.recovery.Store(max(l.marks.recovery.Load(), min(recovery, end)))
	l.marks.cleaned.Store(max(l.marks.cleaned.Load(), min(cleaned, end)))
	l.marks.check()
}

// forgetLocked takes what lies from offset on out of view. Its files are still there.
func (l *Log) forgetLocked(offset int64) (removed []*segment.Segment, err error) {
	v := l.view.Load()
	at := v.floor(offset)
	keep, removed := v.segments[:at+1:at+1], v.segments[at+1:]
	last := keep[at]
	if err := last.Reactivate(); err != nil {
		return nil, err
	}
	l.cuts.Add(1)
	end, err := last.Forget(offset)
	if err != nil {
		return nil, err
	}
	l.mu.cuts++
	if u := l.mu.unseen; u != nil && end <= u.from {
		l.mu.unseen = nil
	}
	l.view.Store(&view{keep})
	size, before := int64(0), l.marks.size.Load()
	for _, s := range keep {
		size += s.Size()
	}
	l.marks.size.Store(size)
	l.marks.logStart.Store(min(l.marks.logStart.Load(), end))
	l.marks.written.Add(size - before)
	l.lowerLocked(end)
	l.marks.logEnd.Store(end)
	l.changeEpochsLocked(func(c *epoch.Cache) bool { return c.TruncateEnd(end) })
	l.cuts.Add(1) // a read that began in between must not believe what it saw
	return removed, nil
}

// lowerLocked brings the marks of what is durable down to a new end.
func (l *Log) lowerLocked(end int64) {
	if l.marks.recovery.Load() >= end {
		l.marks.recovery.Store(end)
	}
	l.marks.flushed.Store(min(l.marks.flushed.Load(), l.marks.written.Load()))
	if l.marks.synced.Load() >= end {
		l.marks.synced.Store(end)
		l.marks.durable.Store(l.marks.written.Load())
		l.mu.synced = mark{}
	}
	l.marks.cleaned.Store(min(l.marks.cleaned.Load(), end))
	l.mu.captures = nil
	l.mu.pending = slices.DeleteFunc(l.mu.pending, func(s snapshot) bool { return s.offset > end })
}

// cutFiles does to the files what forgetLocked did in memory.
func (l *Log) cutFiles(removed []*segment.Segment) error {
	if l.env.OnTruncated != nil {
		// Without room the checkpoints are as prepareCut had them, which is low enough, and the journal's entries are void since.
		if err := l.env.OnTruncated(l); err != nil && !noRoom(err) {
			return err
		}
	}
	if err := l.discardNewest(removed); err != nil {
		return err
	}
	if v := l.view.Load(); v != nil {
		if err := v.active().Shorten(); err != nil {
			return err
		}
	}
	return l.dropSnapshots(l.LogEnd())
}

// discardNewest is discard, from the end.
func (l *Log) discardNewest(segments []*segment.Segment) error {
	segments = slices.Clone(segments)
	slices.Reverse(segments)
	return l.discard(segments)
}

// dropSnapshots removes the snapshots above end for good: were one to come back it would contradict what is appended next.
func (l *Log) dropSnapshots(end int64) error {
	l.mu.Lock()
	k := len(l.mu.snapshots)
	for k > 0 && l.mu.snapshots[k-1] > end {
		k--
	}
	gone := l.mu.snapshots[k:]
	l.mu.snapshots = l.mu.snapshots[:k:k]
	l.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	for _, at := range gone {
		if err := l.env.FS.Remove(l.snapshotPath(at)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return l.env.FS.SyncDir(l.dir())
}

// TruncateFullyAt removes everything and starts anew at offset.
func (l *Log) TruncateFullyAt(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("truncate %s to %d: %w", l.id, offset, ErrOffsetOutOfRange)
	}
	if err := l.env.offline(); err != nil {
		return err
	}
	if err := l.use(); err != nil {
		return err
	}
	defer l.leave()
	defer l.hold()()
	return l.beginAnew(offset)
}

// noRoom says that a disk is full, or the journal on it, or that there was no descriptor.
func noRoom(err error) bool {
	return vfs.NoSpace(err) || vfs.NoDescriptors(err) || errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrOffline)
}

// beginAnew is TruncateFullyAt for who holds the log. Like a cut, it is refused before anything has changed where the disk has no room for the checkpoints that it needs; what the
// journal has is void by then, so it is synced first.
func (l *Log) beginAnew(offset int64) error {
	l.mu.Lock()
	files := l.mu.state == present
	l.mu.Unlock()
	if files {
		if err := l.syncHeld(); err != nil {
			return fmt.Errorf("truncate %s fully: %w", l.id, err)
		}
		recovery, cleaned := l.marks.recovery.Load(), l.marks.cleaned.Load()
		if err := l.prepareCut(min(l.marks.logStart.Load(), offset)); err != nil {
			l.restoreMarks(recovery, cleaned)
			return fmt.Errorf("truncate %s fully: %w", l.id, err)
		}
	}
	return l.truncateFully(offset)
}

// truncateFully removes everything and starts anew at offset. A log with files keeps an empty segment whose name tells the offset to the next
// start.
//
// Until the old files are gone a crash leaves them, or those behind some of them, since the oldest go first. They end where they
// ended, at or above the old log start. So that this start, and nothing above it, is what the checkpoints say meanwhile: neither are records
// missed that are not wanted any more, nor does a log start lie beyond what is there.
func (l *Log) truncateFully(offset int64) error {
	l.mu.Lock()
	if l.mu.state == closed {
		l.mu.Unlock()
		return ErrClosed
	}
	removed := l.segments()
	before := l.marks.logStart.Load()
	start := min(before, offset)
	point := min(l.marks.recovery.Load(), start)
	l.cuts.Add(1)
	l.mu.cuts++
	l.mu.sealed, l.mu.pending, l.mu.captures = nil, nil, nil
	l.view.Store(nil)
	l.marks.written.Add(-l.marks.size.Swap(0))
	l.changeEpochsLocked(func(c *epoch.Cache) bool {
		changed := len(c.Entries()) > 0
		c.Clear()
		return changed
	})
	l.mu.producers.Clear()
	l.mu.unseen = nil
	l.mu.synced = mark{}
	l.setEnds(offset)
	l.marks.cleaned.Store(0)
	files := l.mu.state == present
	if files {
		l.marks.logStart.Store(start)
		l.marks.recovery.Store(point)
	}
	l.cuts.Add(1)
	l.mu.Unlock()
	if files {
		if err := l.startAnew(removed, offset, start == before); err != nil {
			return l.env.failHalfway(fmt.Errorf("truncate %s fully: %w", l.id, err))
		}
	}
	l.mu.Lock()
	l.marks.logStart.Store(max(offset, l.marks.logStart.Load()))
	l.marks.recovery.Store(offset)
	l.mu.Unlock()
	return nil
}

// startAnew does to the files what truncateFully did in memory. prepared says that the checkpoints are low enough already, should there be no room to write them.
func (l *Log) startAnew(removed []*segment.Segment, offset int64, prepared bool) error {
	if l.env.OnTruncated != nil {
		if err := l.env.OnTruncated(l); err != nil && !(prepared && noRoom(err)) {
			return err
		}
	}
	if err := l.discard(removed); err != nil {
		return err
	}
	if err := l.dropSnapshots(-1); err != nil {
		return err
	}
	l.mu.Lock()
	_, err := l.rollLocked(offset, l.config.Load())
	names := l.mu.names
	l.mu.Unlock()
	if err == nil {
		err = l.env.FS.SyncDir(l.dir())
	}
	if err == nil {
		l.mu.Lock()
		l.namesDurableLocked(names)
		l.mu.Unlock()
	}
	return err
}

// AdvanceLogStart raises the log start (DeleteRecords; a leader's log start on a follower). The segments below go with the next
// DeleteOld. An offset at or below the log start does nothing.
func (l *Log) AdvanceLogStart(offset int64) error {
	if err := l.env.offline(); err != nil {
		return err
	}
	if err := l.use(); err != nil {
		return err
	}
	defer l.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.state == closed {
		return ErrClosed
	}
	if offset > l.marks.logEnd.Load() {
		return fmt.Errorf("advance log start of %s to %d, log end %d: %w", l.id, offset, l.marks.logEnd.Load(), ErrOffsetOutOfRange)
	}
	l.advanceLocked(offset)
	return nil
}

func (l *Log) advanceLocked(offset int64) {
	if offset <= l.marks.logStart.Load() {
		return
	}
	l.marks.logStart.Store(offset)
	l.env.move()
	l.changeEpochsLocked(func(c *epoch.Cache) bool { return c.TruncateStart(offset) })
}

// reloadProducers makes the producer state that of the log as it is now: from the last snapshot and the batches behind it.
func (l *Log) reloadProducers() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.producers.Empty() {
		return nil // fewer batches have no more producers
	}
	state, err := l.rebuildProducers(l.mu.snapshots, l.segments(), l.marks.logEnd.Load())
	if err != nil {
		return err
	}
	l.mu.producers = *state
	l.unstable.Store(true) // LastStable finds out
	return nil
}

// rebuildProducers reads the newest readable snapshot of those at or below end, and the batches from there.
func (l *Log) rebuildProducers(snapshots []int64, segments []*segment.Segment, end int64) (*producer.State, error) {
	state, from := &producer.State{}, int64(0)
	for i := len(snapshots) - 1; i >= 0; i-- {
		if snapshots[i] > end {
			continue
		}
		if s, err := l.readSnapshot(snapshots[i]); err == nil {
			state, from = s, snapshots[i]
			break
		}
	}
	for _, s := range segments {
		if s.End() <= from {
			continue
		}
		err := s.Headers(from, func(b record.Batch, _ int64) bool {
			if b.BaseOffset() >= from {
				state.Update(b)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return state, nil
}
