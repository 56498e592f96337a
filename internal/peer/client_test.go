package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/server"
)

// other is the other side: a real server whose answers the test gives.
type other struct {
	t       *testing.T
	net     *network.Mem
	server  *server.Server
	serving sync.WaitGroup
	got     chan string   // bodies of messages
	hold    chan struct{} // requests "hold" wait for it
}

const address = "n2:9093"

func (o *other) Serve(req *server.Request, reply server.Reply) {
	body := string(req.Body)
	switch {
	case req.Header.Key == protocol.KeyRaftMessage:
		reply.None()
		o.got <- body
	case body == "hold":
		go func() {
			<-o.hold
			reply.SendBytes(append(req.AppendHeader(nil), body...))
		}()
	case body == "close":
		reply.Close(errors.New("as asked"))
	default:
		reply.SendBytes(append(req.AppendHeader(nil), strings.ToUpper(body)...))
	}
}

func newOther(t *testing.T, net *network.Mem) *other {
	t.Helper()
	o := &other{t: t, net: net, got: make(chan string, 10_000), hold: make(chan struct{})}
	var err error
	if o.server, err = server.New(server.Options{Handler: o}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	o.serving.Go(func() { _ = o.server.Serve(context.Background(), "CONTROLLER", l) })
	return o
}

// stop ends the other side; what it holds is let go first.
func (o *other) stop() {
	close(o.hold)
	if err := o.server.Shutdown(context.Background()); err != nil {
		o.t.Error(err)
	}
	o.serving.Wait()
}

func options(net *network.Mem) Options {
	return Options{Network: net, Clock: clock.Real, Address: address, ClientID: "node-1"}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// awaitSent waits until so many requests are on their way.
func (c *Client) awaitSent(t *testing.T, n int) {
	t.Helper()
	for ctx := within(t); ; runtime.Gosched() {
		c.mu.Lock()
		waits := len(c.waiting)
		c.mu.Unlock()
		if waits >= n {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%d of %d requests were sent", waits, n)
		}
	}
}

func TestCalls(t *testing.T) {
	net := network.NewMem()
	o := newOther(t, net)
	defer o.stop()
	c := New(options(net))
	defer c.Close()
	var calling sync.WaitGroup
	for i := range 200 {
		calling.Go(func() {
			body, err := c.Call(within(t), protocol.KeyNodeInfo, fmt.Append(nil, "request ", i))
			if want := fmt.Sprint("REQUEST ", i); err != nil || string(body) != want {
				t.Errorf("%q, %v; want %q", body, err, want)
			}
		})
	}
	calling.Wait()
	large := strings.Repeat("a", 3<<20)
	if body, err := c.Call(within(t), protocol.KeyNodeInfo, []byte(large)); err != nil || string(body) != strings.ToUpper(large) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

func TestMessagesComeInOrder(t *testing.T) {
	net := network.NewMem()
	o := newOther(t, net)
	defer o.stop()
	c := New(options(net))
	defer c.Close()
	for i := range 1000 {
		c.Send(protocol.KeyRaftMessage, fmt.Append(nil, i))
	}
	for i := range 1000 {
		select {
		case got := <-o.got:
			if got != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, got)
			}
		case <-within(t).Done():
			t.Fatalf("message %d did not come", i)
		}
	}
}

// TestNobodyThere: nothing waits for a node that is not there, and everybody learns that nothing was sent.
func TestNobodyThere(t *testing.T) {
	c := New(options(network.NewMem()))
	defer c.Close()
	for range 3 * queueMax {
		c.Send(protocol.KeyRaftMessage, []byte("lost"))
	}
	if _, err := c.Call(within(t), protocol.KeyNodeInfo, nil); !errors.Is(err, ErrNotSent) {
		t.Errorf("%v", err)
	}
}

func TestNoAnswer(t *testing.T) {
	net := network.NewMem()
	o := newOther(t, net)
	defer o.stop()
	c := New(options(net))
	defer c.Close()
	if _, err := c.Call(within(t), protocol.KeyNodeInfo, []byte("close")); !errors.Is(err, ErrLost) {
		t.Errorf("a connection that is closed: %v", err)
	}
	if _, err := c.Call(within(t), protocol.KeyNodeInfo, []byte("again")); err != nil {
		t.Errorf("another connection: %v", err)
	}
	// A caller may stop waiting; who comes later on the same connection gets the right answer.
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := c.Call(ctx, protocol.KeyNodeInfo, []byte("hold"))
		left <- err
	}()
	c.awaitSent(t, 1)
	cancel()
	if err := <-left; !errors.Is(err, ErrLost) || !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
	o.hold <- struct{}{}
	if body, err := c.Call(within(t), protocol.KeyNodeInfo, []byte("later")); err != nil || string(body) != "LATER" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestCloseAnswersAll(t *testing.T) {
	net := network.NewMem()
	o := newOther(t, net)
	defer o.stop()
	c := New(options(net))
	answers := make(chan error, 3)
	for range cap(answers) {
		go func() {
			_, err := c.Call(within(t), protocol.KeyNodeInfo, []byte("hold"))
			answers <- err
		}()
	}
	c.awaitSent(t, cap(answers))
	c.Close()
	for range cap(answers) {
		if err := <-answers; !errors.Is(err, ErrLost) {
			t.Errorf("%v", err)
		}
	}
	if _, err := c.Call(within(t), protocol.KeyNodeInfo, nil); !errors.Is(err, ErrNotSent) {
		t.Errorf("after the end: %v", err)
	}
}

func await(t *testing.T, what string, from chan struct{}) {
	t.Helper()
	select {
	case <-from:
	case <-within(t).Done():
		t.Fatalf("waited for %s", what)
	}
}

// TestLost: the end of a process is told, the end of a connection is not.
func TestLost(t *testing.T) {
	net := network.NewMem()
	o := newOther(t, net)
	up, lost := make(chan struct{}, 10), make(chan struct{}, 10)
	opts := options(net)
	opts.Keep = true
	opts.up = func() { up <- struct{}{} }
	opts.Lost = func() { lost <- struct{}{} }
	c := New(opts)
	defer c.Close()
	await(t, "a connection", up)
	if _, err := c.Call(within(t), protocol.KeyNodeInfo, []byte("close")); !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
	await(t, "another connection", up)
	if len(lost) > 0 {
		t.Fatal("a node that answers is told to be lost")
	}
	o.stop()
	await(t, "the loss", lost)
	o = newOther(t, net)
	await(t, "the node to be back", up)
	o.stop()
	await(t, "the second loss", lost)
}

// hangsUp is a network in which every dial that would be refused first finds a process that closes the connection meanwhile.
type hangsUp struct {
	network.Network
	next bool
}

func (h *hangsUp) Dial(ctx context.Context, addr string) (network.Conn, error) {
	conn, err := h.Network.Dial(ctx, addr)
	if h.next = network.Refused(err) && !h.next; h.next {
		err = &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNRESET)}
	}
	return conn, err
}

// TestLostWhileItCloses: a process that ends may still be dialled, and close that connection as it ends. Its loss is told all the same.
func TestLostWhileItCloses(t *testing.T) {
	mem := network.NewMem()
	o := newOther(t, mem)
	up, lost := make(chan struct{}, 10), make(chan struct{}, 10)
	opts := options(mem)
	opts.Network = &hangsUp{Network: mem}
	opts.Keep = true
	opts.up = func() { up <- struct{}{} }
	opts.Lost = func() { lost <- struct{}{} }
	c := New(opts)
	defer c.Close()
	await(t, "a connection", up)
	o.stop()
	await(t, "the loss", lost)
}
