package server

import (
	"context"
	"slices"
	"time"

	"github.com/moldau/moldau/internal/network"
)

// maxRefused bounds how many connections are kept waiting before they are closed; further ones are closed at once. It keeps file
// descriptors for others.
const maxRefused = 1024

// Limit changes how many connections there may be. Those that are open stay.
func (s *Server) Limit(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.limits = l
	s.room.Broadcast()
}

// InForce returns the limits as they are.
func (s *Server) InForce() Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.limits
}

// admit lets a connection in that a listener has accepted, when there is room for it. Until then the acceptor waits, and with it who else comes
// to the same listener.
func (s *Server) admit(ctx context.Context, name string, nc network.Conn) {
	s.stats.Accepted.Inc()
	host := network.Host(nc.RemoteAddr())
	if !s.awaitRoom(ctx, name) {
		nc.Close()
		s.stats.closed(ErrShutdown)
		return
	}
	if s.Rates != nil {
		if d := s.Rates.From(name, s.protected(name), host); d > 0 {
			s.refuse(nc, d)
			return
		}
	}
	s.accept(name, nc)
}

// protected says whether a listener is to be reached when others are full.
func (s *Server) protected(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.protectedLocked(name)
}

func (s *Server) protectedLocked(name string) bool {
	return s.mu.limits.Protected == name && name != ""
}

// awaitRoom waits until a listener may have one more connection, by the rate of new ones and by the number of those that are open. It returns
// false if it is no longer to have one.
func (s *Server) awaitRoom(ctx context.Context, name string) bool {
	throttle := time.Duration(0)
	if s.Rates != nil {
		throttle = s.Rates.Accept(name, s.protected(name))
	}
	until := s.clock.Now().Add(throttle)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		left := until.Sub(s.clock.Now())
		switch {
		case s.mu.stopping || ctx.Err() != nil:
			return false
		case throttle > 0 && left > 0:
			timer := s.clock.AfterFunc(left, func() {
				s.mu.Lock()
				s.room.Broadcast()
				s.mu.Unlock()
			})
			s.room.Wait()
			timer.Stop()
		case s.fullLocked(name):
			s.room.Wait()
		default:
			return true
		}
	}
}

func (s *Server) fullLocked(name string) bool {
	l := &s.mu.limits
	if limit, ok := l.Listeners[name]; ok && s.mu.on[name] >= limit {
		return true
	}
	if slices.Contains(l.Apart, name) {
		return s.mu.apart >= l.All
	}
	return !s.protectedLocked(name) && len(s.mu.conns)-s.mu.apart >= l.All
}

// hostKey is an address, of those that count together.
type hostKey struct {
	apart bool
	host  string
}

// refuse closes a connection after d. Its client is not told earlier, so that it does not try again at once.
func (s *Server) refuse(nc network.Conn, d time.Duration) {
	s.stats.closed(ErrRate)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.stopping || len(s.mu.refused) >= maxRefused {
		nc.Close()
		return
	}
	s.mu.refused[nc] = struct{}{}
	s.clock.AfterFunc(d, func() {
		nc.Close() // twice at most: a shutdown may have been there before
		s.mu.Lock()
		delete(s.mu.refused, nc)
		s.mu.Unlock()
	})
}

// accept takes a connection in, unless its address has too many.
func (s *Server) accept(name string, nc network.Conn) {
	c := newConn(s, name, nc)
	s.mu.Lock()
	refuse, excess := error(nil), (*Conn)(nil)
	c.apart = slices.Contains(s.mu.limits.Apart, name)
	k := hostKey{c.apart, c.host}
	limit, special := s.mu.limits.Hosts[c.host]
	if !special {
		limit = s.mu.limits.PerHost
	}
	switch {
	case s.mu.stopping:
		refuse = ErrShutdown
	case s.mu.hosts[k] >= limit:
		refuse = ErrConnections
	default:
		s.mu.conns[c] = struct{}{}
		s.mu.hosts[k]++
		if s.mu.on[name]++; c.apart {
			s.mu.apart++
		}
		if len(s.mu.conns)-s.mu.apart > s.mu.limits.All && s.protectedLocked(name) {
			excess = s.quietestLocked()
		}
		s.wg.Go(func() {
			defer s.remove(c)
			s.guard(c, c.run)
		})
	}
	s.mu.Unlock()
	if refuse != nil {
		c.fail(refuse)
		s.closed(c)
	}
	if excess != nil {
		excess.fail(ErrConnections)
	}
}

// quietestLocked returns the connection that has been idle for longest of those that may have to go for one on the protected listener.
func (s *Server) quietestLocked() (quietest *Conn) {
	for c := range s.mu.conns {
		if !c.apart && !s.protectedLocked(c.listener) && (quietest == nil || c.lastActive.Load() < quietest.lastActive.Load()) {
			quietest = c
		}
	}
	return quietest
}
