package metrics

import (
	"sync/atomic"
	"time"
)

// Counter only grows. Its zero value is ready.
type Counter struct{ n atomic.Int64 }

// Add adds n, which must not be negative.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Load returns the sum so far.
func (c *Counter) Load() int64 { return c.n.Load() }

// bounds are the upper bounds, inclusive, of the buckets of every histogram. They serve a request answered from memory, a sync of a
// disk, and a fetch that waits for records.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second,
}

// Histogram counts durations in buckets. Its zero value is ready.
type Histogram struct {
	buckets [len(bounds) + 1]atomic.Int64 // the last is for what no bound holds
	nanos   atomic.Int64
}

// Observe counts d. A negative one, which a clock that was set back could give, counts as none.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	at := 0
	for at < len(bounds) && d > bounds[at] {
		at++
	}
	h.buckets[at].Add(1)
	h.nanos.Add(int64(d))
}

// Count returns how many durations were counted.
func (h *Histogram) Count() (n int64) {
	for i := range h.buckets {
		n += h.buckets[i].Load()
	}
	return n
}
