package server

import "time"

// Throttle sees to it that the connection of the request is not read from for d. Requests that came before are answered meanwhile; of
// those behind it none is looked at. It is called before the request is answered.
func (r Reply) Throttle(d time.Duration) {
	c := r.x.Conn
	until := int64(c.server.clock.Now().Add(d).Sub(c.server.start))
	for {
		is := c.muted.Load()
		if until <= is || c.muted.CompareAndSwap(is, until) {
			return
		}
	}
}

// lookAfter is how often a muted connection is looked after, whether its client has closed it.
const lookAfter = 2 * time.Second

// heed waits while the connection is muted. Only the reader calls it, before it looks at the next request and, with reading, before it
// reads: bytes that have come by then lie in its block, the rest stays in the socket, and the client is held back. When there is nothing left to
// read because the client has gone, it waits no longer: the reader is to notice. Who is throttled and dials again, and again, would leave a
// connection behind each time. A request that is there waits its time, also of a client that has gone: it may be one with acks=0.
func (c *Conn) heed(reading bool) error {
	if c.muted.Load() == 0 {
		return nil
	}
	return c.mute(reading)
}

func (c *Conn) mute(reading bool) error {
	c.flush() // whoever completes what is still to be answered has to see to it from here on
	_, back := c.in.shrink()
	if err := c.unmuted(reading); err != nil {
		return err
	}
	back()
	return nil
}

func (c *Conn) unmuted(reading bool) error {
	s := c.server
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := s.clock.AfterFunc(time.Hour, func() {
		c.mu.Lock()
		c.changed.Broadcast()
		c.mu.Unlock()
	})
	defer timer.Stop()
	for !c.mu.stopping {
		until := c.muted.Load()
		left := time.Duration(until) - s.clock.Now().Sub(s.start)
		if left <= 0 {
			if c.muted.CompareAndSwap(until, 0) {
				return nil
			}
			continue
		}
		if reading && c.in.in.Ended() {
			return nil
		}
		timer.Reset(min(left, lookAfter))
		c.changed.Wait()
	}
	return errStopped
}
