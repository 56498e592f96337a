package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/vfs"
)

// capture is what a sync has to make durable.
type capture struct {
	to       mark
	cuts     int
	names    int
	segments []*segment.Segment
	newDir   bool
	newFiles bool
	epochs   *epoch.Cache
	write    bool // the epochs
	ended    bool // the log was closed before its files were synced: nobody can sync them any more
}

// SyncFiles makes the segment files durable up to the log end it found (fdatasync of each file with unsynced bytes, the directory
// where files are new, the leader epochs where they changed) and raises RecoveryPoint and SyncedEnd to it. It is a capture, as
// ReadUnsynced. It holds no lock while it syncs. An error has taken the Env offline, unless it is
// ErrReadOnly or tells of a lack of descriptors, after which it is to be called again, or ErrClosed: the log was closed or deleted before.
func (l *Log) SyncFiles() (end int64, err error) {
	if err := l.env.offline(); err != nil {
		return l.RecoveryPoint(), err
	}
	l.enter(inside)
	defer l.leave()
	if l.Rests() {
		return l.RecoveryPoint(), nil
	}
	c, release, cutting := l.capture()
	if cutting {
		return l.RecoveryPoint(), nil
	}
	if c.ended {
		release()
		return l.RecoveryPoint(), ErrClosed
	}
	end, due, err := l.syncCapture(c)
	release()
	if due {
		l.env.background(0, l.checkpointDerived)
	}
	return end, err
}

// syncHeld is SyncFiles for who holds the log.
func (l *Log) syncHeld() error {
	l.mu.Lock()
	c := l.captureLocked()
	l.mu.Unlock()
	_, _, err := l.syncCapture(c)
	return err
}

// syncCapture does the work of a capture and raises the marks. due says that the derived state should be made durable too.
func (l *Log) syncCapture(c capture) (end int64, due bool, err error) {
	if err := l.sync(c); errors.Is(err, errEpochsUnwritten) {
		end, raised := l.syncedRecords(c)
		if raised && l.onSynced != nil {
			l.onSynced(end)
		}
		return l.RecoveryPoint(), false, err
	} else if err != nil {
		if l.ended() {
			return l.RecoveryPoint(), false, ErrClosed // its files are on their way out
		}
		return l.RecoveryPoint(), false, l.env.failSync(err)
	}
	end, raised, due := l.synced(c)
	if raised && l.onSynced != nil {
		l.onSynced(end)
	}
	return end, due, nil
}

// capture takes what there is to sync. If the epochs are to be written it holds the log until release, so that their file has one
// writer. Whoever cuts the log meanwhile has synced it and lowered the recovery point, which stays low until the cut is over: nothing is captured.
func (l *Log) capture() (c capture, release func(), cutting bool) {
	release = func() {}
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		h := l.mu.hold
		switch {
		case h != nil && h.cutting:
			return c, release, true
		case !l.mu.newEpochs || l.mu.state != present:
			return l.captureLocked(), release, false
		case h == nil:
			release = l.holdLocked()
			return l.captureLocked(), release, false
		}
		h.changed.Wait()
	}
}

// ended says that the log was closed or deleted.
func (l *Log) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.state == closed
}

func (l *Log) captureLocked() capture {
	c := capture{to: l.endLocked(), cuts: l.mu.cuts, names: l.mu.names, newDir: l.mu.newDir, newFiles: l.mu.newFiles,
		epochs: l.epochs.Load(), write: l.mu.newEpochs && l.mu.state == present}
	l.mu.notified = false
	l.mu.dirtySince = time.Time{}
	from := l.marks.recovery.Load()
	if l.mu.state != present || l.UnflushedBytes() == 0 {
		c.ended = l.mu.state == closed && l.UnflushedBytes() > 0
		return c
	}
	for _, s := range l.segments() {
		if s.End() > from {
			c.segments = append(c.segments, s)
		}
	}
	return c
}

// endLocked is where the log ends now.
func (l *Log) endLocked() mark {
	m := mark{offset: l.marks.logEnd.Load(), written: l.marks.written.Load()}
	if v := l.view.Load(); v != nil {
		m.segment = v.active()
		m.pos = m.segment.Size()
	}
	return m
}

// sync does the work of a capture. Its errors have not been judged yet, but for those of a full disk.
func (l *Log) sync(c capture) error {
	for _, s := range c.segments {
		if err := s.Sync(); err != nil && !l.gone(s) {
			return fmt.Errorf("sync %s: %w", s.Path(), err)
		}
	}
	if c.newDir {
		if err := l.syncMetadata(); err != nil {
			return err
		}
	}
	var unwritten error
	if c.write {
		err := l.writeEpochs(c.epochs) // syncs the directory too
		if err != nil && !errors.Is(err, ErrReadOnly) {
			return err
		}
		unwritten = err
	}
	if c.newFiles && (!c.write || unwritten != nil) {
		if err := l.env.FS.SyncDir(l.dir()); err != nil {
			return fmt.Errorf("sync %s: %w", l.dir(), err)
		}
	}
	if c.newDir {
		if err := l.env.FS.SyncDir(l.env.Dir); err != nil {
			return fmt.Errorf("sync %s: %w", l.env.Dir, err)
		}
	}
	if unwritten != nil {
		return fmt.Errorf("%w: %w", errEpochsUnwritten, unwritten)
	}
	return nil
}

// errEpochsUnwritten: the records are synced, and a full disk had no room for the leader epochs. They can be read off the records
// above the recovery point, which therefore stays; readers need not wait for space.
var errEpochsUnwritten = errors.New("leader epochs are not written")

// gone says that a segment was removed since it was captured, so that its sync may fail.
func (l *Log) gone(s *segment.Segment) bool {
	for _, have := range l.segments() {
		if have == s {
			return false
		}
	}
	return true
}

// syncMetadata makes partition.metadata durable; where a full disk kept it from being written, that is done now.
func (l *Log) syncMetadata() error {
	path := filepath.Join(l.dir(), metadataName)
	f, err := l.env.FS.OpenFile(path, vfs.ReadWrite, 0)
	if errors.Is(err, fs.ErrNotExist) {
		err := vfs.WriteFileAtomic(l.env.FS, path, encodeMetadata(l.id.TopicID))
		if err != nil && l.ended() {
			return ErrClosed // the directory was renamed meanwhile
		}
		return l.env.fail(err)
	}
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// synced raises the marks after a capture was synced. due says that the derived state should be made durable.
func (l *Log) synced(c capture) (end int64, raised, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.namesDurableLocked(c.names)
	if c.write {
		l.epochsDurableLocked(c.epochs)
	}
	if c.cuts != l.mu.cuts {
		// Cut meanwhile, perhaps appended again: what was synced may not be what lies there now.
		return l.marks.recovery.Load(), false, false
	}
	if c.to.offset > l.marks.recovery.Load() {
		raised = l.raiseLocked(c.to)
		l.marks.recovery.Store(c.to.offset)
		l.marks.flushed.Store(c.to.written)
		l.env.move()
	}
	l.marks.check()
	return l.marks.recovery.Load(), raised, l.mu.sinceDerived >= derivedEvery && len(l.mu.pending) == 0
}

// epochsDurableLocked notes that the file has these epochs. Until it has, no other sync raises the recovery point: it waits for who writes them.
func (l *Log) epochsDurableLocked(c *epoch.Cache) {
	if l.epochs.Load() == c {
		l.mu.newEpochs = false
	}
}

// syncedRecords is synced for a capture whose records alone are durable: it leaves the recovery point where it is.
func (l *Log) syncedRecords(c capture) (end int64, raised bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.namesDurableLocked(c.names)
	if c.cuts == l.mu.cuts {
		raised = l.raiseLocked(c.to)
	}
	l.marks.check()
	return l.marks.synced.Load(), raised
}

// raiseLocked raises the synced end to m unless it is there.
func (l *Log) raiseLocked(m mark) bool {
	if m.offset <= l.marks.synced.Load() {
		return false
	}
	l.mu.synced = m
	l.marks.durable.Store(m.written)
	l.marks.synced.Store(m.offset)
	return true
}

// ReadUnsynced appends the batches from SyncedEnd to LogEnd to dst, for the journal. It is a capture: the next append calls
// Committer.Dirty again. After the journal is synced the committer calls SetSynced(end).
func (l *Log) ReadUnsynced(dst []byte) (batches []byte, from, end int64, err error) {
	l.enter(inside)
	defer l.leave()
	for {
		cuts := l.cuts.Load()
		batches, from, end, err = l.readUnsynced(dst)
		if err == nil || cuts == l.cuts.Load() {
			return batches, from, end, err
		}
		// Segments went away meanwhile, and what they held was synced before.
	}
}

func (l *Log) readUnsynced(dst []byte) (batches []byte, from, end int64, err error) {
	l.mu.Lock()
	l.mu.notified = false
	start, to, cuts := l.mu.synced, l.endLocked(), l.mu.cuts
	segments := l.segments()
	from = l.marks.synced.Load()
	l.mu.Unlock()
	if to.offset <= from || to.segment == nil {
		return dst, from, from, nil
	}
	at := len(dst)
	for i := (&view{segments}).floor(from); i < len(segments); i++ {
		s, pos, until := segments[i], int64(0), segments[i].Size()
		if s == to.segment {
			until = to.pos
		}
		if s == start.segment {
			pos = start.pos
		} else if s.Base() < from {
			found, ok, err := s.Find(from)
			if err != nil {
				return dst[:at], from, from, err
			}
			if !ok {
				continue
			}
			pos = found
		}
		if dst, err = s.AppendTo(dst, pos, until); err != nil {
			return dst[:at], from, from, fmt.Errorf("read unsynced batches of %s: %w", l.id, err)
		}
		if s == to.segment {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if cuts != l.mu.cuts { // cut while it was read
		return dst[:at], from, from, nil
	}
	if len(l.mu.captures) == maxCaptures {
		l.mu.captures = append(l.mu.captures[:0], l.mu.captures[1:]...)
	}
	l.mu.captures = append(l.mu.captures, to)
	return dst, from, to.offset, nil
}

// maxCaptures is how many of the last results of ReadUnsynced SetSynced accepts.
const maxCaptures = 4

// SetSynced tells that the journal holds everything below end, which one of the last four calls of ReadUnsynced returned. It never
// lowers SyncedEnd; a truncation in between makes it do nothing, since other batches may lie there now.
func (l *Log) SetSynced(end int64) {
	l.mu.Lock()
	raised := false
	if end > l.marks.synced.Load() {
		for _, m := range l.mu.captures {
			if m.offset == end && l.raiseLocked(m) {
				raised = true // two captures may have ended here
			}
		}
	}
	l.marks.check()
	l.mu.Unlock()
	if raised && l.onSynced != nil {
		l.onSynced(end)
	}
}
