package commitlog

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// TestReadersSeeRetention looks at a log as a read does, while retention takes its first segments: who began with one that goes then must see that it went,
// before its files go, and nobody is shown the next one for an offset in it. The list of segments is so long that it takes a while to make a new one.
func TestReadersSeeRetention(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{}, Recovery{Missing: true})
	if _, err := l.Append(batchSpec{}.build(), 0); err != nil {
		t.Fatal(err)
	}
	const drops = 40
	var all []*segment.Segment
	for i := range int64(drops + 1) {
		all = append(all, segment.Open(w.env.Files, w.fs, segment.At(testDir), i, 0, i+1))
	}
	for range 100_000 {
		all = append(all, all[drops])
	}
	l.mu.Lock()
	l.view.Store(&view{all})
	l.setEnds(drops)
	l.marks.logStart.Store(0)
	l.mu.Unlock()

	type look struct {
		cuts int64
		view *view
	}
	var mu sync.Mutex
	var looks []look
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			mu.Lock()
			now := look{cuts: l.cuts.Load()}
			start := l.LogStart()
			now.view = l.view.Load()
			if start < now.view.segments[0].Base() && now.cuts == l.cuts.Load() {
				t.Errorf("a read at %d takes the segment at %d for the first", start, now.view.segments[0].Base())
			}
			if k := len(looks); k == 0 || looks[k-1] != now {
				looks = append(looks, now)
			}
			mu.Unlock()
		}
	})
	for range drops {
		l.mu.Lock()
		l.dropLocked(1)
		l.mu.Unlock()
		mu.Lock()
		for _, k := range looks {
			if cuts, v := l.cuts.Load(), l.view.Load(); k.view != v && k.cuts == cuts {
				t.Errorf("a read that has the segment at %d does not see that it is removed", k.view.segments[0].Base())
			}
		}
		looks = nil
		mu.Unlock()
	}
	close(done)
	wait.Wait()
}

// abortedLog is a log on a disk of its own that was stopped: an aborted transaction, at 0 and 1, in a segment of its own, and other records behind it.
func abortedLog(t *testing.T, cfg Config) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	l := newWorld(t, mem).open(t, cfg, Recovery{Missing: true})
	for i, s := range []batchSpec{{pid: 5, txn: true, ts: 1, size: 50}, {pid: 5, control: true, ts: 2}, {ts: 3, size: 50}, {pid: 5, seq: 1, ts: 4, size: 50}, {ts: 5}} {
		b := s.build()
		if !s.control {
			b = keyed(s, "key")
		}
		if _, err := l.Append(b, 0); err != nil {
			t.Fatal(err)
		}
		if i > 0 && i < 4 {
			if err := l.Roll(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	return mem
}

// keyed is the batch of a spec whose record has a key, as a log that is compacted wants it.
func keyed(s batchSpec, key string) record.Batch {
	b := record.NewBuilder(record.Compression{})
	if s.pid > 0 {
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = s.pid-1, s.epoch, s.seq
	}
	b.Transactional = s.txn
	b.Append(record.Record{Timestamp: s.ts, Key: []byte(key), Value: bytes.Repeat([]byte{'v'}, s.size)})
	return b.Build()
}

// TestReadCommittedBesideRemoval: whatever takes a segment away while it is read for committed records, aborted ones are told to be that, or are not given.
func TestReadCommittedBesideRemoval(t *testing.T) {
	retention := Config{Delete: true, RetentionBytes: -1, RetentionAge: -1}
	retain := func(t *testing.T, w *world, l *Log) {
		if err := l.AdvanceLogStart(3); err != nil {
			t.Fatal(err)
		}
		if _, err := l.DeleteOld(w.clock.Now(), l.LogEnd()); err != nil {
			t.Fatal(err)
		}
	}
	compact := func(t *testing.T, w *world, l *Log) {
		for i := range 3 { // until the marker is no more, nor its entry in the list
			w.clock.advance(2 * time.Minute)
			put(t, l, "other", "v", int64(10+i))
			if err := l.Roll(); err != nil {
				t.Fatal(err)
			}
			w.clean(t, l, CleanOptions{})
		}
	}
	remove := func(t *testing.T, w *world, l *Log) {
		if err := l.Delete(); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		cfg    Config
		take   func(t *testing.T, w *world, l *Log)
		at     vfs.OpKind
		suffix string // of the file at whose opening or reading it is taken
		first  int64  // offset that is given; below 0: none
		want   error
	}{
		"retention, at the list":      {retention, retain, vfs.OpOpen, segment.AbortedSuffix, -1, ErrOffsetOutOfRange},
		"retention, at the index":     {retention, retain, vfs.OpOpen, segment.IndexSuffix, -1, ErrOffsetOutOfRange},
		"retention, before the list":  {retention, retain, vfs.OpRead, segment.LogSuffix, -1, ErrOffsetOutOfRange},
		"compaction, at the list":     {compactCfg(), compact, vfs.OpOpen, segment.AbortedSuffix, 3, nil},
		"compaction, at the index":    {compactCfg(), compact, vfs.OpOpen, segment.IndexSuffix, 3, nil},
		"compaction, before the list": {compactCfg(), compact, vfs.OpRead, segment.LogSuffix, 3, nil},
		"deletion of the topic":       {retention, remove, vfs.OpOpen, segment.LogSuffix, -1, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			mem := abortedLog(t, c.cfg)
			var w *world
			var l *Log
			armed := false
			w = newWorld(t, vfs.NewFault(mem, func(op vfs.Op) error {
				if armed && op.Kind == c.at && strings.HasSuffix(op.Name, segment.Name(0, c.suffix)) {
					armed = false
					c.take(t, w, l)
				}
				return nil
			}))
			w.env.Files = NewFileCache(1, 1)
			l = w.open(t, c.cfg, Recovery{Clean: true, Point: 5})
			readAll(t, l, 3)        // so that what was open or known of the first segment is not
			if c.at == vfs.OpRead { // the file stays open for another reader
				other, err := l.Read(0, 1<<20, 5, true)
				if err != nil {
					t.Fatal(err)
				}
				defer other.Release()
			}
			armed = true
			slice, aborted, err := l.ReadCommitted(0, 1<<20, 5, true)
			defer slice.Release()
			if armed || !errors.Is(err, c.want) || errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("it is answered %v, want %v", err, c.want)
			}
			given, err := slice.Span.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			first := int64(-1)
			for b := record.Batch(nil); len(given) > 0; {
				if b, given, err = record.Next(given); err != nil {
					t.Fatal(err)
				}
				if first < 0 {
					first = b.BaseOffset()
				}
				if b.BaseOffset() == 0 && (len(aborted) != 1 || aborted[0] != AbortedTxn{ProducerID: 4}) {
					t.Errorf("the aborted record is given, and %v are told to be aborted", aborted)
				}
			}
			if first != c.first {
				t.Errorf("what is given begins at %d, want %d", first, c.first)
			}
		})
	}
}
