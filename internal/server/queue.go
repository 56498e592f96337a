package server

import (
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

const (
	// flushBytes is how much the reader collects before it writes although more requests are waiting.
	flushBytes = 64 << 10
	// maxBatch bounds the responses of one write.
	maxBatch = 64
	// copyBytes is the size up to which a memory span is copied beside its neighbours: dearer for the kernel as a run of its own.
	copyBytes = 4 << 10
	// maxParked is how many requests of a connection may wait because it wants them to before those behind are looked at. Answers keep their order, so
	// that nobody gains by more; Kafka looks at none behind one.
	maxParked = 2
	// shortQueued is how much of its answers a connection may leave untaken before it is not read further, while half of the budget is used. Answers
	// are not asked whether there is room for them, so that those of many clients who take none would be far more than there is.
	shortQueued = 1 << 20
)

// serve hands one request to the handler. b holds its frame of n bytes.
func (c *Conn) serve(b *buffer, n int) error {
	x := exchanges.Get().(*exchange)
	x.Conn, x.exchange, x.buffer, x.Size, x.Received = c, x, b, n, c.in.received
	x.Header.ClientID = c.in.clientID
	body, err := x.Header.Decode(b.b[:n])
	if err != nil {
		c.server.stats.undecoded(err)
		x.recycle()
		return err
	}
	x.Body, c.in.clientID = body, x.Header.ClientID
	if err := c.push(x); err != nil {
		x.recycle()
		return err
	}
	c.server.Handler.Serve(&x.Request, Reply{x, x.seq})
	return nil
}

// push puts x at the end of the queue, when the connection's bounds allow it.
func (c *Conn) push(x *exchange) error {
	for {
		c.mu.Lock()
		full := c.fullLocked()
		if (full || c.mu.queued >= flushBytes) && c.canWriteLocked() {
			c.mu.Unlock()
			c.flush()
			continue
		}
		if full && !c.mu.stopping {
			c.mu.serving = nil // nobody else would write what completes now
			c.mu.Unlock()
			c.hold()
			continue
		}
		if c.mu.stopping {
			c.mu.Unlock()
			return errStopped
		}
		x.state = pending
		if c.mu.tail == nil {
			c.mu.head = x
		} else {
			c.mu.tail.next = x
		}
		c.mu.tail = x
		c.mu.inFlight++
		c.mu.serving = x
		c.mu.Unlock()
		return nil
	}
}

// hold waits until a full queue has room. What is unread is paid for meanwhile.
func (c *Conn) hold() {
	m := &c.server.memory
	unread, back := c.in.shrink()
	m.force(unread)
	c.mu.Lock()
	c.mu.holding, c.mu.unread = true, unread
	for c.fullLocked() && !c.mu.stopping && !c.canWriteLocked() {
		c.changed.Wait()
	}
	c.mu.holding, c.mu.unread = false, 0
	c.mu.Unlock()
	m.giveForced(unread)
	back()
}

func (c *Conn) fullLocked() bool {
	return c.mu.inFlight >= c.server.MaxInFlight || c.mu.queued >= c.server.MaxQueuedBytes || c.mu.parked >= maxParked ||
		c.mu.queued >= shortQueued && !c.server.memory.plenty(0)
}

func (c *Conn) canWriteLocked() bool {
	return !c.mu.writing && !c.mu.dead && c.mu.head != nil && c.mu.head.state != pending
}

// completeAndUnlock takes the reply of x, with mu locked by Reply.lock. Unless the reader will write it, and it is first in the queue,
// a writer is started; the caller is it where he writes.
func (c *Conn) completeAndUnlock(x *exchange, s state, writes bool) {
	x.state = s
	if x.over = nil; x.parked {
		c.mu.parked--
		c.changed.Broadcast()
	}
	if x.orphan {
		c.mu.Unlock()
		x.recycle()
		return
	}
	b, small, large := x.answered(s)
	if x.memory > 0 {
		c.server.memory.force(x.memory)
		x.charged += x.memory
	}
	c.mu.queued += x.memory
	if s == closing {
		c.mu.stopping = true
	}
	start := x == c.mu.head && x != c.mu.serving && c.canWriteLocked()
	if start {
		c.mu.writing = true
		// The reader, or a writer before this one, is alive here, so the group is not empty.
		c.server.wg.Add(1)
	}
	c.mu.Unlock()
	c.server.memory.giveAll(b, small, large)
	switch {
	case start && writes:
		c.writer()
	case start:
		go c.writer()
	}
}

// flush writes all responses that are first in the queue, unless somebody is doing that already. Only the reader calls it.
func (c *Conn) flush() {
	c.mu.Lock()
	c.mu.serving = nil
	if !c.canWriteLocked() {
		c.mu.Unlock()
		return
	}
	c.mu.writing = true
	c.mu.Unlock()
	c.write()
}

// write writes responses until the first of the queue is not there yet. Whoever calls it has set mu.writing.
func (c *Conn) write() {
	var batch [maxBatch]*exchange
	n, memory := 0, int64(0)
	for {
		c.mu.Lock()
		c.mu.inFlight -= n
		c.mu.queued -= memory
		c.mu.sending, c.mu.sendingLarge = 0, 0
		n, memory = 0, 0
		for !c.mu.dead && n < maxBatch && c.mu.head != nil && c.mu.head.state != pending {
			x := c.mu.head
			if c.mu.head = x.next; c.mu.head == nil {
				c.mu.tail = nil
			}
			x.next = nil
			batch[n] = x
			memory += x.memory
			bytes, large := x.held()
			c.mu.sending, c.mu.sendingLarge = c.mu.sending+bytes, c.mu.sendingLarge+large
			n++
		}
		if n == 0 {
			c.mu.writing = false
			if c.mu.dead {
				c.mu.inFlight, c.mu.queued = 0, 0
			}
			c.changed.Broadcast()
			c.mu.Unlock()
			return
		}
		c.changed.Broadcast()
		c.mu.Unlock()

		err := c.send(batch[:n])
		for i, x := range batch[:n] {
			x.recycle()
			batch[i] = nil
		}
		switch {
		case err == nil:
		case errors.Is(err, network.ErrDeadline):
			c.fail(ErrStalled)
		case network.Disconnected(err):
			c.fail(ErrDisconnected)
		default:
			c.fail(err)
		}
	}
}

// send writes the responses of batch, small pieces gathered in one run of memory.
func (c *Conn) send(batch []*exchange) error {
	o := c.outlet()
	c.server.memory.force(int64(len(o.run)))
	defer func() {
		o.close()
		c.server.memory.giveForced(int64(len(block{})))
	}()
	now := c.server.clock.Now()
	c.writingSince.Store(int64(now.Sub(c.server.start)))
	c.active(now)
	c.server.stats.count(batch, now)
	run, start, end := &o.run, 0, 0
	cut := func() {
		if end > start {
			o.spans = append(o.spans, vfs.MemSpan(run[start:end]))
			start = end
		}
	}
	flush := func() error {
		cut()
		if len(o.spans) == 0 {
			return nil
		}
		n, err := o.w.Write(o.spans)
		c.server.stats.Sent.Add(n)
		clear(o.spans)
		o.spans, start, end = o.spans[:0], 0, 0
		return err
	}
	for _, x := range batch {
		switch x.state {
		case none:
			continue
		case closing:
			if err := flush(); err != nil {
				return err
			}
			return x.reason
		}
		if len(run)-end < 4 {
			if err := flush(); err != nil {
				return err
			}
		}
		size := protocol.SpanBytes(x.spans)
		if size > 1<<31-1 {
			return fmt.Errorf("response to %s of %d bytes does not fit a frame", x.Header.Key, size)
		}
		end += len(protocol.AppendInt32(run[end:end], int32(size)))
		for _, s := range x.spans {
			if s.N == 0 {
				continue
			}
			if s.File == nil && s.N <= copyBytes {
				if int(s.N) > len(run)-end {
					if err := flush(); err != nil {
						return err
					}
				}
				end += copy(run[end:], s.Mem)
				continue
			}
			cut()
			o.spans = append(o.spans, s)
		}
	}
	return flush()
}
