package server

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/moldau/moldau/internal/clock"
)

// Options configures a Server. A zero field means its default.
type Options struct {
	Handler Handler      // who answers requests; must be set
	Clock   clock.Clock  // default clock.Real
	Logger  *slog.Logger // default: discards

	MaxRequestBytes int           // largest frame (socket.request.max.bytes); default 100 MiB
	MaxMemoryBytes  int64         // budget for request buffers and what decoding them takes; default 256 MiB, and at least two largest frames
	MaxInFlight     int           // requests of one connection that wait for their answer; default 128
	MaxQueuedBytes  int64         // memory of one connection's answers that wait to be sent; default 16 MiB
	Limits          *Limits       // how many connections there may be; default no limit
	Rates           Rates         // how often there may be new ones; default no limit
	IdleTimeout     time.Duration // a connection without a request for so long is closed (connections.max.idle.ms); default 10 minutes
	StallTimeout    time.Duration // a started request must bring bytes, and a response must take some, within it; default 30 seconds

	// OnFatal is told of a panic: a broken invariant (*invariant.Violation), or anything else a handler panicked with. The broker must
	// stop then. Without it the panic goes on.
	OnFatal func(error)
	// OnClosed, if set, is told of every connection that ends, and why.
	OnClosed func(c *Conn, reason error)
}

// Limits are how many connections may be open at the same time. All are literal: 0 lets none through, NoLimit all.
type Limits struct {
	All       int            // on all listeners (max.connections); further ones wait until others end
	Apart     []string       // listeners whose connections count by themselves, up to All and PerHost as well: those for controllers
	Listeners map[string]int // on some (listener.name.NAME.max.connections); further ones wait
	Protected string         // listener that All does not bind: where it needs room, others lose a connection; "" is none
	PerHost   int            // from one address (max.connections.per.ip); further ones are closed
	Hosts     map[string]int // from some addresses, as Conn.Host names them, in place of PerHost (max.connections.per.ip.overrides)
}

// NoLimit is the limit that is never reached.
const NoLimit = math.MaxInt32

// Rates decides how soon new connections may follow one another.
type Rates interface {
	// Accept is told of every connection that comes, and says how long it and all behind it on its listener must wait.
	Accept(listener string, protected bool) time.Duration
	// From is told where it comes from. A result other than 0 refuses it, and says how long it is to be kept waiting before it is closed.
	From(listener string, protected bool, host string) time.Duration
}

// Reasons for which connections end. Errors of the wire (protocol.ErrMalformed, *protocol.UnsupportedError, those of reads and writes)
// are passed on as they are.
var (
	ErrDisconnected = errors.New("client closed the connection")
	ErrIdle         = errors.New("connection was idle for too long")
	ErrStalled      = errors.New("client neither sends nor takes bytes")
	ErrFrameSize    = errors.New("request size is not acceptable")
	ErrConnections  = errors.New("too many connections")
	ErrRate         = errors.New("too many new connections from one address")
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
	if o.Limits == nil {
		o.Limits = &Limits{All: NoLimit, PerHost: NoLimit}
	}
	if o.MaxRequestBytes < 0 || o.MaxMemoryBytes < 0 || o.MaxInFlight < 0 || o.MaxQueuedBytes < 0 || o.IdleTimeout < 0 || o.StallTimeout < 0 {
		return o, fmt.Errorf("server limits must not be negative: %+v", o)
	}
	o.MaxMemoryBytes = max(o.MaxMemoryBytes, 2*classBytes(classOf(o.MaxRequestBytes)))
	return o, nil
}

// growing is what the largest request takes while it arrives: whoever grows a buffer holds two of them for a moment, and the smaller one may
// be half as large when it grows for the last time, or, below growth x hugeBody, almost as large.
func growing(bytes int) int64 {
	before := max(bytes/slowGrowth, min(bytes, growth*hugeBody))
	return classBytes(classOf(bytes)) + classBytes(classOf(before)) + hugeStep
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
