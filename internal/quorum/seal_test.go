package quorum

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/moldau/moldau/internal/vfs"
)

// frames returns where the frames of a log begin, and where the last one ends.
func frames(t *testing.T, b []byte) (at []int, end int) {
	t.Helper()
	for {
		_, _, size, ok := openFrame(b[end:])
		if !ok {
			return at, end
		}
		at = append(at, end)
		end += size
	}
}

// written makes the file of a log with that content.
func written(t *testing.T, files map[uint64][]byte) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	for number, b := range files {
		if err := vfs.WriteFileAtomic(mem, (&wal{}).path(number), b); err != nil {
			t.Fatal(err)
		}
	}
	return mem
}

// TestFlippedBitInTheLastFrame flips every bit of the last frame that holds anything: the node does not start, and names file and frame.
// Cut off there the log is good again. In the seal behind it every bit may be flipped: nothing is lost.
func TestFlippedBitInTheLastFrame(t *testing.T) {
	const log = "quorum/00000000000000000001.log"
	mem := vfs.NewMem()
	r := start(t, Options{FS: mem, newID: 7})
	r.propose(t, "a", "b", "the last entry")
	r.stop(t)
	whole, err := vfs.ReadFile(mem, log)
	if err != nil {
		t.Fatal(err)
	}
	at, end := frames(t, whole)
	last, seal := at[len(at)-2], at[len(at)-1]
	if !strings.Contains(string(whole[last:seal]), "the last entry") || end-seal != frameHeader {
		t.Fatalf("the last frames are at %d, %d and end at %d", last, seal, end)
	}
	put := func(b []byte) {
		mem = mem.KillProcess()
		if err := vfs.WriteFileAtomic(mem, log, b); err != nil {
			t.Fatal(err)
		}
	}
	starts := func(want int) {
		t.Helper()
		r := start(t, Options{FS: mem})
		if _, err := r.Lead(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.machine.all(); len(got) != want {
			t.Errorf("%d entries, want %d", len(got), want)
		}
		r.stop(t)
	}
	put(whole[:last])
	starts(2)
	for bit := 8 * last; bit < 8*end; bit++ {
		b := append([]byte(nil), whole...)
		b[bit/8] ^= 1 << (bit % 8)
		put(b)
		if bit >= 8*seal {
			starts(3)
			continue
		}
		n, err := Open(Options{FS: mem, Dir: "quorum", StateMachine: &journal{}})
		if err == nil {
			n.Close()
		}
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), log) || !strings.Contains(err.Error(), fmt.Sprintf("byte %d", last)) {
			t.Fatalf("byte %d, bit %d: opened: %v", bit/8-last, bit%8, err)
		}
	}
}

// TestTornFrameOverASeal leaves each sector of a frame as it was before or after it was written, in every combination, with the seal of
// the frame before durable: the log opens, with the frame if it is whole.
func TestTornFrameOverASeal(t *testing.T) {
	const sector = 512
	for _, first := range []int{100, 350, 372, 385, 500} { // where the seal lies: in one sector, in two, at the end of one
		mem := vfs.NewMem()
		w, err := createWAL(mem, "", 5, 1<<20, hardState{term: 1, commit: 1}, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		entry := func(index uint64, size int) []byte {
			e := &pb.Entry{Index: new(index), Term: new(uint64(1)), Data: make([]byte, size)}
			for i := range e.Data {
				e.Data[i] = byte(i) | 1
			}
			if err := w.append(hardState{term: 1, vote: 5, commit: index - 1}, []*pb.Entry{e}); err != nil {
				t.Fatal(err)
			}
			b, err := vfs.ReadFile(mem, w.path(1))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		before := entry(2, first)
		from := int(w.end) / sector
		after := entry(3, 1500)
		sectors := int(w.end-1)/sector - from + 1
		w.close()
		after = append(after[:w.end], make([]byte, int64(len(after))-w.end)...) // the seal behind it is not written before it is durable
		for picked := range 1 << sectors {
			torn := append([]byte(nil), before...)
			for i := range sectors {
				if picked>>i&1 == 1 {
					copy(torn[(from+i)*sector:(from+i+1)*sector], after[(from+i)*sector:])
				}
			}
			w, r, err := openWAL(written(t, map[uint64][]byte{1: torn}), "", 5, 1<<20)
			if err != nil {
				t.Fatalf("%d bytes before it, sectors %b: %v", first, picked, err)
			}
			want, whole := 1, picked == 1<<sectors-1
			if whole {
				want = 2
			}
			if len(r.entries) != want {
				t.Fatalf("%d bytes before it, sectors %b: %d entries", first, picked, len(r.entries))
			}
			if cut := w.cut > 0; cut == (whole || picked == 0) {
				t.Fatalf("%d bytes before it, sectors %b: cut off %v", first, picked, cut)
			}
			w.close()
		}
	}
}

// TestTornFileBeforeOneThatIsUnused: a file without a frame does not make the end of the one before it the middle of the log; one with a
// frame does.
func TestTornFileBeforeOneThatIsUnused(t *testing.T) {
	mem := vfs.NewMem()
	w, err := createWAL(mem, "", 5, 600, hardState{term: 1, commit: 1}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for index := uint64(2); len(w.segments) == 1; index++ {
		e := &pb.Entry{Index: new(index), Term: new(uint64(1)), Data: make([]byte, 100)}
		if err := w.append(hardState{term: 1, vote: 5, commit: index - 1}, []*pb.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	w.close()
	read := func(number uint64) []byte {
		b, err := vfs.ReadFile(mem, w.path(number))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, two := read(1), read(2)
	_, end := frames(t, one)
	copy(one[end:], "torn")
	if _, _, err := openWAL(written(t, map[uint64][]byte{1: one, 2: two}), "", 5, 600); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), w.path(1)) {
		t.Errorf("with a file behind it: %v", err)
	}
	again, _, err := openWAL(written(t, map[uint64][]byte{1: one, 2: make([]byte, len(two))}), "", 5, 600)
	if err != nil {
		t.Fatal(err)
	}
	if again.end != int64(end) || again.cut != len("torn") || len(again.segments) != 1 {
		t.Errorf("it ends at %d of %d, %d bytes were cut off, %d files", again.end, end, again.cut, len(again.segments))
	}
	again.close()
}

// TestTornEndIsTold: what is cut off at a start is named.
func TestTornEndIsTold(t *testing.T) {
	const log = "quorum/00000000000000000001.log"
	mem := vfs.NewMem()
	r := start(t, Options{FS: mem, newID: 7})
	r.propose(t, "a")
	r.stop(t)
	whole, err := vfs.ReadFile(mem, log)
	if err != nil {
		t.Fatal(err)
	}
	_, end := frames(t, whole)
	f, err := mem.OpenFile(log, vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("torn"), int64(end)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var told strings.Builder
	for range 2 {
		n, err := Open(Options{FS: mem, Dir: "quorum", StateMachine: &journal{}, Log: slog.New(slog.NewTextHandler(&told, nil))})
		if err != nil {
			t.Fatal(err)
		}
		n.Close()
	}
	if said := told.String(); strings.Count(said, "cut short") != 1 || !strings.Contains(said, fmt.Sprintf("file=%s position=%d bytes=4", log, end)) {
		t.Errorf("it said %q", said)
	}
}

// TestEntriesReplacedFromAFileThatIsGone: the oldest file that is left begins with entries of a leader that lost its place, which others
// replaced from an index on that was in the file before.
func TestEntriesReplacedFromAFileThatIsGone(t *testing.T) {
	mem := vfs.NewMem()
	w, err := createWAL(mem, "", 5, 500, hardState{term: 1, commit: 1}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	appendOf := func(term uint64, indexes ...uint64) {
		var entries []*pb.Entry
		for _, index := range indexes {
			entries = append(entries, &pb.Entry{Index: new(index), Term: new(term), Data: make([]byte, 100)})
		}
		if err := w.append(hardState{term: term, vote: 5, commit: 3}, entries); err != nil {
			t.Fatal(err)
		}
	}
	appendOf(1, 2, 3, 4, 5, 6)
	if len(w.segments) != 2 {
		t.Fatalf("%d files", len(w.segments))
	}
	appendOf(1, 7, 8)
	appendOf(2, 4, 5, 6)
	appendOf(2, 7)
	w.close()
	for _, name := range []string{"", w.path(1)} {
		if name != "" {
			if err := mem.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		again, r, err := openWAL(mem, "", 5, 500)
		if err != nil {
			t.Fatalf("without %q: %v", name, err)
		}
		again.close()
		last := r.entries[len(r.entries)-1]
		if r.base+uint64(len(r.entries)) != 7 || last.GetIndex() != 7 || last.GetTerm() != 2 || name != "" && r.base != 3 {
			t.Errorf("without %q: from %d on %d entries, the last %d of term %d", name, r.base+1, len(r.entries), last.GetIndex(), last.GetTerm())
		}
	}
}
