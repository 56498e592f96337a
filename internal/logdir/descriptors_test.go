package logdir

import (
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// TestNoDescriptors: while no file can be opened appends are refused or wait, and the directory stays online; once files can be opened
// again, everything that was taken is made durable without another append.
func TestNoDescriptors(t *testing.T) {
	for n := int64(1); ; n += 3 {
		for _, many := range []int64{1, 40} {
			var lack atomic.Bool
			var seen, met atomic.Int64
			mem := vfs.NewMem()
			opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
				switch op.Kind {
				case vfs.OpOpen, vfs.OpCreate, vfs.OpSyncDir, vfs.OpReadDir:
				default:
					return nil
				}
				if k := seen.Add(1); lack.Load() && k >= n && k < n+many {
					met.Add(1)
					return syscall.EMFILE
				}
				return nil
			}))
			opts.Files = commitlog.NewFileCache(1, 1<<20)
			w := newWorld()
			must(t, w.open(opts))
			seen.Store(0)
			lack.Store(true)
			for i := range 60 {
				if i == 30 {
					if err := w.sweeping(func() error { return w.d.Remove(logID(5)) }); err != nil && !vfs.NoDescriptors(err) {
						t.Fatalf("operation %d: remove: %v", n, err)
					}
					delete(w.models, 5)
				}
				size := []int{100, 3000, 7000}[i%3]
				if err := w.append(i%5, size, 1, true, false); err != nil && !vfs.NoDescriptors(err) {
					t.Fatalf("operation %d: append: %v", n, err)
				}
				if i == 10 {
					if err := w.append(5, 100, 1, true, false); err != nil && !vfs.NoDescriptors(err) {
						t.Fatalf("operation %d: append: %v", n, err)
					}
				}
				if err := w.d.Checkpoint(); err != nil && !vfs.NoDescriptors(err) {
					t.Fatalf("operation %d: checkpoint: %v", n, err)
				}
			}
			lack.Store(false)
			must(t, w.d.Err())
			w.awaitAll(t)
			must(t, w.d.Err())
			disk := mem.Crash(vfs.LoseUnsynced, 1)
			w.d.Abort()
			must(t, w.check(options(disk)))
			if met.Load() == 0 {
				t.Logf("%d operations", n)
				return
			}
		}
	}
}

// TestRemovalWithoutDescriptors: a removal that finds no room in the journal, because a log with entries in its files could not be synced for lack of
// descriptors, does not wait for some, and goes on when there are.
func TestRemovalWithoutDescriptors(t *testing.T) {
	var lack atomic.Bool
	var met atomic.Int64
	opts := options(vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if lack.Load() && op.Kind == vfs.OpOpen && filepath.Dir(op.Name) == filepath.Join(root, logID(1).DirName()) {
			met.Add(1)
			return syscall.EMFILE
		}
		return nil
	}))
	opts.Files = commitlog.NewFileCache(1, 1<<20)
	opts.journal.FirstFile, opts.journal.MaxFile = 64<<10, 64<<10 // so that the first file is not left before the descriptors are gone
	w := newWorld()
	must(t, w.open(opts))
	for n := range w.models { // 0 is last the one whose file is open
		must(t, w.append(n, 100, 1, true, true))
	}
	must(t, w.append(0, 100, 1, true, true))
	lack.Store(true)
	for range 60 {
		must(t, w.append(0, 3000, 1, true, true))
	}
	until(t, "the reclaimer meets the lack", func() bool { return met.Load() > 0 })
	if n := w.d.committer.journal.Sequence(); n != 3 {
		t.Fatalf("the journal is in file %d", n)
	}
	var late []*state // the journal keeps room for the first of them
	for n := 2; n < 6; n++ {
		must(t, w.d.Remove(logID(n)))
		if st := w.d.lookup(logID(n)); st != nil {
			late = append(late, st)
		}
		delete(w.models, n)
	}
	if len(late) == 0 {
		t.Fatal("the journal had room for all of them: this test shows nothing")
	}
	lack.Store(false)
	for _, st := range late {
		must(t, w.sweeping(func() error { return w.d.remove(st) }))
	}
	w.awaitAll(t)
	must(t, w.d.Close())
}

// sweeping calls f while the directory looks for what it may try again, as it does every second where the clock goes.
func (w *world) sweeping(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	for {
		select {
		case err := <-done:
			return err
		default:
			w.d.probe()
			runtime.Gosched()
		}
	}
}

// awaitAll waits until all that was appended is acknowledged, while the directory looks for what it may try again.
func (w *world) awaitAll(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for n, m := range w.models {
		for done := false; !done; {
			w.d.probe()
			m.mu.Lock()
			done = m.acked == len(m.keys)
			acked, keys := m.acked, len(m.keys)
			m.mu.Unlock()
			if !done && time.Now().After(deadline) {
				t.Fatalf("log %d: %d of %d records are acknowledged", n, acked, keys)
			}
			runtime.Gosched()
		}
	}
}
