package commitlog

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// damagedLog writes a log of many batches and returns it stopped, with its batches and the .log file's name.
func damagedLog(t *testing.T, cfg Config, size int) (mem *vfs.Mem, batches []record.Batch, path string) {
	t.Helper()
	mem = vfs.NewMem()
	l := newWorld(t, mem).open(t, cfg, Recovery{Missing: true})
	for i := range 24 {
		b := batchSpec{n: 1 + i%3, size: size + i, fill: byte(i), ts: int64(1000 + i)}.build()
		if _, err := l.Append(b, 1); err != nil {
			t.Fatal(err)
		}
		batches = append(batches, append(record.Batch(nil), b...))
	}
	path = l.segments()[0].Path()
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	return mem, batches, path
}

func flip(t *testing.T, disk vfs.FS, path string, pos int64, bit int) {
	t.Helper()
	f, err := disk.OpenFile(path, vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, pos); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b, pos); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBitIsNotServed flips a bit of every byte of a segment, one at a time, and reads from every batch on. What is served is what was
// written; the batch with the bit is an error that names the file; and a reader who passes over it gets all the rest.
func TestFlippedBitIsNotServed(t *testing.T) {
	cfg := Config{IndexIntervalBytes: -1} // an index entry for each batch
	mem, batches, path := damagedLog(t, cfg, 10)
	pos, end := int64(0), batches[len(batches)-1].NextOffset()
	for damaged, b := range batches {
		for at := int64(0); at < int64(len(b)); at = next(at) {
			if at >= 12 && at < 16 || at < 8 && damaged == len(batches)-1 {
				continue // nothing covers the leader epoch, in Kafka neither, and nothing stands against the offset of the last batch
			}
			disk := mem.KillProcess()
			flip(t, disk, path, pos+at, int(at%8))
			extent := at < 12 || at == 16 || at >= 23 && at < 27
			l, err := New(testID, Options{Env: newWorld(t, disk).env, Config: &cfg, Recovery: Recovery{Clean: true, Point: end}})
			if err != nil {
				// The end of the log is looked for in its last batches, and not found.
				if !errors.Is(err, segment.ErrDamaged) || !strings.Contains(err.Error(), path) || !extent || damaged < len(batches)-3 {
					t.Fatalf("batch %d is damaged: open: %v", damaged, err)
				}
				continue
			}
			for _, maxBytes := range []int64{1, 200, 1 << 20} {
				readAround(t, l, batches, damaged, extent, maxBytes)
			}
		}
		pos += int64(len(b))
	}
}

// readAround reads from each batch on. Where its header does not say rightly how far it reaches, those beside it may not be found either.
func readAround(t *testing.T, l *Log, batches []record.Batch, damaged int, lost bool, maxBytes int64) {
	t.Helper()
	for i, want := range batches {
		s, err := l.Read(want.BaseOffset(), maxBytes, all, true)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), ".log at ") {
				t.Fatalf("batch %d is damaged, read of %d: %v", damaged, i, err)
			}
			if i != damaged && !(lost && (i == damaged-1 || i == damaged+1)) {
				t.Fatalf("batch %d is damaged, %d is not served with %d: %v", damaged, i, maxBytes, err)
			}
			continue
		}
		got, err := s.Span.AppendTo(nil)
		s.Release()
		if err != nil {
			t.Fatal(err)
		}
		rest := bytes.Join(bytesOf(batches[i:]), nil)
		if len(got) == 0 || !bytes.HasPrefix(rest, got) {
			t.Fatalf("batch %d is damaged, a read of %d with %d bytes is answered with others", damaged, i, maxBytes)
		}
	}
}

func bytesOf(batches []record.Batch) (all [][]byte) {
	for _, b := range batches {
		all = append(all, b)
	}
	return all
}

// TestBatchesAreCheckedOnce: what was on the disk at the start is read when it is asked for the first time, and then, as what came in
// since, only handed on.
func TestBatchesAreCheckedOnce(t *testing.T) {
	cfg := Config{IndexIntervalBytes: 300}
	mem, batches, path := damagedLog(t, cfg, 3000)
	read := int64(0)
	w := newWorld(t, vfs.NewFault(mem, func(op vfs.Op) error {
		if op.Kind == vfs.OpRead && op.Name == path {
			read += op.N
		}
		return nil
	}))
	l := w.open(t, cfg, Recovery{Clean: true})
	look := func(from, to int64) int64 {
		t.Helper()
		read = 0
		for at := from; at < to; {
			s, err := l.Read(at, 1<<20, to, true)
			if err != nil || s.Bytes == 0 {
				t.Fatal(err)
			}
			b, _ := s.Span.AppendTo(nil)
			read -= s.Bytes // by the test
			s.Release()
			for len(b) > 0 {
				var one record.Batch
				if one, b, err = record.Next(b); err != nil {
					t.Fatal(err)
				}
				at = one.NextOffset()
			}
		}
		return read
	}
	end, size := l.LogEnd(), l.Size()
	middle := batches[len(batches)/2].BaseOffset()
	if n := look(middle, end); n < size/3 {
		t.Errorf("%d bytes were read to check the second half of %d", n, size)
	}
	if n := look(0, end); n < size/3 {
		t.Errorf("%d bytes were read to check the first half of %d", n, size)
	}
	if n := look(0, end); n > 8<<10 { // for headers
		t.Errorf("%d bytes were read again", n)
	}
	if _, err := l.Append(batchSpec{n: 3, size: 50_000}.build(), 1); err != nil {
		t.Fatal(err)
	}
	if n := look(end, l.LogEnd()); n > 8<<10 {
		t.Errorf("%d bytes of this process were read", n)
	}
}
