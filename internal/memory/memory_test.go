package memory

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"
)

// TestStateIsBounded: from its limit on nothing is taken, until there is clearly less again.
func TestStateIsBounded(t *testing.T) {
	k := New(Options{Log: slog.New(slog.DiscardHandler), StateMax: 8000})
	for _, c := range []struct {
		seems, state int64 // before and after it is asked for again
		crowded      bool
	}{{9500, 9000, true}, {6000, 6000, false}, {7999, 7999, false}, {8500, 8000, true}, {9000, 9000, true}, {7000, 7000, true}, {1, 7000, true}, {6999, 6999, false}, {7999, 7999, false}, {1 << 40, 7999, false}, {8001, 8001, true}} {
		if k.lookAtState(c.seems, func() int64 { return c.state }); k.crowded.Load() != c.crowded || k.state.Load() != c.state {
			t.Errorf("with what seems to be %d bytes and is %d: %v, and %d", c.seems, c.state, k.crowded.Load(), k.state.Load())
		}
		if full := k.full.Load(); full != (c.state >= 9000) {
			t.Errorf("with %d bytes: full is %v", c.state, full)
		}
	}
	const mib = 1 << 20
	for _, c := range []struct{ live, held, most, limit int64 }{
		{10, 0, -1, 304 + 15},    // nothing but state
		{310, 250, -1, 304 + 90}, // and requests, which may be answered since
		{600, 256, -1, 304 + 516},
		{200, 256, -1, 304},         // that came after the collection
		{310, 250, 96, 304 + 90},    // within what the state may be
		{400, 100, 96, 304 + 144},   // more than it may be, or what requests have left behind: no reason to take more
		{600, 256, 96, 632},         // but what is alive fits
		{250, 250, 0, 304},          // where it may be nothing
		{1000, 500, 512, 304 + 750}, // the default
	} {
		if got := collectAt(256*mib, c.live*mib, c.held*mib, max(c.most*mib, -1)) / mib; got != c.limit {
			t.Errorf("with %d MiB alive, and %d held by requests: a limit of %d, want %d", c.live, c.held, got, c.limit)
		}
	}
	k.opts.StateMax = -1
	k.crowded.Store(false)
	if k.lookAtState(1<<50, nil); k.crowded.Load() {
		t.Error("without a limit there is one")
	}
	runtime.GC() // it may be the first
	if liveHeap() <= 0 {
		t.Error("nothing lives on the heap")
	}
}

// TestCollectionsAreNoted: after each collection, not only the first, it is known what requests held when it ended.
func TestCollectionsAreNoted(t *testing.T) {
	k := New(Options{Requests: func() (inUse, budget int64) { return 0, 0 }})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	k.noteCollections(ctx)
	for round := range 3 {
		k.held.Store(1) // what requests never hold here
		for deadline := time.Now().Add(20 * time.Second); k.held.Load() != 0; runtime.GC() {
			if time.Now().After(deadline) {
				t.Fatalf("round %d: no collection is noted", round)
			}
		}
	}
}
