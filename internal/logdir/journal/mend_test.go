package journal

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// sent is what the tests of damage put into an entry.
func sent(n int) []byte {
	b := record.NewBuilder(record.Compression{})
	b.Append(record.Record{Timestamp: 1_700_000_000_000, Value: bytes.Repeat([]byte{byte('a' + n)}, 300+700*(n%2))})
	one := b.Build()
	one.SetBaseOffset(int64(n))
	return one
}

// written returns a disk with groups of the given numbers of entries, one after the other, a settle among them.
func written(t *testing.T, opts func(vfs.FS) Options, groups ...int) (fsys *vfs.Mem, ends []int64) {
	t.Helper()
	fsys = disk()
	w := NewWriter(opts(fsys), nil)
	n := 0
	for k, size := range groups {
		for range size {
			one := sent(n)
			if _, err := w.Append(id(n%5), func(dst []byte) ([]byte, int64, error) { return append(dst, one...), int64(n), nil }); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if k == 1 {
			w.Settle(LogID{Topic: "gone", TopicID: uuid.UUID{9}})
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, w.position)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return fsys, ends
}

// read returns what a scan found, with the batches.
func read(t *testing.T, s *Scan) string {
	t.Helper()
	r := s.NewReader()
	defer r.Close()
	out := ""
	for _, e := range s.Entries {
		b, err := r.Read(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf("%v %d %d-%d %x\n", e.Log, e.Kind, e.Base, e.End, b)
	}
	return out
}

func change(t *testing.T, fsys vfs.FS, path string, f func(b []byte)) {
	t.Helper()
	b, err := vfs.ReadFile(fsys, path)
	if err != nil {
		t.Fatal(err)
	}
	f(b)
	out, err := fsys.OpenFile(path, vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBitIsMended flips each bit of a file that holds something, the last group's among them: the scan finds what was written, and what is read
// of it is that.
func TestFlippedBitIsMended(t *testing.T) {
	fsys, _ := written(t, options, 2, 1, 3, 1)
	path := filepath.Join(dir, "0.journal")
	want := read(t, mustOpen(t, fsys))
	whole, err := vfs.ReadFile(fsys, path)
	if err != nil {
		t.Fatal(err)
	}
	mended := 0
	for at, held := range whole {
		if held == 0 && at%blockSize > 200 && at%16 > 0 {
			continue // as all of those that no CRC covers
		}
		for bit := range 8 {
			if at%blockSize >= 110 && bit != at%8 {
				continue // of batches one of each byte
			}
			change(t, fsys, path, func(b []byte) { copy(b, whole); b[at] ^= 1 << bit })
			s, err := Open(fsys, dir, directory)
			if err != nil {
				t.Fatalf("bit %d of byte %d: %v", bit, at, err)
			}
			if got := read(t, s); got != want {
				t.Fatalf("bit %d of byte %d: found\n%s\nnot\n%s", bit, at, got, want)
			}
			switch {
			case len(s.Mended) > 1 || len(s.Mended) == 1 && (s.Mended[0].Path != path || s.Mended[0].At != int64(at) && at >= blockSize):
				t.Fatalf("bit %d of byte %d: said to be mended: %v", bit, at, s.Mended)
			case len(s.Mended) == 1:
				mended++
			case at < headerSize:
				t.Fatalf("bit %d of byte %d was not missed", bit, at)
			}
		}
	}
	if mended < 5000 {
		t.Errorf("%d bits were mended", mended)
	}
}

// TestMoreThanABit destroys some bytes of each group but the last, and of the header: the journal is refused by name, and the last group is taken for torn.
func TestMoreThanABit(t *testing.T) {
	whole, ends := written(t, options, 2, 1, 3, 1)
	path := filepath.Join(dir, "0.journal")
	last := len(mustOpen(t, whole).Entries)
	begin := int64(blockSize)
	for k, end := range ends {
		for _, n := range []int64{3, 40, 600, 4096} {
			for _, at := range []int64{0, 4, 8, 20, 32, 40, 100} {
				fsys := whole.KillProcess()
				change(t, fsys, path, func(b []byte) {
					for i := begin + at; i < min(begin+at+n, end); i++ {
						b[i] ^= byte(0x5a + i%7)
					}
				})
				s, err := Open(fsys, dir, directory)
				if k < len(ends)-1 {
					if !errors.Is(err, ErrCorrupt) {
						t.Fatalf("group %d, %d bytes from %d on: %v, %d entries", k, n, at, err, len(s.Entries))
					}
				} else if err != nil || len(s.Entries) != last-1 || len(s.Mended) > 0 {
					t.Fatalf("the last group, %d bytes from %d on: %v, %d entries", n, at, err, len(s.Entries))
				}
			}
		}
		begin = end
	}
	fsys := whole.KillProcess()
	change(t, fsys, path, func(b []byte) { clear(b[:blockSize]) })
	if _, err := Open(fsys, dir, directory); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("without a header: %v", err)
	}
}

// TestFlippedBitInAFileThatWasLeft: one that is not written any more is mended too.
func TestFlippedBitInAFileThatWasLeft(t *testing.T) {
	fsys := disk()
	w := NewWriter(options(fsys), nil)
	for n := 0; w.Sequence() < 3; n++ {
		one := sent(n)
		w.Append(id(n%5), func(dst []byte) ([]byte, int64, error) { return append(dst, one...), int64(n), nil })
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	want := read(t, mustOpen(t, fsys))
	for at := int64(blockSize); at < 6*blockSize; at += 331 {
		damaged := fsys.KillProcess()
		change(t, damaged, filepath.Join(dir, "1.journal"), func(b []byte) { b[at] ^= 4 })
		if got := read(t, mustOpen(t, damaged)); got != want {
			t.Fatalf("byte %d: found other entries", at)
		}
	}
}

// TestForgedGroupIsNoGroup: what a client put into a batch, and an earlier use left where the next group will be, is neither mended nor taken for a sign
// of damage, however well it fits, as long as it has not the mark.
func TestForgedGroupIsNoGroup(t *testing.T) {
	fsys, ends := written(t, options, 1, 1)
	path := filepath.Join(dir, "0.journal")
	want := read(t, mustOpen(t, fsys))
	for _, mark := range []uuid.UUID{{}, {1, 2, 3}} {
		change(t, fsys, path, func(b []byte) {
			h, _, _, _, err := decodeHeader(bytes.Clone(b))
			if err != nil {
				t.Fatal(err)
			}
			_, last := decodeGroup(b[ends[0]:])
			for k, at := range []int64{ends[1], ends[1] + blockSize} {
				forged := appendMark(make([]byte, groupHeaderSize), mark)
				one := sent(7)
				forged = append(appendEntryHeader(forged, KindAppend, id(1), 7, len(one)), one...)
				g := group{length: uint32(len(forged) - groupHeaderSize), sequence: h.sequence, number: uint32(2 + k), entries: 2, oldest: 1}
				last = g.seal(forged, last)
				if k == 0 {
					forged[70] ^= 1
				}
				copy(b[at:], forged)
			}
		})
		s, err := Open(fsys, dir, directory)
		if err != nil || read(t, s) != want {
			t.Fatalf("a forged group: %v, %d entries", err, len(s.Entries))
		}
	}
}

// TestFilesWithoutMarks: files from before there were marks are read as they were.
func TestFilesWithoutMarks(t *testing.T) {
	fsys, _ := written(t, options, 2, 2)
	path := filepath.Join(dir, "0.journal")
	want := read(t, mustOpen(t, fsys))
	change(t, fsys, path, func(b []byte) { clear(b[52:headerSize]) })
	s := mustOpen(t, fsys)
	if got := read(t, s); got != want || len(s.Mended) > 0 {
		t.Fatalf("found\n%s\nnot\n%s", got, want)
	}
	change(t, fsys, path, func(b []byte) { b[blockSize+100] ^= 1 })
	if s := mustOpen(t, fsys); len(s.Entries) != 0 {
		t.Fatalf("%d entries of a group that does not check", len(s.Entries))
	}
}
