package logdir

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/vfs"
)

// TestWaitingTellsOfEveryCallOfAStop has each call that a clean stop makes of the disk hang in turn: Waiting tells of it, for whoever must give up. When
// it returns after all the stop goes on and is clean.
func TestWaitingTellsOfEveryCallOfAStop(t *testing.T) {
	for name, many := range map[string]int{"logs closed one by one": 1 << 30, "logs closed together": 1} {
		t.Run(name, func(t *testing.T) {
			kinds := map[vfs.OpKind]int{}
			for at := int64(1); ; at = next(at) {
				kind := stopHangs(t, many, fmt.Sprintf("call %d", at), func(n int64, _ vfs.Op) bool { return n == at })
				if kind == "" {
					break
				}
				kinds[kind]++
			}
			t.Logf("hung at %v", kinds)
			syncs := vfs.OpDatasync
			if many == 1 {
				syncs = vfs.OpSyncFS
			}
			// Logs are closed at the same time, so that a call may never be the one whose turn it is.
			for _, kind := range []vfs.OpKind{vfs.OpWrite, syncs, vfs.OpSyncDir, vfs.OpRename, vfs.OpCreate, vfs.OpClose, vfs.OpRemoveAll} {
				var hung atomic.Bool
				if stopHangs(t, many, "the first "+string(kind), func(_ int64, op vfs.Op) bool { return op.Kind == kind && !hung.Swap(true) }) == "" {
					t.Errorf("the stop has no %s to hang at", kind)
				}
			}
		})
	}
}

// stopHangs has the call of a stop hang that hang chooses by number and kind, and says which kind it is; there may be none.
func stopHangs(t *testing.T, many int, at string, hang func(int64, vfs.Op) bool) (kind vfs.OpKind) {
	t.Helper()
	var closing atomic.Bool
	var calls atomic.Int64
	hangs, goOn := make(chan vfs.Op, 1), make(chan struct{})
	mem := vfs.NewMem()
	opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
		if closing.Load() && hang(calls.Add(1), op) {
			hangs <- op
			<-goOn
		}
		return nil
	}))
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	w := newWorld()
	opts.manyUnsynced, opts.Clock = many, manual
	must(t, w.open(opts))
	for n := range w.models {
		must(t, w.append(n, 300, 1, true, true))
	}
	w.d.lookup(logID(5)).removing.Store(true) // it could not be removed for lack of space
	closing.Store(true)
	stopped := make(chan error, 1)
	go func() { stopped <- w.d.Close() }()
	end := func(when string) {
		t.Helper()
		select {
		case err := <-stopped:
			must(t, err)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s of the stop: it does not end %s", at, when)
		}
	}
	select {
	case op := <-hangs:
		kind = op.Kind
		manual.Advance(time.Minute)
		if waits := w.d.Waiting(); waits < time.Minute {
			t.Errorf("%s of the stop, %s of %s, hangs for a minute, and is said to wait for %s", at, op.Kind, op.Name, waits)
		}
		close(goOn)
		end("when the disk is back")
	case err := <-stopped:
		must(t, err)
	case <-time.After(20 * time.Second):
		t.Fatalf("%s of the stop: neither comes nor is the stop over", at)
	}
	if waits := w.d.Waiting(); waits != 0 {
		t.Errorf("%s of the stop: after it something waits for %s", at, waits)
	}
	d := mustOpen(t, options(mem))
	if clean, _ := d.Clean(); !clean {
		t.Errorf("%s of the stop: it was not clean", at)
	}
	must(t, d.Abort())
	return kind
}
