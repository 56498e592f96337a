// Package cleaner chooses the logs that are compacted and when: the dirtiest first, by a few threads that share a limit of bytes a second.
// It owns what is under way, what failed, and the limit. It never touches a file: how a log is compacted is commitlog's. While
// nothing is due, it looks at every log once in a while, which costs next to nothing for one without new records.
package cleaner

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
)

// Log is what a Cleaner needs of a partition's log.
type Log interface {
	ID() commitlog.ID
	Dirt(now time.Time) (commitlog.Dirt, error)
	Clean(opts commitlog.CleanOptions) (commitlog.Cleaned, error)
	Repairs() int64 // a log that was damaged is tried again when it is another
}

// Options configures a Cleaner. Clock, Logs and Log are required.
type Options struct {
	Threads        int           // 0: nothing is compacted (log.cleaner.threads, log.cleaner.enable)
	Backoff        time.Duration // between two looks when nothing is due, and before a log that failed is tried again (log.cleaner.backoff.ms)
	KeyBytes       int64         // memory for the keys, of all threads (log.cleaner.dedupe.buffer.size)
	KeyLoad        float64       // how full the maps of keys get (log.cleaner.io.buffer.load.factor)
	Buffer         int           // memory for reading and writing, of all threads (log.cleaner.io.buffer.size)
	BytesPerSecond float64       // read and written, of all threads (log.cleaner.io.max.bytes.per.second)

	Clock clock.Clock
	Logs  func() iter.Seq[Log] // all that there are; those that are not to be compacted have no Dirt
	Log   *slog.Logger
}

// Cleaner compacts logs.
type Cleaner struct {
	opts     Options
	throttle *throttle

	mu struct { // never held while a log is called, but for Repairs, which takes no lock
		sync.Mutex
		logs map[commitlog.ID]*standing // those of which there is something to remember
	}
}

// standing is why a log is not for the taking.
type standing struct {
	busy   bool      // a thread has it
	failed bool      // it is damaged: left alone from now on,
	since  int64     // until it is repaired: its Repairs by then
	until  time.Time // not to be tried before
	warned bool      // that it failed for want of something
}

// New returns a Cleaner that does nothing before Run.
func New(opts Options) *Cleaner {
	c := &Cleaner{opts: opts, throttle: &throttle{clock: opts.Clock, rate: opts.BytesPerSecond}}
	c.mu.logs = map[commitlog.ID]*standing{}
	return c
}

// Run compacts until ctx ends, and returns when all threads have ended. A pass under way is given up; it leaves the log sound.
func (c *Cleaner) Run(ctx context.Context) {
	var wait sync.WaitGroup
	for range c.opts.Threads {
		wait.Go(func() { c.loop(ctx) })
	}
	wait.Wait()
}

func (c *Cleaner) loop(ctx context.Context) {
	for ctx.Err() == nil {
		if c.Step(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.opts.Clock.After(c.opts.Backoff):
		}
	}
}

// Step compacts the dirtiest log that is due; it says whether there was one.
func (c *Cleaner) Step(ctx context.Context) bool {
	l := c.take()
	if l == nil {
		return false
	}
	began, repairs := c.opts.Clock.Now(), l.Repairs()
	threads := max(c.opts.Threads, 1)
	done, err := l.Clean(commitlog.CleanOptions{
		Now: began, KeyBytes: c.opts.KeyBytes / int64(threads), KeyLoad: c.opts.KeyLoad,
		Buffer:   c.opts.Buffer / threads / 2,
		Throttle: func(n int) error { return c.throttle.take(ctx, n) },
	})
	if done.SegmentsBefore > 0 {
		c.opts.Log.Info("compacted a log", "partition", l.ID().String(), "from", done.From, "to", done.To,
			"bytes before", done.BytesBefore, "bytes after", done.BytesAfter,
			"records before", done.RecordsBefore, "records after", done.RecordsAfter, "keyless", done.Keyless,
			"segments before", done.SegmentsBefore, "segments after", done.SegmentsAfter,
			"keys", done.Keys, "more to do", done.Full || err != nil, "took", c.opts.Clock.Now().Sub(began))
	}
	c.put(ctx, l, repairs, done, err)
	return true
}

// take chooses the dirtiest log that is due and keeps others from it.
func (c *Cleaner) take() Log {
	for {
		now := c.opts.Clock.Now()
		var best Log
		var ratio float64
		for l := range c.opts.Logs() {
			repairs := l.Repairs()
			d, err := l.Dirt(now)
			if err != nil && !ordinary(err) {
				c.fail(l, repairs, err)
			}
			if err == nil && d.Due && (best == nil || d.Ratio() > ratio) && c.free(l, now) {
				best, ratio = l, d.Ratio()
			}
		}
		if best == nil || c.claim(best, now) {
			return best
		}
	}
}

func (c *Cleaner) free(l Log, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.logs[l.ID()]
	return s == nil || s.free(l, now)
}

func (s *standing) free(l Log, now time.Time) bool {
	return !s.busy && (!s.failed || s.since != l.Repairs()) && !now.Before(s.until)
}

// claim marks the log as taken, unless another thread was faster.
func (c *Cleaner) claim(l Log, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.logs[l.ID()]
	if s == nil {
		s = &standing{}
		c.mu.logs[l.ID()] = s
	}
	if !s.free(l, now) {
		return false
	}
	s.busy, s.failed = true, false
	return true
}

// put gives the log back and remembers how it went.
func (c *Cleaner) put(ctx context.Context, l Log, repairs int64, done commitlog.Cleaned, err error) {
	later := c.opts.Clock.Now().Add(c.opts.Backoff)
	wants := errors.Is(err, commitlog.ErrNoRoom) || errors.Is(err, commitlog.ErrReadOnly)
	c.mu.Lock()
	s := c.mu.logs[l.ID()]
	s.busy = false
	warn := wants && !s.warned
	switch {
	case err == nil && done.From < done.To, errors.Is(err, commitlog.ErrClosed):
		delete(c.mu.logs, l.ID())
	case err == nil, errors.Is(err, commitlog.ErrDisturbed), ctx.Err() != nil, errors.Is(err, commitlog.ErrOffline):
		s.until = later
	case wants:
		s.until, s.warned = later, true
	}
	c.mu.Unlock()
	switch {
	case warn:
		c.opts.Log.Warn("cannot compact a log now, trying again from time to time", "partition", l.ID().String(), "error", err)
	case err != nil && !wants && !ordinary(err) && ctx.Err() == nil:
		c.fail(l, repairs, err)
	}
}

// ordinary says that an error tells of nothing wrong with the log.
func ordinary(err error) bool {
	return errors.Is(err, commitlog.ErrClosed) || errors.Is(err, commitlog.ErrDisturbed) || errors.Is(err, commitlog.ErrOffline)
}

// fail leaves a log alone until it is repaired.
func (c *Cleaner) fail(l Log, repairs int64, err error) {
	c.mu.Lock()
	s := c.mu.logs[l.ID()]
	if s == nil {
		s = &standing{}
		c.mu.logs[l.ID()] = s
	}
	again := s.failed && s.since == repairs
	s.failed, s.since = true, repairs
	c.mu.Unlock()
	if !again {
		c.opts.Log.Warn("cannot compact a log: it is left as it is until it is repaired or the broker starts again", "partition", l.ID().String(), "error", err)
	}
}

// throttle lets so many bytes pass in a second.
type throttle struct {
	clock clock.Clock
	rate  float64

	mu   sync.Mutex
	free time.Time // when what was let through is paid for
}

// unlimited is a rate that no disk reaches.
const unlimited = 1e15

// minWait is what is not worth waiting for; it is added to the next wait.
const minWait = time.Millisecond

// take lets n bytes through, waits until they are paid for, and fails when ctx ends.
func (t *throttle) take(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil || t.rate >= unlimited || n == 0 {
		return err
	}
	t.mu.Lock()
	now := t.clock.Now()
	if t.free.Before(now) {
		t.free = now
	}
	t.free = t.free.Add(time.Duration(min(float64(n)/max(t.rate, 1)*float64(time.Second), math.MaxInt64/4)))
	wait := t.free.Sub(now)
	t.mu.Unlock()
	if wait < minWait {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.clock.After(wait):
		return nil
	}
}
