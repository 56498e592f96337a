package quota

import (
	"math"
	"time"
)

// Windows says over what time a rate is measured.
type Windows struct {
	Samples int           // how many are kept (quota.window.num), at least 1
	Size    time.Duration // of one of them (quota.window.size.seconds), at least 1 ms
}

// span is the time after which a sample no longer counts, in milliseconds; of settings beyond reason, longer than anything runs.
func (w Windows) span() int64 {
	const forever = math.MaxInt64 / 4
	if size := w.Size.Milliseconds(); int64(w.Samples) <= forever/size {
		return int64(w.Samples) * size
	}
	return forever
}

// sample is the sum of one window. Times are milliseconds.
type sample struct {
	start, last int64 // when it began, and when something was last added
	sum         float64
}

// rate is the sampled rate of one measure.
type rate struct {
	samples []sample
	current int
}

// record adds v at now.
func (r *rate) record(w Windows, v float64, now int64) {
	switch {
	case len(r.samples) == 0:
		r.samples, r.current = append(r.samples, sample{start: now, last: now}), 0
	case now-r.samples[r.current].start < w.Size.Milliseconds():
	default:
		r.current = (r.current + 1) % (w.Samples + 1) // one more than is counted: it overlaps the measured time
		if r.current < len(r.samples) {
			r.samples[r.current] = sample{start: now, last: now}
		} else {
			r.samples = append(r.samples, sample{start: now, last: now})
		}
	}
	s := &r.samples[r.current]
	s.sum += v
	s.last = now
}

// measure returns the rate a second at now, and over how many milliseconds it is taken.
func (r *rate) measure(w Windows, now int64) (perSecond float64, window int64) {
	sum, oldest := 0.0, now
	for i := range r.samples {
		s := &r.samples[i]
		if now-s.last >= w.span() {
			*s = sample{start: now, last: now}
		}
		sum += s.sum
		oldest = min(oldest, s.start)
	}
	size := w.Size.Milliseconds()
	window = now - oldest
	if window/size < int64(w.Samples-1) {
		window = w.span() - size + window%size
	}
	window = max(window, 1)
	return sum / (float64(window) / 1000), window
}

// throttle is how long a rate must get nothing more to come down to limit; 0 if it is not above.
func (r *rate) throttle(w Windows, limit float64, now int64) time.Duration {
	v, window := r.measure(w, now)
	if v <= limit {
		return 0
	}
	return wait((v - limit) / limit * float64(window))
}

// wait rounds milliseconds as Java does, and to what a throttle time of the protocol holds.
func wait(ms float64) time.Duration {
	return time.Duration(min(math.Floor(ms+0.5), math.MaxInt32)) * time.Millisecond
}

// bucket holds tokens that are spent, beyond nothing if need be, and come back at the rate of the quota.
type bucket struct {
	tokens float64
	filled int64 // when tokens was reckoned, in milliseconds
}

// refill reckons the tokens of now. No more are kept than come in the measured time.
func (b *bucket) refill(w Windows, limit float64, now int64) {
	b.tokens = min(limit*float64(w.span())/1000, b.tokens+limit*float64(now-b.filled)/1000)
	b.filled = now
}

// throttle is how long until nothing is owed.
func (b *bucket) throttle(limit float64) time.Duration {
	if b.tokens >= 0 {
		return 0
	}
	return wait(-b.tokens / limit * 1000)
}
