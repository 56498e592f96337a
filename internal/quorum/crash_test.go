package quorum

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// crashRounds is how many entries the crash tests propose: enough for two snapshots, a roll and a compaction.
const crashRounds = 24

func crashOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "data/quorum", NewID: 5, SnapshotEntries: 9, SegmentBytes: 600}
}

// drive opens a node and proposes until something fails; it returns what was acknowledged before.
func drive(t *testing.T, fs vfs.FS, from int) (acknowledged []string, err error) {
	t.Helper()
	o := crashOptions(fs)
	o.StateMachine = &journal{}
	n, err := Open(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	defer func() {
		cancel()
		if runErr := <-ended; runErr != nil {
			err = runErr
		}
	}()
	term, err := n.Lead(ctx)
	if err != nil {
		return nil, err
	}
	for i := from; i < from+crashRounds; i++ {
		e := fmt.Sprintf("entry %d", i)
		if err := n.Propose(ctx, term, []byte(e)); err != nil {
			return acknowledged, err
		}
		acknowledged = append(acknowledged, e)
	}
	return acknowledged, nil
}

// survivors opens what is left, elects itself and returns all entries.
func survivors(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	o := crashOptions(fs)
	r := start(t, o)
	defer r.stop(t)
	if _, err := r.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range r.machine.all() {
		got = append(got, string(e))
	}
	return got
}

// holds fails unless got begins with what was acknowledged and goes on with at most one more of what was proposed.
func holds(t *testing.T, got, acknowledged []string) {
	t.Helper()
	if len(got) < len(acknowledged) || len(got) > len(acknowledged)+1 {
		t.Fatalf("%d entries survived, %d were acknowledged", len(got), len(acknowledged))
	}
	for i, e := range got {
		if e != fmt.Sprintf("entry %d", i) {
			t.Fatalf("entry %d is %q", i, e)
		}
	}
}

func TestCrashAtEveryPointKeepsWhatWasAcknowledged(t *testing.T) {
	probe := vfs.NewFault(vfs.NewMem(), func(vfs.Op) error { return nil })
	if _, err := drive(t, probe, 0); err != nil {
		t.Fatal(err)
	}
	points := probe.Changes()
	if points < 3*crashRounds/2 {
		t.Fatalf("only %d points", points)
	}
	for _, model := range vfs.AllSurvivors {
		t.Run(model.String(), func(t *testing.T) {
			for point := int64(1); point <= points; point++ {
				mem := vfs.NewMem()
				var left *vfs.Mem
				fault := vfs.NewFault(mem, func(op vfs.Op) error {
					if op.Change == point {
						left = mem.Crash(model, uint64(point))
					}
					return nil
				})
				acknowledged, err := drive(t, fault, 0)
				if left == nil && err == nil && point > points-4 {
					continue // the last files may be dropped or not, as the goroutines run
				}
				if left == nil {
					t.Fatalf("point %d was never reached: %v", point, err)
				}
				got := survivors(t, left)
				holds(t, got, acknowledged)
				// It goes on from there, and a second crash, of the process alone, changes nothing.
				more, err := drive(t, left, len(got))
				if err != nil || len(more) != crashRounds {
					t.Fatalf("point %d: %v", point, err)
				}
				holds(t, survivors(t, left.KillProcess()), append(got, more...))
			}
		})
	}
}

// TestPowerLossAfterKill kills the process at every point, opens and closes what is left, and then cuts the power: what the
// second process built on must not go away.
func TestPowerLossAfterKill(t *testing.T) {
	probe := vfs.NewFault(vfs.NewMem(), func(vfs.Op) error { return nil })
	if _, err := drive(t, probe, 0); err != nil {
		t.Fatal(err)
	}
	for point := int64(1); point <= probe.Changes(); point++ {
		mem := vfs.NewMem()
		var left *vfs.Mem
		fault := vfs.NewFault(mem, func(op vfs.Op) error {
			if op.Change == point {
				left = mem.Crash(vfs.KeepAll, 0)
			}
			return nil
		})
		if _, err := drive(t, fault, 0); left == nil && err == nil {
			continue // see above
		}
		got := survivors(t, left) // leads and so may have answered for all of this
		again := survivors(t, left.Crash(vfs.LoseUnsynced, uint64(point)))
		if len(again) != len(got) {
			t.Fatalf("point %d: %d entries were committed, %d are left", point, len(got), len(again))
		}
	}
}

// TestEveryDiskErrorEndsTheNode fails every operation that changes the disk, once each: the node stops with that error, and what
// it acknowledged is there. After an error of the log nothing more is written; a snapshot is written beside the log, so an entry
// may be under way when it fails.
func TestEveryDiskErrorEndsTheNode(t *testing.T) {
	probe := vfs.NewFault(vfs.NewMem(), func(vfs.Op) error { return nil })
	if _, err := drive(t, probe, 0); err != nil {
		t.Fatal(err)
	}
	for point := int64(1); point <= probe.Changes(); point++ {
		mem := vfs.NewMem()
		var failed atomic.Bool
		var after atomic.Int32
		fault := vfs.NewFault(mem, func(op vfs.Op) error {
			ofLog := strings.Contains(op.Name, logSuffix)
			switch {
			case op.Change == point:
				failed.Store(ofLog)
				return syscall.EIO
			case ofLog && failed.Load() && op.Kind.Changes():
				after.Add(1)
			}
			return nil
		})
		acknowledged, err := drive(t, fault, 0)
		if !errors.Is(err, syscall.EIO) && point <= probe.Changes()-4 {
			t.Fatalf("point %d: the node ended with %v", point, err)
		}
		if after.Load() > 0 {
			t.Fatalf("point %d: %d changes of the log after the error", point, after.Load())
		}
		holds(t, survivors(t, mem.Crash(vfs.LoseUnsynced, 0)), acknowledged)
	}
}
