package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

const dir = "data/journal"

var directory = uuid.UUID{1, 2, 3}

// still is a clock that stands, so that files always count as filled quickly.
type still struct{ clock.Clock }

func (still) Now() time.Time { return time.Unix(1000, 0) }

func options(fsys vfs.FS) Options {
	return Options{FS: fsys, Clock: still{}, Random: random.Seeded(3), Dir: dir, Directory: directory, Files: 3, FirstFile: 32 << 10, MaxFile: 64 << 10}
}

func id(n int) LogID {
	return LogID{Topic: fmt.Sprintf("topic-%d", n%3), TopicID: uuid.UUID{byte(n%3 + 1)}, Partition: int32(n)}
}

// batches returns the content that the entry number n has in these tests.
func batches(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	b := make([]byte, 10+r.IntN(6000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func add(t *testing.T, w *Writer, n int) {
	t.Helper()
	want := batches(n)
	got, err := w.Append(id(n%5), func(dst []byte) ([]byte, int64, error) { return append(dst, want...), int64(n), nil })
	if err != nil || got != len(want) {
		t.Fatalf("append %d: %d bytes, %v", n, got, err)
	}
}

func mustOpen(t *testing.T, fsys vfs.FS) *Scan {
	t.Helper()
	s, err := Open(fsys, dir, directory)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// expect checks that the scan holds the entries from first to last, one after the other, then at most more ones.
func expect(t *testing.T, s *Scan, first, last, more int) {
	t.Helper()
	r := s.NewReader()
	defer r.Close()
	next := first
	for _, e := range s.Entries {
		if e.Kind == KindSettle {
			continue
		}
		n := int(e.Base)
		if n < first {
			continue // retired, and its file not yet written again
		}
		if n != next {
			t.Fatalf("entry %d follows %d", n, next-1)
		}
		got, err := r.Read(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		if e.Log != id(n%5) || !bytes.Equal(got, batches(n)) {
			t.Fatalf("entry %d came back changed", n)
		}
		next++
	}
	if next <= last || next > last+1+more {
		t.Fatalf("entries end at %d, want %d to %d", next-1, last, last+more)
	}
}

// disk returns a file system with a data directory.
func disk() *vfs.Mem {
	m := vfs.NewMem()
	if err := vfs.MkdirAllSynced(m, filepath.Dir(dir), 0o755); err != nil {
		panic(err)
	}
	return m
}

func TestEmpty(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	if len(s.Entries) != 0 || s.Sequence() != 0 {
		t.Fatalf("a journal that is not there holds %d entries, sequence %d", len(s.Entries), s.Sequence())
	}
}

func TestWriteAndScan(t *testing.T) {
	fsys := disk()
	w := NewWriter(options(fsys), nil)
	if _, err := fsys.Stat(dir); err == nil {
		t.Fatal("NewWriter made files")
	}
	for n := range 10 {
		add(t, w, n)
		if n%2 == 1 {
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := w.Append(id(1), func(dst []byte) ([]byte, int64, error) { return dst, 0, nil }); n != 0 || err != nil || w.Pending() != 0 {
		t.Fatalf("an entry of no bytes: %d, %v, %d pending", n, err, w.Pending())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, mustOpen(t, fsys), 0, 9, 0)
}

func TestSettleIsKept(t *testing.T) {
	fsys := disk()
	w := NewWriter(options(fsys), nil)
	add(t, w, 0)
	w.Settle(id(0))
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, fsys)
	if len(s.Entries) != 2 || s.Entries[1].Kind != KindSettle || s.Entries[1].Log != id(0) {
		t.Fatalf("entries %+v", s.Entries)
	}
}

// TestFullGoesOn: without a retired file the journal says ErrFull, and goes on when one is.
func TestFullGoesOn(t *testing.T) {
	fsys := disk()
	w := NewWriter(options(fsys), nil)
	n := 0
	for ; ; n++ {
		add(t, w, n)
		err := w.Commit()
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if w.Sequence() != 3 {
		t.Fatalf("full in file %d", w.Sequence())
	}
	expect(t, mustOpen(t, fsys), 0, n-1, 0)
	w.Retire(1)
	add(t, w, n) // the group that was refused
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if w.Sequence() != 4 || w.Oldest() != 2 {
		t.Fatalf("sequence %d, oldest %d", w.Sequence(), w.Oldest())
	}
	s := mustOpen(t, fsys)
	if s.Entries[0].Base == 0 {
		t.Fatal("a retired entry came back")
	}
	expect(t, s, int(s.Entries[0].Base), n, 0)
	entries, err := fsys.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
}

func TestLargeGroup(t *testing.T) {
	fsys := disk()
	w := NewWriter(options(fsys), nil)
	big := make([]byte, 300<<10)
	for range 2 {
		if _, err := w.Append(id(1), func(dst []byte) ([]byte, int64, error) { return append(dst, big...), 5, nil }); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if s := mustOpen(t, fsys); len(s.Entries) != 2 || s.Entries[1].Bytes != int64(len(big)) {
		t.Fatalf("entries %+v", s.Entries)
	}
}

// run writes entries for a while, retiring files as it goes, and continues after a first life. It reports progress in place,
// so that a crash in the middle finds it.
type progress struct {
	acked   int // last entry whose group was committed
	tried   int // last entry given to Commit
	retired int // last entry that was retired
}

func run(fsys vfs.FS, p *progress) error {
	p.acked, p.tried, p.retired = -1, -1, -1
	n := 0
	lastOf := map[uint64]int{} // file to its last entry
	for range 2 {
		s, err := Open(fsys, dir, directory)
		if err != nil {
			return err
		}
		w := NewWriter(options(fsys), s)
		for range 30 {
			first := n
			for range 1 + n%3 {
				want := batches(n)
				w.Append(id(n%5), func(dst []byte) ([]byte, int64, error) { return append(dst, want...), int64(n), nil })
				n++
			}
			p.tried = n - 1
			err := w.Commit()
			if errors.Is(err, ErrFull) {
				n = first // it never was
				p.tried = n - 1
				return fmt.Errorf("full although files are retired: %w", err)
			}
			if err != nil {
				return err
			}
			p.acked = n - 1
			lastOf[w.Sequence()] = p.acked
			if sequence := w.Sequence(); sequence > 1 {
				p.retired = max(p.retired, lastOf[sequence-1])
				w.Retire(sequence - 1)
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

// TestCrashEverywhere crashes at each change of the disk, under each model of what survives: all that was committed and not
// retired is there, whole and in order, and what a crash left is a prefix of what was tried.
func TestCrashEverywhere(t *testing.T) {
	count := vfs.NewFault(disk(), func(vfs.Op) error { return nil })
	if err := run(count, &progress{}); err != nil {
		t.Fatal(err)
	}
	errCrash := errors.New("crash")
	for at := int64(1); at <= count.Changes(); at++ {
		for _, model := range vfs.AllSurvivors {
			for seed := range uint64(3) {
				mem := disk()
				fault := vfs.NewFault(mem, func(op vfs.Op) error {
					switch {
					case op.Change > at || op.Change == at && (op.Kind != vfs.OpWrite || seed == 0):
						return errCrash
					case op.Change == at:
						return &vfs.Partial{N: op.N / 2 / int64(seed), Err: errCrash}
					}
					return nil
				})
				var p progress
				if err := run(fault, &p); !errors.Is(err, errCrash) {
					t.Fatalf("crash at %d: %v", at, err)
				}
				after := mem.Crash(model, seed)
				s, err := Open(after, dir, directory)
				if err != nil {
					t.Fatalf("crash at %d, %s, seed %d: %v", at, model, seed, err)
				}
				if len(s.Entries) > 0 || p.acked > p.retired {
					expect(t, s, p.retired+1, p.acked, p.tried-p.acked)
				}
				// It goes on after the crash, and the next scan finds what was there and the new entry.
				w := NewWriter(options(after), s)
				w.Append(id(0), func(dst []byte) ([]byte, int64, error) { return append(dst, 1, 2, 3), 1 << 40, nil })
				if err := w.Commit(); errors.Is(err, ErrFull) {
					continue // the crash left no file to write to
				} else if err != nil {
					t.Fatal(err)
				}
				again := mustOpen(t, after)
				if len(again.Entries) != len(s.Entries)+1 || again.Entries[len(s.Entries)].Base != 1<<40 {
					t.Fatalf("crash at %d, %s, seed %d: %d entries before, %d after one more", at, model, seed, len(s.Entries), len(again.Entries))
				}
			}
		}
	}
}

// TestErrorEverywhere fails each change of the disk: nothing is committed afterwards unless it was for lack of space, and what was
// committed survives.
func TestErrorEverywhere(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT} {
		for at := int64(1); ; at++ {
			mem := disk()
			hit := false
			fault := vfs.NewFault(mem, func(op vfs.Op) error {
				if op.Change == at {
					hit = true
					if op.Kind == vfs.OpWrite {
						return &vfs.Partial{N: op.N / 2, Err: cause}
					}
					return cause
				}
				return nil
			})
			w := NewWriter(options(fault), nil)
			var broken error
			acked := -1
			var committed []int
			for n := range 12 {
				add(t, w, n)
				err := w.Commit()
				switch {
				case err == nil && broken != nil:
					t.Fatalf("%v at %d: committed after %v", cause, at, broken)
				case err == nil:
					acked = n
					committed = append(committed, n)
				case !errors.Is(err, cause):
					t.Fatalf("%v at %d: %v", cause, at, err)
				case cause == syscall.EIO || errors.Is(err, errSync):
					broken = err
				}
			}
			if !hit {
				if acked != 11 {
					t.Fatalf("acked %d without a fault", acked)
				}
				break
			}
			if w.Broken() && broken == nil {
				t.Fatalf("%v at %d: it takes nothing more", cause, at)
			}
			s := mustOpen(t, mem.Crash(vfs.LoseUnsynced, 1))
			found := map[int]bool{}
			for _, e := range s.Entries {
				found[int(e.Base)] = true
			}
			for _, n := range committed {
				if !found[n] {
					t.Fatalf("%v at %d: entry %d was committed and is gone", cause, at, n)
				}
			}
		}
	}
}

// TestNoRoomBehindAGroup: a write finds no room although all of the group was written, or nothing of it, and the next group is so large that it goes into
// another file. Of the one that was refused nothing is missed.
func TestNoRoomBehindAGroup(t *testing.T) {
	for at := int64(1); at < 14; at++ {
		for _, all := range []bool{true, false} {
			mem := disk()
			writes := int64(0)
			opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
				if op.Kind != vfs.OpWrite {
					return nil
				}
				if writes++; writes != at {
					return nil
				}
				if all {
					return &vfs.Partial{N: op.N, Err: syscall.ENOSPC}
				}
				return syscall.ENOSPC
			}))
			opts.Files = 9
			w := NewWriter(opts, nil)
			var committed []int64
			put := func(n int64, size int) {
				w.Append(id(1), func(dst []byte) ([]byte, int64, error) { return append(dst, make([]byte, size)...), n, nil })
				switch err := w.Commit(); {
				case err == nil:
					committed = append(committed, n)
				case !errors.Is(err, syscall.ENOSPC):
					t.Fatalf("write %d: %v", at, err)
				}
			}
			for n := range int64(14) {
				if put(n, 3000); writes == at {
					put(100, 100_000)
				}
			}
			s, err := Open(mem.Crash(vfs.LoseUnsynced, 1), dir, directory)
			if err != nil {
				t.Fatalf("write %d, all of it %v: %v", at, all, err)
			}
			found := map[int64]bool{}
			for _, e := range s.Entries {
				found[e.Base] = true
			}
			for _, n := range committed {
				if !found[n] {
					t.Fatalf("write %d, all of it %v: group %d is gone", at, all, n)
				}
			}
		}
	}
}

// TestDamageIsTold: a file that was left, and so was synced, and does not check to its end is damage, not a crash.
func TestDamageIsTold(t *testing.T) {
	fsys := disk()
	w := NewWriter(options(fsys), nil)
	for n := 0; w.Sequence() < 3; n++ {
		add(t, w, n)
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	f, err := fsys.OpenFile(filepath.Join(dir, "1.journal"), vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 3*blockSize+100); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(fsys, dir, directory); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("damage in the middle: %v", err)
	}
	if err := fsys.Remove(filepath.Join(dir, "1.journal")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(fsys, dir, directory); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("a file is missing: %v", err)
	}
	if _, err := Open(fsys, dir, uuid.UUID{9}); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("the journal of another directory: %v", err)
	}
}

func TestRemove(t *testing.T) {
	fsys := disk()
	w := NewWriter(options(fsys), nil)
	add(t, w, 1)
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := Remove(fsys, dir); err != nil {
		t.Fatal(err)
	}
	if s := mustOpen(t, fsys.Crash(vfs.LoseUnsynced, 1)); len(s.Entries) != 0 {
		t.Fatalf("%d entries after Remove", len(s.Entries))
	}
}

// FuzzScan reads any bytes as a journal file: no panic, no memory beyond the input's size, and what it accepts decodes.
func FuzzScan(f *testing.F) {
	fsys := disk()
	w := NewWriter(options(fsys), nil)
	for n := range 4 {
		want := batches(n)[:10]
		w.Append(id(n), func(dst []byte) ([]byte, int64, error) { return append(dst, want...), int64(n), nil })
		w.Settle(id(n))
		if err := w.Commit(); err != nil {
			f.Fatal(err)
		}
	}
	seed, err := vfs.ReadFile(fsys, filepath.Join(dir, "0.journal"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed[:6*blockSize], []byte{})
	f.Add(seed[:blockSize], seed[blockSize:2*blockSize])
	f.Fuzz(func(t *testing.T, b, entries []byte) {
		fsys := disk()
		if err := fsys.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		out, err := fsys.OpenFile(filepath.Join(dir, "0.journal"), vfs.ReadWrite|vfs.Create, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		s, err := Open(fsys, dir, directory)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if err == nil {
			r := s.NewReader()
			for _, e := range s.Entries {
				if got, err := r.Read(nil, e); err != nil || int64(len(got)) != e.Bytes {
					t.Fatalf("read what was scanned: %d of %d bytes, %v", len(got), e.Bytes, err)
				}
			}
			r.Close()
		}
		for at := 0; at < len(entries); {
			e, next, err := decodeEntry(entries, at)
			if err != nil {
				break
			}
			again := appendEntryHeader(nil, e.kind, LogID{Topic: string(e.topic), TopicID: e.topicID, Partition: e.partition}, e.base, e.n)
			again = append(again, entries[e.at:e.at+e.n]...)
			e2, _, err := decodeEntry(again, 0)
			if err != nil || e2.base != e.base || e2.n != e.n || string(e2.topic) != string(e.topic) {
				t.Fatalf("decode, encode, decode: %+v, %+v, %v", e, e2, err)
			}
			at = next
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			w := NewWriter(Options{Dir: b.TempDir(), Directory: directory}, nil)
			defer w.Close()
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				w.Append(id(1), func(dst []byte) ([]byte, int64, error) { return append(dst, payload...), 1, nil })
				if err := w.Commit(); err != nil {
					b.Fatal(err)
				}
				if s := w.Sequence(); s > 1 {
					w.Retire(s - 1)
				}
			}
		})
	}
}
