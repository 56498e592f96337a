package commitlog

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// TruncateTo removes everything from offset on; a batch that contains it goes whole. Env.OnTruncated runs before it returns. The caller
// sees to it that nothing is appended meanwhile.
func (l *Log) TruncateTo(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("truncate %s to %d: %w", l.id, offset, ErrOffsetOutOfRange)
	}
	if err := l.env.offline(); err != nil {
		return err
	}
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
	if segments := l.segments(); len(segments) > 0 && offset < segments[0].Base() {
		l.mu.Unlock()
		return l.truncateFully(offset)
	}
	removed, err := l.cutLocked(offset)
	l.mu.Unlock()
	return l.afterCut(removed, err)
}

// cutLocked removes what lies from offset on. The removed segments are out of view; their files are still there.
func (l *Log) cutLocked(offset int64) (removed []*segment.Segment, err error) {
	v := l.view.Load()
	if v == nil { // no record was ever here: the end is that of the checkpoints
		l.setEnds(offset)
		l.lowerLocked(offset)
		return nil, nil
	}
	at := v.floor(offset)
	keep, removed := v.segments[:at+1:at+1], v.segments[at+1:]
	last := keep[at]
	if err := last.Reactivate(); err != nil {
		return nil, err
	}
	before := l.marks.size.Load()
	l.cuts.Add(1)
	l.mu.cuts++
	end, err := last.Truncate(offset)
	if err != nil {
		return nil, err
	}
	l.view.Store(&view{keep})
	size := int64(0)
	for _, s := range keep {
		size += s.Size()
	}
	l.marks.size.Store(size)
	l.marks.logStart.Store(min(l.marks.logStart.Load(), end))
	l.marks.written.Add(size - before)
	l.changeEpochsLocked(func(c *epoch.Cache) bool { return c.TruncateEnd(end) })
	l.lowerLocked(end)
	l.marks.logEnd.Store(end)
	l.cuts.Add(1) // a read that began in between must not believe what it saw
	return removed, nil
}

// lowerLocked brings the marks down to a new end.
func (l *Log) lowerLocked(end int64) {
	if l.marks.synced.Load() >= end {
		l.marks.synced.Store(end)
		l.marks.durable.Store(l.marks.written.Load())
		l.mu.synced = mark{}
	}
	if l.marks.recovery.Load() >= end {
		l.marks.recovery.Store(end)
		l.marks.flushed.Store(l.marks.written.Load())
	}
	l.mu.captures = nil
	l.mu.snapshot = nil
}

// afterCut ends a truncation: the removed segments and the snapshots above the end go, for good, before anything can be appended in
// their place; the producers are read again.
func (l *Log) afterCut(removed []*segment.Segment, err error) error {
	if err != nil {
		return l.env.fail(fmt.Errorf("truncate %s: %w", l.id, err))
	}
	if err := l.removeNow(removed, l.LogEnd()); err != nil {
		return l.env.fail(fmt.Errorf("truncate %s: %w", l.id, err))
	}
	if err := l.reloadProducers(); err != nil {
		return fmt.Errorf("truncate %s: %w", l.id, err)
	}
	if l.env.OnTruncated != nil {
		if err := l.env.OnTruncated(l); err != nil {
			return fmt.Errorf("truncate %s: %w", l.id, err)
		}
	}
	return nil
}

// removeNow takes the files of segments and the snapshots above end out of the directory and makes that durable: were one to come back
// after a crash it would contradict what is appended next. The caller holds the log.
func (l *Log) removeNow(segments []*segment.Segment, end int64) error {
	l.mu.Lock()
	present := l.mu.state == present
	var keep, gone []int64
	for _, at := range l.mu.snapshots {
		if at > end {
			gone = append(gone, at)
		} else {
			keep = append(keep, at)
		}
	}
	l.mu.snapshots = keep
	l.mu.Unlock()
	if !present || len(gone)+len(segments) == 0 {
		return nil
	}
	for _, at := range gone {
		if err := l.env.FS.Remove(l.snapshotPath(at)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := l.discard(segments); err != nil {
		return err
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
	defer l.hold()()
	return l.truncateFully(offset)
}

// truncateFully is TruncateFullyAt for who holds the log. A log with files keeps an empty segment whose name tells the offset to the next
// start.
func (l *Log) truncateFully(offset int64) error {
	l.mu.Lock()
	if l.mu.state == closed {
		l.mu.Unlock()
		return ErrClosed
	}
	removed := l.segments()
	l.cuts.Add(1)
	l.mu.cuts++
	l.mu.sealed = nil
	l.view.Store(nil)
	l.marks.written.Add(-l.marks.size.Swap(0))
	l.changeEpochsLocked(func(c *epoch.Cache) bool {
		changed := len(c.Entries()) > 0
		c.Clear()
		return changed
	})
	l.mu.producers.Clear()
	l.setEnds(offset)
	l.lowerLocked(offset)
	l.cuts.Add(1)
	files := l.mu.state == present
	l.mu.Unlock()
	if !files {
		return nil
	}
	if err := l.removeNow(removed, -1); err != nil {
		return l.env.fail(fmt.Errorf("truncate %s: %w", l.id, err))
	}
	l.mu.Lock()
	_, err := l.rollLocked(offset, l.config.Load())
	l.mu.Unlock()
	if err == nil {
		err = l.env.FS.SyncDir(l.dir())
	}
	if err != nil {
		return l.env.fail(fmt.Errorf("truncate %s: %w", l.id, err))
	}
	if l.env.OnTruncated != nil {
		return l.env.OnTruncated(l)
	}
	return nil
}

// AdvanceLogStart raises the log start (DeleteRecords; a leader's log start on a follower). The segments below go with the next
// DeleteOld. An offset at or below the log start does nothing.
func (l *Log) AdvanceLogStart(offset int64) error {
	if err := l.env.offline(); err != nil {
		return err
	}
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
	l.changeEpochsLocked(func(c *epoch.Cache) bool { return c.TruncateStart(offset) })
}

// reloadProducers makes the producer state that of the log as it is now: from the last snapshot and the batches behind it.
func (l *Log) reloadProducers() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.producers.Empty() {
		return nil // fewer batches have no more producers
	}
	state, _, err := l.rebuildProducers(l.mu.snapshots, l.segments(), l.marks.logEnd.Load())
	if err != nil {
		return err
	}
	l.mu.producers = *state
	l.unstable.Store(true) // LastStable finds out
	return nil
}

// rebuildProducers reads the newest readable snapshot of those at or below end, and the batches from there.
func (l *Log) rebuildProducers(snapshots []int64, segments []*segment.Segment, end int64) (*producer.State, int64, error) {
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
			return nil, 0, err
		}
	}
	return state, from, nil
}
