package server

import (
	"cmp"
	"slices"
	"time"
)

// When the budget is used up and somebody waits, room is made: connections that hold memory because of what their clients do, or do not
// do, are closed, those that hold most first. That are requests of which the rest does not come, answers that are not taken, and requests that
// were made to wait. It spares whoever has held it for less than heldAtLeast, which is time enough for an ordinary request, and requests
// that the broker itself is at work on.
const (
	lookForRoom = 100 * time.Millisecond // between attempts, while somebody waits
	heldAtLeast = time.Second
	makeAtLeast = 8 // an attempt frees a part of the budget, so that one is enough for a while: an eighth
)

// holder is a connection and what would come back if it were closed.
type holder struct {
	c     *Conn
	bytes int64
}

// relieve closes connections until there is room for those who wait, as far as that goes. At most one goroutine is at it.
func (s *Server) relieve() {
	if !s.relieving.TryLock() {
		return
	}
	defer s.relieving.Unlock()
	now := s.clock.Now()
	if now.Sub(s.relieved) < lookForRoom || !s.memory.waits() {
		return
	}
	s.relieved = now
	want := max(s.memory.wanted(), s.memory.limit/makeAtLeast)
	s.mu.Lock()
	conns := make([]*Conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	var holders []holder
	for _, c := range conns {
		if n := c.holds(now.Add(-heldAtLeast)); n > 0 {
			holders = append(holders, holder{c, n})
		}
	}
	slices.SortFunc(holders, func(a, b holder) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, h := range holders {
		if want <= 0 {
			return
		}
		want -= h.bytes
		h.c.fail(ErrMemory)
	}
}

// holds is what would be given back if the connection were closed, if it has been held since before a time.
func (c *Conn) holds(before time.Time) (n int64) {
	limit := int64(before.Sub(c.server.start))
	if c.unfinishedSince.Load() < limit {
		n += c.unfinished.Load()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.dead {
		return 0
	}
	if c.mu.writing && c.writingSince.Load() < limit {
		n += c.mu.sending
	}
	for x := c.mu.head; x != nil; x = x.next {
		if x.state == pending && !x.parked {
			break // the answers behind it wait for the broker
		}
		if x.Received.Before(before) {
			n += x.held()
		}
	}
	return n
}
