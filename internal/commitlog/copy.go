package commitlog

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/record"
)

// A log is moved to another log directory by a copy of it, which has a directory of another name until it is complete. The copy is a Log
// that nobody else uses, follows the other like a replica, and takes its place in the end. Who moves it, and how it outlives a
// crash, is the owner's of the log directories.

// Copying keeps compaction away while a copy of the log is made, or lets it in again. What was copied before a pass and what was copied
// after it do not make a whole: the one may have a record that was deleted, the other no tombstone any more. It says whether no
// pass is under way; one that was gives up soon, and the caller asks again.
func (l *Log) Copying(on bool) (quiet bool) {
	l.copied.Store(on)
	return l.cleans.Load() == 0
}

// MakeFiles makes the directory and the first segment of a log that has no files yet, so that its place is known to the next start.
func (l *Log) MakeFiles() error {
	if err := l.env.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.state != absent {
		return nil
	}
	if _, err := l.rollLocked(l.marks.logEnd.Load(), l.config.Load()); err != nil {
		return l.env.fail(fmt.Errorf("make files of %s: %w", l.id, err))
	}
	return nil
}

// Continues says whether the log is the beginning of another, from some offset on: its last batch and its leader epochs are the other's.
func (l *Log) Continues(whole *Log) (bool, error) {
	for _, log := range []*Log{l, whole} {
		if err := log.use(); err != nil {
			return false, err
		}
		defer log.leave()
	}
	end := l.LogEnd()
	if end > whole.LogEnd() || end < whole.LogStart() {
		return false, nil
	}
	for _, e := range l.Epochs() {
		if e.Start < whole.LogStart() || e.Start >= end {
			continue
		}
		if at, ok := whole.EpochAt(e.Start); !ok || int32(at) != e.Epoch {
			return false, nil
		}
	}
	if l.Size() == 0 {
		return end == whole.LogStart(), nil
	}
	own, err := l.batchAt(end - 1)
	if err != nil || own == nil {
		return false, err
	}
	other, err := undisturbed(whole, func() (record.Batch, error) { return whole.batchAt(end - 1) })
	if err != nil || other == nil {
		return false, err
	}
	return own.BaseOffset() == other.BaseOffset() && own.CRC() == other.CRC() && own.LeaderEpoch() == other.LeaderEpoch(), nil
}

// CopyFrom appends what follows the log end in another log, at most about maxBytes, with buf for memory, which it returns. done says that nothing was left.
func (l *Log) CopyFrom(whole *Log, maxBytes int64, buf []byte) (n int64, done bool, _ []byte, err error) {
	slice, err := whole.Read(l.LogEnd(), maxBytes, whole.LogEnd(), true)
	if err != nil {
		return 0, false, buf, err
	}
	buf, err = slice.Span.AppendTo(buf[:0])
	slice.Release()
	if err != nil {
		return 0, false, buf, fmt.Errorf("copy %s at %d: %w", l.id, l.LogEnd(), err)
	}
	if len(buf) == 0 {
		return 0, true, buf, nil
	}
	if err := l.env.Err(); err != nil {
		return 0, false, buf, err
	}
	if _, err := l.AppendReplica(buf); err != nil {
		return 0, false, buf, fmt.Errorf("copy %s: %w", l.id, err)
	}
	return int64(len(buf)), false, buf, nil
}

// TakeOver gives a complete copy what cannot be read from the batches: producers whose batches are gone, leader epochs without
// batches, and how far compaction has been. Nothing is appended to either meanwhile. It is durable with the next SyncFiles.
func (l *Log) TakeOver(whole *Log) error {
	if l.LogEnd() != whole.LogEnd() {
		return fmt.Errorf("take over %s: %w: the copy ends at %d, the log at %d", l.id, ErrUnexpectedOffset, l.LogEnd(), whole.LogEnd())
	}
	if err := whole.use(); err != nil {
		return err
	}
	defer whole.leave()
	whole.mu.Lock()
	producers := whole.mu.producers.Clone()
	whole.mu.Unlock()
	epochs := whole.Epochs()
	if err := l.AdvanceLogStart(whole.LogStart()); err != nil {
		return err
	}
	l.mu.Lock()
	known := l.mu.producers.Knows(producers)
	l.mu.producers = *producers
	l.unstable.Store(true) // LastStable finds out
	l.marks.cleaned.Store(min(whole.Cleaned(), l.marks.logEnd.Load()))
	l.unclean.Store(whole.unclean.Load())
	l.takeEpochsLocked(epochs)
	l.mu.Unlock()
	if known {
		return nil
	}
	return l.snapshotNow()
}

func (l *Log) takeEpochsLocked(epochs []epoch.Entry) {
	l.changeEpochsLocked(func(c *epoch.Cache) bool {
		if slices.Equal(c.Entries(), epochs) {
			return false
		}
		c.Clear()
		for _, e := range epochs {
			c.Assign(e.Epoch, e.Start)
		}
		return true
	})
}

// Learn makes durable in a copy, as far as it reaches, what cannot be read from the batches that it has: producers whose batches are
// gone, and of a compacted log where the leader epochs began. A start believes both at a snapshot of the producers below the recovery point,
// so there is one then.
func (l *Log) Learn(whole *Log) error {
	if err := whole.use(); err != nil {
		return err
	}
	defer whole.leave()
	var epochs []epoch.Entry
	whole.mu.Lock()
	producers := whole.mu.producers.Clone()
	whole.mu.Unlock()
	l.mu.Lock()
	end := l.marks.logEnd.Load()
	news := l.mu.producers.Learn(producers, end)
	if whole.Cleaned() > 0 {
		for _, e := range whole.Epochs() {
			if e.Start < end {
				epochs = append(epochs, e)
			}
		}
		l.takeEpochsLocked(epochs)
		news = true
	}
	if news {
		l.mu.learned = end
	}
	l.mu.Unlock()
	if !news {
		return nil
	}
	return l.snapshotNow()
}

// snapshotNow makes the derived state and a snapshot of the producers at the log end durable.
func (l *Log) snapshotNow() error {
	noted, err := l.noteProducers(func() bool { return true })
	if err != nil || !noted {
		return err
	}
	_, err = l.derive()
	return err
}

// Rename gives the directory of the log another name, which is durable once the log directory is synced. Nobody else may use the log.
func (l *Log) Rename(name string) error {
	defer l.hold()()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.state != present {
		return fmt.Errorf("rename %s: %w", l.dir(), ErrClosed)
	}
	for _, s := range l.segments() {
		s.Shut() // some systems do not rename what holds open files
	}
	to := filepath.Join(l.env.Dir, name)
	if err := l.env.FS.Rename(l.dir(), to); err != nil {
		return l.env.fail(fmt.Errorf("rename %s: %w", l.dir(), err))
	}
	l.name.Store(&name)
	if name == l.id.DirName() {
		l.name.Store(nil)
	}
	return nil
}

// Cuts counts the truncations of the log since it was opened.
func (l *Log) Cuts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.cuts
}
