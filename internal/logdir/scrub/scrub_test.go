package scrub

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

var start = time.UnixMilli(1_700_000_000_000)

// disk has two partitions with three segments of ten batches each.
func disk(t *testing.T) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	cache := segment.NewFileCache(0, 0)
	for _, dir := range []string{"data/-a-0", "data/b.c-1", "data/b-0-stray", "data/quorum"} {
		if err := mem.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for k := range int64(3) {
			s, err := segment.Create(cache, mem, segment.At(dir), 10*k)
			if err != nil {
				t.Fatal(err)
			}
			for i := range int64(10) {
				b := record.NewBuilder(record.Compression{})
				b.BaseOffset = 10*k + i
				b.Append(record.Record{Timestamp: 1, Value: make([]byte, 1000)})
				if err := s.Append(b.Build(), segment.Limits{IndexInterval: 4096, SegmentBytes: 1 << 20}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Seal(); err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
	}
	return mem
}

// world runs a scrub by a clock that stands still until it is told to go on.
type world struct {
	t     *testing.T
	fs    vfs.FS
	clock *clock.Manual

	mu     sync.Mutex
	read   int64
	found  []string
	warned []error
}

// counted counts the timers that one Scrubber has asked for: those of another one, which was stopped, stay.
type counted struct {
	*clock.Manual
	n atomic.Int64
}

func (c *counted) After(d time.Duration) <-chan time.Time {
	defer c.n.Add(1)
	return c.Manual.After(d)
}

// run lets a Scrubber run until it waits for something later than now and d, and stops it.
func (w *world) run(d time.Duration, rate int64) {
	w.t.Helper()
	timers := &counted{Manual: w.clock}
	s := New(Options{
		FS: w.fs, Clock: timers, Path: "data", Interval: 24 * time.Hour, BytesPerSecond: rate,
		OnRead:   func(n int64) { w.mu.Lock(); w.read += n; w.mu.Unlock() },
		OnDamage: func(d *segment.DamageError) { w.mu.Lock(); w.found = append(w.found, d.Error()); w.mu.Unlock() },
		Warn:     func(err error) { w.mu.Lock(); w.warned = append(w.warned, err); w.mu.Unlock() },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	until := w.clock.Now().Add(d)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if time.Now().After(deadline) {
			w.t.Fatal("the scrub waits for nothing")
		}
		due, ok := w.clock.Next()
		if !ok {
			continue
		}
		if due.After(until) && timers.n.Load() >= 2 { // the wait after the start, and that for the next round
			break
		}
		if !due.After(until) {
			w.clock.Advance(due.Sub(w.clock.Now()))
		}
	}
	w.clock.Advance(until.Sub(w.clock.Now()))
	cancel()
	<-done
}

const each = 2 * 10 * 1079 // about what the old segments of a partition have

func TestRound(t *testing.T) {
	mem := disk(t)
	w := &world{t: t, fs: mem, clock: clock.NewManual(start)}
	w.run(23*time.Hour, 1<<20)
	if w.read != 0 {
		t.Errorf("%d bytes were read before the first round", w.read)
	}
	path := "data/b.c-1/" + segment.Name(10, segment.LogSuffix)
	f, err := mem.OpenFile(path, vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0x55}, 5000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	w.run(2*time.Hour, 1<<20)
	if len(w.found) != 1 || !strings.Contains(w.found[0], path) || !strings.Contains(w.found[0], "offset 14") {
		t.Errorf("found %v", w.found)
	}
	if w.read < 2*each-1000 || w.read > 4*each {
		t.Errorf("%d bytes were read", w.read)
	}
	once := w.read
	w.run(20*time.Hour, 1<<20) // another process
	if w.read != once || len(w.found) != 1 {
		t.Errorf("a restart began a round: %d bytes, then %d", once, w.read)
	}
	w.run(5*time.Hour, 1<<20)
	if w.read < once+2*each-1000 || len(w.found) != 2 {
		t.Errorf("the next day %d more bytes were read, found %v", w.read-once, w.found)
	}
	if len(w.warned) > 0 {
		t.Errorf("warned of %v", w.warned)
	}
}

// TestUnreadableFile: what cannot be read is told of, and the rest is read.
func TestUnreadableFile(t *testing.T) {
	mem := disk(t)
	bad := "a-0/" + segment.Name(0, segment.LogSuffix)
	w := &world{t: t, clock: clock.NewManual(start), fs: vfs.NewFault(mem, func(op vfs.Op) error {
		if op.Kind == vfs.OpRead && strings.Contains(op.Name, bad) {
			return errBad
		}
		return nil
	})}
	w.run(25*time.Hour, 1<<20)
	if len(w.warned) != 1 || !strings.Contains(w.warned[0].Error(), bad) {
		t.Errorf("warned of %v", w.warned)
	}
	if w.read < each+each/2-1000 {
		t.Errorf("%d bytes were read", w.read)
	}
}

var errBad = errors.New("the block is bad")

// TestPace: no more is read than the rate allows, however much there is.
func TestPace(t *testing.T) {
	w := &world{t: t, fs: disk(t), clock: clock.NewManual(start)}
	s := New(Options{FS: w.fs, Clock: w.clock, Path: "data", BytesPerSecond: 1 << 20, OnRead: func(int64) {}})
	done := make(chan error)
	go func() {
		for range 8 {
			if err := s.pay(context.Background(), 1<<20); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			if took := w.clock.Now().Sub(start); err != nil || took != 8*time.Second {
				t.Errorf("8 MiB took %v at 1 MiB a second, %v", took, err)
			}
			return
		default:
			if due, ok := w.clock.Next(); ok {
				w.clock.Advance(due.Sub(w.clock.Now()))
			}
		}
	}
}
