package server

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/moldau/moldau/internal/clock"
)

// Options configures a Server. A zero field means its default.
type Options struct {
	Handler Handler      // who answers requests; must be set
	Clock   clock.Clock  // default clock.Real
	Logger  *slog.Logger // default: discards

	MaxRequestBytes       int            // largest frame (socket.request.max.bytes); default 100 MiB
	MaxMemoryBytes        int64          // budget for request buffers and what decoding them takes; default 256 MiB, and at least two largest frames
	MaxInFlight           int            // requests of one connection that wait for their answer; default 128
	MaxQueuedBytes        int64          // memory of one connection's answers that wait to be sent; default 16 MiB
	MaxConnections        int            // over all listeners (max.connections); default no limit
	MaxConnectionsPerHost int            // (max.connections.per.ip); default no limit
	PerHost               map[string]int // limits that replace MaxConnectionsPerHost for some addresses (max.connections.per.ip.overrides)
	IdleTimeout           time.Duration  // a connection without a request for so long is closed (connections.max.idle.ms); default 10 minutes
	StallTimeout          time.Duration  // a started request must bring bytes, and a response must take some, within it; default 30 seconds

	// OnFatal is told of a panic: a broken invariant (*invariant.Violation), or anything else a handler panicked with. The broker must
	// stop then. Without it the panic goes on.
	OnFatal func(error)
	// OnClosed, if set, is told of every connection that ends, and why.
	OnClosed func(c *Conn, reason error)
}

// Reasons for which connections end. Errors of the wire (protocol.ErrMalformed, *protocol.UnsupportedError, those of reads and writes)
// are passed on as they are.
var (
	ErrDisconnected = errors.New("client closed the connection")
	ErrIdle         = errors.New("connection was idle for too long")
	ErrStalled      = errors.New("client neither sends nor takes bytes")
	ErrFrameSize    = errors.New("request size is not acceptable")
	ErrConnections  = errors.New("too many connections")
	ErrMemory       = errors.New("no memory left for requests")
	ErrShutdown     = errors.New("server shuts down")
)

func (o Options) withDefaults() (Options, error) {
	if o.Handler == nil {
		return o, errors.New("server needs a handler")
	}
	if o.Clock == nil {
		o.Clock = clock.Real
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	def(&o.MaxRequestBytes, 100<<20)
	def(&o.MaxMemoryBytes, 256<<20)
	def(&o.MaxInFlight, 128)
	def(&o.MaxQueuedBytes, 16<<20)
	def(&o.IdleTimeout, 10*time.Minute)
	def(&o.StallTimeout, 30*time.Second)
	if o.MaxRequestBytes < 0 || o.MaxMemoryBytes < 0 || o.MaxInFlight < 0 || o.MaxQueuedBytes < 0 || o.MaxConnections < 0 ||
		o.MaxConnectionsPerHost < 0 || o.IdleTimeout < 0 || o.StallTimeout < 0 {
		return o, fmt.Errorf("server limits must not be negative: %+v", o)
	}
	// Whoever grows a buffer holds two of them for a moment.
	o.MaxMemoryBytes = max(o.MaxMemoryBytes, 2*classBytes(classOf(o.MaxRequestBytes)))
	return o, nil
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
