package logdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/vfs"
)

// unreadable is a disk on which the files of some logs cannot be opened.
func unreadable(disk vfs.FS, logs ...int) vfs.FS {
	return vfs.NewFault(disk, func(op vfs.Op) error {
		for _, n := range logs {
			if op.Kind == vfs.OpOpen && strings.Contains(op.Name, logID(n).DirName()) {
				return syscall.EIO
			}
		}
		return nil
	})
}

// livedTwice returns a world of so many logs, with records of two lives of which the second ended by a power cut, and its disk. All entries lie in one
// file of the journal.
func livedTwice(t *testing.T, logs int) (*world, *vfs.Mem) {
	t.Helper()
	w := newWorld()
	mem := vfs.NewMem()
	for life := range 2 {
		must(t, w.open(options(mem)))
		for i := range logs {
			must(t, w.append(i, 300, 1, true, true))
		}
		if life == 0 {
			must(t, w.d.Close())
		}
	}
	disk := mem.Peek(vfs.LoseUnsynced, 1)
	must(t, w.d.Abort())
	return w, disk
}

// powerCut returns a world whose logs 0 and 1 are acknowledged and, for the most part, in the journal alone, and what is left of its disk.
func powerCut(t *testing.T) (*world, *vfs.Mem) {
	return powerCutOf(t, options(nil).journal)
}

// powerCutOf is powerCut of a journal with other sizes.
func powerCutOf(t *testing.T, sizes journal.Options) (*world, *vfs.Mem) {
	t.Helper()
	w := newWorld()
	mem := vfs.NewMem()
	opts := options(mem)
	opts.journal = sizes
	must(t, w.open(opts))
	for i := range 12 {
		must(t, w.append(i%2, 300, 1, true, true))
	}
	left := mem.Peek(vfs.LoseUnsynced, 1)
	must(t, w.d.Abort())
	return w, left
}

// manyFiles is powerCut with all that was acknowledged in several files of the journal.
func manyFiles(t *testing.T) (*world, *vfs.Mem) {
	sizes := options(nil).journal
	sizes.Files = 64 // so that none becomes free
	return powerCutOf(t, sizes)
}

// goOn opens a directory in which log 0 cannot be opened, and appends to log 1 until the journal's files were all used again.
func (w *world) goOn(opts Options) error {
	if err := w.open(opts); err != nil {
		return err
	}
	if _, err := w.d.Log(logID(0), config(true), nil); !errors.Is(err, syscall.EIO) {
		return errors.Join(fmt.Errorf("log 0 opens: %w", err), w.d.Abort())
	}
	return errors.Join(w.round(), w.d.Abort())
}

// round appends to log 1 until the journal's files were all used again.
func (w *world) round() error {
	from := w.d.committer.journal.Oldest()
	for range 2000 {
		if err := w.append(1, 1500, 2, true, true); err != nil {
			return err
		}
		if w.d.committer.journal.Oldest() > from+4 {
			return nil
		}
	}
	return errors.New("the journal's files are not used again")
}

// TestUnopenedLogKeepsItsJournal: a log that cannot be opened at two starts, while the journal goes round and round, has all that was
// acknowledged when it can be.
func TestUnopenedLogKeepsItsJournal(t *testing.T) {
	for _, model := range vfs.AllSurvivors {
		w, disk := powerCut(t)
		for range 2 {
			must(t, w.goOn(options(unreadable(disk, 0))))
			disk = disk.Crash(model, 2)
		}
		must(t, w.check(options(disk)))
		// What was kept is void: a log that is cut does not get it back.
		must(t, w.open(options(disk)))
		must(t, w.truncate(0, 2))
		if _, err := disk.Stat(root + "/" + unopenedDir); err == nil {
			t.Error("with nothing in it the second journal stays")
		}
		cut := disk.Peek(model, 3)
		must(t, w.d.Abort())
		must(t, w.check(options(cut)))
	}
}

// TestCrashWhileEntriesAreKept stops the machine at every change of the disk of a run that could not open a log, and then at every change of the
// next one, which can.
func TestCrashWhileEntriesAreKept(t *testing.T) {
	_, begin := powerCut(t)
	for at := int64(1); ; at = next(at) {
		w, _ := powerCut(t)
		first := begin.Peek(vfs.KeepAll, 0)
		var left []*vfs.Mem
		var once sync.Once
		fault := vfs.NewFault(first, func(op vfs.Op) error {
			if op.Change >= at {
				once.Do(func() {
					first.Crash(vfs.KeepAll, 0)
					for _, model := range vfs.AllSurvivors {
						left = append(left, first.Peek(model, uint64(at)))
					}
				})
			}
			return nil
		})
		err := w.goOn(options(unreadable(fault, 0)))
		if left == nil {
			must(t, err)
			through(t, at-1)
			return
		}
		for i, disk := range left {
			if err := w.check(options(disk.Peek(vfs.KeepAll, 0))); err != nil {
				t.Fatalf("crash at change %d, %s: %v", at, vfs.AllSurvivors[i], err)
			}
			if at%16 != int64(i) {
				continue
			}
			for in := int64(1); ; in++ { // in the recovery
				again := disk.Peek(vfs.KeepAll, 0)
				var after *vfs.Mem
				var once sync.Once
				_ = openAndAbort(options(vfs.NewFault(again, func(op vfs.Op) error {
					if op.Change >= in {
						once.Do(func() { after = again.Crash(vfs.AllSurvivors[in%4], uint64(in)) })
					}
					return nil
				})))
				if after == nil {
					break
				}
				if err := w.check(options(after)); err != nil {
					t.Fatalf("crash at change %d, %s, then at change %d of recovery: %v", at, vfs.AllSurvivors[i], in, err)
				}
			}
		}
	}
}

// TestErrorWhileEntriesAreKept fails each change of the disk of a run that could not open a log, once: what was acknowledged is there afterwards.
func TestErrorWhileEntriesAreKept(t *testing.T) {
	_, begin := powerCut(t)
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for at := int64(1); ; at = next(at) {
			w, _ := powerCut(t)
			disk := begin.Peek(vfs.KeepAll, 0)
			var hit atomic.Bool
			err := w.goOn(options(unreadable(vfs.NewFault(disk, func(op vfs.Op) error {
				if op.Change != at {
					return nil
				}
				hit.Store(true)
				if op.Kind == vfs.OpWrite {
					return &vfs.Partial{N: op.N / 2, Err: cause}
				}
				return cause
			}), 0)))
			if !hit.Load() {
				must(t, err)
				through(t, at-1)
				break
			}
			if err := w.check(options(disk.Peek(vfs.LoseUnsynced, uint64(at)))); err != nil {
				t.Fatalf("%v at change %d: %v", cause, at, err)
			}
		}
	}
}

// TestUnopenedLogs: of several logs whose entries are kept one is set aside, one is removed, and one is opened, and cut, while another cannot be.
func TestUnopenedLogs(t *testing.T) {
	w, disk := livedTwice(t, 5)
	must(t, w.open(options(unreadable(disk, 0, 2, 3, 4))))
	must(t, w.d.Quarantine(logID(3)))
	madeAgain := func(disk *vfs.Mem) { // of what was kept; what its files had was set aside with them
		t.Helper()
		d := mustOpen(t, options(disk))
		l, err := d.Log(logID(3), config(true), nil)
		must(t, err)
		if end := l.LogEnd(); end != int64(w.models[3].acked) {
			t.Errorf("what was kept of the log that was set aside ends at %d, not at %d", end, w.models[3].acked)
		}
		must(t, d.Abort())
	}
	madeAgain(disk.Peek(vfs.LoseUnsynced, 1))
	must(t, w.round())
	if len(w.d.unopened.waiting) > 0 || len(w.d.unopened.kept) != 4 {
		t.Fatalf("of %d logs entries are kept, and of %d they are to be", len(w.d.unopened.kept), len(w.d.unopened.waiting))
	}
	must(t, w.d.Abort())
	disk = disk.Crash(vfs.LoseUnsynced, 2)

	must(t, w.open(options(unreadable(disk, 0, 2)))) // 4 is open again, and 3 made again
	must(t, w.d.Remove(logID(2)))
	must(t, w.truncate(4, 1))
	must(t, w.round()) // nothing in the journal voids what is void
	must(t, w.d.Abort())
	disk = disk.Crash(vfs.LoseUnsynced, 3)

	w.model(2).keys, w.model(2).acked = nil, 0
	madeAgain(disk)
	delete(w.models, 3)
	must(t, w.check(options(disk)))
	if _, err := disk.Stat(root + "/" + unopenedDir); err == nil {
		t.Error("with nothing in it the second journal stays")
	}
}

// TestNoDescriptorForWhatIsKept: copies that free the journal's files meet a lack of descriptors half-way. They go on where they were when there are
// some again, without an append, and copy nothing twice.
func TestNoDescriptorForWhatIsKept(t *testing.T) {
	sizes := options(nil).journal
	sizes.Files = 9 // so that no file of the first life becomes free
	w, disk := powerCutOf(t, sizes)
	var lack atomic.Bool
	var read atomic.Int64
	opts := options(unreadable(vfs.NewFault(disk, func(op vfs.Op) error {
		if op.Kind == vfs.OpOpen && filepath.Dir(op.Name) == filepath.Join(root, journalDir) && lack.Load() && read.Add(1) > 1 {
			return syscall.EMFILE
		}
		return nil
	}), 0))
	must(t, w.open(opts))
	u, st := &w.d.unopened, w.d.lookup(logID(0))
	waiting := func() int {
		u.Lock()
		defer u.Unlock()
		return len(u.waiting[st])
	}
	all, oldest := waiting(), w.d.committer.journal.Oldest()
	lack.Store(true)
	deadline := time.Now().Add(20 * time.Second)
	for !w.d.committer.starving() {
		if time.Now().After(deadline) {
			t.Fatal("waited for the copies to meet the lack of descriptors")
		}
		must(t, w.append(1, 1500, 2, true, true))
	}
	for range 60 { // the journal is full
		must(t, w.append(1, 1500, 2, true, true))
	}
	if left := waiting(); left == 0 || left == all {
		t.Fatalf("%d of %d entries wait: they are in one file", left, all)
	}
	w.d.probe() // which finds none still
	lack.Store(false)
	for waiting() > 0 || !w.d.committer.journal.Reclaimable() && w.d.committer.journal.Oldest() == oldest {
		if time.Now().After(deadline) {
			t.Fatalf("waited for the copies to go on: %d of %d entries wait", waiting(), all)
		}
		w.d.probe()
		runtime.Gosched()
	}
	must(t, w.round())
	scan, err := journal.Open(disk, filepath.Join(root, unopenedDir), w.d.meta.directory)
	must(t, err)
	if len(scan.Entries) != all {
		t.Errorf("%d entries are kept of %d", len(scan.Entries), all)
	}
	left := disk.Peek(vfs.LoseUnsynced, 2)
	must(t, w.d.Abort())
	must(t, w.check(options(left)))
}

// TestLastSpaceForRemovals: a log is removed of which entries are kept, when a start has left space for hardly more than the note of that.
func TestLastSpaceForRemovals(t *testing.T) {
	w, disk := livedTwice(t, 2)
	must(t, w.goOn(options(unreadable(disk, 0))))
	disk = disk.Crash(vfs.LoseUnsynced, 2)
	must(t, w.open(options(unreadable(disk, 0))))
	if !w.d.unopened.kept[w.d.lookup(logID(0))] {
		t.Fatal("nothing is kept: this test shows nothing")
	}
	disk.SetCapacity(disk.Used() + 24<<10)
	must(t, w.d.Remove(logID(0)))
	if w.d.lookup(logID(0)) != nil {
		t.Error("the removal was held up")
	}
	left := disk.Crash(vfs.LoseUnsynced, 3)
	left.SetCapacity(0)
	w.d.Abort()
	delete(w.models, 0)
	must(t, w.check(options(left)))
	if left := names(t, left, root); strings.Contains(strings.Join(left, " ")+" ", logID(0).DirName()+" ") {
		t.Errorf("after a crash there are %v", left)
	}
}
