package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/network"
)

// Conn is one connection of a client.
type Conn struct {
	// State is the handler's. Only Serve may touch it, which one goroutine calls.
	State any

	server   *Server
	conn     network.Conn
	id       uint64
	listener string
	host     string
	apart    bool // it counts by itself; set before others know it
	ctx      context.Context
	cancel   context.CancelCauseFunc

	in frames // the reader's alone

	writeBy time.Time // write deadline as it is set; it belongs to whoever has set mu.writing

	writer func() // the writer goroutine

	timer      clock.Timer
	lastActive atomic.Int64 // when bytes last came or went, in nanoseconds since the server was made
	midFrame   atomic.Bool  // the reader waits for the rest of a request
	muted      atomic.Int64 // until when nothing is read, in nanoseconds since the server was made

	unfinished      atomic.Int64 // memory of a request of which the rest is waited for
	unfinishedSince atomic.Int64 // when it began to arrive, in nanoseconds since the server was made
	writingSince    atomic.Int64 // when the answers that are being sent were begun to be

	changed sync.Cond // something below has changed that the reader may wait for
	mu      struct {  // guards all below, and the states of the exchanges in the queue
		sync.Mutex
		head, tail   *exchange   // requests in the order of arrival, without those that a writer has taken
		inFlight     int         // requests received and not yet answered on the wire
		parked       int         // of them, those that wait because the client wants it
		reminder     clock.Timer // tells those whose time is over; nil if it is not set
		reminds      time.Time   // when it does; zero: not
		holding      bool        // the reader waits for room in the queue
		unread       int64       // memory of what it keeps meanwhile
		queued       int64       // memory of responses that are complete and not yet written
		sending      int64       // memory that the exchanges hold which a writer has taken
		sendingLarge int64       // of it, in large buffers
		serving      *exchange   // what the reader is in Serve with, or was last: the reader will write its reply
		writing      bool        // somebody, the reader or a writer goroutine, is writing
		stopping     bool        // no more requests are taken
		dead         bool        // the socket is closed
		reason       error       // why
	}
}

// ID is unique within the server.
func (c *Conn) ID() uint64 { return c.id }

// Listener returns the name of the listener that accepted the connection.
func (c *Conn) Listener() string         { return c.listener }
func (c *Conn) LocalAddr() network.Addr  { return c.conn.LocalAddr() }
func (c *Conn) RemoteAddr() network.Addr { return c.conn.RemoteAddr() }

// Host returns the client's address without its port.
func (c *Conn) Host() string { return c.host }

// Context ends when the client will send nothing more, when the connection is closed, and when the server shuts down. Requests that
// only wait (a long poll) should then be answered at once with what there is: a client that has closed its sending side still gets it.
func (c *Conn) Context() context.Context { return c.ctx }

// Stop ends the connection as a shutdown of the server does: its context ends with the reason, it takes no more requests, and those that were received are answered.
func (c *Conn) Stop(reason error) {
	c.stop(reason)
	// A reader that waits for bytes returns; one that is at work looks at its next request.
	_ = c.conn.SetReadDeadline(time.Unix(1, 0))
}

func newConn(s *Server, listener string, nc network.Conn) *Conn {
	c := &Conn{server: s, conn: nc, id: s.nextID.Add(1), listener: listener, host: network.Host(nc.RemoteAddr())}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.changed.L = &c.mu
	c.in.init(c)
	c.writer = func() { defer s.wg.Done(); s.guard(c, c.write) }
	c.lastActive.Store(int64(s.clock.Now().Sub(s.start)))
	c.mu.Lock()
	c.timer = s.clock.AfterFunc(s.IdleTimeout, c.onTimer)
	c.mu.Unlock()
	return c
}

// run is the reader.
func (c *Conn) run() {
	reason := c.in.read()
	c.in.close()
	c.drain(reason)
}

// drain sees the requests that were received to their answers, then closes the connection. reason is why it ends.
func (c *Conn) drain(reason error) {
	c.stop(reason)
	// A handler that never answers must not keep the connection.
	t := c.server.clock.AfterFunc(2*c.server.StallTimeout, func() { c.fail(reason) })
	defer t.Stop()
	c.flush()
	c.mu.Lock()
	for !c.mu.dead && (c.mu.inFlight > 0 || c.mu.writing) {
		c.changed.Wait()
	}
	c.mu.Unlock()
	c.fail(reason)
}

// stop takes no more requests; the reader notices it at its next one.
func (c *Conn) stop(reason error) {
	c.mu.Lock()
	c.mu.stopping = true
	over := c.overLocked(time.Time{})
	c.changed.Broadcast()
	c.mu.Unlock()
	c.cancel(reason)
	callAll(over)
}

// remindLocked sees to it that who is due then, in d, is told. A timer that goes off sooner is left as it is, and set anew when it has: a consumer
// that is given records a thousand times a second has each of its fetches wait for half a second at most.
func (c *Conn) remindLocked(due time.Time, d time.Duration) {
	switch {
	case !c.mu.reminds.IsZero() && !due.Before(c.mu.reminds):
		return
	case c.mu.reminder == nil:
		c.mu.reminder = c.server.clock.AfterFunc(d, c.remind)
	default:
		c.mu.reminder.Reset(d)
	}
	c.mu.reminds = due
}

// remind tells those whose time is over.
func (c *Conn) remind() {
	now := c.server.clock.Now()
	c.mu.Lock()
	c.mu.reminds = time.Time{}
	over := c.overLocked(now)
	for x := c.mu.head; x != nil; x = x.next {
		if x.over != nil {
			c.remindLocked(x.due, x.due.Sub(now))
		}
	}
	if c.mu.reminds.IsZero() {
		c.mu.reminder = nil // so that an idle connection holds none
	}
	c.mu.Unlock()
	callAll(over)
}

// overLocked takes what is to be called of those who are due at a time, or of all if it is zero.
func (c *Conn) overLocked(now time.Time) (over []func()) {
	for x := c.mu.head; x != nil; x = x.next {
		if x.over != nil && (now.IsZero() || !x.due.After(now)) {
			over = append(over, x.over)
			x.over = nil
		}
	}
	return over
}

func callAll(fs []func()) {
	for _, f := range fs {
		f()
	}
}

// fail closes the connection at once. Requests that handlers still have are forgotten: their replies will only give back what they hold.
func (c *Conn) fail(reason error) {
	c.mu.Lock()
	if c.mu.dead {
		c.mu.Unlock()
		return
	}
	c.mu.dead, c.mu.stopping, c.mu.reason = true, true, reason
	over := c.overLocked(time.Time{})
	var done []*exchange
	for x := c.mu.head; x != nil; {
		next := x.next
		x.next = nil
		if x.state == pending {
			x.orphan = true
		} else {
			done = append(done, x)
		}
		x = next
	}
	c.mu.head, c.mu.tail, c.mu.inFlight, c.mu.queued = nil, nil, 0, 0
	reminder := c.mu.reminder
	c.changed.Broadcast()
	c.mu.Unlock()
	c.cancel(reason)
	callAll(over)
	c.timer.Stop()
	if reminder != nil {
		reminder.Stop()
	}
	c.conn.Close()
	for _, x := range done {
		x.recycle()
	}
}

// onTimer closes a connection that is idle or stalled, and otherwise comes back when it could be.
func (c *Conn) onTimer() {
	s := c.server
	now := s.clock.Now().Sub(s.start)
	quiet := now - time.Duration(c.lastActive.Load())
	limit, reason := s.IdleTimeout, ErrIdle
	if c.midFrame.Load() {
		limit, reason = s.StallTimeout, ErrStalled
	}
	c.mu.Lock() // also orders this after the timer was noted
	dead, busy, reads := c.mu.dead, c.mu.inFlight > 0, !c.mu.holding
	c.mu.Unlock()
	reads = reads && time.Duration(c.muted.Load()) <= now
	switch {
	case dead:
	case quiet < limit:
		c.timer.Reset(limit - quiet)
	case reason == ErrIdle && busy && reads: // it waits for us; of one that is not read from we would not know whether it is there still
		c.timer.Reset(limit)
	default:
		c.fail(reason)
	}
}

// active notes that bytes came or went, and moves the write deadline when less than the stall time-out is left of it.
func (c *Conn) active(now time.Time) {
	s := c.server
	c.lastActive.Store(int64(now.Sub(s.start)))
	if c.writeBy.Sub(now) < s.StallTimeout {
		c.writeBy = now.Add(s.StallTimeout + s.StallTimeout/4)
		_ = c.conn.SetWriteDeadline(c.writeBy) // a closed connection says so at the write
	}
}
