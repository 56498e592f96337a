package server

import (
	"cmp"
	"slices"
	"time"
)

// When the budget is used up and somebody waits, room is made: connections that hold memory because of what their clients do, or do not
// do, are closed, those that hold most first. That are requests of which the rest does not come, answers that are not taken, and requests that
// were made to wait. It spares whoever has held it for less than heldAtLeast, which is time enough for an ordinary request, and requests
// that the broker itself is at work on. And it closes nobody in vain: when all of that is less than who is first in line needs, he waits for the broker.
const (
	lookForRoom = 100 * time.Millisecond // between attempts, while somebody waits
	heldAtLeast = time.Second
	makeAtLeast = 8 // an attempt frees a part of the budget, so that one is enough for a while: an eighth
)

// holder is a connection and what would come back if it were closed.
type holder struct {
	c     *Conn
	bytes int64
	large int64 // of bytes, of large buffers
}

func (h *holder) add(bytes, large int64) { h.bytes, h.large = h.bytes+bytes, h.large+large }

// haveRoomMade sees to it that one goroutine makes room as long as somebody waits, of whom c is one.
func (s *Server) haveRoomMade(c *Conn) {
	s.relieving.Lock()
	defer s.relieving.Unlock()
	if s.relieving.on {
		return
	}
	s.relieving.on = true
	s.wg.Go(func() { // c's reader is in the group, so it is not empty
		s.guard(c, func() {
			for s.somebodyWaits() {
				s.relieve()
			}
		})
	})
}

// somebodyWaits looks whether somebody does, a while later; if not, making room is over.
func (s *Server) somebodyWaits() bool {
	<-s.clock.After(lookForRoom)
	s.relieving.Lock()
	defer s.relieving.Unlock()
	s.relieving.on = s.memory.waits()
	return s.relieving.on
}

// relieve closes connections until there is room for those who wait, as far as that goes.
func (s *Server) relieve() {
	now := s.clock.Now()
	want := max(s.memory.wanted(), s.memory.limit/makeAtLeast)
	s.mu.Lock()
	conns := make([]*Conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	var holders []holder
	var all holder
	for _, c := range conns {
		if h := c.holds(now.Add(-heldAtLeast)); h.bytes > 0 {
			holders = append(holders, h)
			all.add(h.bytes, h.large)
		}
	}
	helps, takesLarge := s.memory.helps(all.bytes, all.large)
	if !helps {
		return
	}
	slices.SortFunc(holders, func(a, b holder) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, h := range holders {
		if want <= 0 {
			return
		}
		if takesLarge && h.large == 0 {
			continue
		}
		want -= h.bytes
		h.c.fail(ErrMemory)
	}
}

// holds is what would be given back if the connection were closed, if it has been held since before a time.
func (c *Conn) holds(before time.Time) holder {
	h, limit := holder{c: c}, int64(before.Sub(c.server.start))
	if c.unfinishedSince.Load() < limit {
		n := c.unfinished.Load()
		h.add(n, largeOf(n))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.dead {
		return holder{}
	}
	if c.mu.writing && c.writingSince.Load() < limit {
		h.add(c.mu.sending+int64(len(block{})), c.mu.sendingLarge)
	}
	for x := c.mu.head; x != nil; x = x.next {
		if x.state == pending && !x.parked {
			break // the answers behind it wait for the broker
		}
		if x.Received.Before(before) {
			h.add(x.held())
		}
	}
	if h.bytes > 0 {
		h.add(c.mu.unread, 0)
	}
	return h
}
