package logdir

import (
	"sync"
	"time"

	"github.com/moldau/moldau/internal/metrics"
)

const (
	// slowSync is how long a sync may take on a disk that is well.
	slowSync = time.Second
	// slowPause is for how long no sync may be slow before the disk counts as well again, so that one which is slow now and then is told of once.
	slowPause = time.Minute
)

// slowness watches how long syncs take, those included that have not returned. A disk that hangs answers with nothing, not even an error, and
// everybody waits; somebody has to say which it is. It is told once when that begins and once when it is over.
type slowness struct {
	count metrics.Counter // syncs that were slow

	mu struct {
		sync.Mutex
		running map[*time.Time]struct{} // when the syncs began that are under way
		told    bool
		last    time.Time     // when a sync was last seen to be slow
		longest time.Duration // since it was told
	}
}

// syncing notes a sync that begins. The caller calls done when it has returned.
func (d *Dir) syncing() (done func() time.Duration) {
	waited := d.waiting()
	return func() time.Duration {
		took := waited()
		if took >= slowSync {
			d.slow.count.Inc()
			d.seenSlow(d.opts.Clock.Now(), took)
		}
		return took
	}
}

// waiting is syncing for a sync that may take long, and for any other call of the disk.
func (d *Dir) waiting() (done func() time.Duration) {
	began := d.opts.Clock.Now()
	s := &d.slow
	s.mu.Lock()
	if s.mu.running == nil {
		s.mu.running = map[*time.Time]struct{}{}
	}
	s.mu.running[&began] = struct{}{}
	s.mu.Unlock()
	return func() time.Duration {
		s.mu.Lock()
		delete(s.mu.running, &began)
		s.mu.Unlock()
		return d.opts.Clock.Now().Sub(began)
	}
}

// during runs f, a call of the disk or a few, so that Waiting tells of it while it does not return. Whoever stops may have to give up on it, so
// every step of a stop is run so, each as short as it can be: many that are well must not add up to one that hangs.
func (d *Dir) during(f func() error) error {
	done := d.waiting()
	defer done()
	return f()
}

// Waiting is for how long the oldest call of the disk has been waiting that is under way and is watched: syncs and writes of small files at all
// times, in a stop all.
func (d *Dir) Waiting() (longest time.Duration) {
	now := d.opts.Clock.Now()
	d.slow.mu.Lock()
	defer d.slow.mu.Unlock()
	for began := range d.slow.mu.running {
		longest = max(longest, now.Sub(*began))
	}
	return longest
}

// lookSlow is called every second.
func (d *Dir) lookSlow() {
	if waiting := d.Waiting(); waiting >= slowSync {
		d.seenSlow(d.opts.Clock.Now(), waiting)
		return
	}
	s := &d.slow
	s.mu.Lock()
	over, longest := s.mu.told && d.opts.Clock.Now().Sub(s.mu.last) >= slowPause, s.mu.longest
	if over {
		s.mu.told, s.mu.longest = false, 0
	}
	s.mu.Unlock()
	if over {
		d.opts.OnSlow(false, longest)
	}
}

func (d *Dir) seenSlow(now time.Time, took time.Duration) {
	s := &d.slow
	s.mu.Lock()
	first := !s.mu.told
	s.mu.told, s.mu.last, s.mu.longest = true, now, max(s.mu.longest, took)
	s.mu.Unlock()
	if first {
		d.opts.OnSlow(true, took)
	}
}

// watchSlow looks for syncs that do not return, in a goroutine of its own: the sweeper may be in one.
func (d *Dir) watchSlow(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-d.opts.Clock.After(sweepInterval):
			d.lookSlow()
		}
	}
}
