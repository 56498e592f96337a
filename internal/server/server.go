package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/network"
)

// Server serves connections of any number of listeners.
type Server struct {
	Options

	clock  clock.Clock
	start  time.Time
	memory budget
	stats  Stats
	nextID atomic.Uint64
	wg     sync.WaitGroup // readers and writers
	log    complaints

	relieving struct {
		sync.Mutex
		on bool // a goroutine makes room while somebody waits for memory
	}

	room sync.Cond // something below has changed that an acceptor may wait for
	mu   struct {  // guards all below
		sync.Mutex
		stopping  bool
		limits    Limits
		listeners map[network.Listener]struct{}
		conns     map[*Conn]struct{}
		on        map[string]int            // connections by listener
		apart     int                       // connections that count by themselves
		hosts     map[hostKey]int           // by address
		refused   map[network.Conn]struct{} // kept waiting before they are closed
	}
}

// New returns a server that serves nothing yet.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{Options: o, clock: o.Clock, start: o.Clock.Now()}
	s.memory.limit = o.MaxMemoryBytes
	s.memory.largeLimit = min(o.MaxMemoryBytes, max(o.MaxMemoryBytes/2, growing(o.MaxRequestBytes)))
	s.log.init(o.Logger, o.Clock)
	s.mu.listeners = map[network.Listener]struct{}{}
	s.mu.conns = map[*Conn]struct{}{}
	s.mu.hosts = map[hostKey]int{}
	s.mu.on = map[string]int{}
	s.mu.refused = map[network.Conn]struct{}{}
	s.mu.limits = *o.Limits
	s.room.L = &s.mu
	return s, nil
}

// Memory returns how much of the memory budget is taken, and the budget.
func (s *Server) Memory() (inUse, limit int64) { return s.memory.used.Load(), s.memory.limit }

// MemoryInUse returns how much of the memory budget is taken, and Connections how many connections there are.
func (s *Server) MemoryInUse() int64 { return s.memory.used.Load() }

func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.conns)
}

// Serve accepts connections of l, which clients know by name, until ctx ends or Shutdown is called; it closes l. The connections go on
// until Shutdown.
func (s *Server) Serve(ctx context.Context, name string, l network.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.mu.stopping {
		s.mu.Unlock()
		return ErrShutdown
	}
	s.mu.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.mu.listeners, l)
		s.mu.Unlock()
	}()
	defer context.AfterFunc(ctx, func() {
		l.Close()
		s.mu.Lock()
		s.room.Broadcast()
		s.mu.Unlock()
	})()

	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.admit(ctx, name, nc)
			continue
		case errors.Is(err, network.ErrClosed):
			return nil
		}
		// Too many open files and the like pass; trying without a pause would only make them worse.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.log.complain(name, "accept a connection", err)
		select {
		case <-s.clock.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	delete(s.mu.conns, c)
	k := hostKey{c.apart, c.host}
	if s.mu.hosts[k]--; s.mu.hosts[k] == 0 {
		delete(s.mu.hosts, k)
	}
	if s.mu.on[c.listener]--; c.apart {
		s.mu.apart--
	}
	s.room.Broadcast()
	s.mu.Unlock()
	s.closed(c)
}

// closed tells of the end of c.
func (s *Server) closed(c *Conn) {
	c.mu.Lock()
	reason := c.mu.reason
	c.mu.Unlock()
	if reason == errStopped { // it was stopped from within, and that has said why
		reason = context.Cause(c.ctx)
	}
	s.stats.closed(reason)
	if !errors.Is(reason, ErrDisconnected) && !errors.Is(reason, ErrIdle) && !errors.Is(reason, ErrShutdown) {
		s.log.complain(c.host, "close a connection", reason)
	}
	if s.OnClosed != nil {
		s.OnClosed(c, reason)
	}
}

// guard runs f, a goroutine of c. A panic ends the connection and is passed on: after it the broker must not go on as if nothing had
// happened.
func (s *Server) guard(c *Conn, f func()) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if s.OnFatal == nil {
			panic(p)
		}
		err, ok := p.(error)
		var v *invariant.Violation
		if !ok || !errors.As(err, &v) {
			err = fmt.Errorf("panic while serving %s: %v\n%s", c.conn.RemoteAddr(), p, debug.Stack())
		}
		c.fail(err)
		s.OnFatal(err)
	}()
	f()
}

// Shutdown takes no more connections and requests, lets what is in flight be answered until ctx ends, closes what is left then, and
// returns when all goroutines of the server are gone. It returns ctx's error if something had to be cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.mu.stopping = true
	for l := range s.mu.listeners {
		l.Close()
	}
	conns := make([]*Conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	for nc := range s.mu.refused {
		nc.Close()
	}
	clear(s.mu.refused)
	s.room.Broadcast()
	s.mu.Unlock()
	for _, c := range conns {
		c.Stop(ErrShutdown)
	}
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		for _, c := range conns {
			c.fail(ErrShutdown)
		}
		<-done
	}
	return err
}
