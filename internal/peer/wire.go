package peer

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
)

// serve writes what is queued and reads answers until the connection ends, and returns why.
func (c *Client) serve(conn network.Conn) error {
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

// write writes until the reader has ended, or the client is closed.
func (c *Client) write(conn network.Conn, ended <-chan struct{}) error {
	for {
		if batch := c.take(); len(batch) > 0 {
			_ = conn.SetWriteDeadline(c.options.Clock.Now().Add(writeTimeout)) // a closed connection says so at the write
			if _, err := network.WriteAll(conn, batch); err != nil {
				return err
			}
			continue
		}
		select {
		case <-c.wake:
		case <-ended:
			return nil
		case <-c.life.Done():
			return errStop
		}
	}
}

// take returns what is queued as frames. A request counts as sent from here on.
func (c *Client) take() (frames [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, it := range c.queue {
		if it.answer != nil && len(c.waiting) >= waitingMax || n == batchMax {
			break
		}
		c.next++
		if it.answer != nil {
			it.id, it.sent = c.next, true
			c.waiting[it.id] = it
		}
		head := make([]byte, 4, 64)
		head = protocol.AppendRequestHeader(head, protocol.RequestHeader{Key: it.key, Version: it.version, CorrelationID: c.next, ClientID: c.options.ClientID})
		binary.BigEndian.PutUint32(head, uint32(len(head)-4+len(it.body)))
		frames = append(frames, head, it.body)
		c.bytes -= len(it.body)
		n++
	}
	clear(c.queue[:n])
	c.queue = c.queue[n:]
	return frames
}

const (
	batchMax  = 64       // requests of one write
	readChunk = 64 << 10 // that is made room for before the bytes are there
)

// read hands answers to those who wait for them, until the connection ends.
func (c *Client) read(conn network.Conn) error {
	for {
		frame, err := readFrame(conn)
		if err != nil {
			return err
		}
		if len(frame) < 4 {
			return fmt.Errorf("%w: answer without a header", protocol.ErrMalformed)
		}
		id := int32(binary.BigEndian.Uint32(frame))
		c.mu.Lock()
		it := c.waiting[id]
		delete(c.waiting, id)
		more := len(c.queue) > 0
		c.mu.Unlock()
		if it != nil {
			body, err := it.afterHeader(frame[4:])
			if it.answer <- (result{body, err}); err != nil {
				return err
			}
		}
		if more {
			c.signal()
		}
	}
}

// afterHeader is what follows the header of an answer: after an empty section of tags, where the request has one.
func (it *item) afterHeader(b []byte) ([]byte, error) {
	if api, ok := protocol.Lookup(it.key); !ok || !api.Flexible(it.version) || it.key == protocol.KeyAPIVersions {
		return b, nil
	}
	if len(b) == 0 || b[0] != 0 {
		return nil, fmt.Errorf("%w: answer with an unknown header", protocol.ErrMalformed)
	}
	return b[1:], nil
}

// readFrame reads a frame without its size. What it holds grows with what has come.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(size[:])))
	if n < 0 || n > answerMax {
		return nil, fmt.Errorf("%w: answer of %d bytes", protocol.ErrMalformed, n)
	}
	frame := make([]byte, 0, min(n, readChunk))
	for len(frame) < n {
		if len(frame) == cap(frame) {
			frame = append(make([]byte, 0, min(n, 2*cap(frame))), frame...)
		}
		k, err := io.ReadFull(r, frame[len(frame):cap(frame)])
		frame = frame[:len(frame)+k]
		if err != nil {
			return nil, err
		}
	}
	return frame, nil
}
