package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// served returns the base offsets of all batches that readers get who pass over damage one offset at a time, and how often they were told of it.
func served(t *testing.T, what string, l *Log, want []record.Batch) (bases []int64, told int) {
	t.Helper()
	for at := int64(0); at < l.LogEnd(); {
		s, err := l.Read(at, 1<<20, all, true)
		if err != nil {
			var d *segment.DamageError
			if !errors.As(err, &d) || !errors.Is(err, record.ErrCorrupt) {
				t.Fatalf("%s: read at %d: %v", what, at, err)
			}
			told++
			at++
			if told > 100 {
				t.Fatalf("%s: offsets up to %d are refused", what, at)
			}
			continue
		}
		b, err := s.Span.AppendTo(nil)
		s.Release()
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: read at %d: %d bytes, %v", what, at, len(b), err)
		}
		for len(b) > 0 {
			one, rest, err := record.Next(b)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(want, func(w record.Batch) bool { return bytes.Equal(w[:12], one[:12]) && bytes.Equal(w[16:], one[16:]) }) {
				t.Fatalf("%s: a batch at offset %d was served that nobody wrote", what, one.BaseOffset())
			}
			bases = append(bases, one.BaseOffset())
			at, b = one.NextOffset(), rest
		}
	}
	return bases, told
}

// TestDamageEndsWithItsBatch flips each bit of the header of each batch of a segment with hardly any index: all other batches are served, after
// a clean stop and after a crash, and the damage is told once with its offsets.
func TestDamageEndsWithItsBatch(t *testing.T) {
	cfg := Config{IndexIntervalBytes: 1 << 20}
	mem, batches, path := damagedLog(t, cfg, 100)
	end := batches[len(batches)-1].NextOffset()
	for _, clean := range []bool{true, false} {
		pos := int64(0)
		for i, b := range batches {
			for bit := range 8 * record.HeaderSize {
				at := bit / 8
				last := i == len(batches)-1
				if at >= 12 && at < 16 || last && !clean && at < 8 || i > 2 && i < len(batches)-2 && (bit+i)%7 != 0 {
					continue // of the leader epoch see TestFlippedEpoch; after a crash nothing stands against where the last batch ends
				}
				disk := mem.KillProcess()
				flip(t, disk, path, pos+int64(at), bit%8)
				w := newWorld(t, disk)
				var told []*segment.DamageError
				w.env.Files.OnDamage(func(d *segment.DamageError) { told = append(told, d) })
				l, err := New(testID, Options{Env: w.env, Config: &cfg, Recovery: Recovery{Clean: clean, Point: end}})
				if err != nil {
					t.Fatalf("batch %d, bit %d: %v", i, bit, err)
				}
				if l.Recovered().Lost && last {
					continue // it claims to be longer than the file, as one that was cut off
				}
				bases, refused := served(t, fmt.Sprintf("batch %d, bit %d, clean %v", i, bit, clean), l, batches)
				if len(bases) != len(batches)-1 || slices.Contains(bases, b.BaseOffset()) || refused != int(b.Count()) {
					t.Fatalf("batch %d, bit %d, clean %v: %d of %d batches are served, %d offsets refused", i, bit, clean, len(bases), len(batches), refused)
				}
				// After a crash the zero that ends the last batch may be taken for space allocated ahead.
				to := pos + int64(len(b))
				exact := len(told) == 1 && (told[0].To == to || last && !clean && told[0].To == to-1)
				if !exact || told[0].From != pos || told[0].First != b.BaseOffset() || told[0].Next != b.NextOffset() {
					t.Fatalf("batch %d, bit %d: told of %v", i, bit, told)
				}
				if got, err := l.Append(batchSpec{}.build(), 1); err != nil || got.First != end {
					t.Fatalf("batch %d, bit %d: append at %d, %v", i, bit, got.First, err)
				}
			}
			pos += int64(len(b))
		}
	}
}

// TestSeveralDamages destroys runs of bytes all over segments, as a disk does that forgets blocks. What no byte of was touched is served.
func TestSeveralDamages(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		cfg := Config{IndexIntervalBytes: []int32{-1, 500, 1 << 20}[round%3], SegmentBytes: 2000}
		mem := vfs.NewMem()
		l := newWorld(t, mem).open(t, cfg, Recovery{Missing: true})
		var batches []record.Batch
		for i := range 40 {
			b := batchSpec{n: 1 + i%3, size: 100, fill: byte(i), ts: int64(1000 + i)}.build()
			if _, err := l.Append(b, 1); err != nil {
				t.Fatal(err)
			}
			batches = append(batches, append(record.Batch(nil), b...))
		}
		segments := l.segments()
		end := l.LogEnd()
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		touched := map[int64]bool{}
		for range 1 + rng.IntN(3) {
			k := rng.IntN(len(segments) - 1) // the end of the last one may be lost
			s := segments[k]
			size := s.Size()
			from := rng.Int64N(size)
			n := min(1+rng.Int64N(300), size-from)
			f, err := mem.OpenFile(s.Path(), vfs.ReadWrite, 0)
			if err != nil {
				t.Fatal(err)
			}
			junk := make([]byte, n)
			for i := range junk {
				junk[i] = byte(rng.Uint32())
			}
			if _, err := f.WriteAt(junk, from); err != nil {
				t.Fatal(err)
			}
			f.Close()
			at := int64(0)
			for _, b := range batches {
				if b.BaseOffset() < s.Base() || b.BaseOffset() >= segments[k+1].Base() {
					continue
				}
				if at < from+n && from < at+int64(len(b)) {
					touched[b.BaseOffset()] = true
				}
				at += int64(len(b))
			}
		}
		l = newWorld(t, mem).open(t, cfg, Recovery{Clean: true, Point: end})
		bases, _ := served(t, fmt.Sprint("round ", round), l, batches)
		for _, b := range batches {
			if got := slices.Contains(bases, b.BaseOffset()); !got && !touched[b.BaseOffset()] {
				t.Fatalf("round %d: the batch at %d is whole and not served", round, b.BaseOffset())
			}
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFlippedEpoch: nothing covers the leader epoch of a batch, in Kafka neither. A bit of it makes no partition unusable.
func TestFlippedEpoch(t *testing.T) {
	cfg := Config{IndexIntervalBytes: 1 << 20}
	mem, batches, path := damagedLog(t, cfg, 10)
	pos := int64(0)
	for i, b := range batches {
		disk := mem.KillProcess()
		flip(t, disk, path, pos+12, 4)
		l, err := New(testID, Options{Env: newWorld(t, disk).env, Config: &cfg, Recovery: Recovery{Clean: true, Point: batches[len(batches)-1].NextOffset()}})
		if err != nil {
			t.Fatalf("batch %d: %v", i, err)
		}
		if e, _ := l.LatestEpoch(); e != 1 {
			t.Errorf("batch %d: the last epoch is %d", i, e)
		}
		if _, err := l.Append(batchSpec{}.build(), 2); err != nil {
			t.Errorf("batch %d: append: %v", i, err)
		}
		pos += int64(len(b))
	}
}

// TestBatchInABatch: the value of a record may be a batch. It is not taken for one of the log's, even where the batch around it is damaged.
func TestBatchInABatch(t *testing.T) {
	cfg := Config{IndexIntervalBytes: 1 << 20}
	mem := vfs.NewMem()
	l := newWorld(t, mem).open(t, cfg, Recovery{Missing: true})
	var batches []record.Batch
	for i := range 6 {
		inner := batchSpec{size: 20}.build()
		binary.BigEndian.PutUint64(inner, uint64(i)) // no offset that is missing
		b := record.NewBuilder(record.Compression{})
		b.Append(record.Record{Value: inner})
		b.Append(record.Record{Value: inner})
		built := b.Build()
		if _, err := l.Append(built, 1); err != nil {
			t.Fatal(err)
		}
		batches = append(batches, append(record.Batch(nil), built...))
	}
	path, end := l.segments()[0].Path(), l.LogEnd()
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	pos := int64(len(batches[0]) + len(batches[1]) + len(batches[2]))
	for _, at := range []int64{10, 11, 16, 70} {
		disk := mem.KillProcess()
		flip(t, disk, path, pos+at, 4)
		l := newWorld(t, disk).open(t, cfg, Recovery{Clean: true, Point: end})
		if bases, told := served(t, fmt.Sprint("byte ", at), l, batches); len(bases) != 5 || told != 2 {
			t.Errorf("byte %d: %d batches are served, %d offsets refused", at, len(bases), told)
		}
	}
}

// TestLogStartBeyondTheEnd: a digit of a checkpoint that is wrong does not make a whole log go.
func TestLogStartBeyondTheEnd(t *testing.T) {
	mem, batches, _ := damagedLog(t, Config{}, 10)
	end := batches[len(batches)-1].NextOffset()
	l := newWorld(t, mem).open(t, Config{}, Recovery{Clean: true, Point: end, LogStart: end + 1000})
	if got := readAll(t, l, l.LogStart()); l.LogStart() != 0 || l.LogEnd() != end || len(got) != len(batches) {
		t.Errorf("%d of %d batches from %d to %d are left", len(got), len(batches), l.LogStart(), l.LogEnd())
	}
}
