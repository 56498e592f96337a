package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
)

var (
	// ErrNotSent means that a request did not leave this node: it was not carried out.
	ErrNotSent = errors.New("request was not sent")
	// ErrLost means that the connection ended, or the caller stopped waiting, before the answer: whether it was carried out is not known.
	ErrLost   = errors.New("no answer to a request")
	errStop   = errors.New("connection is closed from this side")
	errSilent = errors.New("nothing came for too long while an answer was awaited")
)

// Bounds of a connection.
const (
	queueMax      = 4096     // messages and requests that wait to be written
	queueBytesMax = 64 << 20 // of them; messages beyond it are dropped
	waitingMax    = 1024     // requests that wait for an answer
	answerMax     = 256 << 20
	writeTimeout  = 5 * time.Second // of a piece
	pieceMax      = 128 << 10
	slowest       = 64 << 10 // bytes a second that a network takes at the least
	backoffMin    = 20 * time.Millisecond
	backoffMax    = 500 * time.Millisecond
)

// Options configures a Client. All are required, but for Lost, Keep, Silence and Probe.
type Options struct {
	Network  network.Network
	Clock    clock.Clock
	Address  string // HOST:PORT
	ClientID string

	// Keep connects without being asked to, and again whenever the connection is lost.
	Keep bool
	// Silence is how long nothing may come while an answer is awaited. Then the connection ends: the network may be cut, which nobody tells, or the other
	// side is frozen. What is large has time to get there, beside that, also over a slow network. 0: for ever, where an answer may take long.
	Silence time.Duration
	// Probe is a request that the other side answers at once. It is sent where no answer is awaited, for a connection that has messages alone. It needs
	// Keep and Silence. Nil: none.
	Probe *Request
	// Lost is told when a connection that stood has ended and the other side refuses another one: the process is gone. It must not wait.
	Lost func()

	up func() // is told of every connection that stands; for tests
}

// Request is a private request and its body.
type Request struct {
	Key  protocol.APIKey
	Body []byte
}

// Client is a connection to one address, made when it is needed. Its methods may be called by any goroutine.
type Client struct {
	options Options
	wake    chan struct{} // something is queued
	life    context.Context
	end     context.CancelCauseFunc
	done    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	queue   []*item
	bytes   int
	waiting map[int32]*item
	next    int32
	asked   int32     // the request that was written last on this connection, and told the one that was answered last: answers come in the
	told    int32     // order of the requests. Who does not wait any more is still owed an answer by the connection
	heard   time.Time // when bytes came last, or when the first request was written of those that are not answered
	written int64     // bytes, and how many of them the last request ended with, and the last one that was answered while no other was owed an answer
	ended   int64
	passed  int64
	closed  bool
}

// item is a message, or a request that somebody waits for.
type item struct {
	key    protocol.APIKey
	body   []byte
	answer chan result // receives once; nil for a message
	id     int32       // of a request that has been written
	sent   bool
}

type result struct {
	body []byte
	err  error
}

// New returns a client and starts its goroutine, which ends with Close.
func New(o Options) *Client {
	c := &Client{options: o, wake: make(chan struct{}, 1), waiting: make(map[int32]*item)}
	c.life, c.end = context.WithCancelCause(context.Background())
	c.done.Go(c.run)
	return c
}

// Close ends the connection and answers all who wait. It returns when nothing of the client is left.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end(errStop)
	c.done.Wait()
}

// Send queues a message. It never waits: where there is no room the message is dropped, and so it is when the connection is lost.
func (c *Client) Send(key protocol.APIKey, body []byte) { c.push(&item{key: key, body: body}) }

// Call sends a private request and returns the body of its answer, without the header.
func (c *Client) Call(ctx context.Context, key protocol.APIKey, body []byte) ([]byte, error) {
	it := &item{key: key, body: body, answer: make(chan result, 1)}
	if !c.push(it) {
		return nil, fmt.Errorf("%w to %s: too much waits, or it is closed", ErrNotSent, c.options.Address)
	}
	select {
	case r := <-it.answer:
		return r.body, r.err
	case <-ctx.Done():
		return nil, c.leave(it, context.Cause(ctx))
	}
}

// leave forgets a request whose caller does not wait any more.
func (c *Client) leave(it *item, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if it.sent {
		delete(c.waiting, it.id)
		return fmt.Errorf("%w from %s: %w", ErrLost, c.options.Address, cause)
	}
	for i, queued := range c.queue {
		if queued == it {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			c.bytes -= len(it.body)
			break
		}
	}
	return fmt.Errorf("%w to %s: %w", ErrNotSent, c.options.Address, cause)
}

func (c *Client) push(it *item) bool {
	c.mu.Lock()
	ok := !c.closed && len(c.queue) < queueMax && (c.bytes+len(it.body) <= queueBytesMax || len(c.queue) == 0)
	if ok {
		c.queue = append(c.queue, it)
		c.bytes += len(it.body)
	}
	c.mu.Unlock()
	if ok {
		c.signal()
	}
	return ok
}

func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run connects when there is something to send, or always, and again after a loss.
func (c *Client) run() {
	defer c.drop(errStop, true)
	pause := time.Duration(0)
	had := false // a connection that was lost and not replaced yet
	for c.life.Err() == nil {
		if !c.options.Keep && !c.queued() {
			select {
			case <-c.wake:
			case <-c.life.Done():
			}
			continue
		}
		conn, err := Dial(c.life, c.options.Network, c.options.Clock, c.options.Address)
		if err != nil {
			if had && network.Refused(err) && c.options.Lost != nil {
				c.options.Lost()
			}
			had = had && network.HungUp(err) // by a process that is ending, perhaps: it refuses the next one then
			c.drop(err, true)
			pause = min(max(2*pause, backoffMin), backoffMax)
			select {
			case <-c.options.Clock.After(pause):
			case <-c.life.Done():
			}
			continue
		}
		pause = 0
		if c.options.up != nil {
			c.options.up()
		}
		err = c.serve(conn)
		had = true
		c.drop(err, false)
	}
}

func (c *Client) queued() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) > 0
}

// drop answers those whose request went out on a connection that has ended, and with all those that could not be sent at all, too.
func (c *Client) drop(err error, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, it := range c.waiting {
		delete(c.waiting, id)
		it.answer <- result{err: fmt.Errorf("%w from %s: %w", ErrLost, c.options.Address, err)}
	}
	if !all {
		return
	}
	for _, it := range c.queue {
		if it.answer != nil {
			it.answer <- result{err: fmt.Errorf("%w to %s: %w", ErrNotSent, c.options.Address, err)}
		}
	}
	c.queue, c.bytes = nil, 0
}
