package quorum

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/vfs"
)

// wires connect nodes in memory.
type wires struct {
	sync.Mutex
	nodes map[uint64]*Node
}

func (w *wires) Send(to uint64, message []byte) {
	w.Lock()
	n := w.nodes[to]
	w.Unlock()
	if n != nil {
		_ = n.Receive(message) // what this package encodes decodes; the simulation would show otherwise
	}
}

func (w *wires) start(t *testing.T, id uint64, mem *vfs.Mem, voters []uint64) *running {
	t.Helper()
	// A node must be known before it runs, or its first messages get no answer.
	r := start(t, Options{FS: mem, Random: random.Seeded(id), newID: id, voters: voters, Transport: w, Tick: 5 * time.Millisecond, SnapshotEntries: 20, SegmentBytes: 2000})
	w.Lock()
	w.nodes[id] = r.Node
	w.Unlock()
	return r
}

// leader waits for one of the nodes to lead, and returns its term as well.
func leader(t *testing.T, nodes []*running) (*running, uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	type led struct {
		n    *running
		term uint64
	}
	leads := make(chan led, len(nodes))
	for _, n := range nodes {
		go func() {
			if term, err := n.Lead(ctx); err == nil {
				leads <- led{n, term}
			}
		}()
	}
	select {
	case l := <-leads:
		return l.n, l.term
	case <-ctx.Done():
		for _, n := range nodes {
			t.Logf("%+v", n.Status())
		}
		t.Fatal("none of the nodes leads")
		return nil, 0
	}
}

// propose proposes an entry until it is known to be done, as a client would, and returns who led then.
func propose(ctx context.Context, t *testing.T, nodes []*running, number int) *running {
	t.Helper()
	for {
		l, term := leader(t, nodes)
		err := l.Propose(ctx, term, fmt.Appendf(nil, "entry %d", number), false)
		if err == nil {
			return l
		}
		if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrLeadershipLost) && !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	}
}

func TestThreeNodes(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	w := &wires{nodes: map[uint64]*Node{}}
	ids := []uint64{101, 102, 103}
	disks := map[uint64]*vfs.Mem{}
	var nodes []*running
	for _, id := range ids {
		disks[id] = vfs.NewMem()
		nodes = append(nodes, w.start(t, id, disks[id], ids))
	}
	count := 0
	propose := func(nodes []*running) *running {
		l := propose(ctx, t, nodes, count)
		count++
		return l
	}
	var l *running
	for range 30 {
		l = propose(nodes)
	}
	for _, n := range nodes {
		contains(t, n, count)
	}

	// The leader goes; the others go on without waiting for it to be missed.
	others := slices.DeleteFunc(slices.Clone(nodes), func(n *running) bool { return n == l })
	l.stop(t)
	for _, n := range others {
		if err := n.ForgetLeader(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		propose(others)
	}
	// It comes back behind what the others have compacted, and gets a snapshot.
	back := w.start(t, l.ID(), disks[l.ID()], nil)
	nodes = append(others, back)
	contains(t, back, count)

	// A fourth node learns, votes, and leaves again.
	disks[104] = vfs.NewMem()
	fourth := w.start(t, 104, disks[104], []uint64{})
	change := func(c Change, nodes ...*running) {
		for done := false; !done; {
			l, _ := leader(t, nodes)
			done = l.ChangeMembers(ctx, MemberChange{c, 104}) == nil
		}
	}
	change(AddLearner, nodes...)
	contains(t, fourth, count)
	change(AddVoter, nodes...)
	propose(append(nodes, fourth)) // it may lead, too
	contains(t, fourth, count)
	voters, learners, err := fourth.Members(ctx)
	slices.Sort(voters)
	if err != nil || !slices.Equal(voters, []uint64{101, 102, 103, 104}) || len(learners) != 0 {
		t.Fatalf("voters %v, learners %v, %v", voters, learners, err)
	}
	fourth.stop(t)
	again := w.start(t, 104, disks[104], nil) // the members are part of the log
	contains(t, again, count)
	change(Remove, append(nodes, again)...)
	propose(nodes)
	again.stop(t)
	for _, n := range nodes {
		contains(t, n, count)
	}
	for _, n := range nodes {
		n.stop(t)
	}
}

// TestOldCopyOfADirectory: a voter whose disk was brought back from a copy does not go on with what it acknowledged and has no more, and says so in words.
func TestOldCopyOfADirectory(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w := &wires{nodes: map[uint64]*Node{}}
	ids := []uint64{101, 102, 103}
	disks := map[uint64]*vfs.Mem{}
	var nodes []*running
	for _, id := range ids {
		disks[id] = vfs.NewMem()
		nodes = append(nodes, w.start(t, id, disks[id], ids))
	}
	l, _ := leader(t, nodes)
	at := slices.IndexFunc(nodes, func(n *running) bool { return n != l })
	id := nodes[at].ID()
	old := disks[id].Peek(vfs.KeepAll, 0)
	for i := range 10 {
		propose(ctx, t, nodes, i)
	}
	contains(t, nodes[at], 10)
	nodes[at].stop(t)
	back := w.start(t, id, old, nil)
	select {
	case err := <-back.ended:
		if !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("it goes on")
	}
	for i, n := range nodes {
		if i != at {
			n.stop(t)
		}
	}
}

// contains waits until the node has entries 0 to count-1, and fails where there are others; an entry whose answer was lost may be there twice.
func contains(t *testing.T, n *running, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for next := 0; next < count; runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatalf("node %d has %d entries of %d", n.ID(), next, count)
		}
		next = 0
		for _, e := range n.machine.all() {
			if string(e) == fmt.Sprintf("entry %d", next) {
				next++
			} else if string(e) != fmt.Sprintf("entry %d", next-1) {
				t.Fatalf("node %d has %q where entry %d should be", n.ID(), e, next)
			}
		}
		if next > count {
			t.Fatalf("node %d has %d entries, %d were proposed", n.ID(), next, count)
		}
	}
}
