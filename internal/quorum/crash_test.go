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
	return Options{FS: fs, Dir: "data/quorum", newID: 5, SnapshotEntries: 9, SegmentBytes: 600}
}

// course is what a crash test does to the disk beside proposing.
type course string

const (
	roomy course = "room for everything"
	full  course = "a full disk for a while" // in the middle, so that snapshots and segments find no space and entries use the reserve
)

// fullFrom and fullTo are the rounds of the course full in which the disk is full.
const fullFrom, fullTo = 4, 20

// drive opens a node and proposes until something fails; it returns what was acknowledged before. mem is the disk below fs.
func drive(t *testing.T, fs vfs.FS, mem *vfs.Mem, c course, from int) (acknowledged []string, err error) {
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
	for i := range crashRounds {
		switch {
		case c == roomy:
		case i == fullFrom:
			mem.SetCapacity(mem.Used())
		case i == fullFrom+1: // an ordinary entry may use what was written ahead and nothing of the reserve
			if err := n.Propose(ctx, term, make([]byte, walAheadMin+1), false); !errors.Is(err, ErrFull) {
				return acknowledged, fmt.Errorf("an ordinary entry on a full disk: %w", err)
			}
		case i == fullTo:
			mem.SetCapacity(0)
		}
		e := fmt.Sprintf("entry %d", from+i)
		if err := n.Propose(ctx, term, []byte(e), c == full); err != nil {
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

// points counts the changes of the disk in a whole course.
func points(t *testing.T, c course) int64 {
	t.Helper()
	mem := vfs.NewMem()
	probe := vfs.NewFault(mem, func(vfs.Op) error { return nil })
	if _, err := drive(t, probe, mem, c, 0); err != nil {
		t.Fatal(err)
	}
	if n := probe.Changes(); n >= 3*crashRounds/2 {
		return n
	}
	t.Fatalf("only %d points", probe.Changes())
	return 0
}

func TestCrashAtEveryPointKeepsWhatWasAcknowledged(t *testing.T) {
	for _, c := range []course{roomy, full} {
		points := points(t, c)
		for _, model := range vfs.AllSurvivors {
			t.Run(string(c)+"/"+model.String(), func(t *testing.T) {
				for point := int64(1); point <= points; point++ {
					mem := vfs.NewMem()
					var left *vfs.Mem
					fault := vfs.NewFault(mem, func(op vfs.Op) error {
						if op.Change == point {
							left = mem.Crash(model, uint64(point))
						}
						return nil
					})
					acknowledged, err := drive(t, fault, mem, c, 0)
					if left == nil && err == nil && point > points-4 {
						continue // the last files may be dropped or not, as the goroutines run
					}
					if left == nil {
						t.Fatalf("point %d was never reached: %v", point, err)
					}
					got := survivors(t, left) // on a disk that is as full as it was
					holds(t, got, acknowledged)
					// It goes on from there, and a second crash, of the process alone, changes nothing.
					left.SetCapacity(0)
					more, err := drive(t, left, left, roomy, len(got))
					if err != nil || len(more) != crashRounds {
						t.Fatalf("point %d: %v", point, err)
					}
					holds(t, survivors(t, left.KillProcess()), append(got, more...))
				}
			})
		}
	}
}

// TestPowerLossAfterKill kills the process at every point, opens and closes what is left, and then cuts the power: what the
// second process built on must not go away.
func TestPowerLossAfterKill(t *testing.T) {
	for _, c := range []course{roomy, full} {
		for point := int64(1); point <= points(t, c); point++ {
			mem := vfs.NewMem()
			var left *vfs.Mem
			fault := vfs.NewFault(mem, func(op vfs.Op) error {
				if op.Change == point {
					left = mem.Crash(vfs.KeepAll, 0)
				}
				return nil
			})
			if _, err := drive(t, fault, mem, c, 0); left == nil && err == nil {
				continue // see above
			}
			got := survivors(t, left) // leads and so may have answered for all of this
			again := survivors(t, left.Crash(vfs.LoseUnsynced, uint64(point)))
			if len(again) != len(got) {
				t.Fatalf("%s, point %d: %d entries were committed, %d are left", c, point, len(got), len(again))
			}
		}
	}
}

// TestEveryDiskErrorEndsTheNode fails every operation that changes the disk, once each: the node stops with that error, and what
// it acknowledged is there. After an error of the log nothing more is written; a snapshot is written beside the log, so an entry
// may be under way when it fails.
func TestEveryDiskErrorEndsTheNode(t *testing.T) {
	for _, c := range []course{roomy, full} {
		points := points(t, c)
		for point := int64(1); point <= points; point++ {
			mem := vfs.NewMem()
			var failed atomic.Bool
			var after atomic.Int32
			ignored := false
			fault := vfs.NewFault(mem, func(op vfs.Op) error {
				ofLog := strings.Contains(op.Name, logSuffix)
				switch {
				case op.Change == point:
					failed.Store(ofLog)
					// What is left of a snapshot without space is removed if that can be done.
					ignored = op.Kind == vfs.OpRemove && strings.HasSuffix(op.Name, ".tmp")
					return syscall.EIO
				case ofLog && failed.Load() && op.Kind.Changes():
					after.Add(1)
				}
				return nil
			})
			acknowledged, err := drive(t, fault, mem, c, 0)
			if !errors.Is(err, syscall.EIO) && !ignored && point <= points-4 {
				t.Fatalf("%s, point %d: the node ended with %v", c, point, err)
			}
			if !ignored && after.Load() > 0 {
				t.Fatalf("%s, point %d: %d changes of the log after the error", c, point, after.Load())
			}
			holds(t, survivors(t, mem.Crash(vfs.LoseUnsynced, 0)), acknowledged)
		}
	}
}

// TestLackOfSpaceAtEveryPoint fills the disk at every point for good: a directory that is not whole yet is refused for that reason
// and made once there is space; a node in a whole one takes every urgent entry, and so does the next one on the same full disk.
func TestLackOfSpaceAtEveryPoint(t *testing.T) {
	urgent := func(t *testing.T, fs vfs.FS, from int) (acknowledged []string, opened bool, err error) {
		o := crashOptions(fs)
		o.StateMachine = &journal{}
		n, err := Open(o)
		if err != nil {
			return nil, false, err
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		term, err := n.Lead(ctx)
		for i := from; err == nil && i < from+crashRounds; i++ {
			e := fmt.Sprintf("entry %d", i)
			if err = n.Propose(ctx, term, []byte(e), true); err == nil {
				acknowledged = append(acknowledged, e)
			}
		}
		cancel()
		return acknowledged, true, errors.Join(err, <-ended)
	}
	points := points(t, roomy)
	refused, whole := 0, 0
	for point := int64(1); point <= points; point++ {
		mem := vfs.NewMem()
		fault := vfs.NewFault(mem, func(op vfs.Op) error {
			if op.Change == point {
				mem.SetCapacity(max(1, mem.Used())) // 0 is no bound
			}
			return nil
		})
		acknowledged, opened, err := urgent(t, fault, 0)
		if !opened {
			refused++
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("point %d: %v", point, err)
			}
			mem.SetCapacity(0)
		} else if whole++; err != nil {
			t.Fatalf("point %d: %v", point, err)
		}
		more, _, err := urgent(t, mem, len(acknowledged))
		if err != nil {
			t.Fatalf("point %d, again: %v", point, err)
		}
		holds(t, survivors(t, mem.Crash(vfs.LoseUnsynced, 0)), append(acknowledged, more...))
	}
	if refused == 0 || whole < crashRounds {
		t.Fatalf("%d nodes were refused, %d went on", refused, whole)
	}
}
