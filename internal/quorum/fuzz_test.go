package quorum

import (
	"errors"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/moldau/moldau/internal/vfs"
)

// FuzzLog opens a directory whose log is the input. It may be refused, as corrupt; if it is not, it must take a batch and hold
// it, and what it held before, when it is opened again.
func FuzzLog(f *testing.F) {
	mem := vfs.NewMem()
	w, err := createWAL(mem, "", 5, 1<<20, hardState{term: 1, commit: 1}, 1, 1)
	if err != nil {
		f.Fatal(err)
	}
	for i := range uint64(3) {
		e := &pb.Entry{Index: new(2 + i), Term: new(1 + i), Data: []byte("some data")}
		if err := w.append(hardState{term: 1 + i, vote: 5, commit: 1 + i}, []*pb.Entry{e}); err != nil {
			f.Fatal(err)
		}
	}
	whole, err := vfs.ReadFile(mem, w.path(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[:w.end], false)
	f.Add(whole[:w.end+100], false)
	f.Add(whole[:w.end-3], false)
	_, body, _, _ := openFrame(whole)
	f.Add(body, true)
	for _, records := range []func(*frame){
		func(b *frame) { b.entry(&pb.Entry{Index: new(uint64(7)), Term: new(uint64(2)), Data: []byte("x")}) },
		func(b *frame) { b.record(recordBase, nil, 9, 2) },
	} {
		b := frame{buf: append([]byte(nil), body...)}
		records(&b)
		f.Add(b.buf, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, body bool) {
		if body { // the records of one frame, so that the fuzzer gets past the CRC
			sealed := frame{buf: append(make([]byte, frameHeader), b...)}
			b = sealed.seal(1)
		}
		mem := vfs.NewMem()
		if err := vfs.WriteFileAtomic(mem, "00000000000000000001.log", b); err != nil {
			t.Fatal(err)
		}
		w, first, err := openWAL(mem, "", 5, 1<<20)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		next := first.base + uint64(len(first.entries)) + 1
		if next == 0 {
			return // the index has come round
		}
		hs := w.hard
		if err := w.append(hs, []*pb.Entry{{Index: new(next), Term: new(uint64(9)), Data: []byte("more")}}); err != nil {
			t.Fatal(err)
		}
		w.close()
		w, second, err := openWAL(mem, "", 5, 1<<20)
		if err != nil {
			t.Fatalf("what was opened and written to does not open again: %v", err)
		}
		w.close()
		if len(second.entries) != len(first.entries)+1 || w.hard != hs {
			t.Fatalf("%d entries and %+v became %d and %+v", len(first.entries), hs, len(second.entries), w.hard)
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	s := &snapshot{index: 7, term: 3, conf: &pb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}, AutoLeave: new(true)}, data: []byte("state")}
	f.Add(s.encode())
	f.Add((&snapshot{conf: &pb.ConfState{}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSnapshot(reseal(b))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := decodeSnapshot(s.encode())
		if err != nil || again.index != s.index || again.term != s.term || string(again.data) != string(s.data) || again.chain != s.chain ||
			len(again.conf.GetVoters()) != len(s.conf.GetVoters()) {
			t.Fatalf("%v: %+v became %+v", err, s, again)
		}
	})
}

// reseal makes length and CRC right, so that the fuzzer gets past them.
func reseal(b []byte) []byte {
	if len(b) < snapshotHeader {
		return b
	}
	s := &snapshot{conf: &pb.ConfState{}}
	whole := s.encode()
	return sealSnapshot(append(append([]byte(nil), whole[:snapshotHeader]...), b[snapshotHeader:]...))
}
