package server

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/moldau/moldau/internal/network"
)

const (
	// maxStash is how much of an unfinished request waits for the rest outside a buffer of its own.
	maxStash = 512
	// firstBody is the buffer that a large request starts with, whatever size it claims; after that it grows with what has come.
	firstBody = 16 << 10
	// growth is the factor that it grows by, or, from hugeBody on, slowGrowth: who claims much and sends some of it must not hold four
	// times what it sent. When a growth-th of it is there it is given the rest.
	growth     = 4
	slowGrowth = 2
	hugeBody   = 4 << 20
	// largeBody is the size from which the next read takes only little into the block, because what follows is probably large too and
	// better read into its own buffer.
	largeBody  = 64 << 10
	littleRead = 4 << 10
)

var errStopped = errors.New("connection takes no more requests")

// frames cuts what arrives into requests. All of it belongs to the reader.
type frames struct {
	c        *Conn
	in       *network.Reader
	block    *block // nil while nothing is unread
	r, w     int    // unread part of block
	stash    []byte // an unfinished request of at most maxStash bytes, while block is nil
	largest  int    // size of the largest request so far: what the client is believed to send again
	last     int    // size of the last request
	received time.Time
	clientID string
}

func (f *frames) init(c *Conn) {
	f.c = c
	f.in = network.NewReader(c.conn, f.acquire, f.park)
}

// read serves requests until there will be no more, and returns why.
func (f *frames) read() error {
	for {
		if err := f.whole(); err != nil {
			return err
		}
		f.c.flush()
		if err := f.c.heed(true); err != nil {
			return err
		}
		n, err := f.in.Read()
		if err != nil {
			return f.readError(err)
		}
		f.w += n
		f.c.server.stats.Received.Add(int64(n))
		f.arrived()
	}
}

// close gives back what is unread.
func (f *frames) close() {
	if f.block != nil {
		blocks.Put(f.block)
		f.block = nil
	}
}

func (f *frames) arrived() {
	f.received = f.c.server.clock.Now()
	f.c.lastActive.Store(int64(f.received.Sub(f.c.server.start)))
}

func (f *frames) readError(err error) error {
	switch {
	case network.Disconnected(err):
		return ErrDisconnected
	case errors.Is(err, network.ErrDeadline), errors.Is(err, network.ErrClosed):
		return errStopped // whoever did it knows the reason
	}
	return err
}

// acquire returns the free part of the block, getting one if need be.
func (f *frames) acquire() []byte {
	if f.block == nil {
		f.block = blocks.Get().(*block)
		f.r, f.w = 0, copy(f.block[:], f.stash)
		f.stash = nil
		f.c.midFrame.Store(false)
	} else if f.r > 0 {
		f.w = copy(f.block[:], f.block[f.r:f.w])
		f.r = 0
	}
	if f.last >= largeBody || f.c.server.memory.waits() { // what is read while memory is short lies here until it is there
		return f.block[f.w:min(len(f.block), f.w+littleRead)]
	}
	return f.block[f.w:]
}

// park gives the block back while there is nothing to read.
func (f *frames) park() {
	if f.block == nil {
		return
	}
	if f.w > f.r {
		f.stash = append([]byte(nil), f.block[f.r:f.w]...)
		f.waitRest()
	}
	blocks.Put(f.block)
	f.block = nil
	f.r, f.w = 0, 0
}

// shrink puts what is unread into as little memory as it takes, and returns how much that is, and what puts it back.
func (f *frames) shrink() (bytes int64, back func()) {
	if f.block == nil {
		return 0, func() {}
	}
	unread := append([]byte(nil), f.block[f.r:f.w]...)
	blocks.Put(f.block)
	f.block, f.r, f.w = nil, 0, 0
	return int64(len(unread)), func() {
		f.block = blocks.Get().(*block)
		f.w = copy(f.block[:], unread)
	}
}

// waitRest starts the stall time-out.
func (f *frames) waitRest() {
	f.c.midFrame.Store(true)
	f.c.timer.Reset(f.c.server.StallTimeout)
}

// whole serves what can be served: all requests that are in the block, and the last of them even if it must be waited for, unless no
// more of it is there than may be stashed.
func (f *frames) whole() error {
	for f.w-f.r >= 4 {
		if err := f.c.heed(false); err != nil {
			return err
		}
		size := int(int32(binary.BigEndian.Uint32(f.block[f.r:])))
		if size <= 0 || size > f.c.server.MaxRequestBytes {
			return ErrFrameSize
		}
		have := f.w - f.r - 4
		var b *buffer
		var err error
		switch {
		case have >= size:
			if b, err = f.buffer(classOf(size)); err != nil {
				return err
			}
			f.r += 4
			copy(b.b, f.block[f.r:f.r+size])
			f.r += size
		case have > maxStash-4 || size > len(f.block)-4:
			if b, err = f.large(size); err != nil {
				return err
			}
		default:
			return nil
		}
		f.last, f.largest = size, max(f.largest, size)
		if err := f.c.serve(b, size); err != nil {
			return err
		}
	}
	return nil
}

// large reads the rest of a request straight into its buffer.
func (f *frames) large(size int) (*buffer, error) {
	f.c.flush()
	f.r += 4
	have := f.w - f.r
	class := classOf(size)
	// A client that has sent a request of this size before is given the whole buffer at once, as long as there is plenty.
	if size > 2*f.largest || !f.c.server.memory.plenty(classBytes(class)) {
		class = classOf(grown(max(have, firstBody/growth), size))
	}
	b, err := f.buffer(class)
	if err != nil {
		return nil, err
	}
	copy(b.b, f.block[f.r:f.w])
	f.r, f.w = 0, 0
	blocks.Put(f.block)
	f.block = nil

	f.c.unfinishedSince.Store(int64(f.received.Sub(f.c.server.start)))
	f.c.unfinished.Store(classBytes(b.class))
	defer f.c.unfinished.Store(0)
	f.waitRest()
	for have < size {
		if have == len(b.b) {
			f.c.midFrame.Store(false)
			larger, err := f.buffer(classOf(grown(have, size)))
			if err != nil {
				f.giveUp(b)
				return nil, err
			}
			copy(larger.b, b.b)
			f.giveUp(b)
			b = larger
			f.c.unfinished.Store(classBytes(b.class))
			f.c.midFrame.Store(true)
		}
		n, err := f.c.conn.Read(b.b[have:min(size, len(b.b))])
		have += n
		if n > 0 {
			f.c.server.stats.Received.Add(int64(n))
			f.arrived()
		}
		if err != nil && have < size {
			f.giveUp(b)
			return nil, f.readError(err)
		}
	}
	f.c.midFrame.Store(false)
	return b, nil
}

// grown is how much a request of a size is given of which so much has come.
func grown(have, size int) int {
	if have < hugeBody || have >= size/growth {
		return min(size, growth*have)
	}
	return slowGrowth * have
}

// buffer takes a buffer out of the budget, waiting for it if need be; everything that is to be sent is sent before. Many may wait, so that none
// keeps a block meanwhile.
func (f *frames) buffer(class int) (*buffer, error) {
	n := classBytes(class)
	s := f.c.server
	if !s.memory.try(n) {
		f.c.flush()
		_, back := f.shrink()
		if err := f.await(s.memory.wait(n)); err != nil {
			return nil, err
		}
		back()
	}
	return newBuffer(class), nil
}

// await waits for a place in line to be granted, and has room made.
func (f *frames) await(w *waiter) error {
	s := f.c.server
	s.haveRoomMade(f.c)
	err := ErrMemory
	select {
	case <-w.granted:
		return nil
	case <-s.clock.After(s.StallTimeout):
	case <-f.c.ctx.Done():
		err = errStopped
	}
	s.memory.leave(w)
	return err
}

func (f *frames) giveUp(b *buffer) {
	m := &f.c.server.memory
	m.give(classBytes(b.class))
	b.free(m)
}
