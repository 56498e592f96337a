package commitlog

import (
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// Close ends the log. With clean everything is synced, trimmed and a producer snapshot written, so that the next New with
// Recovery.Clean scans nothing; without, files are only closed. After an error the stop was not clean.
func (l *Log) Close(clean bool) error {
	defer l.hold()()
	if clean {
		l.rememberOldest()
	}
	l.mu.Lock()
	files := l.mu.state == present
	was := l.mu.state
	l.mu.state = closed
	segments := l.segments()
	var c capture
	var snap *snapshot
	var err error
	if clean && files {
		if err = l.env.offline(); err == nil {
			c, snap, err = l.finishLocked()
		}
	}
	l.mu.Unlock()
	if was == closed {
		return nil
	}
	if err == nil && snap != nil {
		err = l.finish(c, *snap)
	}
	for _, s := range segments {
		s.Close()
	}
	return err
}

// finishLocked writes what a clean stop leaves; the snapshot is nil when the files are complete already.
func (l *Log) finishLocked() (capture, *snapshot, error) {
	end := l.marks.logEnd.Load()
	k := len(l.mu.snapshots)
	if k > 0 && l.mu.snapshots[k-1] == end && l.mu.sinceDerived == 0 && len(l.mu.sealed) == 0 && l.UnflushedBytes() == 0 &&
		!l.mu.newEpochs && !l.mu.newFiles && !l.mu.newDir {
		return capture{}, nil, nil
	}
	v := l.view.Load()
	if v == nil {
		return capture{}, nil, nil
	}
	active := v.active()
	if err := active.WriteIndexes(true); err != nil {
		return capture{}, nil, l.env.fail(fmt.Errorf("close %s: %w", l.id, err))
	}
	if err := active.Trim(); err != nil {
		return capture{}, nil, l.env.fail(fmt.Errorf("close %s: %w", l.id, err))
	}
	l.mu.newFiles, l.mu.newEpochs = true, true
	l.mu.state = present // for captureLocked
	c := l.captureLocked()
	l.mu.state = closed
	return c, &snapshot{end, l.mu.producers.Encode()}, nil
}

// finish syncs it.
func (l *Log) finish(c capture, snap snapshot) error {
	if err := l.sync(c); err != nil {
		return l.env.failSync(err)
	}
	for _, s := range append(l.mu.sealed, c.to.segment) {
		if err := s.SyncIndexes(); err != nil {
			return l.env.failSync(fmt.Errorf("close %s: %w", l.id, err))
		}
	}
	for _, snap := range append(l.mu.pending, snap) {
		if err := l.writeSnapshot(snap); err != nil {
			return err
		}
	}
	end, raised, _ := l.synced(c)
	if raised && l.onSynced != nil {
		l.onSynced(end)
	}
	return nil
}

// ReplayFrom is Replay for batches that ReadUnsynced had returned with from. If the log ends below, batches are missing in between
// and the answer is ErrUnexpectedOffset.
func (l *Log) ReplayFrom(from int64, batches []byte) error {
	if end := l.LogEnd(); from > end {
		return fmt.Errorf("replay into %s: %w: the journal goes on at %d, the log ends at %d", l.id, ErrUnexpectedOffset, from, end)
	}
	return l.Replay(batches)
}

// Replay puts batches of the journal back that the files lost. It is idempotent: a batch that is there is skipped; where the log holds
// another batch of an older leader epoch at that offset, or of the same epoch and other content, it is cut there first, since the
// journal is in the order of time and was synced. Only before the log is served. Batches below the log start and below the recovery
// point are passed over.
func (l *Log) Replay(batches []byte) error {
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			return fmt.Errorf("replay into %s: %w: %w", l.id, ErrCorrupt, err)
		}
		if err := l.replayOne(b); err != nil {
			return err
		}
		l.replayed, batches = b.NextOffset(), rest
	}
	return nil
}

// TrustReplayed raises SyncedEnd to the end of what was replayed, for an owner that keeps the journal, synced, until SyncFiles has been
// through: the log is then as one whose appends were journaled just now. It does so, and returns true, only if the log ends there, so
// that the journal has everything that its files may lack, and if nothing was cut: what was may come back behind what is appended next,
// until the files are synced.
func (l *Log) TrustReplayed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.replayed != l.marks.logEnd.Load() || l.recovered.TruncatedBytes > 0 || l.mu.cuts > 0 {
		return false
	}
	l.raiseLocked(l.endLocked())
	l.mu.notified = false // by what was replayed, of which nobody took notice: the next append must be
	l.marks.check()
	return true
}

func (l *Log) replayOne(b record.Batch) error {
	end := l.LogEnd()
	if b.LastOffset() < max(l.LogStart(), l.RecoveryPoint()) {
		return nil // the files had it, and compaction may have taken it since
	}
	if b.BaseOffset() < end {
		have, err := l.batchAt(b.BaseOffset())
		var damaged *segment.DamageError
		switch {
		case errors.As(err, &damaged):
			return nil // its place is known and refused, and what was found behind it stays
		case err != nil:
			return fmt.Errorf("replay into %s: %w", l.id, err)
		case have != nil && have.LeaderEpoch() > b.LeaderEpoch(), have != nil && have.BaseOffset() == b.BaseOffset() &&
			have.LeaderEpoch() == b.LeaderEpoch() && have.CRC() == b.CRC():
			return nil
		case have != nil:
			if err := l.TruncateTo(have.BaseOffset()); err != nil {
				return fmt.Errorf("replay into %s: %w", l.id, err)
			}
		}
	}
	_, err := l.AppendReplica(b)
	if errors.Is(err, ErrUnexpectedOffset) {
		return nil // it begins inside what is there and ends above; the journal has what follows
	}
	return err
}

// batchAt returns the header of the batch that contains offset, or nil.
func (l *Log) batchAt(offset int64) (record.Batch, error) {
	v := l.view.Load()
	if v == nil {
		return nil, nil
	}
	var s *segment.Segment
	for i := v.floor(offset); i < len(v.segments); i++ {
		s = v.segments[i]
		pos, ok, err := s.Find(offset)
		if err != nil {
			return nil, err
		}
		if ok {
			b, _, err := s.HeaderAt(pos)
			return b, err
		}
	}
	return nil, nil
}
