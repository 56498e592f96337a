package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// Close ends the log. With clean everything is synced, trimmed and a producer snapshot written, so that the next New with
// Recovery.Clean scans nothing; without, files are only closed. After an error the stop was not clean.
func (l *Log) Close(clean bool) error {
	e, err := l.end(clean)
	if e == nil {
		return err
	}
	return e.close(l.finish(e.c))
}

// end makes the log one that takes nothing any more. Without an Ending it is closed.
func (l *Log) end(clean bool) (*Ending, error) {
	var unfinished error
	if clean {
		unfinished = l.wakeUnfinished()
	}
	e := &Ending{l: l, release: l.hold()}
	if clean {
		l.rememberOldest()
	}
	l.mu.Lock()
	files := l.mu.state == present
	was := l.mu.state
	l.mu.state = closed
	e.segments = l.segments()
	var err error
	due := false
	if clean && files {
		if err = errors.Join(l.env.offline(), unfinished); err == nil {
			e.c, due, err = l.finishLocked()
		}
	}
	l.mu.Unlock()
	if was == closed {
		e.release()
		return nil, nil
	}
	if err != nil || !due {
		return nil, e.close(err)
	}
	return e, nil
}

// wakeUnfinished opens a log that returned to rest: its files may lack what a clean stop leaves, and Kafka believes them after one, the list of aborted transactions above all.
func (l *Log) wakeUnfinished() error {
	l.mu.Lock()
	returned := l.mu.past != nil && l.mu.state == present
	l.mu.Unlock()
	if !returned {
		return nil
	}
	return l.Wake()
}

// Ending is a clean Close of one log in steps, for an owner that closes many and makes their files durable together. Before each step but the
// first everything that the steps before did must be durable, in the whole directory of the logs; an error ends the log's.
type Ending struct {
	l        *Log
	release  func() // of the log
	segments []*segment.Segment
	c        capture
}

// BeginClose is the first step: everything is written but what must not be durable before the rest is. It returns nil where nothing is left to do.
func (l *Log) BeginClose() (*Ending, error) {
	e, err := l.end(true)
	if e == nil {
		return nil, err
	}
	if err := e.begin(); err != nil {
		return nil, e.close(err)
	}
	return e, nil
}

func (e *Ending) begin() error {
	l := e.l
	if e.c.newDir {
		path := filepath.Join(l.dir(), metadataName)
		_, err := l.env.FS.Stat(path)
		if errors.Is(err, fs.ErrNotExist) { // a full disk kept it from being written
			err = l.env.fail(vfs.WriteFileAtomic(l.env.FS, path, encodeMetadata(l.id.TopicID)))
		}
		if err != nil {
			return err
		}
	}
	epochs := e.c.epochs
	if epochs == nil {
		epochs = &epoch.Cache{}
	}
	return l.env.fail(vfs.WriteTemp(l.env.FS, filepath.Join(l.dir(), epoch.Name), epochs.Encode()))
}

// Describe is the second step: the leader epochs take their place, and the snapshots are written aside.
func (e *Ending) Describe() error {
	l := e.l
	err := l.env.fail(vfs.RenameTemp(l.env.FS, filepath.Join(l.dir(), epoch.Name)))
	for _, snap := range e.l.mu.pending {
		if err == nil {
			err = l.env.fail(vfs.WriteTemp(l.env.FS, l.snapshotPath(snap.offset), snap.data))
		}
	}
	if err != nil {
		return e.close(err)
	}
	return nil
}

// Complete is the third: the snapshots take their place.
func (e *Ending) Complete() error {
	for _, snap := range e.l.mu.pending {
		if err := e.l.env.fail(vfs.RenameTemp(e.l.env.FS, e.l.snapshotPath(snap.offset))); err != nil {
			return e.close(err)
		}
	}
	return nil
}

// End is the last one: the log is closed. An error that the owner had with making the steps durable may end it sooner.
func (e *Ending) End(err error) {
	if err == nil {
		for _, snap := range e.l.mu.pending {
			e.l.tookSnapshot(snap.offset)
		}
		e.l.raise(e.c)
	}
	_ = e.close(err)
}

// close lets the files go, and the log.
func (e *Ending) close(err error) error {
	for _, s := range e.segments {
		s.Close()
	}
	e.release()
	return err
}

// finishLocked writes what a clean stop leaves, but for what is to be synced; due is false when the files are complete already.
func (l *Log) finishLocked() (c capture, due bool, err error) {
	end := l.marks.logEnd.Load()
	k := len(l.mu.snapshots)
	if k > 0 && l.mu.snapshots[k-1] == end && l.mu.sinceDerived == 0 && len(l.mu.sealed) == 0 && l.UnflushedBytes() == 0 &&
		!l.mu.newEpochs && !l.mu.newFiles && !l.mu.newDir {
		return capture{}, false, nil
	}
	v := l.view.Load()
	if v == nil {
		return capture{}, false, nil
	}
	active := v.active()
	if err := active.WriteIndexes(true); err != nil {
		return capture{}, false, l.env.fail(fmt.Errorf("close %s: %w", l.id, err))
	}
	if err := active.Trim(); err != nil {
		return capture{}, false, l.env.fail(fmt.Errorf("close %s: %w", l.id, err))
	}
	l.mu.newFiles, l.mu.newEpochs = true, true
	l.mu.state = present // for captureLocked
	c = l.captureLocked()
	l.mu.state = closed
	l.snapshotLocked(end)
	return c, true, nil
}

// finish syncs it.
func (l *Log) finish(c capture) error {
	if err := l.sync(c); err != nil {
		return l.env.failSync(err)
	}
	for _, s := range append(l.mu.sealed, c.to.segment) {
		if err := s.SyncIndexes(); err != nil {
			return l.env.failSync(fmt.Errorf("close %s: %w", l.id, err))
		}
	}
	for _, snap := range l.mu.pending {
		if err := l.writeSnapshot(snap); err != nil {
			return err
		}
	}
	l.raise(c)
	return nil
}

// raise tells that a capture is durable.
func (l *Log) raise(c capture) {
	if end, raised, _ := l.synced(c); raised && l.onSynced != nil {
		l.onSynced(end)
	}
}

// Replay puts batches of the journal back that the files lost. It is idempotent: a batch that is there is skipped. The log may hold
// another batch at that offset, of an older leader epoch, or of the same epoch and other content. Then it is cut there first, since the
// journal is in the order of time and was synced. Batches below the log start and below the recovery point are passed over. Only before
// the log is served.
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
