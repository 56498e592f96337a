package server

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
)

// testKey is an API without flexible versions, so that a response header is just the correlation id.
const testKey = protocol.KeyOffsetDelete

type handlerFunc func(req *Request, reply Reply)

func (f handlerFunc) Serve(req *Request, reply Reply) { f(req, reply) }

// echo answers with the body.
func echo(req *Request, reply Reply) {
	reply.SendBytes(append(req.AppendHeader(req.Buffer), req.Body...))
}

// rig is a server and what it listens on.
type rig struct {
	t      testing.TB
	net    network.Network
	addr   string
	server *Server
	serve  sync.WaitGroup

	mu     sync.Mutex
	closed []error
}

func start(t testing.TB, n network.Network, o Options) *rig {
	t.Helper()
	r := &rig{t: t, net: n}
	o.OnClosed = func(_ *Conn, reason error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.closed = append(r.closed, reason)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := n.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.server, r.addr = s, l.Addr().String()
	r.serve.Go(func() {
		if err := s.Serve(context.Background(), "PLAINTEXT", l); err != nil {
			t.Error(err)
		}
	})
	return r
}

// stop shuts down and sees that nothing is left over.
func (r *rig) stop() {
	r.t.Helper()
	if err := r.server.Shutdown(context.Background()); err != nil {
		r.t.Error(err)
	}
	r.serve.Wait()
	r.empty()
}

func (r *rig) empty() {
	r.t.Helper()
	if n := r.server.MemoryInUse(); n != 0 {
		r.t.Errorf("%d bytes of the budget are still taken", n)
	}
	if n := r.server.Connections(); n != 0 {
		r.t.Errorf("%d connections are left", n)
	}
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	if len(r.server.mu.hosts) != 0 {
		r.t.Errorf("hosts are left: %v", r.server.mu.hosts)
	}
}

func (r *rig) reasons() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.closed...)
}

// wantReason says why the last connection ended. It belongs in a bubble.
func (r *rig) wantReason(want error) {
	r.t.Helper()
	synctest.Wait()
	got := r.reasons()
	if len(got) == 0 || !errors.Is(got[len(got)-1], want) {
		r.t.Errorf("connections ended with %v, want %v", got, want)
	}
}

// client is one connection.
type client struct {
	t testing.TB
	network.Conn
}

func (r *rig) dial() *client {
	r.t.Helper()
	c, err := r.net.Dial(context.Background(), r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return &client{r.t, c}
}

func frame(correlation int32, body []byte) []byte {
	b := protocol.AppendRequestHeader(make([]byte, 4), protocol.RequestHeader{Key: testKey, CorrelationID: correlation, ClientID: "test"})
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (c *client) send(b ...[]byte) {
	c.t.Helper()
	var all []byte
	for _, x := range b {
		all = append(all, x...)
	}
	if _, err := c.Write(all); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads a response.
func (c *client) receive() (correlation int32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, nil, err
	}
	body = make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err = io.ReadFull(c, body)
	return int32(binary.BigEndian.Uint32(head[4:])), body, err
}

func (c *client) want(correlation int32, body string) {
	c.t.Helper()
	id, b, err := c.receive()
	if err != nil || id != correlation || string(b) != body {
		c.t.Fatalf("got %d %q %v, want %d %q", id, b, err, correlation, body)
	}
}

// wantEnd says that the connection has ended and nothing more was sent.
func (c *client) wantEnd() {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if len(b) != 0 || err != nil && !network.Disconnected(err) {
		c.t.Fatalf("got %q %v, want the end of the connection", b, err)
	}
}

// bubble runs f in a synctest bubble with a server on a memory network. A goroutine that is left over makes it fail.
func bubble(t *testing.T, o Options, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, network.NewMem(), o)
		f(r)
		r.stop()
		// Replies that handlers still held have been given by now; timers that nobody waits for fire into nothing.
		time.Sleep(time.Hour)
	})
}

// held is a handler that keeps requests until they are asked for.
type held struct {
	mu sync.Mutex
	q  []heldRequest
}

type heldRequest struct {
	req   *Request
	reply Reply
}

func (h *held) Serve(req *Request, reply Reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.q = append(h.q, heldRequest{req, reply})
}

func (h *held) take() []heldRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.q
	h.q = nil
	return q
}

func (h heldRequest) echo() { echo(h.req, h.reply) }
