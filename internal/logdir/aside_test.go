package logdir

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// takeBack gives the folder of a log that was set aside its name again, as an operator does.
func takeBack(t *testing.T, disk *vfs.Mem, n int) {
	t.Helper()
	for _, name := range names(t, disk, root) {
		if strings.HasPrefix(name, logID(n).DirName()+".") && strings.HasSuffix(name, straySuffix) {
			_ = disk.RemoveAll(filepath.Join(root, logID(n).DirName())) // what the journal may have made anew has nothing in it
			must(t, disk.Rename(filepath.Join(root, name), filepath.Join(root, logID(n).DirName())))
		}
	}
}

// TestCrashWhileALogIsSetAside stops the machine at every change of the disk while a log is set aside of which only the journal has what was acknowledged: that
// is in one of the two, at any moment.
func TestCrashWhileALogIsSetAside(t *testing.T) {
	for at := int64(1); ; at = next(at) {
		w, disk := powerCut(t)
		var armed atomic.Bool
		var count atomic.Int64
		var left []*vfs.Mem
		must(t, w.open(options(vfs.NewFault(disk, func(op vfs.Op) error {
			if armed.Load() && op.Kind.Changes() && count.Add(1) == at {
				disk.Crash(vfs.KeepAll, 0)
				for _, model := range vfs.AllSurvivors {
					left = append(left, disk.Peek(model, uint64(at)))
				}
			}
			return nil
		}))))
		armed.Store(true)
		err := w.d.Quarantine(logID(0))
		w.d.Abort()
		if left == nil {
			must(t, err)
			if at == 1 {
				t.Error("nothing was changed")
			}
			takeBack(t, disk, 0)
			must(t, w.check(options(disk)))
			return
		}
		for i, disk := range left {
			takeBack(t, disk, 0)
			if err := w.check(options(disk)); err != nil {
				t.Fatalf("crash at change %d, %s: %v", at, vfs.AllSurvivors[i], err)
			}
		}
	}
}

// TestErrorWhileALogIsSetAside fails each operation of that, once, and tries again where it was for lack of space: nothing acknowledged is missing.
func TestErrorWhileALogIsSetAside(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for at := int64(1); ; at = next(at) {
			w, disk := powerCut(t)
			var armed, hit atomic.Bool
			var count atomic.Int64
			must(t, w.open(options(vfs.NewFault(disk, func(op vfs.Op) error {
				if armed.Load() && count.Add(1) == at {
					hit.Store(true)
					return cause
				}
				return nil
			}))))
			armed.Store(true)
			err := w.d.Quarantine(logID(0))
			armed.Store(false)
			if err != nil && Passes(err) {
				left := disk.Peek(vfs.LoseUnsynced, uint64(at))
				takeBack(t, left, 0)
				if err := w.check(options(left)); err != nil {
					t.Fatalf("%v at operation %d, then a crash: %v", cause, at, err)
				}
				w.d.probe()
				if err := w.d.Quarantine(logID(0)); err != nil {
					t.Fatalf("%v at operation %d: tried again: %v", cause, at, err)
				}
			}
			left := disk.Peek(vfs.LoseUnsynced, uint64(at))
			w.d.Abort()
			takeBack(t, left, 0)
			if err := w.check(options(left)); err != nil {
				t.Fatalf("%v at operation %d, then a crash: %v", cause, at, err)
			}
			if !hit.Load() {
				must(t, err)
				break
			}
		}
	}
}
