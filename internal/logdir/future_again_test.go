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

// TestMoveAfterOneThatFailed: the copy's folder cannot be renamed at first, for which the log's own number of moves is raised. The copy
// that gets the name later counts more nevertheless: a crash before the old folder is removed takes nothing back.
func TestMoveAfterOneThatFailed(t *testing.T) {
	var full atomic.Bool
	mem := vfs.NewMem()
	h := newHouse()
	must(t, h.open(options(vfs.NewFault(mem, func(op vfs.Op) error {
		if full.Load() && op.Kind == vfs.OpRename && strings.HasSuffix(op.To, logID(0).DirName()) {
			return syscall.ENOSPC
		}
		return nil
	}))))
	must(t, h.append(0, 500, 1, true))
	must(t, h.begin(0))
	must(t, h.copy(0))
	full.Store(true)
	from := h.dirs[h.at[0]]
	must(t, h.futures[0].Ready(from))
	if _, err := h.futures[0].Finish(from, h.config(), nil); !errors.Is(err, commitlog.ErrReadOnly) {
		t.Fatalf("the copy got its name: %v", err)
	}
	full.Store(false)
	h.dirs[1-h.at[0]].probe()
	for _, m := range h.models {
		m.failed = false
	}
	must(t, h.finishHalf(0))
	must(t, h.append(0, 700, 1, true))
	if err := h.check(options(mem.Peek(vfs.LoseUnsynced, 1))); err != nil {
		t.Error(err)
	}
	must(t, h.abort())
}

// finishHalf is finish that leaves the old folder where it is.
func (h *house) finishHalf(n int) error {
	f, from := h.futures[n], h.dirs[h.at[n]]
	if err := f.Ready(from); err != nil {
		return err
	}
	l, err := f.Finish(from, h.config(), h.models[n].synced)
	if err != nil {
		return err
	}
	delete(h.futures, n)
	h.at[n] = 1 - h.at[n]
	h.hand(n, l)
	h.models[n].synced(0)
	return nil
}

// TestMoveBackBeforeTheOldLogIsRemoved: a log is back before what it left there was removed. The removal that comes late leaves it alone.
func TestMoveBackBeforeTheOldLogIsRemoved(t *testing.T) {
	mem := vfs.NewMem()
	h := newHouse()
	must(t, h.open(options(mem)))
	must(t, h.append(0, 500, 1, true))
	for range 2 {
		must(t, h.begin(0))
		must(t, h.copy(0))
		must(t, h.finishHalf(0))
		must(t, h.append(0, 300, 1, true))
	}
	must(t, h.dirs[h.at[0]].RemoveMoved(logID(0)))
	must(t, h.append(0, 300, 1, true))
	must(t, h.dirs[1-h.at[0]].RemoveMoved(logID(0)))
	for _, d := range []*Dir{h.dirs[h.at[0]], h.dirs[1-h.at[0]]} {
		if is := d.lookup(logID(0)) != nil; is != (d == h.dirs[h.at[0]]) {
			t.Errorf("the log is in %s: %v", d.Path(), is)
		}
	}
	if err := h.check(options(mem.Peek(vfs.LoseUnsynced, 1))); err != nil {
		t.Error(err)
	}
	must(t, h.close())
}

// TestWhatAMoveLeftCannotBeRemoved: a start finds what a move left and cannot remove it yet. It is not taken for the log, no copy is begun
// in its place, and it goes when it can, or with the next clean stop.
func TestWhatAMoveLeftCannotBeRemoved(t *testing.T) {
	for n := range 2 { // the log is in the first directory, or in the second
		var full atomic.Bool
		full.Store(true)
		h := newHouse()
		mem := vfs.NewMem()
		must(t, h.open(options(mem)))
		must(t, h.append(n, 500, 1, true))
		must(t, h.begin(n))
		must(t, h.copy(n))
		must(t, h.finishHalf(n))
		must(t, h.append(n, 700, 1, true))
		must(t, h.close()) // as if the removal had failed all the time
		disk := mem.Peek(vfs.LoseUnsynced, 1)
		again := &house{models: h.models, at: map[int]int{0: 0, 1: 1, 2: 0}}
		must(t, again.open(options(vfs.NewFault(disk, func(op vfs.Op) error {
			if full.Load() && op.Kind == vfs.OpRename && strings.HasSuffix(op.To, deleteSuffix) {
				return syscall.ENOSPC
			}
			return nil
		}))))
		must(t, again.locate())
		if again.at[n] != h.at[n] {
			t.Fatalf("the log is taken to be in %s", rooms[again.at[n]])
		}
		if err := again.begin(n); !errors.Is(err, commitlog.ErrReadOnly) {
			t.Errorf("a copy is begun where the name is taken: %v", err)
		}
		l, err := again.log(n)
		must(t, err)
		if err := h.models[n].compare(l); err != nil {
			t.Error(err)
		}
		full.Store(false)
		for _, d := range again.dirs {
			d.probe()
		}
		must(t, again.close())
		d := mustOpen(t, room(options(disk), 1-h.at[n]))
		if all := d.Logs(); len(all) > 0 {
			t.Errorf("after a clean stop there are still %v", all)
		}
		must(t, d.Abort())
	}
}

// TestCopyThatIsLeft: a copy that is left where its directory is well is as good after a clean stop as one that was being made.
func TestCopyThatIsLeft(t *testing.T) {
	mem := vfs.NewMem()
	h := newHouse()
	must(t, h.open(options(mem)))
	must(t, h.append(0, 5000, 1, true))
	must(t, h.begin(0))
	must(t, h.copy(0))
	h.futures[0].Leave()
	must(t, h.close())
	disk := mem.Crash(vfs.LoseUnsynced, 1)
	must(t, h.open(options(disk)))
	must(t, h.begin(0))
	if end := h.futures[0].Log().LogEnd(); end != 1 {
		t.Errorf("after a clean stop and a power loss the copy ends at %d", end)
	}
	must(t, h.copy(0))
	must(t, h.finish(0))
	must(t, h.close())
}

// TestProducersDoNotWaitForMuch: a log that has grown by much since its copy was ready is not exchanged, but copied on while it is appended to.
func TestProducersDoNotWaitForMuch(t *testing.T) {
	opts := options(vfs.NewMem())
	opts.finishMax = 4 << 10
	h := newHouse()
	must(t, h.open(opts))
	must(t, h.append(0, 500, 1, true))
	must(t, h.begin(0))
	must(t, h.copy(0))
	f, from := h.futures[0], h.dirs[h.at[0]]
	must(t, f.Ready(from))
	for range 3 {
		must(t, h.append(0, 3<<10, 1, true))
		must(t, h.logs[0].Roll())
	}
	if _, err := f.Finish(from, h.config(), nil); !errors.Is(err, ErrBehind) {
		t.Fatalf("more than is allowed was copied while producers waited: %v", err)
	}
	must(t, h.append(0, 500, 1, true))
	must(t, h.copy(0))
	must(t, h.finish(0))
	must(t, h.close())
}
