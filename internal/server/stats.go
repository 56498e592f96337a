package server

import (
	"errors"
	"time"

	"github.com/moldau/moldau/internal/metrics"
	"github.com/moldau/moldau/internal/protocol"
)

// Stats is what a server counts. Readers take no lock.
type Stats struct {
	Requests metrics.Requests
	Received metrics.Counter // bytes
	Sent     metrics.Counter
	Accepted metrics.Counter // connections
	Closed   [len(closeReasons) + 1]metrics.Counter
}

// closeReasons are the reasons for which connections end, and what they are called where they are counted.
var closeReasons = [...]struct {
	err  error
	name string
}{
	{ErrDisconnected, "disconnected"},
	{ErrIdle, "idle"},
	{ErrStalled, "stalled"},
	{ErrConnections, "refused"},
	{ErrRate, "throttled"},
	{ErrShutdown, "shutdown"},
	{ErrMemory, "memory"},
}

// CloseReason names the i-th counter of Stats.Closed. The last one is for errors of the wire.
func CloseReason(i int) string {
	if i < len(closeReasons) {
		return closeReasons[i].name
	}
	return "error"
}

// undecoded counts a request that is closed for its header, if that names an API and a version.
func (s *Stats) undecoded(err error) {
	var u *protocol.UnsupportedError
	if errors.As(err, &u) {
		s.Requests.Observe(int16(u.Key), u.Version, metrics.Closed, 0)
	}
}

func (s *Stats) closed(reason error) {
	for i, r := range closeReasons {
		if errors.Is(reason, r.err) {
			s.Closed[i].Inc()
			return
		}
	}
	s.Closed[len(closeReasons)].Inc()
}

// Stats returns the server's counters, which go on.
func (s *Server) Stats() *Stats { return &s.stats }

// Moment is what a server holds at one moment.
type Moment struct {
	Connections map[string]int // by listener
	InFlight    int            // requests that are not answered
	QueuedBytes int64          // of answers that wait to be sent
	Memory      int64          // in use, of MemoryLimit
	MemoryLimit int64
	Waiting     int // connections that wait for memory
}

// Moment looks at all connections.
func (s *Server) Moment() Moment {
	m := Moment{Connections: map[string]int{}, Memory: s.memory.used.Load(), MemoryLimit: s.memory.limit, Waiting: int(s.memory.waiting[0].Load() + s.memory.waiting[1].Load())}
	s.mu.Lock()
	conns := make([]*Conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		m.Connections[c.listener]++
		c.mu.Lock()
		m.InFlight += c.mu.inFlight
		m.QueuedBytes += c.mu.queued
		c.mu.Unlock()
	}
	return m
}

// Failed notes the error code that the answer to come is counted under; without it the request counts as one that went well.
func (r Reply) Failed(code protocol.ErrorCode) { r.x.code = code }

// count counts the requests whose answers are about to be written.
func (s *Stats) count(batch []*exchange, now time.Time) {
	for _, x := range batch {
		code := int16(x.code)
		if x.state == closing {
			code = metrics.Closed
		}
		s.Requests.Observe(int16(x.Header.Key), x.Header.Version, code, now.Sub(x.Received))
	}
}
