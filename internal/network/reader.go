package network

import "io"

// Reader reads from one connection without holding a buffer while it waits: ten thousand idle connections need none.
// It is not safe for concurrent use.
type Reader struct {
	conn    Conn
	waiter  waiter // connections of Mem
	sys     readerSys
	small   []byte // for connections that cannot wait without a buffer
	busy    bool   // the last read of such a connection filled small: the next goes to a real buffer
	acquire func() []byte
	release func()
}

// waiter is a connection that can be asked what Read would do.
type waiter interface {
	WaitReadable() error // returns when Read would not wait
	Ended() bool         // says that Read would bring nothing but an error
}

// smallRead is the buffer that a connection keeps where waiting without one is not possible (TLS, Windows).
const smallRead = 1 << 10

// NewReader returns a Reader on conn. acquire returns the buffer to read into, just before it is needed; release takes it back
// when there was nothing to read and the wait begins. Both are called by the goroutine that calls Read.
func NewReader(conn Conn, acquire func() []byte, release func()) *Reader {
	r := &Reader{conn: conn, acquire: acquire, release: release}
	r.waiter, _ = conn.(waiter)
	r.sys.init(r)
	return r
}

// Read waits until something can be read and reads it into a buffer that it acquires. After an error the buffer may or may not be
// acquired: acquire and release must bear being called twice in a row.
func (r *Reader) Read() (n int, err error) {
	switch {
	case r.sys.able():
		n, err = r.sys.read()
	case r.waiter != nil:
		r.release()
		if err := r.waiter.WaitReadable(); err != nil {
			return 0, err
		}
		return r.conn.Read(r.acquire())
	case r.busy:
		n, err = r.conn.Read(r.acquire())
		r.busy = n >= smallRead
		return n, err
	default:
		if r.small == nil {
			r.small = make([]byte, smallRead)
		}
		r.release()
		n, err = r.conn.Read(r.small)
		if n > 0 {
			b := r.acquire()
			if len(b) < n {
				return 0, io.ErrShortBuffer
			}
			copy(b, r.small[:n])
			r.busy = n == smallRead
		}
		return n, err
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Ended says that Read would bring nothing but an error, now and later: most often that the other side has closed the connection. It does not
// wait, and is false where this can only be known by reading.
func (r *Reader) Ended() bool {
	switch {
	case r.sys.able():
		return r.sys.ended()
	case r.waiter != nil:
		return r.waiter.Ended()
	}
	return false
}
