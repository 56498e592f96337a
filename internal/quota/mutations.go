package quota

import (
	"sync"
	"time"
)

// Mutations are the changes to partitions of one request (KIP-599). A nil one has no quota to keep.
type Mutations struct {
	client *Client
	strict bool

	mu       sync.Mutex // guards what follows
	throttle time.Duration
	at       int64 // when throttle was reckoned, in milliseconds
}

// Mutations returns the quota of one request. A strict one refuses changes once the quota is used up; before that it lets a change through
// whatever its size, and has no throttle time for it. The other lets all through, and throttles as soon as something is owed.
func (c *Client) Mutations(strict bool) *Mutations {
	if !c.Limits(Mutation) {
		return nil
	}
	return &Mutations{client: c, strict: strict}
}

// Record takes n partitions that are to be created or deleted, and says whether they may be.
func (m *Mutations) Record(n int) (allowed bool) {
	if m == nil {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	allowed = true
	m.client.with(Mutation, func(is *measure, w Windows, now int64) {
		if !is.filled {
			is.bucket, is.filled = bucket{tokens: is.limit * float64(w.span()) / 1000, filled: now}, true
		}
		is.bucket.refill(w, is.limit, now)
		owed := is.bucket.throttle(is.limit)
		if m.strict && owed > 0 {
			allowed = false
		} else {
			is.bucket.tokens -= float64(n)
		}
		if !m.strict {
			owed = is.bucket.throttle(is.limit)
		}
		if owed > 0 {
			m.throttle, m.at = owed, now
		}
		is.last = max(is.last, now+is.bucket.throttle(is.limit).Milliseconds())
	})
	return allowed
}

// Throttle is what is left of the throttle time of the last change that had one.
func (m *Mutations) Throttle() time.Duration {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	since := time.Duration(m.client.all.now()-m.at) * time.Millisecond
	return max(0, m.throttle-since)
}
