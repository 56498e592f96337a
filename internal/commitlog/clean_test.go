package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// compactCfg makes a segment of every few records.
func compactCfg() Config {
	return Config{SegmentBytes: 400, IndexIntervalBytes: 100, Compact: true, RetentionAge: -1, RetentionBytes: -1, DeleteRetention: time.Minute}
}

// put appends one record; a value of "" is a tombstone.
func put(t testing.TB, l *Log, key, value string, ts int64) {
	t.Helper()
	b := record.NewBuilder(record.Compression{})
	r := record.Record{Timestamp: ts, Key: []byte(key)}
	if value != "" {
		r.Value = []byte(value)
	}
	b.Append(r)
	if _, err := l.Append(b.Build(), 0); err != nil {
		t.Fatal(err)
	}
}

// contents are the records of a log as "offset:key=value".
func contents(t testing.TB, l *Log) string {
	t.Helper()
	var out []string
	for _, b := range readAll(t, l, l.LogStart()) {
		for r, err := range b.Records(1 << 20) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%d:%s=%.4s", r.Offset, r.Key, r.Value))
		}
	}
	return strings.Join(out, " ")
}

func (w *world) clean(t testing.TB, l *Log, opts CleanOptions) Cleaned {
	t.Helper()
	if opts.HighWatermark == 0 {
		opts.HighWatermark = l.LogEnd()
	}
	opts.Now = w.clock.Now()
	c, err := l.Clean(opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTombstonesGoAfterTheirTime(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, compactCfg(), Recovery{Missing: true})
	put(t, l, "a", "1", 1)
	put(t, l, "b", "1", 1)
	put(t, l, "a", "", 2)
	roll := func() {
		t.Helper()
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	roll()
	w.clean(t, l, CleanOptions{})
	if got := contents(t, l); got != "1:b=1 2:a=" {
		t.Fatalf("first pass: %s", got)
	}
	w.clock.advance(time.Minute - 1)
	put(t, l, "c", "1", 3)
	roll()
	w.clean(t, l, CleanOptions{})
	if got := contents(t, l); got != "1:b=1 2:a= 3:c=1" {
		t.Fatalf("a moment before: %s", got)
	}
	w.clock.advance(time.Millisecond)
	put(t, l, "d", "1", 3)
	roll()
	w.clean(t, l, CleanOptions{})
	if got := contents(t, l); got != "1:b=1 3:c=1 4:d=1" {
		t.Fatalf("after it: %s", got)
	}
	if l.LogEnd() != 5 || l.LogStart() != 0 {
		t.Errorf("log is %d to %d", l.LogStart(), l.LogEnd())
	}
}

// TestWhatMayBeCompacted goes through the bounds: the active segment, the high watermark, open transactions, both lags, the ratio.
func TestWhatMayBeCompacted(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	cfg := compactCfg()
	l := w.open(t, cfg, Recovery{Missing: true})
	now := w.clock.Now()
	dirt := func(hw int64, change func(*Config)) Dirt {
		t.Helper()
		c := cfg
		change(&c)
		l.Configure(&c)
		d, err := l.Dirt(now, hw)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	none := func(*Config) {}
	if d := dirt(0, none); d != (Dirt{}) {
		t.Errorf("a log without files: %+v", d)
	}
	for i := range 12 { // three segments of four records, and the active one
		if i > 0 && i%4 == 0 {
			l.Roll()
		}
		put(t, l, "k", "v", now.Add(time.Duration(i-12)*time.Minute).UnixMilli())
	}
	l.Roll()
	put(t, l, "k", "v", now.UnixMilli())
	for name, c := range map[string]struct {
		hw     int64
		change func(*Config)
		to     int64
		due    bool
	}{
		"all but the active":           {13, none, 12, true},
		"a high watermark in between":  {11, none, 8, true},
		"one at an edge":               {8, none, 8, true},
		"nothing committed":            {0, none, 0, false},
		"not compacted":                {13, func(c *Config) { c.Compact = false }, 0, false},
		"young ones wait":              {13, func(c *Config) { c.MinCompactionLag = 4*time.Minute + time.Second }, 8, true},
		"all are young":                {13, func(c *Config) { c.MinCompactionLag = time.Hour }, 0, false},
		"too little dirt":              {13, func(c *Config) { c.MinCleanableRatio = 1 }, 12, false},
		"too little, but old":          {13, func(c *Config) { c.MinCleanableRatio = 1; c.MaxCompactionLag = 11 * time.Minute }, 12, true},
		"too little, and not that old": {13, func(c *Config) { c.MinCleanableRatio = 1; c.MaxCompactionLag = 13 * time.Minute }, 12, false},
	} {
		if d := dirt(c.hw, c.change); d.To != c.to || d.Due != c.due {
			t.Errorf("%s: %+v, want up to %d, due %v", name, d, c.to, c.due)
		}
	}
	l.Configure(&cfg)
	if _, err := l.Append(batchSpec{pid: 5, txn: true}.build(), 0); err != nil {
		t.Fatal(err)
	}
	l.Roll()
	put(t, l, "k", "v", now.UnixMilli())
	if d := dirt(15, none); d.To != 12 { // the transaction is in the segment from 12 on
		t.Errorf("with an open transaction: %+v", d)
	}
	w.clean(t, l, CleanOptions{})
	if d := dirt(15, none); d.Due || d.Dirty != 0 {
		t.Errorf("after a pass: %+v", d)
	}
}

// TestManyPasses: a log with more keys than fit into memory, however large they are, is compacted all the same.
func TestManyPasses(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	cfg := compactCfg()
	cfg.SegmentBytes = 64 << 20
	l := w.open(t, cfg, Recovery{Missing: true})
	want := map[string]int64{}
	for i := range 60 {
		key := fmt.Sprintf("%d%s", i%40, strings.Repeat("long", fewer(1<<18))) // a mebibyte
		want[key] = l.LogEnd()
		put(t, l, key, "v", 1)
	}
	l.Roll()
	passes := 0
	for {
		d, err := l.Dirt(w.clock.Now(), l.LogEnd())
		if err != nil {
			t.Fatal(err)
		}
		if d.Dirty == 0 {
			break
		}
		if !d.Due {
			t.Fatal("a pass without room for all keys is not followed by another")
		}
		if c := w.clean(t, l, CleanOptions{KeyBytes: 400}); c.Keys > 12 {
			t.Fatalf("%d keys in 400 bytes", c.Keys)
		}
		passes++
	}
	got := map[string]int64{}
	n := 0
	for _, b := range readAll(t, l, 0) {
		for r := range b.Records(0) {
			got[string(r.Key)] = r.Offset
			n++
		}
	}
	if passes < 4 || n != 40 || fmt.Sprint(len(got)) != fmt.Sprint(len(want)) {
		t.Fatalf("%d passes, %d records of %d keys", passes, n, len(got))
	}
	for k, offset := range want {
		if got[k] != offset {
			t.Errorf("key %.4s is at %d, want %d", k, got[k], offset)
		}
	}
}

// TestPolicyChanges: records without keys, from before, go; a topic that is not compacted any more is left alone; and back.
func TestPolicyChanges(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	cfg := compactCfg()
	plain := cfg
	plain.Compact, plain.Delete = false, true
	l := w.open(t, plain, Recovery{Missing: true})
	for range 3 {
		if _, err := l.Append(batchSpec{ts: 1, size: 50}.build(), 0); err != nil {
			t.Fatal(err)
		}
		put(t, l, "k", "v", 1)
	}
	l.Roll()
	if c := w.clean(t, l, CleanOptions{}); c.From != c.To || len(readAll(t, l, 0)) != 6 {
		t.Fatalf("not a compacted topic: %+v", c)
	}
	l.Configure(&cfg)
	if c := w.clean(t, l, CleanOptions{}); c.Keyless != 3 || contents(t, l) != "5:k=v" {
		t.Fatalf("%+v: %s", c, contents(t, l))
	}
	l.Configure(&plain)
	put(t, l, "k", "w", 1)
	l.Roll()
	if c := w.clean(t, l, CleanOptions{}); c.From != c.To {
		t.Fatalf("no compacted topic any more: %+v", c)
	}
	l.Configure(&cfg)
	if c := w.clean(t, l, CleanOptions{}); c.From != 6 || contents(t, l) != "6:k=w" {
		t.Fatalf("%+v: %s", c, contents(t, l))
	}
}

// TestCompactAndDelete: with both, compacted segments go by size and age as others do, those that are empty with the next; with compact
// alone only what lies below the log start goes.
func TestCompactAndDelete(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	cfg := compactCfg()
	l := w.open(t, cfg, Recovery{Missing: true})
	old := w.clock.Now().Add(-time.Hour).UnixMilli()
	for i := range 9 {
		put(t, l, fmt.Sprint(i%3), strings.Repeat("v", 150), old)
	}
	l.Roll()
	put(t, l, "x", "v", w.clock.Now().UnixMilli())
	w.clean(t, l, CleanOptions{})
	now := w.clock.Now()
	segments := len(l.segments())
	if segments < 3 || l.segments()[0].Size() != 0 {
		t.Fatalf("%d segments, the first has %d bytes", segments, l.segments()[0].Size())
	}
	cfg.RetentionAge = time.Minute
	l.Configure(&cfg)
	if n, err := l.DeleteOld(now, l.LogEnd()); n != (Deleted{}) || err != nil {
		t.Fatalf("compact alone: %+v went, %v", n, err)
	}
	if err := l.AdvanceLogStart(7); err != nil {
		t.Fatal(err)
	}
	if n, err := l.DeleteOld(now, l.LogEnd()); n.BelowStart == 0 || n.BelowStart != n.Segments() || err != nil || contents(t, l) == "" || l.LogStart() != 7 {
		t.Fatalf("below the log start: %+v went, %v", n, err)
	}
	cfg.Delete = true
	l.Configure(&cfg)
	if _, err := l.DeleteOld(now, l.LogEnd()); err != nil || contents(t, l) != "9:x=v" || l.LogStart() != 9 {
		t.Fatalf("by age: %s, log start %d, %v", contents(t, l), l.LogStart(), err)
	}
}

// TestDamagedBatch: a log whose records do not add up is left as it is, and says so.
func TestDamagedBatch(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	l := w.open(t, compactCfg(), Recovery{Missing: true})
	for range 8 {
		put(t, l, "k", strings.Repeat("v", 100), 1)
	}
	l.Roll()
	s := l.segments()[1]
	f, err := mem.OpenFile(s.Path(), vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{0xff}, s.Size()-3)
	f.Close()
	before, size := len(l.segments()), l.Size()
	_, err = l.Clean(CleanOptions{HighWatermark: l.LogEnd(), Now: w.clock.Now()})
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), s.Path()) {
		t.Fatalf("got %v", err)
	}
	if len(l.segments()) != before || l.Size() != size || w.env.Err() != nil || l.Cleaned() != 0 {
		t.Errorf("%d segments of %d bytes, were %d of %d", len(l.segments()), l.Size(), before, size)
	}
	noLeftovers(t, mem, l)
}

func noLeftovers(t *testing.T, mem vfs.FS, l *Log) {
	t.Helper()
	entries, err := mem.ReadDir(l.dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".cleaned") || strings.HasSuffix(e.Name(), ".swap") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// TestCleanFaults fails every operation of a pass in turn. A lack of space, or a stop, leaves the log as it was and the directory in
// service; any other failure of a write takes it offline; and what is left always opens with the newest values.
func TestCleanFaults(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		for at := int64(1); ; at++ {
			mem := vfs.NewMem()
			armed, n, hit := false, int64(0), vfs.Op{}
			fault := vfs.NewFault(mem, func(op vfs.Op) error {
				if !armed || op.Kind == vfs.OpFree {
					return nil
				}
				if n++; n == at {
					hit = op
					return cause
				}
				return nil
			})
			w := newWorld(t, fault)
			l := w.open(t, compactCfg(), Recovery{Missing: true})
			for i := range 10 {
				put(t, l, fmt.Sprint(i%2), strings.Repeat("v", 100), 1)
			}
			l.Roll()
			if _, err := l.SyncFiles(); err != nil {
				t.Fatal(err)
			}
			armed = true
			_, err := l.Clean(CleanOptions{HighWatermark: l.LogEnd(), Now: w.clock.Now()})
			armed = false
			if n < at {
				break
			}
			if err != nil && !errors.Is(err, cause) && !errors.Is(err, ErrOffline) && !errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrDisturbed) {
				t.Errorf("%v at %s %s: %v", cause, hit.Kind, hit.Name, err)
			}
			if strings.HasSuffix(hit.Name, ".cleaned") && hit.Kind == vfs.OpWrite {
				if offline := w.env.Err() != nil; offline != (cause == syscall.EIO) || errors.Is(err, ErrNoRoom) == offline {
					t.Errorf("%v at %s %s: offline %v, %v", cause, hit.Kind, hit.Name, offline, err)
				}
			}
			for _, model := range vfs.AllSurvivors {
				w2 := newWorld(t, mem.Peek(model, uint64(at)))
				l2 := w2.open(t, compactCfg(), Recovery{Point: 10})
				if got := contents(t, l2); !strings.HasSuffix(got, "8:0=vvvv 9:1=vvvv") || l2.LogEnd() != 10 || l2.Recovered().Lost {
					t.Fatalf("%v at %s %s, %v: %s, %+v", cause, hit.Kind, hit.Name, model, got, l2.Recovered())
				}
				noLeftovers(t, w2.fs, l2)
			}
		}
	}
}

// TestCleanGivesUp: a pass ends when it is told to, or when the log is cut or deleted under it, and does no harm.
func TestCleanGivesUp(t *testing.T) {
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		do   func(*Log) error
		want error
	}{
		"stopped":   {func(*Log) error { return stop }, stop},
		"truncated": {func(l *Log) error { return l.TruncateTo(6) }, ErrDisturbed},
		"cut off":   {func(l *Log) error { return l.TruncateFullyAt(50) }, ErrDisturbed},
		"deleted":   {func(l *Log) error { return l.Delete() }, ErrClosed},
		"closed":    {func(l *Log) error { return l.Close(true) }, ErrClosed},
		"policy": {func(l *Log) error { // from now on every record is to stay
			cfg := compactCfg()
			cfg.Compact, cfg.Delete = false, true
			l.Configure(&cfg)
			return nil
		}, ErrDisturbed},
		"shortened": {func(l *Log) error {
			if err := l.AdvanceLogStart(8); err != nil {
				return err
			}
			_, err := l.DeleteOld(time.Now(), 10)
			return err
		}, ErrDisturbed},
	} {
		for at := 1; at <= 6; at++ {
			mem := vfs.NewMem()
			w := newWorld(t, mem)
			l := w.open(t, compactCfg(), Recovery{Missing: true})
			for i := range 10 {
				put(t, l, fmt.Sprint(i%2), strings.Repeat("v", 100), 1)
			}
			l.Roll()
			calls := 0
			_, err := l.Clean(CleanOptions{HighWatermark: 10, Now: w.clock.Now(), Buffer: 150, Throttle: func(int) error {
				if calls++; calls == at {
					return c.do(l)
				}
				return nil
			}})
			if !errors.Is(err, c.want) || w.env.Err() != nil {
				t.Errorf("%s at call %d: %v, directory %v", name, at, err, w.env.Err())
			}
			if l.Cleaned() != 0 {
				t.Errorf("%s at call %d: the log takes offsets below %d for compacted", name, at, l.Cleaned())
			}
			if name == "deleted" {
				continue
			}
			noLeftovers(t, mem, l)
		}
	}
}

// TestReadersDuringCleaning: readers that go along while segments are replaced under them, appended and deleted see offsets grow, every
// batch sound, and in the end the newest value of each key.
func TestReadersDuringCleaning(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	cfg := compactCfg()
	cfg.SegmentBytes = 4 << 10
	l := w.open(t, cfg, Recovery{Missing: true})
	const records, keys = 6000, 20
	done := make(chan struct{})
	var wait sync.WaitGroup
	errs := make(chan error, 8)
	read := func(from int64) error {
		seen := map[string]int64{}
		for at := min(from, l.LogEnd()); at < records; {
			s, err := l.Read(at, 3000, l.LogEnd(), true)
			if err != nil {
				return err
			}
			b, err := s.Span.AppendTo(nil)
			s.Release()
			if err != nil {
				return err
			}
			for len(b) > 0 {
				one, rest, err := record.Next(b)
				if err == nil {
					err = one.CheckCRC()
				}
				if err != nil {
					return err
				}
				if one.LastOffset() < at {
					return fmt.Errorf("batch %d to %d at offset %d", one.BaseOffset(), one.LastOffset(), at)
				}
				for r := range one.Records(1 << 20) {
					seen[string(r.Key)] = r.Offset
				}
				at, b = one.NextOffset(), rest
			}
		}
		for k := range int64(keys) {
			if got := seen[fmt.Sprint(k)]; got != records-keys+k {
				return fmt.Errorf("newest record of key %d seen at %d, is at %d", k, got, records-keys+k)
			}
		}
		return nil
	}
	for i := range int64(3) {
		wait.Go(func() {
			for {
				if err := read(i); err != nil {
					errs <- err
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	go func() {
		defer close(done)
		for i := range records {
			put(t, l, fmt.Sprint(i%keys), strings.Repeat("v", i%90), int64(i))
		}
	}()
	for going := true; going; {
		select {
		case <-done:
			going = false
		default:
		}
		if _, err := l.Clean(CleanOptions{HighWatermark: l.LogEnd(), Now: w.clock.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	wait.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if n := len(readAll(t, l, 0)); n > 300 {
		t.Errorf("%d batches are left", n)
	}
}

// TestPinnedReader: who reads an old segment goes on reading it when it was replaced, and its file when that was removed.
func TestPinnedReader(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	l := w.open(t, compactCfg(), Recovery{Missing: true})
	for range 3 {
		put(t, l, "k", "v", 1)
	}
	l.Roll()
	want := readAll(t, l, 0)
	s, err := l.Read(0, 1<<20, 3, true)
	if err != nil {
		t.Fatal(err)
	}
	w.clean(t, l, CleanOptions{}) // the removal runs at once here
	got, err := s.Span.AppendTo(nil)
	s.Release()
	if err != nil || !bytes.Equal(got, join(want)) {
		t.Fatalf("%d bytes, want %d, %v", len(got), len(join(want)), err)
	}
	entries, _ := mem.ReadDir(l.dir())
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".deleted") {
			t.Errorf("%s is left", e.Name())
		}
	}
	if _, err := mem.Stat(l.dir() + "/00000000000000000000.log"); errors.Is(err, fs.ErrNotExist) {
		t.Error("the compacted segment is gone")
	}
}

// BenchmarkClean compacts a segment in which 1 record of 100 is the newest of its key.
func BenchmarkClean(b *testing.B) {
	for _, codec := range []record.Codec{record.None, record.LZ4, record.Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			const keys, batches, per = 1000, 2000, 50
			w := newWorld(b, vfs.NewMem())
			cfg := compactCfg()
			cfg.SegmentBytes = 1 << 30
			l := w.open(b, cfg, Recovery{Missing: true})
			for i := range batches {
				builder := record.NewBuilder(record.CompressionOf(codec))
				for k := range per {
					builder.Append(record.Record{Timestamp: 1, Key: fmt.Appendf(nil, "key-%d", (i*per+k)%keys), Value: bytes.Repeat([]byte("value "), 16)})
				}
				if _, err := l.Append(builder.Build(), 0); err != nil {
					b.Fatal(err)
				}
			}
			l.Roll()
			size := l.Size()
			if err := l.Close(true); err != nil {
				b.Fatal(err)
			}
			disk := w.fs.(*vfs.Mem)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b, disk.Peek(vfs.KeepAll, 0))
				l := w.open(b, cfg, Recovery{Clean: true, Point: batches * per})
				b.StartTimer()
				if c := w.clean(b, l, CleanOptions{}); c.RecordsAfter != keys {
					b.Fatalf("%+v", c)
				}
			}
		})
	}
}

// BenchmarkIdle looks at ten thousand compacted logs of which none has anything new.
func BenchmarkIdle(b *testing.B) {
	w := newWorld(b, vfs.NewMem())
	l := w.open(b, compactCfg(), Recovery{Missing: true})
	put(b, l, "k", "v", 1)
	l.Roll()
	put(b, l, "k", "v", 1)
	w.clean(b, l, CleanOptions{})
	b.ReportAllocs()
	for b.Loop() {
		for range 10_000 {
			if d, err := l.Dirt(w.clock.now, 2); d.Due || err != nil {
				b.Fatal(d, err)
			}
		}
	}
}

// TestCompactedGapsAreNoEnds: a segment ends where the next one begins also where recovery had to walk it, because what is derived is gone:
// its last batches may be compacted away.
func TestCompactedGapsAreNoEnds(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	cfg := compactCfg()
	cfg.SegmentBytes = 100_000
	l := w.open(t, cfg, Recovery{Missing: true})
	for i, key := range []string{"a", "e", "b", "c", "b", "d"} { // offset 2, the end of the first segment, will be gone
		put(t, l, key, "v", w.clock.Now().Add(time.Duration(i)*time.Minute).UnixMilli())
		if i%2 == 0 {
			l.Roll()
		}
	}
	l.Roll()
	cfg.SegmentBytes = 90 // no two segments become one
	l.Configure(&cfg)
	w.clean(t, l, CleanOptions{})
	if got := contents(t, l); got != "0:a=v 1:e=v 3:c=v 4:b=v 5:d=v" {
		t.Fatal(got)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	entries, _ := mem.ReadDir(l.dir())
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".snapshot") || strings.HasSuffix(e.Name(), "index") {
			if err := mem.Remove(l.dir() + "/" + e.Name()); err != nil {
				t.Fatal(err)
			}
		}
	}
	ends := fmt.Sprint(segmentEnds(l))
	w = newWorld(t, mem)
	cfg.MinCompactionLag = time.Hour
	l = w.open(t, cfg, Recovery{Point: 6})
	if got := fmt.Sprint(segmentEnds(l)); got != ends {
		t.Errorf("segments end at %s, want %s", got, ends)
	}
	w.clock.advance(time.Hour + 2*time.Minute + time.Second) // what lies above offset 2 is young
	if c := w.clean(t, l, CleanOptions{}); c.To != 3 {
		t.Errorf("compacted up to %d, %+v", c.To, c)
	}
}

func segmentEnds(l *Log) (ends []int64) {
	for _, s := range l.segments() {
		ends = append(ends, s.End())
	}
	return ends
}

// TestCompactionOfFullDisk: a pass needs room for what it leaves, not for what it reads; without it, it leaves the log as it is and
// the directory in service.
func TestCompactionOfFullDisk(t *testing.T) {
	for _, room := range []uint64{600, 6000} { // above the spare; what stays takes about 1200
		mem := vfs.NewMem()
		written, armed := uint64(0), false
		w := newWorld(t, &narrow{FS: vfs.NewFault(mem, func(op vfs.Op) error {
			if armed && op.Kind == vfs.OpWrite && strings.HasSuffix(op.Name, ".log.cleaned") {
				written += uint64(op.N)
			}
			return nil
		}), free: func() uint64 { return spareBytes + room - min(written, room) }})
		cfg := compactCfg()
		cfg.SegmentBytes = 100_000
		l := w.open(t, cfg, Recovery{Missing: true})
		for i := range 300 {
			put(t, l, fmt.Sprint(i%7), strings.Repeat("v", 100), 1)
		}
		l.Roll()
		armed = true
		_, err := l.Clean(CleanOptions{HighWatermark: 300, Now: w.clock.Now(), Buffer: 200})
		if small := room == 600; errors.Is(err, ErrNoRoom) != small || !small && err != nil || w.env.Err() != nil {
			t.Errorf("room for %d: %v, directory %v", room, err, w.env.Err())
		}
		if n := len(strings.Fields(contents(t, l))); n != 300 && n != 7 || n == 7 != (err == nil) {
			t.Errorf("room for %d: %d records are left", room, n)
		}
		noLeftovers(t, mem, l)
	}
}

// narrow is a file system with as much space as free says.
type narrow struct {
	vfs.FS
	free func() uint64
}

func (n *narrow) Free(string) (uint64, error) { return n.free(), nil }

// TestDirtOfVanishingSegments: retention, or the deletion of the topic, may take a segment away while it is looked at. That is no damage.
func TestDirtOfVanishingSegments(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*Log) error
		want error
	}{
		"retention": {func(l *Log) error { _, err := l.DeleteOld(time.UnixMilli(0), 10); return err }, ErrDisturbed},
		"deleted":   {(*Log).Delete, ErrClosed},
	} {
		mem := vfs.NewMem()
		cfg := compactCfg()
		cfg.MinCompactionLag, cfg.MaxCompactionLag = time.Millisecond, time.Hour
		l := newWorld(t, mem).open(t, cfg, Recovery{Missing: true})
		for i := range 10 {
			put(t, l, fmt.Sprint(i%2), strings.Repeat("v", 100), 1)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		armed := false
		fault := vfs.NewFault(mem, func(op vfs.Op) error {
			if armed && op.Kind == vfs.OpOpen {
				armed = false
				if err := l.AdvanceLogStart(9); err != nil {
					return err
				}
				return c.do(l)
			}
			return nil
		})
		w := newWorld(t, fault)
		l = w.open(t, cfg, Recovery{Clean: true, Point: 10})
		armed = true
		if _, err := l.Dirt(w.clock.Now(), 10); !errors.Is(err, c.want) || armed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMarkersGoAfterTheirTime: the marker of a transaction whose records are all gone stays for delete.retention.ms from the pass on that finds
// none, as a tombstone does.
func TestMarkersGoAfterTheirTime(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, compactCfg(), Recovery{Missing: true})
	add := func(s batchSpec) {
		t.Helper()
		if _, err := l.Append(s.build(), 0); err != nil {
			t.Fatal(err)
		}
	}
	markers := func() (n int) {
		for _, b := range readAll(t, l, 0) {
			if b.IsControl() {
				n += int(b.Count())
			}
		}
		return n
	}
	pass := func(ts int64) {
		t.Helper()
		put(t, l, "c", "1", ts)
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
		w.clean(t, l, CleanOptions{})
	}
	add(batchSpec{pid: 5, txn: true, ts: 1})
	add(batchSpec{pid: 5, control: true, ts: 2})
	add(batchSpec{pid: 5, seq: 1, ts: 3}) // from here on the log needs no batch of the transaction to know its producer
	pass(3)
	if n := markers(); n != 1 {
		t.Fatalf("first pass: %d markers", n)
	}
	w.clock.advance(time.Minute - 1)
	pass(4)
	if n := markers(); n != 1 {
		t.Fatalf("a moment before: %d markers", n)
	}
	w.clock.advance(time.Minute + time.Millisecond)
	pass(5) // finds that nothing is left, if none before has
	w.clock.advance(time.Minute + time.Millisecond)
	pass(6)
	if n := markers(); n != 0 {
		t.Fatalf("after it: %d markers", n)
	}
}
