package logdir

import (
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/vfs"
)

// TestBackgroundRests has a step of a removal take long, as one does where the file system gives the blocks back to its disk.
func TestBackgroundRests(t *testing.T) {
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	opts := options(vfs.NewMem())
	opts.Clock = manual
	d := mustOpen(t, opts)
	defer d.Close()
	b := &background{d: d, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	for _, c := range []struct {
		again, low bool
		rests      time.Duration
	}{
		{true, false, 40 * time.Millisecond},
		{false, false, 0},
		{true, true, 0}, // what is removed makes room
	} {
		b.mu.jobs = nil
		b.add(func() (bool, error) {
			manual.Advance(40 * time.Millisecond)
			return c.again, nil
		})
		d.low.Store(c.low)
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.step()
		}()
		rested := time.Duration(0)
		for over := false; !over; {
			if c.rests == 0 {
				<-done
				break
			}
			select {
			case <-done:
				over = true
			default:
				manual.Advance(time.Millisecond)
				rested += time.Millisecond
			}
		}
		if rested < c.rests {
			t.Errorf("again %v, low on space %v: it rested %v of %v", c.again, c.low, rested, c.rests)
		}
		if left := len(b.mu.jobs); (left == 1) != c.again {
			t.Errorf("again %v, low on space %v: %d jobs left", c.again, c.low, left)
		}
	}
}
