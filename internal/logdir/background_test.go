package logdir

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/vfs"
)

const longStep = 40 * time.Millisecond

// restClock counts waits of longStep, which are over at once.
type restClock struct {
	*clock.Manual
	rests int
}

func (c *restClock) After(d time.Duration) <-chan time.Time {
	if d != longStep {
		return c.Manual.After(d)
	}
	c.rests++
	over := make(chan time.Time, 1)
	over <- c.Now()
	return over
}

// TestBackgroundRests has a step of a removal take long, as one does where the file system gives the blocks back to its disk.
func TestBackgroundRests(t *testing.T) {
	for _, c := range []struct {
		again, low bool
		rests      int
	}{
		{true, false, 1},
		{false, false, 0},
		{true, true, 0}, // what is removed makes room
	} {
		watched := &restClock{Manual: clock.NewManual(time.Unix(1_700_000_000, 0))}
		opts := options(vfs.NewMem())
		opts.Clock = watched
		d := mustOpen(t, opts)
		b := &background{d: d, wake: make(chan struct{}, 1), stop: make(chan struct{})}
		d.low.Store(c.low)
		b.add(func() (bool, error) {
			watched.Advance(longStep)
			return c.again, nil
		})
		if !b.step() {
			t.Fatal("no step")
		}
		if watched.rests != c.rests {
			t.Errorf("again %v, low on space %v: it rested %d times", c.again, c.low, watched.rests)
		}
		if left := len(b.mu.jobs); (left == 1) != c.again {
			t.Errorf("again %v, low on space %v: %d jobs left", c.again, c.low, left)
		}
		d.low.Store(false)
		must(t, d.Close())
	}
}

// TestBackgroundTriesAgain: what is to be removed when the disk has no room for it, or the process no descriptor, is removed later. Nobody else would before the next start.
func TestBackgroundTriesAgain(t *testing.T) {
	for _, lack := range []error{syscall.ENOSPC, syscall.EMFILE} {
		manual := clock.NewManual(time.Unix(1_700_000_000, 0))
		opts := options(vfs.NewMem())
		opts.Clock = manual
		d := mustOpen(t, opts)
		b := &background{d: d, wake: make(chan struct{}, 1), stop: make(chan struct{})}
		attempts := 0
		b.add(func() (bool, error) {
			if attempts++; attempts < 3 {
				return false, fmt.Errorf("remove: %w", lack)
			}
			return false, nil
		})
		for range 5 {
			b.step()
			manual.Advance(time.Second)
		}
		if attempts != 3 {
			t.Errorf("%v: %d attempts", lack, attempts)
		}
		must(t, d.Close())
	}
}
