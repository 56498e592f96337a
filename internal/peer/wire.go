package peer

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
)

// serve writes what is queued and reads answers until the connection ends, and returns why.
func (c *Client) serve(conn network.Conn) error {
	c.begin()
	var reading sync.WaitGroup
	ended := make(chan struct{})
	var reason error
	reading.Go(func() {
		reason = c.read(conn)
		close(ended)
	})
	err := c.write(conn, ended)
	conn.Close()
	reading.Wait()
	if err == nil {
		err = reason
	}
	return err
}

// begin forgets what the last connection was asked.
func (c *Client) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.told = c.next, c.next
	c.written, c.ended, c.passed = 0, 0, 0
}

// looksPer is how often the silence of a connection is looked at within the time that it may last.
const looksPer = 4

// write writes until the reader has ended, the client is closed, or the connection is silent for too long.
func (c *Client) write(conn network.Conn, ended <-chan struct{}) error {
	var look <-chan time.Time
	for {
		if batch := c.take(); len(batch) > 0 {
			if err := c.send(conn, batch); err != nil {
				return err
			}
			continue
		}
		if look == nil && c.options.Silence > 0 && (c.options.Probe != nil || c.owed()) {
			look = c.options.Clock.After(c.options.Silence / looksPer)
		}
		select {
		case <-c.wake:
		case <-look:
			look = nil
			switch owed, silent := c.silence(); {
			case silent:
				return errSilent
			case !owed && c.options.Probe != nil:
				c.push(&item{key: c.options.Probe.Key, body: c.options.Probe.Body, answer: make(chan result, 1)})
			}
		case <-ended:
			return nil
		case <-c.life.Done():
			return errStop
		}
	}
}

// owed says whether a request was written on the connection that it has not answered.
func (c *Client) owed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked != c.told
}

// silence says whether a request is not answered, and nothing has come for too long. What was written may be on its way for a while: no answer comes
// before that is there.
func (c *Client) silence() (owed, silent bool) {
	now := c.options.Clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	owed = c.asked != c.told
	underWay := time.Duration(c.written-c.passed) * time.Second / slowest
	return owed, owed && now.Sub(c.heard) >= c.options.Silence+underWay
}

// send writes frames piece by piece, each within a bound: what is large goes over a slow network too.
func (c *Client) send(conn network.Conn, frames [][]byte) error {
	for len(frames) > 0 {
		var piece [][]byte
		for left := pieceMax; left > 0 && len(frames) > 0; {
			n := min(left, len(frames[0]))
			piece = append(piece, frames[0][:n])
			left -= n
			if frames[0] = frames[0][n:]; len(frames[0]) == 0 {
				frames = frames[1:]
			}
		}
		_ = conn.SetWriteDeadline(c.options.Clock.Now().Add(writeTimeout)) // a closed connection says so at the write
		if _, err := network.WriteAll(conn, piece); err != nil {
			return err
		}
	}
	return nil
}

// take returns what is queued as frames. A request counts as sent from here on.
func (c *Client) take() (frames [][]byte) {
	now := c.options.Clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, it := range c.queue {
		if it.answer != nil && len(c.waiting) >= waitingMax || n == batchMax {
			break
		}
		c.next++
		if it.answer != nil {
			if c.asked == c.told {
				c.heard = now
			}
			it.id, it.sent = c.next, true
			c.waiting[it.id] = it
			c.asked = it.id
		}
		head := make([]byte, 4, 64)
		head = protocol.AppendRequestHeader(head, protocol.RequestHeader{Key: it.key, CorrelationID: c.next, ClientID: c.options.ClientID})
		binary.BigEndian.PutUint32(head, uint32(len(head)-4+len(it.body)))
		frames = append(frames, head, it.body)
		if c.written += int64(len(head) + len(it.body)); it.answer != nil {
			c.ended = c.written
		}
		c.bytes -= len(it.body)
		n++
	}
	clear(c.queue[:n])
	c.queue = c.queue[n:]
	return frames
}

// batchMax is how many requests go with one write.
const batchMax = 64

// hearing notes when bytes come: an answer that is large may take its time.
type hearing struct {
	c    *Client
	conn network.Conn
}

func (h hearing) Read(b []byte) (int, error) {
	n, err := h.conn.Read(b)
	if n > 0 && h.c.options.Silence > 0 {
		now := h.c.options.Clock.Now()
		h.c.mu.Lock()
		h.c.heard = now
		h.c.mu.Unlock()
	}
	return n, err
}

// read hands answers to those who wait for them, until the connection ends.
func (c *Client) read(conn network.Conn) error {
	from := hearing{c, conn}
	for {
		frame, err := ReadFrame(from, nil, 4, answerMax)
		if err != nil {
			return err
		}
		id := int32(binary.BigEndian.Uint32(frame))
		c.mu.Lock()
		it := c.waiting[id]
		delete(c.waiting, id)
		if c.told = id; c.told == c.asked {
			c.passed = c.ended
		}
		more := len(c.queue) > 0
		c.mu.Unlock()
		if it != nil {
			body, err := afterHeader(frame[4:])
			if it.answer <- (result{body, err}); err != nil {
				return err
			}
		}
		if more {
			c.signal()
		}
	}
}

// afterHeader is what follows the header of an answer, which ends with an empty section of tags.
func afterHeader(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != 0 {
		return nil, fmt.Errorf("%w: answer with an unknown header", protocol.ErrMalformed)
	}
	return b[1:], nil
}
