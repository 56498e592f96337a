package network

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// memBuffer is how many bytes a direction of a connection holds before its writer waits.
const memBuffer = 256 << 10

// memConn is one end of a connection of Mem.
type memConn struct {
	in, out       *memPipe
	local, remote memAddr
}

func pair(client, server memAddr) (c, s *memConn) {
	up, down := newMemPipe(), newMemPipe()
	return &memConn{in: down, out: up, local: client, remote: server}, &memConn{in: up, out: down, local: server, remote: client}
}

func (c *memConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *memConn) Write(b []byte) (int, error) { return c.out.write(b) }
func (c *memConn) LocalAddr() net.Addr         { return c.local }
func (c *memConn) RemoteAddr() net.Addr        { return c.remote }
func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.mu.readBy, t)
	return nil
}
func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.mu.writeBy, t)
	return nil
}

func (c *memConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// WaitReadable returns when Read would not wait.
func (c *memConn) WaitReadable() error { return c.in.wait() }

// Ended says that Read would bring nothing but an error.
func (c *memConn) Ended() bool {
	p := c.in
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.dropped || p.mu.readBy.passed || p.mu.ended && len(p.mu.buf) == 0
}

// CloseWrite ends the direction out; the other end reads what is there and then EOF.
func (c *memConn) CloseWrite() error { c.out.end(false); return nil }

// Close ends both directions: the other end reads what is there and then EOF, and its writes fail.
func (c *memConn) Close() error {
	c.out.end(false)
	c.in.end(true)
	return nil
}

// memPipe is one direction. Waiting is done on the condition, never while holding the mutex.
type memPipe struct {
	changed sync.Cond
	mu      struct { // guards all below
		sync.Mutex
		buf             []byte
		ended           bool // no more is written
		dropped         bool // nobody reads any more
		readBy, writeBy deadline
	}
}

type deadline struct {
	timer  *time.Timer
	passed bool
}

func newMemPipe() *memPipe {
	p := &memPipe{}
	p.changed.L = &p.mu
	return p
}

func (p *memPipe) waitLocked() error {
	for {
		switch {
		case p.mu.dropped:
			return net.ErrClosed
		case p.mu.readBy.passed:
			return os.ErrDeadlineExceeded
		case len(p.mu.buf) > 0 || p.mu.ended:
			return nil
		}
		p.changed.Wait()
	}
}

func (p *memPipe) wait() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waitLocked()
}

func (p *memPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.waitLocked(); err != nil {
		return 0, err
	}
	if len(p.mu.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.mu.buf)
	p.mu.buf = append(p.mu.buf[:0], p.mu.buf[n:]...)
	if len(p.mu.buf) == 0 {
		p.mu.buf = nil // an idle connection holds none
	}
	p.changed.Broadcast()
	return n, nil
}

func (p *memPipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		switch {
		case p.mu.dropped:
			return n, syscall.EPIPE
		case p.mu.ended:
			return n, net.ErrClosed
		case p.mu.writeBy.passed:
			return n, os.ErrDeadlineExceeded
		}
		if room := memBuffer - len(p.mu.buf); room > 0 {
			k := min(room, len(b))
			p.mu.buf = append(p.mu.buf, b[:k]...)
			b, n = b[k:], n+k
			p.changed.Broadcast()
			continue
		}
		p.changed.Wait()
	}
	return n, nil
}

// end ends the pipe for its writer, or for both ends if drop.
func (p *memPipe) end(drop bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.ended = true
	if drop {
		p.mu.dropped, p.mu.buf = true, nil
	}
	for _, d := range []*deadline{&p.mu.readBy, &p.mu.writeBy} {
		if d.timer != nil && drop {
			d.timer.Stop()
		}
	}
	p.changed.Broadcast()
}

func (p *memPipe) setDeadline(d *deadline, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.passed = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		p.changed.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if d.timer == timer {
			d.passed = true
			p.changed.Broadcast()
		}
	})
	d.timer = timer
}
