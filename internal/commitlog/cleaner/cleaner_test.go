package cleaner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/uuid"
)

// fake is a log of which a test says how dirty it is.
type fake struct {
	name  string
	dirt  commitlog.Dirt
	err   error
	clean func(commitlog.CleanOptions) (commitlog.Cleaned, error)

	mu      sync.Mutex
	cleans  int
	looks   int
	repairs int64
}

func (f *fake) Repairs() int64 { return f.repairs }

func (f *fake) ID() commitlog.ID {
	return commitlog.ID{Topic: f.name, TopicID: uuid.UUID{1}}
}

func (f *fake) Dirt(time.Time) (commitlog.Dirt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	return f.dirt, f.err
}

func (f *fake) Clean(opts commitlog.CleanOptions) (commitlog.Cleaned, error) {
	f.mu.Lock()
	f.cleans++
	d := f.dirt
	f.mu.Unlock()
	if f.clean != nil {
		return f.clean(opts)
	}
	f.mu.Lock()
	f.dirt = commitlog.Dirt{}
	f.mu.Unlock()
	return commitlog.Cleaned{From: d.From, To: d.To, SegmentsBefore: 1, SegmentsAfter: 1}, nil
}

func dirty(clean, dirty int64) commitlog.Dirt {
	return commitlog.Dirt{To: 1, Clean: clean, Dirty: dirty, Due: true}
}

// setup returns a Cleaner of these logs, its clock and what it logs.
func setup(opts Options, logs ...*fake) (*Cleaner, *clock.Manual, *bytes.Buffer) {
	var out bytes.Buffer
	now := clock.NewManual(time.UnixMilli(1_700_000_000_000))
	opts.Clock, opts.Log = now, slog.New(slog.NewTextHandler(&out, nil))
	if opts.BytesPerSecond == 0 {
		opts.BytesPerSecond = 1e300
	}
	opts.Backoff = time.Second
	opts.Logs = func() iter.Seq[Log] {
		return func(yield func(Log) bool) {
			for _, l := range logs {
				if !yield(l) {
					return
				}
			}
		}
	}
	return New(opts), now, &out
}

func TestDirtiestFirst(t *testing.T) {
	a, b, c := &fake{name: "a", dirt: dirty(100, 50)}, &fake{name: "b", dirt: dirty(100, 300)}, &fake{name: "c", dirt: dirty(100, 100)}
	idle := &fake{name: "idle", dirt: commitlog.Dirt{To: 1, Clean: 1, Dirty: 100}}
	cl, _, out := setup(Options{}, a, b, c, idle)
	for cl.Step(t.Context()) {
	}
	var order []string
	for line := range strings.Lines(out.String()) {
		_, rest, _ := strings.Cut(line, "partition=")
		order = append(order, rest[:1])
	}
	if !slices.Equal(order, []string{"b", "c", "a"}) || idle.cleans != 0 {
		t.Errorf("order %v\n%s", order, out)
	}
}

func TestDamagedLogIsLeftAlone(t *testing.T) {
	bad := &fake{name: "bad", dirt: dirty(0, 10), clean: func(commitlog.CleanOptions) (commitlog.Cleaned, error) {
		return commitlog.Cleaned{}, fmt.Errorf("batch at 7: %w", commitlog.ErrCorrupt)
	}}
	unread := &fake{name: "unread", err: errors.New("input/output error")}
	good := &fake{name: "good", dirt: dirty(5, 10)}
	cl, now, out := setup(Options{}, bad, unread, good)
	for range 5 {
		for cl.Step(t.Context()) {
		}
		now.Advance(time.Hour)
		good.dirt = dirty(5, 10)
	}
	if bad.cleans != 1 || good.cleans != 5 {
		t.Errorf("bad was tried %d times, good %d times", bad.cleans, good.cleans)
	}
	if n := strings.Count(out.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings, want one for each log\n%s", n, out)
	}
}

func TestNoRoomIsTriedAgain(t *testing.T) {
	full := true
	l := &fake{name: "l", dirt: dirty(0, 10)}
	l.clean = func(commitlog.CleanOptions) (commitlog.Cleaned, error) {
		if full {
			return commitlog.Cleaned{}, fmt.Errorf("x: %w", commitlog.ErrNoRoom)
		}
		l.dirt = commitlog.Dirt{}
		return commitlog.Cleaned{To: 1, SegmentsBefore: 1}, nil
	}
	cl, now, out := setup(Options{}, l)
	for range 3 {
		for cl.Step(t.Context()) {
		}
		now.Advance(time.Second)
	}
	full = false
	if !cl.Step(t.Context()) || l.cleans != 4 || strings.Count(out.String(), "level=WARN") != 1 || len(cl.mu.logs) != 0 {
		t.Errorf("tried %d times\n%s", l.cleans, out)
	}
}

// TestNothingDoneIsNoLoop: a log that says it is due and where a pass then does nothing waits like others.
func TestNothingDoneIsNoLoop(t *testing.T) {
	for _, err := range []error{nil, commitlog.ErrDisturbed, commitlog.ErrOffline} {
		l := &fake{name: "l", dirt: dirty(0, 10), clean: func(commitlog.CleanOptions) (commitlog.Cleaned, error) { return commitlog.Cleaned{}, err }}
		cl, _, _ := setup(Options{}, l)
		for cl.Step(t.Context()) {
		}
		if l.cleans != 1 {
			t.Errorf("%v: tried %d times", err, l.cleans)
		}
	}
}

// TestThreadsShareLogs: no two threads have a log at once, and Run ends with its context though passes are under way.
func TestThreadsShareLogs(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var logs []*fake
	var mu sync.Mutex
	running, most := map[string]int{}, 0
	started := make(chan struct{}, 10)
	for i := range 3 {
		l := &fake{name: fmt.Sprint(i), dirt: dirty(0, int64(i+1))}
		l.clean = func(opts commitlog.CleanOptions) (commitlog.Cleaned, error) {
			mu.Lock()
			running[l.name]++
			most = max(most, running[l.name])
			mu.Unlock()
			started <- struct{}{}
			<-ctx.Done()
			return commitlog.Cleaned{}, opts.Throttle(1)
		}
		logs = append(logs, l)
	}
	cl, _, out := setup(Options{Threads: 5, KeyBytes: 500, Buffer: 100}, logs...)
	done := make(chan struct{})
	go func() { cl.Run(ctx); close(done) }()
	for range 3 {
		<-started
	}
	stop()
	<-done
	if most != 1 || strings.Contains(out.String(), "WARN") {
		t.Errorf("%d threads had one log at once\n%s", most, out)
	}
}

func TestThrottle(t *testing.T) {
	now := clock.NewManual(time.UnixMilli(0))
	th := &throttle{clock: now, rate: 1000}
	took := make(chan error)
	go func() {
		for range 3 {
			took <- th.take(t.Context(), 500)
		}
	}()
	for i := range 3 {
		for now.Pending() == 0 { // until it waits
			runtime.Gosched()
		}
		now.Advance(499 * time.Millisecond)
		select {
		case <-took:
			t.Fatalf("%d: 500 bytes passed in less than half a second", i)
		default:
		}
		now.Advance(time.Millisecond)
		if err := <-took; err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := th.take(ctx, 1<<30); !errors.Is(err, context.Canceled) {
		t.Errorf("a stop while it waits: %v", err)
	}
}

func TestThrottleWithoutLimitOnlyListens(t *testing.T) {
	th := &throttle{clock: clock.NewManual(time.UnixMilli(0)), rate: 1.7976931348623157e308}
	if err := th.take(t.Context(), 1<<40); err != nil {
		t.Fatal(err)
	}
}

// TestDisturbedLookIsTriedAgain: a log that lost segments while it was looked at is looked at again.
func TestDisturbedLookIsTriedAgain(t *testing.T) {
	l := &fake{name: "l", dirt: dirty(0, 10), err: fmt.Errorf("look: %w", commitlog.ErrDisturbed)}
	cl, _, out := setup(Options{}, l)
	if cl.Step(t.Context()) || out.Len() > 0 {
		t.Fatalf("compacted, or complained: %s", out)
	}
	l.err = nil
	if !cl.Step(t.Context()) || l.cleans != 1 {
		t.Errorf("it was not compacted: %s", out)
	}
}
