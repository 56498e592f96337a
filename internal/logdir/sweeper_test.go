package logdir

import (
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/vfs"
)

// TestIdleLogsAreNotWalked: checkpoints are looked at when something they tell of has moved, also by what came behind it, and else once a minute.
func TestIdleLogsAreNotWalked(t *testing.T) {
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	opts := options(vfs.NewMem())
	opts.Clock = manual // so that the directory's own sweeper does nothing
	w := newWorld()
	must(t, w.open(opts))
	defer w.d.Abort()
	s := &sweeper{d: w.d, written: manual.Now()}
	due := func(what string, want ...bool) {
		t.Helper()
		for i, want := range want {
			manual.Advance(time.Second)
			if got := s.due(manual.Now()); got != want {
				t.Fatalf("%s, look %d: %v", what, i, got)
			}
		}
	}
	due("nothing yet", false, false)
	for range 3 {
		must(t, w.append(0, 300, 1, true, true))
	}
	due("an append", true, true, false)
	must(t, w.logs[0].AdvanceLogStart(2))
	due("a log start", true, true, false)
	_, err := w.logs[0].SyncFiles()
	must(t, err)
	due("a recovery point", true, true, false)
	w.d.rests.synced(w.d.lookup(logID(0)))
	due("a log that may be described", true, true)
	must(t, w.d.noteRests())
	manual.Advance(time.Hour)
	must(t, w.d.noteRests())
	due("a long time", true)
	s.written = manual.Now()
	due("no time", false)
	must(t, w.d.opts.FS.RemoveAll(root))
	must(t, w.logs[0].AdvanceLogStart(3))
	due("before checkpoints that fail", true, true)
	s.checkpoint(manual.Now())
	due("after checkpoints that failed", true)
}
