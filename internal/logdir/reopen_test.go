package logdir

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// lacking is a disk on which the segments of log 0 lack space for as long as it says so, but for the beginning of the first write.
type lacking struct {
	full    atomic.Bool
	written atomic.Int64
	hook    func(vfs.Op) error // asked then; may be nil
}

func (f *lacking) over(disk vfs.FS) vfs.FS {
	return vfs.NewFault(disk, func(op vfs.Op) error {
		if f.full.Load() && op.Kind == vfs.OpWrite && strings.Contains(op.Name, logID(0).DirName()) && strings.HasSuffix(op.Name, ".log") {
			if f.written.Add(1) > 2 {
				return &vfs.Partial{N: op.N / 2, Err: syscall.ENOSPC}
			}
		}
		if f.hook != nil {
			return f.hook(op)
		}
		return nil
	})
}

// openLacking opens what a power cut left on a disk that has no room for all of log 0, and then gives it room.
func (w *world) openLacking(t *testing.T, f *lacking, disk vfs.FS) {
	t.Helper()
	f.full.Store(true)
	must(t, w.open(options(f.over(disk))))
	if _, err := w.log(0, true); err == nil || !Passes(err) {
		t.Fatalf("without room for it log 0 is opened: %v", err)
	}
	if w.d.Recovery().Failed == 0 {
		t.Fatal("recovery opened all logs: this test shows nothing")
	}
	f.full.Store(false)
	if _, err := w.log(0, true); err == nil || !Passes(err) {
		t.Fatalf("before anybody looked for space log 0 is opened: %v", err)
	}
	w.d.probe()
	w.waitAgain()
}

// TestOpenedWhenThereIsSpace: a log that recovery could not open on a full disk is opened, with all that was acknowledged, as soon as there is space, be it
// that the journal has gone round since or not. What was kept of it is void then.
func TestOpenedWhenThereIsSpace(t *testing.T) {
	for _, rounds := range []int{0, 1} {
		for _, model := range vfs.AllSurvivors {
			w, disk := manyFiles(t)
			w.openLacking(t, new(lacking), disk)
			for range rounds {
				must(t, w.round())
			}
			must(t, w.same(0))
			must(t, w.same(1)) // which could not be opened either, if log 0 was tried before it
			must(t, w.append(0, 300, 2, true, true))
			must(t, w.truncate(0, 3))
			must(t, w.append(0, 200, 3, true, true))
			left := disk.Peek(model, 3)
			must(t, w.d.Close())
			must(t, w.check(options(left)))

			d := mustOpen(t, options(disk))
			if clean, _ := d.Clean(); !clean {
				t.Errorf("%d rounds: a stop with all logs open is not clean", rounds)
			}
			must(t, d.Abort())
			must(t, w.check(options(disk)))
			if _, err := disk.Stat(filepath.Join(root, unopenedDir)); rounds > 0 && err == nil {
				t.Error("with nothing in it the second journal stays")
			}
		}
	}
}

// TestUncleanWithoutALog: a stop without a log that could not be opened is not clean, and the next start opens it.
func TestUncleanWithoutALog(t *testing.T) {
	w, disk := manyFiles(t)
	w.openLacking(t, new(lacking), disk)
	must(t, w.d.Close())
	d := mustOpen(t, options(disk))
	if clean, _ := d.Clean(); clean {
		t.Error("the stop was clean")
	}
	must(t, d.Abort())
	must(t, w.check(options(disk)))
}

// TestErrorWhileItIsOpenedLate fails each operation with which a log is opened late, once: what was acknowledged survives a crash, and where it
// was for lack of space the next attempt succeeds.
func TestErrorWhileItIsOpenedLate(t *testing.T) {
	for _, rounds := range []int{0, 1} {
		for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
			for at := int64(1); ; at = next(at) {
				w, disk := manyFiles(t)
				var armed, hit atomic.Bool
				var count atomic.Int64
				f := &lacking{hook: func(op vfs.Op) error {
					if !armed.Load() || count.Add(1) != at {
						return nil
					}
					hit.Store(true)
					if op.Kind == vfs.OpWrite {
						return &vfs.Partial{N: op.N / 2, Err: cause}
					}
					return cause
				}}
				w.openLacking(t, f, disk)
				for range rounds {
					must(t, w.round())
				}
				armed.Store(true)
				err := w.same(0)
				armed.Store(false)
				if !hit.Load() {
					must(t, err)
					must(t, w.d.Abort())
					through(t, at-1)
					break
				}
				for _, model := range []vfs.Survivors{vfs.LoseUnsynced, vfs.TearSectors, vfs.KeepAll} {
					if err := w.check(options(disk.Peek(model, uint64(at)))); err != nil {
						t.Fatalf("%v at operation %d after %d rounds, then a crash (%s): %v", cause, at, rounds, model, err)
					}
				}
				if err != nil && Passes(err) {
					w.d.probe()
					if err := w.same(0); err != nil {
						t.Fatalf("%v at operation %d after %d rounds: tried again: %v", cause, at, rounds, err)
					}
				}
				must(t, w.d.Abort())
			}
		}
	}
}

// TestCrashWhileItIsOpenedLate stops the machine at every change of the disk while a log is opened late.
func TestCrashWhileItIsOpenedLate(t *testing.T) {
	for _, rounds := range []int{0, 1} {
		w, disk := manyFiles(t)
		var armed atomic.Bool
		var turn sync.Mutex // snapshots are written in the background meanwhile
		points := uint64(0)
		f := &lacking{hook: func(op vfs.Op) error {
			if armed.Load() && op.Kind.Changes() {
				turn.Lock()
				defer turn.Unlock()
				points++
				for _, model := range vfs.AllSurvivors {
					if err := w.check(options(disk.Peek(model, points))); err != nil {
						t.Errorf("%d rounds, crash at change %d, %s: %v", rounds, points, model, err)
					}
				}
			}
			return nil
		}}
		w.openLacking(t, f, disk)
		for range rounds {
			must(t, w.round())
		}
		c := w.d.committer // nothing else is at work: check compares with models that do not change
		must(t, w.d.Checkpoint())
		for c.reclaimFiles() {
		}
		armed.Store(true)
		must(t, w.same(0))
		armed.Store(false)
		must(t, w.d.Abort()) // and nothing goes on in the background
		if points == 0 {
			t.Error("nothing was changed")
		}
	}
}

// TestNoRoomToVoidWhatWasKept: a start that opens a log of which entries were kept, and has no room to note that, does without the log until there is some.
func TestNoRoomToVoidWhatWasKept(t *testing.T) {
	w, disk := livedTwice(t, 4)
	must(t, w.open(options(unreadable(disk, 0, 2))))
	must(t, w.round())
	must(t, w.d.Abort())
	disk = disk.Crash(vfs.LoseUnsynced, 2)

	var full atomic.Bool
	full.Store(true)
	must(t, w.open(options(vfs.NewFault(unreadable(disk, 2), func(op vfs.Op) error { // with log 2 the second journal cannot go as a whole
		if full.Load() && op.Kind == vfs.OpWrite && strings.Contains(op.Name, unopenedDir) {
			return syscall.ENOSPC
		}
		return nil
	}))))
	if _, err := w.log(0, true); !errors.Is(err, syscall.ENOSPC) || !Passes(err) {
		t.Fatalf("log 0 is opened: %v", err)
	}
	must(t, w.same(3))
	left := disk.Peek(vfs.LoseUnsynced, 3)
	full.Store(false)
	w.d.probe()
	w.waitAgain()
	must(t, w.same(0))
	must(t, w.check(options(left)))
	must(t, w.truncate(0, 1))
	must(t, w.append(0, 300, 2, true, true))
	for _, model := range vfs.AllSurvivors {
		must(t, w.check(options(disk.Peek(model, 4))))
	}
	must(t, w.d.Abort())
}

// TestLostIsToldByTheNextStart: a log that was not even read by the start, and lacks what was synced, is not served when it is tried again: who was told
// at the start what is lost does not know. The next start tells.
func TestLostIsToldByTheNextStart(t *testing.T) {
	w, disk := manyFiles(t)
	writeFile(t, disk, filepath.Join(root, recoveryPointFile), "0\n1\ntopic-0 0 100\n")
	writeFile(t, disk, filepath.Join(root, logID(0).DirName(), "00000000000000000000.log"), "")
	var lack atomic.Bool
	lack.Store(true)
	must(t, w.open(options(vfs.NewFault(disk, func(op vfs.Op) error {
		if lack.Load() && op.Kind == vfs.OpReadDir && strings.Contains(op.Name, logID(0).DirName()) {
			return syscall.EMFILE
		}
		return nil
	}))))
	if _, err := w.d.Log(logID(0), config(true), nil); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("log 0 opens without a descriptor: %v", err)
	}
	lack.Store(false)
	for range 2 {
		if _, err := w.d.Log(logID(0), config(true), nil); !errors.Is(err, errLostLate) || Passes(err) {
			t.Fatalf("log 0 opens: %v", err)
		}
	}
	must(t, w.d.Abort())
	d := mustOpen(t, options(disk))
	defer d.Abort()
	if lost := d.Recovery().Lost; !slices.Contains(lost, logID(0)) {
		t.Errorf("the next start tells that of %v records are lost", lost)
	}
	l, err := d.Log(logID(0), new(commitlog.Config), nil)
	must(t, err)
	must(t, w.model(0).compare(l))
}
