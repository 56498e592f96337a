package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// memBacklog is how many dialled connections may wait for Accept.
const memBacklog = 128

// Mem is a network inside one process. Hosts are names without meaning; a listener on port 0 gets the next free port. Nothing in it
// waits while holding a mutex, so that it works inside a testing/synctest bubble.
type Mem struct {
	mu struct { // guards the listeners and the next ports
		sync.Mutex
		listeners map[string]*memListener
		port      int
	}
}

// NewMem returns an empty network.
func NewMem() *Mem {
	m := &Mem{}
	m.mu.listeners = map[string]*memListener{}
	m.mu.port = 30000
	return m
}

// memAddr is HOST:PORT.
type memAddr string

func (memAddr) Network() string  { return "mem" }
func (a memAddr) String() string { return string(a) }

func (m *Mem) Listen(ctx context.Context, addr string) (Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if port == "0" || port == "" {
		m.mu.port++
		port = strconv.Itoa(m.mu.port)
	}
	a := net.JoinHostPort(host, port)
	if m.mu.listeners[a] != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, syscall.EADDRINUSE)
	}
	l := &memListener{net: m, addr: memAddr(a), queue: make(chan *memConn, memBacklog), done: make(chan struct{})}
	m.mu.listeners[a] = l
	return l, nil
}

func (m *Mem) Dial(ctx context.Context, addr string) (Conn, error) {
	m.mu.Lock()
	l := m.mu.listeners[addr]
	m.mu.port++
	from := memAddr("client:" + strconv.Itoa(m.mu.port))
	m.mu.Unlock()
	refused := fmt.Errorf("dial %s: %w", addr, syscall.ECONNREFUSED)
	if l == nil {
		return nil, refused
	}
	client, server := pair(from, l.addr)
	select {
	case l.queue <- server:
		select {
		case <-l.done: // nobody may be left to accept it
			server.Close()
		default:
		}
		return client, nil
	case <-l.done:
		return nil, refused
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", addr, ctx.Err())
	}
}

type memListener struct {
	net   *Mem
	addr  memAddr
	queue chan *memConn
	done  chan struct{}
	once  sync.Once
}

func (l *memListener) Addr() net.Addr { return l.addr }

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.closed()
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, l.closed()
	}
}

func (l *memListener) closed() error {
	return &net.OpError{Op: "accept", Net: "mem", Addr: l.addr, Err: net.ErrClosed}
}

// Close ends the listener; connections that nobody accepted end with it.
func (l *memListener) Close() error {
	err := errors.New("listener closed twice")
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.mu.listeners, string(l.addr))
		l.net.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.queue:
				c.Close()
				continue
			default:
			}
			break
		}
		err = nil
	})
	return err
}
