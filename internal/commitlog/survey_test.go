package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/commitlog/epoch"
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

// starts are the ways in which a log is opened: after a clean stop, after a crash, and at the first use of one that rested since the one or the other.
var starts = []struct{ clean, rests bool }{{true, false}, {false, false}, {true, true}, {false, true}}

// restOf describes a log that was stopped cleanly.
func restOf(t *testing.T, mem *vfs.Mem, cfg Config, end int64) *Rest {
	t.Helper()
	l := newWorld(t, mem).open(t, cfg, Recovery{Clean: true, Point: end})
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	r, ok := l.Rest()
	if !ok {
		t.Fatal("a closed log is not described")
	}
	return &r
}

// TestDamageEndsWithItsBatch flips each bit of the header of each batch of a segment with hardly any index: all other batches are served, however the
// log is opened, and the damage is told once with its offsets.
func TestDamageEndsWithItsBatch(t *testing.T) {
	cfg := Config{IndexIntervalBytes: 1 << 20}
	mem, batches, path := damagedLog(t, cfg, 100)
	end := batches[len(batches)-1].NextOffset()
	rest := restOf(t, mem, cfg, end)
	for _, start := range starts {
		clean := start.clean
		pos := int64(0)
		for i, b := range batches {
			for bit := range 8 * record.HeaderSize {
				at := bit / 8
				last := i == len(batches)-1
				if at >= 12 && at < 16 || last && !clean && at < 8 || (racing || i > 2 && i < len(batches)-2) && (bit+i)%7 != 0 {
					continue // of the leader epoch see TestFlippedEpoch; after a crash nothing stands against where the last batch ends
				}
				disk := mem.KillProcess()
				flip(t, disk, path, pos+int64(at), bit%8)
				w := newWorld(t, disk)
				var told []*segment.DamageError
				w.env.Files.OnDamage(func(d *segment.DamageError) { told = append(told, d) })
				opts := Options{Env: w.env, Config: &cfg, Recovery: Recovery{Clean: clean, Point: end}}
				if start.rests {
					opts.Rest = rest
				}
				l, err := New(testID, opts)
				if err != nil {
					t.Fatalf("batch %d, bit %d, %+v: %v", i, bit, start, err)
				}
				bases, refused := served(t, fmt.Sprintf("batch %d, bit %d, %+v", i, bit, start), l, batches)
				if len(bases) != len(batches)-1 || slices.Contains(bases, b.BaseOffset()) || refused != int(b.Count()) {
					t.Fatalf("batch %d, bit %d, %+v: %d of %d batches are served, %d offsets refused", i, bit, start, len(bases), len(batches), refused)
				}
				// After a crash the zero that ends the last batch may be taken for space allocated ahead.
				to := pos + int64(len(b))
				exact := len(told) == 1 && (told[0].To == to || last && !clean && told[0].To == to-1)
				if !exact || told[0].From != pos || told[0].First != b.BaseOffset() || told[0].Next != b.NextOffset() {
					t.Fatalf("batch %d, bit %d, %+v: told of %v", i, bit, start, told)
				}
				if got, err := l.Append(batchSpec{}.build(), 1); err != nil || got.First != end {
					t.Fatalf("batch %d, bit %d, %+v: append at %d, %v", i, bit, start, got.First, err)
				}
			}
			pos += int64(len(b))
		}
	}
}

// TestEndDestroyedWhileItRests: of the file of a log that rests it is known that nothing was cut off, so that whatever became of its last batches is
// damage, and the others are served.
func TestEndDestroyedWhileItRests(t *testing.T) {
	cfg := Config{IndexIntervalBytes: 1 << 20}
	mem, batches, path := damagedLog(t, cfg, 100)
	end := batches[len(batches)-1].NextOffset()
	rest := restOf(t, mem, cfg, end)
	for _, clean := range []bool{true, false} {
		for _, fill := range []byte{0, 0xff, 1} {
			disk := mem.KillProcess()
			f, err := disk.OpenFile(path, vfs.ReadWrite, 0)
			if err != nil {
				t.Fatal(err)
			}
			from := rest.Bytes - int64(len(batches[23])) - int64(len(batches[22])) - 10
			_, err = f.WriteAt(bytes.Repeat([]byte{fill}, int(rest.Bytes-from)), from)
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			l, err := New(testID, Options{Env: newWorld(t, disk).env, Config: &cfg, Recovery: Recovery{Clean: clean, Point: end}, Rest: rest})
			if err != nil {
				t.Fatal(err)
			}
			if bases, _ := served(t, fmt.Sprint("filled with ", fill), l, batches); len(bases) != len(batches)-3 {
				t.Errorf("filled with %d, clean stop %v: %d of %d batches are served", fill, clean, len(bases), len(batches))
			}
			if got, err := l.Append(batchSpec{}.build(), 1); err != nil || got.First != end {
				t.Errorf("filled with %d, clean stop %v: append at %d, %v", fill, clean, got.First, err)
			}
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

// TestFlippedEpoch: nothing covers the leader epoch of a batch, in Kafka neither, nor the file of the epochs. A bit of either makes no partition
// unusable, however its log is opened.
func TestFlippedEpoch(t *testing.T) {
	cfg := Config{IndexIntervalBytes: 1 << 20}
	mem, batches, path := damagedLog(t, cfg, 10)
	end := batches[len(batches)-1].NextOffset()
	rest := restOf(t, mem, cfg, end)
	file := filepath.Join(filepath.Dir(path), epoch.Name)
	filed, err := vfs.ReadFile(mem, file)
	if err != nil {
		t.Fatal(err)
	}
	try := func(path string, pos int64, bit int) {
		for _, start := range starts {
			disk := mem.KillProcess()
			flip(t, disk, path, pos, bit)
			opts := Options{Env: newWorld(t, disk).env, Config: &cfg, Recovery: Recovery{Clean: start.clean, Point: end}}
			if start.rests {
				opts.Rest = rest
			}
			where := fmt.Sprintf("%s, byte %d, bit %d, %+v", path, pos, bit, start)
			l, err := New(testID, opts)
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			if bases, told := served(t, where, l, batches); len(bases) != len(batches) || told > 0 {
				t.Errorf("%s: %d of %d batches are served", where, len(bases), len(batches))
			}
			if e, _ := l.LatestEpoch(); e != 1 {
				t.Errorf("%s: the last epoch is %d", where, e)
			}
			if got, err := l.Append(batchSpec{}.build(), 1); err != nil || got.First != end {
				t.Errorf("%s: append at %d: %v", where, got.First, err)
			}
		}
	}
	pos := int64(0)
	for _, b := range batches {
		for bit := range 32 {
			try(path, pos+12+int64(bit/8), bit%8)
		}
		pos += int64(len(b))
	}
	for bit := range 8 * len(filed) {
		try(file, int64(bit/8), bit%8)
	}
}

// TestEpochsOfBatches: one batch alone that says another epoch than its neighbours is not believed.
func TestEpochsOfBatches(t *testing.T) {
	for _, c := range []struct {
		epochs []int32
		want   string
	}{
		{[]int32{1, 1, 2, 2}, "[{1 0 2} {2 2 2}]"},
		{[]int32{1, 9, 1, 2, 2}, "[{1 0 2} {2 3 2}]"},
		{[]int32{9, 1, 1}, "[{1 0 2}]"},
		{[]int32{2, 2, 1, 2}, "[{2 0 3}]"},
		{[]int32{-1, -1, 3}, "[{3 2 1}]"},
		{[]int32{1, 2, -7, 2}, "[{1 0 1} {2 1 2}]"},
	} {
		var runs []epochRun
		for i, e := range c.epochs {
			runs = enterEpoch(runs, e, int64(i))
		}
		if got := fmt.Sprint(runs); got != c.want {
			t.Errorf("%v give %s, want %s", c.epochs, got, c.want)
		}
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

// TestSurveyOfASegmentThatIsCut cuts a segment while it is looked through, and appends other batches until it is longer than it was: nothing of what
// the survey read is believed, neither as damage nor for the index, whoever asked for it, and the next one finds the segment whole.
func TestSurveyOfASegmentThatIsCut(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	var told []*segment.DamageError
	w.env.Files.OnDamage(func(d *segment.DamageError) { told = append(told, d) })
	l := w.open(t, Config{}, Recovery{Missing: true})
	for i := range 300 {
		if _, err := l.Append(batchSpec{size: 3000, fill: byte(i)}.build(), 1); err != nil {
			t.Fatal(err)
		}
	}
	s, size := l.segments()[0], l.Size()
	var want []record.Batch
	disturbed := false
	_, err := s.Survey(func(int64) error {
		if disturbed {
			return nil
		}
		disturbed = true
		if err := l.TruncateTo(10); err != nil {
			return err
		}
		want = readAll(t, l, 0)
		for i := 0; l.Size() < size+5000; i++ {
			b := batchSpec{n: 2, size: 2200, fill: byte(i)}.build()
			if _, err := l.Append(b, 2); err != nil {
				return err
			}
			want = append(want, b)
		}
		return nil
	})
	if !disturbed || err == nil {
		t.Fatalf("cut while it is looked through: %v; %v", disturbed, err)
	}
	if len(told) > 0 || len(s.Damages()) > 0 {
		t.Fatalf("told of %v, known %v", told, s.Damages())
	}
	if bases, refused := served(t, "cut", l, want); len(bases) != len(want) || refused > 0 {
		t.Fatalf("%d of %d batches are served, %d offsets refused", len(bases), len(want), refused)
	}
	if found, err := s.Survey(nil); err != nil || len(found) > 0 {
		t.Fatalf("the next survey: %v, %v", found, err)
	}
}
