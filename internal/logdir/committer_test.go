package logdir

import (
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/vfs"
)

// TestFewDoNotWaitForFiles: while a log's files are synced, be it for as long as it likes, its small appends become durable in the journal.
func TestFewDoNotWaitForFiles(t *testing.T) {
	w, mem, free := whileFilesSync(t)
	for n := int64(2); n < 10; n++ {
		must(t, w.append(0, 100, 1, true, false))
		until(t, "the append is durable beside the sync of the files", func() bool { return w.logs[0].SyncedEnd() == n })
	}
	if p := w.logs[0].RecoveryPoint(); p != 0 {
		t.Fatalf("the files are synced to offset %d, and their sync has not returned", p)
	}
	left := mem.Peek(vfs.LoseUnsynced, 1)
	free()
	until(t, "the sync of the files returns", func() bool { return w.logs[0].RecoveryPoint() > 0 })
	must(t, w.append(0, 100, 1, true, true))
	for _, model := range vfs.AllSurvivors {
		must(t, w.check(options(mem.Peek(model, 2))))
	}
	must(t, w.d.Close())
	w.models[0].acked = 9 // when the power went
	must(t, w.check(options(left)))
}

// whileFilesSync returns a directory in which the files of a log of one record are being synced, until free.
func whileFilesSync(t *testing.T) (w *world, mem *vfs.Mem, free func()) {
	t.Helper()
	mem, w = vfs.NewMem(), newWorld()
	file := filepath.Join(logID(0).DirName(), "00000000000000000000.log")
	var stuck atomic.Pointer[chan struct{}]
	var waits atomic.Bool
	must(t, w.open(options(vfs.NewFault(mem, func(op vfs.Op) error {
		if c := stuck.Load(); c != nil && op.Kind == vfs.OpDatasync && strings.HasSuffix(op.Name, file) {
			waits.Store(true)
			<-*c
		}
		return nil
	}))))
	must(t, w.append(0, 100, 1, true, true))
	goOn := make(chan struct{})
	stuck.Store(&goOn)
	w.d.committer.flush(w.d.committer.find(w.logs[0]))
	until(t, "the sync of the files has begun", waits.Load)
	return w, mem, func() {
		stuck.Store(nil)
		close(goOn)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestMuchDoesNotWaitForFiles: while the disk can bear it, the journal takes more of a log than its files would be synced for, and their sync holds
// nobody up; beyond JournalMost it does.
func TestMuchDoesNotWaitForFiles(t *testing.T) {
	w, mem, free := whileFilesSync(t)
	much := int(w.d.opts.JournalMax) + 1<<10
	must(t, w.append(0, much, 1, true, false))
	until(t, "much is durable beside the sync of the files", func() bool { return w.logs[0].SyncedEnd() == 2 })
	must(t, w.append(0, int(w.d.opts.JournalMost)+1<<10, 1, true, false))
	must(t, w.append(1, 100, 1, true, true)) // a group after it
	if end := w.logs[0].SyncedEnd(); end != 2 {
		t.Fatalf("more than JournalMost is synced to offset %d while the sync of the files has not returned", end)
	}
	free()
	until(t, "the sync of the files returns", func() bool { return w.logs[0].SyncedEnd() == 3 })
	for _, model := range vfs.AllSurvivors {
		must(t, w.check(options(mem.Peek(model, 2))))
	}
	must(t, w.d.Close())
}

// TestWhatFollowsASettleIsSettled: the committer may turn to a log between the group that voids what the journal has of it and the moment in which whoever
// asked for that hears of it. What the journal gets then, the next cut has to void.
func TestWhatFollowsASettleIsSettled(t *testing.T) {
	mem, w := vfs.NewMem(), newWorld()
	must(t, w.open(options(mem)))
	must(t, w.append(0, 100, 1, true, true))
	c, st := w.d.committer, w.d.lookup(logID(0))
	must(t, c.settle(st))
	must(t, w.append(0, 100, 1, true, true))
	c.settled(st)
	must(t, w.truncate(0, 1))
	for _, model := range vfs.AllSurvivors {
		must(t, w.check(options(mem.Peek(model, 1))))
	}
	must(t, w.d.Close())
}
