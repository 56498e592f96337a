package broker

import (
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
)

// leaping is a clock that goes as the real one does, and leaps ahead when a test advances it. Sessions may be so long with it that nobody misses one on a slow machine, and no test
// waits for the end of one.
type leaping struct{ *clock.Manual }

func newLeaping(t *testing.T) leaping {
	c := leaping{clock.NewManual(time.Now())}
	stop := make(chan struct{})
	var going sync.WaitGroup
	going.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			now := time.Now()
			c.Advance(now.Sub(last))
			last = now
		}
	})
	t.Cleanup(func() {
		close(stop)
		going.Wait()
	})
	return c
}

func (c leaping) AfterFunc(d time.Duration, f func()) clock.Timer {
	return c.Manual.AfterFunc(d, func() { go f() })
}
