package quorum

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/vfs"
)

// fill proposes ordinary entries of that size until one is refused, and returns those that were taken.
func (r *running) fill(t *testing.T, size int) (taken [][]byte) {
	t.Helper()
	term, err := r.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entry := bytes.Repeat([]byte("x"), size)
	for range 1000 {
		if err := r.Propose(t.Context(), term, entry, false); errors.Is(err, ErrFull) {
			return taken
		} else if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, entry)
	}
	t.Fatal("a disk without space took everything")
	return nil
}

// urgently proposes an urgent entry.
func (r *running) urgently(t *testing.T, entry []byte) error {
	t.Helper()
	term, err := r.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.Propose(t.Context(), term, entry, true)
}

// TestUrgentEntriesUseTheReserve starts a node on a full disk time and again, each time with a registration and a deletion.
func TestUrgentEntriesUseTheReserve(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{FS: mem, SegmentBytes: 1 << 20, SnapshotEntries: 10}
	r := start(t, o)
	r.propose(t, "first")
	mem.SetCapacity(mem.Used())
	want := append([][]byte{[]byte("first")}, r.fill(t, 1000)...)
	r.stop(t)
	for i := range 30 {
		r = start(t, o)
		for _, what := range []string{"registration", "deletion"} {
			e := fmt.Appendf(nil, "%s %d", what, i)
			if err := r.urgently(t, e); err != nil {
				t.Fatalf("%s on a full disk: %v", e, err)
			}
			want = append(want, e)
			if more := r.fill(t, 1000); len(more) > 0 {
				t.Fatalf("start %d: %d ordinary entries used the reserve", i, len(more))
			}
		}
		equal(t, r.machine.all(), want)
		r.stop(t)
		mem = mem.Crash(vfs.LoseUnsynced, 0)
		o.FS = mem
	}
	mem.SetCapacity(0)
	r = start(t, o)
	defer r.stop(t)
	r.propose(t, "again")
	equal(t, r.machine.all(), append(want, []byte("again")))
}

// TestReserveHasItsEnd: urgent entries end with ErrFull too, and leave the quorum what it needs to lead.
func TestReserveHasItsEnd(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{FS: mem, SegmentBytes: 1 << 20, SnapshotEntries: 1 << 30}
	r := start(t, o)
	r.propose(t, "first")
	mem.SetCapacity(mem.Used())
	want := append([][]byte{[]byte("first")}, r.fill(t, 1000)...)
	entry := bytes.Repeat([]byte("u"), 5000)
	for i := 0; ; i++ {
		err := r.urgently(t, entry)
		if errors.Is(err, ErrFull) && i >= 40 {
			break
		}
		if err != nil {
			t.Fatalf("urgent entry %d: %v", i, err)
		}
		want = append(want, entry)
	}
	r.stop(t)
	for range 50 {
		r = start(t, o)
		if _, err := r.Lead(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, r.machine.all(), want)
		r.stop(t)
	}
}

// TestReserveGrowsWithUrgentEntries: what was registered once can be registered on a full disk, however large it is.
func TestReserveGrowsWithUrgentEntries(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{FS: mem, SnapshotEntries: 1 << 30}
	r := start(t, o)
	large := bytes.Repeat([]byte("r"), 3*walReserveMax)
	if err := r.urgently(t, large); err != nil {
		t.Fatal(err)
	}
	r.propose(t, "next")
	r.stop(t)
	mem.SetCapacity(mem.Used())
	for i := range 3 {
		r = start(t, o)
		if err := r.urgently(t, large); err != nil {
			t.Fatalf("start %d on a full disk: %v", i, err)
		}
		r.stop(t)
	}
}

// TestProposalsThatShareABatchShareTheRoom: each would find room alone, together they would not.
func TestProposalsThatShareABatchShareTheRoom(t *testing.T) {
	var r *running
	var hold, held atomic.Bool
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem, func(op vfs.Op) error {
		for op.Kind == vfs.OpDatasync && hold.Load() {
			held.Store(true)
			runtime.Gosched()
		}
		return nil
	})
	r = start(t, Options{FS: fault, SegmentBytes: 1 << 20})
	r.propose(t, "first")
	mem.SetCapacity(mem.Used())
	term, err := r.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const proposers = 60 // of 10,000 bytes, twice what is left with the reserve
	var wg sync.WaitGroup
	answers := make(chan error, proposers)
	propose := func() { answers <- r.Propose(t.Context(), term, make([]byte, 10_000), true) }
	hold.Store(true)
	for wg.Go(propose); !held.Load(); { // the others wait behind its sync and come together
		runtime.Gosched()
	}
	for range proposers - 1 {
		wg.Go(propose)
	}
	for !r.has(proposers) {
		runtime.Gosched()
	}
	hold.Store(false)
	wg.Wait()
	close(answers)
	taken := 0
	for err := range answers {
		if err == nil {
			taken++
		} else if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if taken == 0 || taken == proposers {
		t.Fatalf("%d of %d were taken", taken, proposers)
	}
	r.stop(t)
}

// TestFullDiskIsToldOnce: of a full disk the node tells once, and once that there is space again, by itself; then the reserve is
// whole before anybody asks for it.
func TestFullDiskIsToldOnce(t *testing.T) {
	mem := vfs.NewMem()
	told := make(chan bool, 100)
	hand := clock.NewManual(clock.Real.Now())
	r := start(t, Options{FS: mem, SegmentBytes: 1 << 20, Clock: hand, OnFull: func(full bool) { told <- full }})
	r.propose(t, "first")
	mem.SetCapacity(mem.Used())
	for _, size := range []int{20_000, 1000, 1000, 1} {
		r.fill(t, size)
	}
	if err := r.urgently(t, make([]byte, 50_000)); err != nil {
		t.Fatal(err)
	}
	if full := <-told; !full {
		t.Fatal("the first word is that there is space again")
	}
	for range 5 { // the disk is full still
		for hand.Pending() == 0 {
			runtime.Gosched()
		}
		hand.Advance(lookForSpace)
	}
	used := mem.Used()
	mem.SetCapacity(0)
	for len(told) == 0 {
		hand.Advance(lookForSpace)
		runtime.Gosched()
	}
	if full := <-told; full {
		t.Fatal("a full disk was told twice")
	}
	if got := mem.Used(); got < used+50_000 {
		t.Fatalf("the reserve was not filled up: %d bytes were used, %d now", used, got)
	}
	mem.SetCapacity(mem.Used())
	r.fill(t, 20_000)
	if full := <-told; !full {
		t.Fatal("a second full disk was not told")
	}
	r.stop(t)
	if len(told) > 0 {
		t.Fatalf("then it told %v", <-told)
	}
}

// TestSnapshotWaitsForSpace: a snapshot that finds no space is written once there is some.
func TestSnapshotWaitsForSpace(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{FS: mem, SnapshotEntries: 40, SegmentBytes: 1 << 20}
	r := start(t, o)
	r.propose(t, "first")
	mem.SetCapacity(mem.Used())
	for i := range 100 {
		if err := r.urgently(t, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := numbered(mem, "quorum", snapshotSuffix); err != nil || len(got) != 1 {
		t.Fatalf("snapshots %v, %v on a full disk", got, err)
	}
	entries, err := mem.ReadDir("quorum")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			t.Fatalf("%s was left on a full disk", e.Name())
		}
	}
	mem.SetCapacity(0)
	for i := range 10 { // and not only after 40 more
		r.propose(t, fmt.Sprint("again ", i))
	}
	r.stop(t)
	if got, err := numbered(mem, "quorum", snapshotSuffix); err != nil || len(got) != 2 {
		t.Fatalf("snapshots %v, %v when there is space again", got, err)
	}
}

// TestReceivedSnapshotWaitsForSpace: a follower with a full disk lets a snapshot pass by and takes it when it is sent again.
func TestReceivedSnapshotWaitsForSpace(t *testing.T) {
	mem := vfs.NewMem()
	if err := format(mem, simDir, 2, []uint64{}, 1<<20); err != nil {
		t.Fatal(err)
	}
	c, err := newCore(mem, simDir, 2, 1<<20, 10, Options{}.withDefaults().Log)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	snap := &snapshot{index: 50, term: 3, conf: &pb.ConfState{Voters: []uint64{1, 2}}, data: make([]byte, 10_000)}
	message := &pb.Message{Type: pb.MsgSnap.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(3)), Snapshot: snap.raft(snap.encode())}
	mem.SetCapacity(mem.Used() + 1000)
	for _, installed := range []bool{false, true} {
		if err := c.receive(message); err != nil {
			t.Fatal(err)
		}
		out, err := c.handle(nil)
		if err != nil {
			t.Fatal(err)
		}
		if (out.restore != nil) != installed {
			t.Fatalf("installed %v", out.restore)
		}
		mem.SetCapacity(0)
	}
}

// TestDirectoryWithoutIdentityIsNotEmptied: only what an interrupted format left is removed.
func TestDirectoryWithoutIdentityIsNotEmptied(t *testing.T) {
	const log, snapshot = "quorum/00000000000000000001.log", "quorum/00000000000000000001.snapshot"
	o := Options{newID: 7, SegmentBytes: 600, SnapshotEntries: 9}
	for _, c := range []struct {
		name    string
		entries int
		do      func(vfs.FS) error
		names   string // the file in the error; "" where it is made anew
	}{
		{"one entry", 1, nil, log},
		{"one entry, first frame damaged", 1, func(fs vfs.FS) error { return flip(fs, log, 30) }, log},
		{"one entry, all frames damaged", 10, func(fs vfs.FS) error {
			for at := int64(10); at < 500; at += 16 {
				if err := flip(fs, log, at); err != nil {
					return err
				}
			}
			return nil
		}, "quorum/0000"},
		{"several segments", 40, nil, "quorum/0000"},
		{"only a later snapshot", 40, func(fs vfs.FS) error {
			numbers, err := numbered(fs, "quorum", logSuffix)
			for _, n := range numbers {
				err = errors.Join(err, fs.Remove((&wal{dir: "quorum"}).path(n)))
			}
			return err
		}, ".snapshot"},
		{"first snapshot with state", 1, func(fs vfs.FS) error {
			return errors.Join(fs.Remove(log), vfs.WriteFileAtomic(fs, snapshot, []byte("what is this")))
		}, snapshot},
		{"format alone", 0, nil, ""},
		{"torn first frame", 0, func(fs vfs.FS) error { return flip(fs, log, 30) }, ""},
		{"nothing", 0, func(fs vfs.FS) error { return errors.Join(fs.Remove(log), fs.Remove(snapshot)) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfs.NewMem()
			o.FS = mem
			if c.entries == 0 {
				if err := format(mem, "quorum", 7, []uint64{7}, 600); err != nil {
					t.Fatal(err)
				}
			} else {
				r := start(t, o)
				for i := range c.entries {
					r.propose(t, fmt.Sprint("entry ", i))
				}
				r.stop(t)
			}
			if err := mem.Remove("quorum/identity"); err != nil {
				t.Fatal(err)
			}
			if c.do != nil {
				if err := c.do(mem); err != nil {
					t.Fatal(err)
				}
			}
			if c.names == "" {
				r := start(t, o)
				r.propose(t, "it works")
				r.stop(t)
				return
			}
			before, err := mem.ReadDir("quorum")
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(Options{FS: mem, Dir: "quorum", StateMachine: &journal{}})
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.names) {
				t.Fatalf("opened: %v", err)
			}
			if after, err := mem.ReadDir("quorum"); err != nil || len(after) != len(before) {
				t.Fatalf("%d files became %d, %v", len(before), len(after), err)
			}
		})
	}
}

// TestNoSpaceForANewSegment: the log goes on in the old one, also where not even the name of a new one finds space, and tries again
// some way on. A sync that fails for lack of space is an error like any other.
func TestNoSpaceForANewSegment(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpCreate, vfs.OpWrite, vfs.OpSync} {
		t.Run(string(kind), func(t *testing.T) {
			failed := 0
			fault := vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
				if op.Kind == kind && strings.HasSuffix(op.Name, "2.log") && failed < 2 {
					failed++
					return syscall.ENOSPC
				}
				return nil
			})
			r := start(t, Options{FS: fault, SegmentBytes: 5000})
			term, err := r.Lead(t.Context())
			for i := 0; err == nil && i < 40; i++ {
				err = r.Propose(t.Context(), term, make([]byte, 1000), false)
			}
			if kind == vfs.OpSync {
				if !errors.Is(err, ErrStopped) || !errors.Is(<-r.ended, syscall.ENOSPC) {
					t.Fatalf("a failed sync gave %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r.stop(t)
			segments, err := numbered(fault, "quorum", logSuffix)
			if err != nil || failed != 2 || len(segments) < 3 {
				t.Fatalf("segments %v, %v after %d failures", segments, err, failed)
			}
		})
	}
}

// TestNoDescriptors: a node that cannot open a file goes on in those it has open, and rolls and takes snapshots once it can; a crash in
// between finds the log as it is.
func TestNoDescriptors(t *testing.T) {
	for _, from := range []vfs.OpKind{vfs.OpCreate, vfs.OpSyncDir} {
		t.Run(string(from), func(t *testing.T) {
			var lack atomic.Bool
			mem := vfs.NewMem()
			o := Options{SegmentBytes: 5000, SnapshotEntries: 20}
			o.FS = vfs.NewFault(mem, func(op vfs.Op) error {
				if lack.Load() && op.Kind == from {
					return syscall.EMFILE
				}
				return nil
			})
			r := start(t, o)
			lack.Store(true)
			var want []string
			for i := range 60 {
				want = append(want, fmt.Sprint(i, strings.Repeat("x", 500)))
			}
			r.propose(t, want...)
			if got, err := numbered(mem, "quorum", snapshotSuffix); err != nil || from == vfs.OpCreate && len(got) != 1 {
				t.Fatalf("snapshots %v, %v without descriptors", got, err)
			}
			after := o
			after.FS = mem.Peek(vfs.LoseUnsynced, 1)
			killed := start(t, after)
			killed.propose(t, "last")
			if got := killed.machine.all(); len(got) < 61 {
				t.Fatalf("%d entries are there after a crash", len(got))
			}
			killed.stop(t)
			lack.Store(false)
			for i := range 40 {
				r.propose(t, fmt.Sprint(i, strings.Repeat("y", 500)))
			}
			r.stop(t)
			segments, err := numbered(mem, "quorum", logSuffix)
			if err != nil || segments[len(segments)-1] < 2 {
				t.Fatalf("segments %v, %v when there are descriptors again", segments, err)
			}
			if got, err := numbered(mem, "quorum", snapshotSuffix); err != nil || len(got) != 2 {
				t.Fatalf("snapshots %v, %v when there are descriptors again", got, err)
			}
		})
	}
}
