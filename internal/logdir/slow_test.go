package logdir

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/vfs"
)

// TestSlowDiskIsToldOnce: a sync that does not return is told of while it hangs, once however long that is, and again when the disk has been
// well for a while.
func TestSlowDiskIsToldOnce(t *testing.T) {
	var hang atomic.Pointer[chan struct{}]
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	opts := options(vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if c := hang.Load(); c != nil && (op.Kind == vfs.OpSync || op.Kind == vfs.OpDatasync) {
			<-*c
		}
		return nil
	}))
	type told struct {
		slow bool
		took time.Duration
	}
	heard := make(chan told, 100)
	opts.Clock, opts.OnSlow = manual, func(slow bool, took time.Duration) { heard <- told{slow, took} }
	d := mustOpen(t, opts)
	defer d.Abort()
	l, err := d.Log(logID(0), config(true), nil)
	must(t, err)
	until := func(what string, advance time.Duration, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain: %s", what)
			}
			manual.Advance(advance)
		}
	}

	stuck := make(chan struct{})
	hang.Store(&stuck)
	_, err = l.Append(batch("one", 100), 1)
	must(t, err)
	until("a sync that hangs is seen", time.Second, func() bool { return d.Waiting() >= 5*time.Second && len(heard) > 0 })
	until("it hangs for minutes", time.Second, func() bool { return d.Waiting() >= 3*time.Minute })
	if got := <-heard; !got.slow || got.took < slowSync || len(heard) != 0 {
		t.Fatalf("told %v, and %d more", got, len(heard))
	}
	hang.Store(nil)
	close(stuck)
	until("the sync returns", 0, func() bool { return l.SyncedEnd() == 1 && d.Waiting() == 0 })
	until("the disk counts as well again", time.Second, func() bool { return len(heard) > 0 })
	if got := <-heard; got.slow || got.took < 3*time.Minute || d.SlowSyncs() == 0 {
		t.Errorf("told %v, %d slow syncs", got, d.SlowSyncs())
	}
}
