package server

import (
	"sync"
	"time"

	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

// Handler answers requests.
type Handler interface {
	// Serve is called by the connection's reader, in arrival order. It must see to it that reply is used exactly once, before it
	// returns or later from any goroutine. It must not wait: while it runs, the connection's next requests are not looked at, and
	// replies that were given inside earlier calls may not have left yet.
	Serve(req *Request, reply Reply)
}

// Request is one request. It and its Body are valid until the reply is given, whose spans must not be of the Body.
type Request struct {
	Header   protocol.RequestHeader
	Body     []byte // in a pooled buffer
	Size     int    // of the whole request, without the size in front of it
	Conn     *Conn
	Received time.Time

	// Buffer is an empty slice to encode the answer into, if that is convenient. What Reply.SendBytes is given comes back here for a later
	// request.
	Buffer []byte

	exchange *exchange // that it is part of

	charged int64 // of the budget, in small pieces
	large   int64 // in large ones
}

// AppendHeader appends the header of the response.
func (r *Request) AppendHeader(dst []byte) []byte {
	return protocol.AppendResponseHeader(dst, r.Header.Key, r.Header.Version, r.Header.CorrelationID)
}

// Charge takes n bytes from the memory budget of the server until the request is answered, and says whether they were there.
// It is what protocol.DecodeCold asks for.
// What is little is always there: an ordinary request is not refused because others take much.
func (r *Request) Charge(n int64) bool {
	m := &r.Conn.server.memory
	if n <= littleCharge {
		m.force(n)
	} else if !m.try(n) {
		return false
	}
	r.Conn.mu.Lock() // it may be parked, and be looked at
	defer r.Conn.mu.Unlock()
	if sort(n) == 1 {
		r.large += n
	} else {
		r.charged += n
	}
	return true
}

const (
	littleCharge = 64 << 10
	parkedCharge = 8 << 10 // what a request that waits holds besides what it has charged: a goroutine, and what it looks at
)

// Drop gives the memory of the Body back, which is not used any more, while the request waits for something else than its client.
func (r *Request) Drop() {
	b := r.exchange.buffer
	r.exchange.buffer, r.Body = nil, nil
	if b != nil {
		m := &r.Conn.server.memory
		m.give(classBytes(b.class))
		b.free(m)
	}
}

// Park is Drop for a request that waits because its client wants it to: for records, for members. It is to be answered when the connection's
// Context ends, which may be because memory is short.
func (r *Request) Park() {
	r.Drop()
	c := r.Conn
	c.mu.Lock()
	defer c.mu.Unlock()
	r.parkLocked()
}

// ParkFor is Park for a request that is to be answered after d at the latest: over is called then, or when the connection's Context ends if that is
// sooner, unless the request is answered before, and may be called while it is being answered. It must not wait.
func (r *Request) ParkFor(d time.Duration, over func()) {
	r.Drop()
	c := r.Conn
	due := c.server.clock.Now().Add(d)
	c.mu.Lock()
	r.parkLocked()
	stopping := c.mu.stopping
	if !stopping {
		r.exchange.due, r.exchange.over = due, over
		c.remindLocked(due, d)
	}
	c.mu.Unlock()
	if stopping {
		over()
	}
}

func (r *Request) parkLocked() {
	c := r.Conn
	c.server.memory.force(parkedCharge)
	r.exchange.parked = true
	c.mu.parked++
	r.charged += parkedCharge
}

type state uint8

const (
	free    state = iota // in the pool
	pending              // the handler has it
	sent                 // a response is there
	none                 // no response is to be sent
	closing              // the connection is to be closed in its place
)

// exchange is a request and its reply, an element of the connection's queue.
type exchange struct {
	Request
	seq     uint64    // number of the request within the process's use of this exchange; tells a second reply from the first
	state   state     // guarded by conn.mu
	orphan  bool      // the connection ended while the handler still had it; guarded by conn.mu
	parked  bool      // it waits because the client wants it to; guarded by conn.mu
	due     time.Time // when over is to be called, if it is set; guarded by conn.mu
	over    func()    // of ParkFor, until it is called; guarded by conn.mu
	next    *exchange
	buffer  *buffer
	spans   []vfs.Span
	one     [1]vfs.Span
	release func()
	reason  error
	memory  int64              // bytes of the response in memory
	code    protocol.ErrorCode // that the request is counted under
	own     bool               // the response is in Buffer
}

// maxKept bounds the Buffer that an exchange keeps for its next use.
const maxKept = 16 << 10

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// Reply answers one request, exactly once.
type Reply struct {
	x   *exchange
	seq uint64
}

// Send answers with spans, which together are the response with its header (Request.AppendHeader) but without the size in front of it.
// release, if not nil, is called when spans is no longer needed, sent or not; it must not wait, and may be called by any goroutine.
// Send never waits for the socket.
func (r Reply) Send(spans []vfs.Span, release func()) { r.send(spans, release, false) }

// Deliver is Send for a goroutine that has nothing else to do: where a writer would be started it writes itself, and waits for the socket.
func (r Reply) Deliver(spans []vfs.Span, release func()) { r.send(spans, release, true) }

func (r Reply) send(spans []vfs.Span, release func(), writes bool) {
	c := r.lock()
	r.x.spans, r.x.release = spans, release
	for i := range spans {
		if spans[i].File == nil {
			r.x.memory += spans[i].N
		}
	}
	c.completeAndUnlock(r.x, sent, writes)
}

// SendBytes answers with b alone. b may be Request.Buffer as it has grown; it belongs to the server then.
func (r Reply) SendBytes(b []byte) {
	c := r.lock()
	r.x.one[0] = vfs.MemSpan(b)
	r.x.spans, r.x.memory, r.x.own = r.x.one[:], int64(len(b)), true
	c.completeAndUnlock(r.x, sent, false)
}

// None says that there will be no response (Produce with acks=0).
func (r Reply) None() { r.lock().completeAndUnlock(r.x, none, false) }

// Close closes the connection when the responses before this one have been sent.
func (r Reply) Close(reason error) {
	c := r.lock()
	r.x.reason = reason
	c.completeAndUnlock(r.x, closing, false)
}

// lock takes the connection's mutex and sees to it that this is the first reply.
func (r Reply) lock() *Conn {
	c := r.x.Conn
	invariant.Check(c != nil, "reply to a request that was answered")
	c.mu.Lock()
	if r.x.seq != r.seq || r.x.state != pending {
		c.mu.Unlock()
		invariant.Check(false, "reply to a request that was answered")
	}
	return c
}

// held is the memory of the budget that recycle gives back, and what of it is in large buffers.
func (x *exchange) held() (bytes, large int64) {
	bytes, large = x.charged+x.large, x.large
	if x.buffer != nil {
		n := classBytes(x.buffer.class)
		bytes, large = bytes+n, large+largeOf(n)
	}
	return bytes, large
}

// answered takes out of the exchange what an answer that has been given does not need while it waits to be sent: the request's bytes, and what was
// charged for decoding it and for the values that an answer of bytes was made of. All of that is garbage now. If it went on to count, a client
// that takes no answers would seem to hold many times what it holds. The caller has conn.mu.
func (x *exchange) answered(s state) (b *buffer, small, large int64) {
	b, x.buffer, x.Body = x.buffer, nil, nil
	if s != sent || x.own {
		small, large, x.charged, x.large = x.charged, x.large, 0, 0
	}
	return b, small, large
}

// giveAll gives back what an exchange held, at once where it can.
func (m *budget) giveAll(b *buffer, small, large int64) {
	if b != nil {
		if n := classBytes(b.class); sort(n) == 0 {
			small += n
		} else {
			large += n
		}
	}
	if large > 0 {
		m.giveLarge(large)
	}
	if small != 0 {
		m.giveForced(small)
	}
	if b != nil {
		b.free(m)
	}
}

// recycle gives back all that the exchange holds. Nobody else may know it any more.
func (x *exchange) recycle() {
	if x.release != nil {
		x.release()
	}
	x.Conn.server.memory.giveAll(x.buffer, x.charged, x.large)
	kept := x.Buffer
	if x.own {
		kept = x.one[0].Mem
	}
	if cap(kept) > maxKept {
		kept = nil
	}
	*x = exchange{seq: x.seq + 1}
	x.Buffer = kept[:0]
	exchanges.Put(x)
}
