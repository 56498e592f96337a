package logdir

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// TestAnew: of two folders of a partition the one that was begun anew counts, also once it has moved on, and the other one is set aside. Where a log is there already
// nothing is begun; two that nothing tells apart are refused.
func TestAnew(t *testing.T) {
	for _, moved := range []bool{false, true} {
		mem := vfs.NewMem()
		h := newHouse()
		must(t, h.open(options(mem)))
		must(t, h.append(0, 500, 1, true))
		old, other := h.at[0], 1-h.at[0]
		if made, err := h.dirs[old].Anew(logID(0), 7); made || err != nil {
			t.Fatalf("where the log is: %v, %v", made, err)
		}
		if moved { // which does not count against what is begun anew
			must(t, h.dirs[old].setMoves(logID(0).DirName(), 3))
		}
		if made, err := h.dirs[other].Anew(logID(0), 7); !made || err != nil {
			t.Fatalf("%v, %v", made, err)
		}
		if n, err := h.dirs[other].movesIn(logID(0).DirName()); n != 8<<movesBits || err != nil {
			t.Errorf("%d moves, %v", n, err)
		}
		must(t, h.close())
		must(t, h.open(options(mem)))
		folders := func(dir int) (log, stray bool) {
			entries, err := mem.ReadDir(h.dirs[dir].Path())
			must(t, err)
			for _, e := range entries {
				log = log || e.Name() == logID(0).DirName()
				stray = stray || strings.HasPrefix(e.Name(), logID(0).DirName()+".") && strings.HasSuffix(e.Name(), straySuffix)
			}
			return log, stray
		}
		if log, stray := folders(old); log || !stray {
			t.Errorf("moved %v: the old folder has its name %v, and is aside %v", moved, log, stray)
		}
		if log, stray := folders(other); !log || stray {
			t.Errorf("moved %v: the new folder has its name %v, and is aside %v", moved, log, stray)
		}
		must(t, h.close())
	}

	mem := vfs.NewMem()
	h := newHouse()
	must(t, h.open(options(mem)))
	for _, d := range h.dirs {
		if made, err := d.Anew(logID(0), 7); !made || err != nil {
			t.Fatalf("%v, %v", made, err)
		}
	}
	must(t, h.close())
	if err := h.open(options(mem)); !errors.Is(err, ErrTwice) {
		t.Errorf("twice anew: %v", err)
	}
}

// TestNothingStaysOfWhatCouldNotBeMade: where there is no space for a new log, whatever it is needed for, its removal leaves no folder, which the next start would set aside.
func TestNothingStaysOfWhatCouldNotBeMade(t *testing.T) {
	for at := int64(1); ; at++ {
		mem := vfs.NewMem()
		var from atomic.Int64
		fault := vfs.NewFault(mem, func(op vfs.Op) error {
			if n := from.Load(); n > 0 && op.Change >= n+at && strings.Contains(op.Name, logID(0).DirName()) && op.Kind != vfs.OpRemove && op.Kind != vfs.OpRename && op.Kind != vfs.OpSyncDir {
				return syscall.ENOSPC
			}
			return nil
		})
		d := mustOpen(t, options(fault))
		from.Store(fault.Changes())
		_, err := d.Anew(logID(0), 7)
		if err == nil {
			var l *commitlog.Log
			if l, err = d.Log(logID(0), config(true), nil); err == nil {
				err = l.MakeFiles()
			}
		}
		must(t, d.Remove(logID(0)))
		for _, name := range names(t, mem, root) {
			if name == logID(0).DirName() {
				t.Errorf("without space from change %d on (%v) its folder stays", at, err)
			}
		}
		must(t, d.Abort())
		if err == nil {
			if at < 5 {
				t.Errorf("only %d changes", at)
			}
			return
		}
		if !Passes(err) {
			t.Errorf("change %d: %v", at, err)
		}
	}
}

// TestAnewIsDurable: a folder whose name could not be made durable is not tried again, whatever the sync failed for: the next sync would succeed without it.
func TestAnewIsDurable(t *testing.T) {
	for of, dir := range map[string]string{"its name": root, "what is in it": root + "/" + logID(0).DirName()} {
		var armed atomic.Bool
		d := mustOpen(t, options(vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
			if armed.Load() && op.Kind == vfs.OpSyncDir && op.Name == dir {
				return syscall.ENOSPC
			}
			return nil
		})))
		armed.Store(true)
		if _, err := d.Anew(logID(0), 7); err == nil || Passes(err) || !errors.Is(d.Err(), commitlog.ErrOffline) {
			t.Errorf("the sync of %s fails: %v, and the directory: %v", of, err, d.Err())
		}
		must(t, d.Abort())
	}
}
