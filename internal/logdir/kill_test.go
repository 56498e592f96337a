package logdir

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// resume opens what a kill left, on a disk that has forgotten nothing, but may still. What is readable there counts as acknowledged from now on.
func (w *world) resume(opts Options) error {
	if err := w.open(opts); err != nil {
		return err
	}
	for n, m := range w.models {
		l, err := w.log(n, true)
		if err == nil {
			err = m.compare(l)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("log %d after a kill: %w", n, err), w.d.Abort())
		}
		m.mu.Lock()
		m.keys, m.cut, m.failed = m.keys[:l.LogEnd()], -1, false
		m.acked = int(l.SyncedEnd())
		if m.acked != len(m.keys) {
			err = fmt.Errorf("log %d is open, synced to %d of %d", n, m.acked, len(m.keys))
		}
		m.mu.Unlock()
		if err != nil {
			return errors.Join(err, w.d.Abort())
		}
	}
	return nil
}

// killedLives is the work of a directory that is killed three times, each time with a journal that its segment files are behind.
func (w *world) killedLives(opts Options) error {
	if err := w.open(opts); err != nil {
		return err
	}
	if err := errors.Join(w.firstWork(), w.d.Abort()); err != nil {
		return fmt.Errorf("first life: %w", err)
	}
	for life, work := range []func() error{w.secondWork, w.thirdWork} {
		if err := w.resume(opts); err != nil {
			return fmt.Errorf("open life %d: %w", life+2, err)
		}
		if err := errors.Join(work(), w.d.Abort()); err != nil {
			return fmt.Errorf("life %d: %w", life+2, err)
		}
	}
	if err := w.resume(opts); err != nil {
		return fmt.Errorf("open the last: %w", err)
	}
	if err := w.append(0, 100, 9, true, true); err != nil {
		return errors.Join(err, w.d.Abort())
	}
	return w.d.Close()
}

// secondWork touches all logs little: made anew, cut, removed, made and appended.
func (w *world) secondWork() error {
	for n := range 4 {
		if err := w.append(n, 300, 6, true, true); err != nil {
			return err
		}
	}
	if err := w.truncate(2, 7); err != nil {
		return err
	}
	if err := w.append(2, 250, 7, true, true); err != nil {
		return err
	}
	return w.remove(3)
}

// thirdWork fills the journal, so that its files go to segments and are used again, and rolls a log.
func (w *world) thirdWork() error {
	for i := range 16 {
		if err := w.append(i%2, 4000, 8, true, i%3 > 0); err != nil {
			return err
		}
	}
	return w.append(5, 200, 8, true, true)
}

// TestCrashAfterKills is TestCrashEverywhere for a directory that was killed before: files that no recovery has synced, behind a journal
// that the recoveries kept. What the crash leaves is recovered with crashes on the way.
func TestCrashAfterKills(t *testing.T) {
	for at := int64(1); ; at = next(at) {
		w := newWorld()
		var left []*vfs.Mem
		fault := crashAt(at, &left)
		err := w.killedLives(options(fault))
		if left == nil {
			if err != nil {
				t.Fatalf("without a crash: %v", err)
			}
			through(t, at-1)
			return
		}
		for i, disk := range left {
			if err := w.checkStumbling(disk, at); err != nil {
				t.Fatalf("crash at change %d, %s: %v", at, vfs.AllSurvivors[i], err)
			}
		}
	}
}

// checkStumbling is check after recoveries that crash themselves.
func (w *world) checkStumbling(disk *vfs.Mem, seed int64) error {
	for round := range int64(3) {
		at, model := 1+(seed*7+round*11)%23, vfs.AllSurvivors[(seed+round)%int64(len(vfs.AllSurvivors))]
		var left *vfs.Mem
		var once sync.Once
		err := openAndAbort(options(vfs.NewFault(disk, func(op vfs.Op) error {
			if op.Change >= at {
				once.Do(func() { left = disk.Crash(model, uint64(seed+round)) })
			}
			return nil
		})))
		switch {
		case left != nil:
			disk = left
		case err != nil:
			return fmt.Errorf("recovery %d: %w", round, err)
		}
	}
	return w.check(options(disk))
}

// TestPowerCutAfterKill kills the process at every change of the disk, whose caches stay, lets the next one acknowledge more, and
// then cuts the power: the journal that it trusted is as durable as what it wrote.
func TestPowerCutAfterKill(t *testing.T) {
	for at := int64(1); ; at = next(at) {
		w := newWorld()
		mem := vfs.NewMem()
		var dead atomic.Bool
		err := w.open(options(vfs.NewFault(mem, func(op vfs.Op) error {
			if op.Change >= at {
				dead.Store(true)
			}
			if dead.Load() {
				return syscall.EIO
			}
			return nil
		})))
		if err == nil {
			err = w.firstWork()
			w.d.Abort()
		}
		if !dead.Load() {
			if err != nil {
				t.Fatalf("without a kill: %v", err)
			}
			through(t, at-1)
			return
		}
		if err := w.resume(options(mem)); err != nil {
			t.Fatalf("kill at change %d: %v", at, err)
		}
		for n := range 3 {
			if err := w.append(n, 300, 6, true, true); err != nil {
				t.Fatalf("kill at change %d: append to log %d: %v", at, n, err)
			}
		}
		for _, model := range vfs.AllSurvivors {
			disk := mem.Peek(model, uint64(at))
			if err := w.checkStumbling(disk, at); err != nil {
				t.Fatalf("kill at change %d, then a power cut, %s: %v", at, model, err)
			}
		}
		w.d.Abort()
	}
}

// TestFullDiskAfterAKill: a directory is killed, and the next start believes the journal, which is in several files, and syncs none of the logs. The disk is full for a
// moment, which has files of the journal freed: not before the logs with entries in them are synced.
func TestFullDiskAfterAKill(t *testing.T) {
	w, disk := manyFiles(t)
	must(t, w.open(options(disk)))
	if r := w.d.Recovery(); r.ReplayedBytes == 0 || w.d.committer.journal.Sequence() < 3 {
		t.Fatalf("recovery is %+v, of %d files: this test shows nothing", r, w.d.committer.journal.Sequence())
	}
	w.d.isFull(nil)
	w.d.probe()
	for w.d.committer.reclaimFiles() { // as it was told to
	}
	w.waitAgain()
	for n := range w.models {
		must(t, w.same(n))
	}
	must(t, w.append(2, 300, 2, true, true)) // says which files of the journal are needed
	for _, model := range vfs.AllSurvivors {
		if err := w.check(options(disk.Peek(model, 1))); err != nil {
			t.Errorf("a power cut, %s: %v", model, err)
		}
	}
	must(t, w.d.Abort())
}
