package quorum

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/vfs"
)

// journal is a state machine that keeps every entry.
type journal struct {
	sync.Mutex
	index   uint64
	entries [][]byte
}

func (j *journal) Apply(index uint64, entry []byte) error {
	j.Lock()
	defer j.Unlock()
	if index <= j.index {
		return fmt.Errorf("entry %d after %d", index, j.index)
	}
	j.index = index
	if entry != nil {
		j.entries = append(j.entries, bytes.Clone(entry))
	}
	return nil
}

func (j *journal) Snapshot() (uint64, []byte) {
	j.Lock()
	defer j.Unlock()
	b := binary.AppendUvarint(nil, j.index)
	for _, e := range j.entries {
		b = append(binary.AppendUvarint(b, uint64(len(e))), e...)
	}
	return j.index, b
}

func (j *journal) Restore(index uint64, b []byte) error {
	j.Lock()
	defer j.Unlock()
	at, w := binary.Uvarint(b)
	if at != index || w <= 0 {
		return fmt.Errorf("snapshot of %d says %d", index, at)
	}
	j.index, j.entries = index, nil
	for b = b[w:]; len(b) > 0; {
		n, w := binary.Uvarint(b)
		j.entries = append(j.entries, bytes.Clone(b[w:w+int(n)]))
		b = b[w+int(n):]
	}
	return nil
}

func (j *journal) all() [][]byte {
	j.Lock()
	defer j.Unlock()
	return append([][]byte(nil), j.entries...)
}

// running is a node that runs in a goroutine.
type running struct {
	*Node
	machine *journal
	cancel  context.CancelFunc
	ended   chan error
}

func start(t testing.TB, o Options) *running {
	t.Helper()
	r := &running{machine: &journal{}, ended: make(chan error, 1)}
	o.StateMachine = r.machine
	if o.Dir == "" {
		o.Dir = "quorum"
	}
	var err error
	if r.Node, err = Open(o); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(t.Context())
	go func() { r.ended <- r.Run(ctx) }()
	return r
}

func (r *running) stop(t testing.TB) {
	t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
}

func (r *running) propose(t testing.TB, entries ...string) {
	t.Helper()
	term, err := r.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := r.Propose(t.Context(), term, []byte(e), false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSingleVoterKeepsWhatItAcknowledged(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{FS: mem, SnapshotEntries: 7, SegmentBytes: 512}
	var want [][]byte
	var id uint64
	for round := range 6 {
		r := start(t, o)
		if round == 0 {
			id = r.ID()
		} else if r.ID() != id {
			t.Fatalf("raft id %x became %x", id, r.ID())
		}
		for i := range 10 {
			e := fmt.Sprintf("round %d entry %d", round, i)
			r.propose(t, e)
			want = append(want, []byte(e))
		}
		equal(t, r.machine.all(), want)
		r.stop(t)
		if err := r.Propose(t.Context(), 1, nil, false); !errors.Is(err, ErrStopped) {
			t.Fatalf("propose after the end: %v", err)
		}
	}
	snapshots, err := numbered(mem, "quorum", snapshotSuffix)
	if err != nil || len(snapshots) != snapshotsKept {
		t.Fatalf("snapshots %v, %v", snapshots, err)
	}
	segments, err := numbered(mem, "quorum", logSuffix)
	if err != nil || segments[0] == 1 {
		t.Fatalf("segments %v, %v: the first was never dropped", segments, err)
	}
}

func equal(t testing.TB, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("entry %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func TestProposeIsGoodForOneTermOnly(t *testing.T) {
	r := start(t, Options{FS: vfs.NewMem()})
	defer r.stop(t)
	term, err := r.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []uint64{term - 1, term + 1} {
		if err := r.Propose(t.Context(), other, []byte("late"), false); !errors.Is(err, ErrNotLeader) {
			t.Fatalf("term %d: %v", other, err)
		}
	}
	if got := r.machine.all(); len(got) != 0 {
		t.Fatalf("applied %q", got)
	}
}

// has says whether that many proposals are queued or under way.
func (r *running) has(proposals int) bool {
	r.status.Lock()
	defer r.status.Unlock()
	return len(r.proposals)+len(r.waiting) >= proposals
}

// TestOneSyncIsEnough counts syncs: one for a proposal alone, and one for all that wait while another is synced.
func TestOneSyncIsEnough(t *testing.T) {
	const proposers = 64
	var r *running
	var syncs atomic.Int64
	var hold atomic.Bool
	fault := vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if op.Kind == vfs.OpDatasync {
			syncs.Add(1)
			for hold.Load() && !r.has(proposers) {
				runtime.Gosched()
			}
			hold.Store(false)
		}
		return nil
	})
	r = start(t, Options{FS: fault})
	defer r.stop(t)
	term, err := r.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := syncs.Load()
	r.propose(t, "a", "b", "c")
	if n := syncs.Load() - before; n != 3 {
		t.Fatalf("%d syncs for three proposals one after another", n)
	}
	before = syncs.Load()
	hold.Store(true)
	var wg sync.WaitGroup
	for i := range proposers {
		wg.Go(func() {
			if err := r.Propose(t.Context(), term, fmt.Appendf(nil, "%d", i), false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := syncs.Load() - before; n > 2 {
		t.Fatalf("%d syncs for %d proposals at once", n, proposers)
	}
	if got := len(r.machine.all()); got != 3+proposers {
		t.Fatalf("%d entries", got)
	}
}

func TestOpenRefusesWhatItCannotTrust(t *testing.T) {
	_, err := Open(Options{FS: vfs.NewMem(), Dir: "quorum", StateMachine: &journal{}, MustExist: true})
	if !errors.Is(err, ErrMissing) {
		t.Fatalf("empty directory: %v", err)
	}
	for _, damage := range []struct {
		name string
		do   func(vfs.FS) error
	}{
		{"no log", func(fs vfs.FS) error { return fs.Remove("quorum/00000000000000000001.log") }},
		{"no snapshot", func(fs vfs.FS) error { return fs.Remove("quorum/00000000000000000001.snapshot") }},
		{"identity of another", func(fs vfs.FS) error { return vfs.WriteFileAtomic(fs, "quorum/identity", encodeIdentity(99)) }},
		{"identity cut", func(fs vfs.FS) error { return vfs.WriteFileAtomic(fs, "quorum/identity", encodeIdentity(99)[:19]) }},
		{"first frame", func(fs vfs.FS) error { return flip(fs, "quorum/00000000000000000001.log", 30) }},
		{"second frame", func(fs vfs.FS) error { return flip(fs, "quorum/00000000000000000001.log", 70) }},
		{"snapshot", func(fs vfs.FS) error { return flip(fs, "quorum/00000000000000000001.snapshot", 25) }},
	} {
		t.Run(damage.name, func(t *testing.T) {
			mem := vfs.NewMem()
			r := start(t, Options{FS: mem, newID: 7})
			r.propose(t, "a", "b", "c")
			r.stop(t)
			if err := damage.do(mem); err != nil {
				t.Fatal(err)
			}
			n, err := Open(Options{FS: mem, Dir: "quorum", StateMachine: &journal{}})
			if !errors.Is(err, ErrCorrupt) {
				if err == nil {
					n.Close()
				}
				t.Fatalf("opened: %v", err)
			}
		})
	}
}

func flip(fs vfs.FS, name string, at int64) error {
	f, err := fs.OpenFile(name, vfs.ReadWrite, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], at)
	return err
}

func TestOlderSnapshotServesWhenTheNewestIsDamaged(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{FS: mem, SnapshotEntries: 5, SegmentBytes: 300}
	r := start(t, o)
	var want [][]byte
	for i := range 33 {
		e := fmt.Sprintf("entry %d", i)
		r.propose(t, e)
		want = append(want, []byte(e))
	}
	r.stop(t)
	snapshots, err := numbered(mem, "quorum", snapshotSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if err := flip(mem, snapshotPath("quorum", snapshots[len(snapshots)-1]), 60); err != nil {
		t.Fatal(err)
	}
	r = start(t, o)
	defer r.stop(t)
	r.propose(t, "after")
	equal(t, r.machine.all(), append(want, []byte("after")))
}

// TestOpenHasApplied opens a node that has nothing behind its snapshot: what it restored counts as applied.
func TestOpenHasApplied(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{FS: mem, SnapshotEntries: 1}
	r := start(t, o)
	r.propose(t, "one", "two")
	r.stop(t)
	o.Dir, o.StateMachine = "quorum", &journal{}
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if s := n.Status(); s.Applied != n.core.storage.newest.index || s.Applied < 3 {
		t.Errorf("applied up to %d, the snapshot to %d", s.Applied, n.core.storage.newest.index)
	}
}

func TestFullDiskIsAnAnswer(t *testing.T) {
	mem := vfs.NewMem()
	r := start(t, Options{FS: mem, SegmentBytes: 1 << 20, SnapshotEntries: 1 << 30})
	r.propose(t, "first")
	mem.SetCapacity(mem.Used())
	want := [][]byte{[]byte("first")}
	entry := bytes.Repeat([]byte("x"), 10_000)
	term, _ := r.Lead(t.Context())
	var err error
	for range 100 {
		if err = r.Propose(t.Context(), term, entry, false); err != nil {
			break
		}
		want = append(want, entry)
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("a disk without space gave %v", err)
	}
	r.stop(t)
	for range 3 { // a node with a full disk starts and serves what it has
		r = start(t, Options{FS: mem, SegmentBytes: 1 << 20, SnapshotEntries: 1 << 30})
		if _, err = r.Lead(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, r.machine.all(), want)
		r.stop(t)
	}
	mem.SetCapacity(0)
	r = start(t, Options{FS: mem, SegmentBytes: 1 << 20, SnapshotEntries: 1 << 30})
	defer r.stop(t)
	r.propose(t, "again")
	equal(t, r.machine.all(), append(want, []byte("again")))
}

func BenchmarkPropose(b *testing.B) {
	for _, proposers := range []int{1, 64} {
		b.Run(fmt.Sprint(proposers), func(b *testing.B) {
			r := start(b, Options{FS: vfs.OS, Dir: b.TempDir() + "/quorum", Random: random.Real})
			defer r.stop(b)
			term, err := r.Lead(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			entry := make([]byte, 200)
			b.SetParallelism((proposers + 1) / 2)
			b.ReportAllocs()
			b.ResetTimer()
			if proposers == 1 {
				for b.Loop() {
					if err := r.Propose(b.Context(), term, entry, false); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := r.Propose(b.Context(), term, entry, false); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkStart measures from Open of an existing directory to leadership.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir() + "/quorum"
	r := start(b, Options{FS: vfs.OS, Dir: dir})
	r.propose(b, "one", "two")
	r.stop(b)
	var spent time.Duration
	for b.Loop() {
		began := time.Now()
		r := start(b, Options{FS: vfs.OS, Dir: dir})
		if _, err := r.Lead(b.Context()); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(began)
		r.stop(b)
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "µs/start-to-lead")
}

// TestFewEntriesStayInMemory proposes many small entries: those behind the older of the two snapshots that are kept stay, and no more.
func TestFewEntriesStayInMemory(t *testing.T) {
	const between, proposals = 20, 400
	r := start(t, Options{FS: vfs.NewMem(), SnapshotBytes: between * (entryBytes + tagBytes)})
	for range proposals {
		r.propose(t, "x")
	}
	r.stop(t)
	first, _ := r.core.storage.FirstIndex()
	last, _ := r.core.storage.LastIndex()
	if kept := last + 1 - first; kept > 5*between || last < proposals {
		t.Errorf("of %d entries %d are in memory", last, kept)
	}
}
