package logdir

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/vfs"
)

// stuck returns a world whose journal is full, and stays so while the disk is: it has no room for the leader epochs of the logs, but for those of log 5, which are written. All
// logs have something in the journal.
func stuck(t *testing.T) (w *world, mem *vfs.Mem, full *atomic.Bool) {
	t.Helper()
	w, mem, full = newWorld(), vfs.NewMem(), new(atomic.Bool)
	opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
		if full.Load() && op.Kind == vfs.OpWrite && strings.Contains(op.Name, "leader-epoch-checkpoint") {
			return syscall.ENOSPC
		}
		return nil
	}))
	opts.journal = journal.Options{Files: 3, FirstFile: 64 << 10, MaxFile: 64 << 10} // of each file 8 KiB are kept for settles
	must(t, w.open(opts))
	must(t, w.append(5, 100, 1, true, true))
	_, err := w.logs[5].SyncFiles()
	must(t, err)
	full.Store(true)
	for i := range 100 {
		n := i % 6
		for { // others were faster than who found no space first
			w.d.env.SetReadOnly(false)
			err := w.append(n, 1000, 1, true, false)
			if err == nil {
				break
			}
			if !Passes(err) {
				t.Fatal(err)
			}
		}
		l := w.logs[n]
		until(t, "the append is synced, in the journal or in its files", func() bool { return l.SyncedEnd() == l.LogEnd() })
	}
	return w, mem, full
}

// TestRemovalWaitsForNoSpace: a removal, or a cut, that finds the journal full does not wait for a file of it that a full disk keeps from being free. The one may be what makes room,
// and whoever cuts a log holds up the partition, and with it what follows the metadata.
func TestRemovalWaitsForNoSpace(t *testing.T) {
	w, mem, full := stuck(t)
	must(t, w.truncate(5, 1))
	must(t, w.remove(1))
	if w.d.lookup(logID(1)) != nil {
		t.Error("the room for settles was not used")
	}
	for n := 2; n < 5; n++ {
		must(t, w.remove(n)) // at once, or later
	}
	if w.d.lookup(logID(4)) == nil {
		t.Error("the room for settles has no end")
	}
	must(t, w.check(options(mem.Peek(vfs.LoseUnsynced, 1))))
	full.Store(false)
	w.d.probe()
	for n := 2; n < 5; n++ {
		if st := w.d.lookup(logID(n)); st != nil {
			must(t, w.d.remove(st))
			w.model(n).keys = nil
		}
	}
	must(t, w.check(options(mem.Peek(vfs.LoseUnsynced, 2))))
	must(t, w.d.Abort())
}

// TestRemovalSettlesOnce: a removal that is tried again and again takes no more of the room for settles each time.
func TestRemovalSettlesOnce(t *testing.T) {
	var full atomic.Bool
	var writes atomic.Int64
	w := newWorld()
	must(t, w.open(options(vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite && strings.HasSuffix(op.Name, ".journal") {
			writes.Add(1)
		}
		if full.Load() && op.Kind == vfs.OpRename && strings.Contains(op.Name, logID(0).DirName()) {
			return syscall.ENOSPC
		}
		return nil
	}))))
	must(t, w.append(0, 100, 1, true, true))
	full.Store(true)
	before := writes.Load()
	st := w.d.lookup(logID(0))
	for range 3 {
		if err := w.d.remove(st); !lacks(err) {
			t.Fatal(err)
		}
	}
	if n := writes.Load() - before; n != 1 {
		t.Errorf("three attempts wrote to the journal %d times", n)
	}
	full.Store(false)
	must(t, w.d.remove(st))
	must(t, w.d.Abort())
}
