package logdir

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// live is the work of the crash tests: three lives of a directory, with appends that go through the journal and appends that go
// to the files, logs that are made, rolled, cut back, removed, and a log that is not durable. It ends with the first error.
func (w *world) live(opts Options) error {
	if err := w.firstLife(opts); err != nil {
		return fmt.Errorf("first life: %w", err)
	}
	if err := w.open(opts); err != nil {
		return fmt.Errorf("open the second: %w", err)
	}
	for i := range 6 {
		if err := w.append(i%3, 300, 3, true, true); err != nil {
			return errors.Join(err, w.d.Abort())
		}
	}
	if err := w.d.Abort(); err != nil { // killed
		return err
	}
	if err := w.open(opts); err != nil {
		return fmt.Errorf("open the third: %w", err)
	}
	if err := w.append(0, 100, 4, true, true); err != nil {
		return errors.Join(err, w.d.Abort())
	}
	return w.d.Close()
}

func (w *world) firstLife(opts Options) error {
	if err := w.open(opts); err != nil {
		return err
	}
	if err := w.firstWork(); err != nil {
		return errors.Join(err, w.d.Abort())
	}
	return w.d.Close()
}

func (w *world) firstWork() error {
	for i := range 18 {
		if err := w.append(i%3, 200+i*90, 1, true, i%2 == 0); err != nil {
			return err
		}
	}
	if err := w.append(1, 9<<10, 1, true, false); err != nil { // goes to the files
		return err
	}
	if err := w.append(1, 9<<10, 1, true, true); err != nil {
		return err
	}
	if err := w.append(4, 2<<10, 1, false, false); err != nil {
		return err
	}
	if err := w.d.Checkpoint(); err != nil {
		return err
	}
	if err := w.truncate(2, 3); err != nil {
		return err
	}
	for range 4 {
		if err := w.append(2, 700, 2, true, true); err != nil {
			return err
		}
	}
	if err := w.truncate(2, 5); err != nil {
		return err
	}
	if err := w.append(2, 8<<10, 3, true, true); err != nil {
		return err
	}
	if err := w.append(5, 300, 1, true, true); err != nil {
		return err
	}
	if err := w.remove(5); err != nil {
		return err
	}
	for i := range 12 {
		if err := w.append(i%2, 1500, 2, true, i%3 > 0); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) remove(n int) error {
	m := w.model(n)
	m.mu.Lock()
	m.acked, m.log = 0, nil // what is acknowledged while it goes is owed to nobody
	m.mu.Unlock()
	if err := w.d.Remove(logID(n)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.d.lookup(logID(n)) == nil { // else it lacked space, is tried again, and a kill before that brings the log back
		m.keys = nil
	}
	delete(w.logs, n)
	return nil
}

// TestCrashEverywhere stops the machine at every change of the disk, under every model of what survives, and opens what is left.
func TestCrashEverywhere(t *testing.T) {
	for name, many := range map[string]int{"files synced one by one": 1 << 30, "files synced together": 1} {
		t.Run(name, func(t *testing.T) { crashEverywhere(t, many) })
	}
}

func crashEverywhere(t *testing.T, manyUnsynced int) {
	for at := int64(1); ; at = next(at) {
		w := newWorld()
		var left []*vfs.Mem
		fault := crashAt(at, &left)
		opts := options(fault)
		opts.manyUnsynced = manyUnsynced
		err := w.live(opts)
		if left == nil {
			if err != nil {
				t.Fatalf("without a crash: %v", err)
			}
			through(t, at-1)
			return
		}
		for i, disk := range left {
			model := vfs.AllSurvivors[i]
			if err := w.check(options(disk)); err != nil {
				t.Fatalf("crash at change %d, %s: %v", at, model, err)
			}
			if err := w.check(options(disk)); err != nil {
				t.Fatalf("crash at change %d, %s, opened again: %v", at, model, err)
			}
		}
	}
}

// TestCrashInRecovery stops the machine at every change that recovery makes, after a first crash.
func TestCrashInRecovery(t *testing.T) {
	for _, model := range vfs.AllSurvivors {
		w := newWorld()
		mem := vfs.NewMem()
		must(t, w.open(options(mem)))
		must(t, w.firstWork())
		disk := mem.Crash(model, 3)
		w.d.Abort()
		for at := int64(1); ; at = next(at) {
			first := disk.Peek(vfs.KeepAll, 0)
			var left *vfs.Mem
			var once sync.Once
			fault := vfs.NewFault(first, func(op vfs.Op) error {
				if op.Change >= at {
					once.Do(func() { left = first.Crash(vfs.AllSurvivors[at%4], uint64(at)) })
				}
				return nil
			})
			if err := openAndAbort(options(fault)); err != nil && left == nil {
				t.Fatal(err)
			}
			if left == nil {
				break
			}
			if err := w.check(options(left)); err != nil {
				t.Fatalf("%s, then a crash at change %d of recovery: %v", model, at, err)
			}
		}
	}
}

func openAndAbort(opts Options) error {
	d, err := Open(opts)
	if err != nil {
		return err
	}
	return d.Abort()
}

// TestErrorEverywhere fails each operation in turn, once: whatever happens then, what was acknowledged survives a crash.
func TestErrorEverywhere(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(cause.Error(), func(t *testing.T) { failInTurn(t, cause, 1, 1, func() survivor { return newWorld() }) })
	}
}

// survivor lives on a disk that may fail, and checks what is left on it.
type survivor interface {
	live(Options) error
	check(Options) error
}

// failInTurn fails one operation of a life, then another of a new life, until a life has no more: from the first on, each step-th.
func failInTurn(t *testing.T, cause error, first, step int64, born func() survivor) {
	if racing {
		step *= 13
	}
	for at := first; ; at += step {
		s := born()
		mem := vfs.NewMem()
		hit := false
		var mu sync.Mutex
		fault := vfs.NewFault(mem, func(op vfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if op.Seq != at {
				return nil
			}
			hit = true
			if op.Kind == vfs.OpWrite {
				return &vfs.Partial{N: op.N / 2, Err: cause}
			}
			return cause
		})
		err := s.live(options(fault))
		mu.Lock()
		done := !hit
		mu.Unlock()
		if done {
			if err != nil {
				t.Fatal(err)
			}
			through(t, at-1)
			return
		}
		for _, model := range []vfs.Survivors{vfs.LoseUnsynced, vfs.TearSectors} {
			if err := s.check(options(mem.Peek(model, uint64(at)))); err != nil {
				t.Fatalf("%v at operation %d, then a crash (%s): %v", cause, at, model, err)
			}
		}
	}
}
