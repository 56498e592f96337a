package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/vfs"
)

// halting is a clock that stands still once it is told to: who leads then goes on leading, however slow the machine is.
type halting struct {
	clock.Clock
	halted atomic.Bool
}

func (h *halting) After(d time.Duration) <-chan time.Time {
	if h.halted.Load() {
		return nil
	}
	return h.Clock.After(d)
}

// TestForm: three directories that were prepared become a cluster when the first is told of the others, which get it all from raft.
func TestForm(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w := &wires{nodes: map[uint64]*Node{}}
	var disks []*vfs.Mem
	var ids []uint64
	for i := range 3 {
		disk := vfs.NewMem()
		id, formed, err := Prepare(disk, "q", random.Seeded(uint64(i)))
		if err != nil || formed {
			t.Fatal(formed, err)
		}
		// The id is the same ever after, also when the power fails.
		disk = disk.Crash(vfs.LoseUnsynced, 0)
		if again, _, err := Prepare(disk, "q", random.Seeded(99)); again != id || err != nil {
			t.Fatalf("id %x, then %x, %v", id, again, err)
		}
		disks, ids = append(disks, disk), append(ids, id)
	}
	if err := Form(disks[0], "q", ids); err != nil {
		t.Fatal(err)
	}
	disks[0] = disks[0].Crash(vfs.LoseUnsynced, 0)
	if _, formed, err := Prepare(disks[0], "q", nil); !formed || err != nil {
		t.Fatal(formed, err)
	}
	if err := Form(disks[0], "q", ids); !errors.Is(err, ErrFormed) {
		t.Fatalf("formed twice: %v", err)
	}
	var nodes []*running
	clk := &halting{Clock: clock.Real}
	for i, id := range ids {
		r := start(t, Options{Clock: clk, FS: disks[i], Dir: "q", Random: random.Seeded(id), MustExist: true, Transport: w, Tick: 5 * time.Millisecond, SnapshotEntries: 20, SegmentBytes: 2000})
		w.Lock()
		w.nodes[id] = r.Node
		w.Unlock()
		nodes = append(nodes, r)
	}
	l := propose(ctx, t, nodes, 0)
	clk.halted.Store(true)
	for i := 1; i < 50; i++ {
		l = propose(ctx, t, nodes, i)
	}
	for _, n := range nodes {
		contains(t, n, 50)
		voters, _, err := n.Members(ctx)
		slices.Sort(voters)
		slices.Sort(ids)
		if err != nil || !slices.Equal(voters, ids) {
			t.Errorf("voters %x of %x, %v", voters, ids, err)
		}
		if _, err := n.LeadNow(ctx); (err == nil) != (n == l) || err != nil && !errors.Is(err, ErrNotLeader) {
			t.Errorf("LeadNow: %v", err)
		}
	}
	committedIs(t, l)
	all, err := l.Progress(ctx)
	if err != nil || len(all) != 3 || !all[0].Voter {
		t.Errorf("progress %+v, %v", all, err)
	}
	// Another one leads when it is asked to.
	to := nodes[0]
	if to == l {
		to = nodes[1]
	}
	if err := l.Transfer(ctx, to.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Lead(ctx); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		n.stop(t)
	}
}

// TestFormRefusesAnotherDirectory: what was prepared is gone by now, or is none of the voters'.
func TestFormRefusesAnotherDirectory(t *testing.T) {
	disk := vfs.NewMem()
	id, _, err := Prepare(disk, "q", random.Seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := Form(disk, "q", []uint64{id + 1, id + 2, id + 3}); err == nil {
		t.Error("it formed a cluster of others")
	}
	if err := disk.Remove("q/" + identityName); err != nil {
		t.Fatal(err)
	}
	if err := Form(disk, "q", []uint64{id}); !errors.Is(err, ErrMissing) {
		t.Errorf("without its identity: %v", err)
	}
	if _, formed, err := Prepare(disk, "q", random.Seeded(2)); formed || err != nil {
		t.Errorf("afterwards: %v, %v", formed, err)
	}
}

// committedIs compares what Committed gives with what was applied.
func committedIs(t *testing.T, n *running) {
	t.Helper()
	if _, err := n.Committed(1, 1<<20); !errors.Is(err, ErrCompacted) {
		t.Errorf("from the beginning: %v", err)
	}
	end := n.Status().Applied
	if got, err := n.Committed(end+1, 1<<20); len(got) != 0 || err != nil {
		t.Errorf("beyond the end: %v, %v", got, err)
	}
	from := end - 5
	for next := from; next <= end; {
		got, err := n.Committed(next, 1)
		if err != nil || len(got) != 1 || got[0].Index != next {
			t.Fatalf("from %d: %v, %v", next, got, err)
		}
		if want := fmt.Sprintf("entry %d", 50-1-(end-next)); string(got[0].Data) != want {
			t.Errorf("entry %d is %q, not %q", next, got[0].Data, want)
		}
		next++
	}
}
