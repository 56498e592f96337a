package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

// Requests of every size, cut anywhere, some answered at once and some by other goroutines in any order, come back in the order they
// were sent and unharmed.
func TestOrderUnderRandomCompletion(t *testing.T) {
	for name, n := range map[string]network.Network{"os": network.OS, "mem": network.NewMem(), "plain": plain{network.OS}} {
		t.Run(name, func(t *testing.T) {
			var released, sends atomic.Int64
			later := make(chan heldRequest, 1000)
			handler := handlerFunc(func(req *Request, reply Reply) {
				if len(req.Body) > 0 && req.Body[0]%3 == 0 {
					echo(req, reply)
					return
				}
				later <- heldRequest{req, reply}
			})
			r := start(t, n, Options{Handler: handler, MaxRequestBytes: 8 << 20})
			var workers sync.WaitGroup
			for i := range 3 {
				workers.Go(func() {
					g := rand.New(rand.NewPCG(uint64(i), 9))
					var q []heldRequest
					flush := func() {
						g.Shuffle(len(q), func(i, j int) { q[i], q[j] = q[j], q[i] })
						for _, h := range q {
							// Three spans, one of them large enough not to be copied.
							body := bytes.Clone(h.req.Body)
							half := len(body) / 2
							sends.Add(1)
							h.reply.Send([]vfs.Span{vfs.MemSpan(h.req.AppendHeader(nil)), vfs.MemSpan(body[:half]), vfs.MemSpan(body[half:])},
								func() { released.Add(1) })
						}
						q = q[:0]
					}
					for {
						select {
						case h, ok := <-later:
							if !ok {
								flush()
								return
							}
							q = append(q, h)
							if g.IntN(4) == 0 {
								flush()
							}
							continue
						default:
						}
						flush()
						h, ok := <-later
						if !ok {
							return
						}
						q = append(q, h)
					}
				})
			}
			var clients sync.WaitGroup
			for i := range 4 {
				c := r.dial()
				clients.Go(func() {
					defer c.Close()
					g := rand.New(rand.NewPCG(uint64(i), 1))
					var bodies [][]byte
					var wire []byte
					for k := range 150 {
						size := g.IntN(100)
						switch g.IntN(40) {
						case 0, 1, 2:
							size = g.IntN(70_000)
						case 3:
							size = g.IntN(400_000)
						}
						body := make([]byte, size)
						for j := range body {
							body[j] = byte(g.Uint32())
						}
						bodies = append(bodies, body)
						wire = append(wire, frame(int32(k), body)...)
					}
					var sender sync.WaitGroup
					sender.Go(func() {
						for len(wire) > 0 {
							n := min(len(wire), g.IntN([]int{3, 600, 100_000, 1 << 20}[g.IntN(4)])+1)
							if _, err := c.Write(wire[:n]); err != nil {
								t.Error(err)
								return
							}
							wire = wire[n:]
						}
					})
					for k, body := range bodies {
						id, got, err := c.receive()
						if err != nil || id != int32(k) || !bytes.Equal(got, body) {
							t.Errorf("response %d: id %d, %d bytes, want %d: %v", k, id, len(got), len(body), err)
							break
						}
					}
					sender.Wait()
				})
			}
			clients.Wait()
			r.stop()
			close(later)
			workers.Wait()
			if released.Load() != sends.Load() || sends.Load() == 0 {
				t.Errorf("%d sends, %d releases", sends.Load(), released.Load())
			}
		})
	}
}

// plain hides what its connections can do beyond net.Conn.
type plain struct{ network.Network }

func (p plain) Listen(ctx context.Context, addr string) (network.Listener, error) {
	l, err := p.Network.Listen(ctx, addr)
	return plainListener{l, nil}, err
}

type plainListener struct {
	network.Listener
	writes *atomic.Int64
}

func (l plainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return plainConn{c, l.writes}, err
}

type plainConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c plainConn) Write(b []byte) (int, error) {
	if c.writes != nil {
		c.writes.Add(1)
	}
	return c.Conn.Write(b)
}

// counted counts the writes of the server.
type counted struct {
	network.Network
	writes atomic.Int64
}

func (n *counted) Listen(ctx context.Context, addr string) (network.Listener, error) {
	l, err := n.Network.Listen(ctx, addr)
	return plainListener{l, &n.writes}, err
}

// Requests that arrive together are answered by one write, both when the reader answers and when another goroutine does.
func TestPipelinedAnswersShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &held{}
		inline := true
		n := &counted{Network: network.NewMem()}
		r := start(t, n, Options{Handler: handlerFunc(func(req *Request, reply Reply) {
			if inline {
				echo(req, reply)
			} else {
				h.Serve(req, reply)
			}
		})})
		c := r.dial()
		var wire []byte
		for i := range 20 {
			wire = append(wire, frame(int32(i), []byte("x"))...)
		}
		c.send(wire)
		for i := range 20 {
			c.want(int32(i), "x")
		}
		if w := n.writes.Load(); w > 1 {
			t.Errorf("%d writes for 20 answers of the reader", w)
		}
		synctest.Wait()
		n.writes.Store(0)
		inline = false
		c.send(wire)
		synctest.Wait()
		q := h.take()
		for i := len(q) - 1; i >= 0; i-- { // the first one last: then all can go
			q[i].echo()
		}
		for i := range 20 {
			c.want(int32(i), "x")
		}
		if w := n.writes.Load(); len(q) != 20 || w > 1 {
			t.Errorf("%d writes for %d answers given together", w, len(q))
		}
		c.Close()
		r.stop()
	})
}

func TestInFlightLimit(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: h, MaxInFlight: 3}, func(r *rig) {
		c := r.dial()
		for i := range 8 {
			c.send(frame(int32(i), []byte("x")))
		}
		next := int32(0)
		for _, want := range []int{3, 3, 2} {
			synctest.Wait()
			q := h.take()
			if len(q) != want {
				t.Fatalf("%d requests were served, want %d", len(q), want)
			}
			for _, x := range q {
				x.echo()
			}
			for range want {
				c.want(next, "x")
				next++
			}
		}
		c.Close()
	})
}

// Answers behind one that is not there yet count against the connection, and stop it from sending more requests.
func TestQueuedBytesLimit(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: h, MaxQueuedBytes: 100_000}, func(r *rig) {
		c := r.dial()
		for i := range 10 {
			c.send(frame(int32(i), make([]byte, 40_000)))
		}
		synctest.Wait()
		q := h.take()
		if len(q) != 10 {
			t.Fatalf("%d requests were served, want 10", len(q))
		}
		for _, x := range q[1:] {
			x.echo()
		}
		c.send(frame(10, []byte("x")))
		synctest.Wait()
		if more := h.take(); len(more) != 0 {
			t.Errorf("%d more requests were taken over the limit", len(more))
		}
		q[0].echo()
		for i := range int32(10) {
			if id, b, err := c.receive(); id != i || len(b) != 40_000 || err != nil {
				t.Fatalf("response %d: %d, %d bytes, %v", i, id, len(b), err)
			}
		}
		synctest.Wait()
		h.take()[0].echo()
		c.want(10, "x")
		c.Close()
	})
}

func TestBadFrames(t *testing.T) {
	size := func(n int32) []byte { return protocol.AppendInt32(nil, n) }
	withHeader := func(h protocol.RequestHeader) []byte {
		b := protocol.AppendRequestHeader(make([]byte, 4), h)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		return b
	}
	for name, c := range map[string]struct {
		wire []byte
		want error
	}{
		"size -1":        {size(-1), ErrFrameSize},
		"size min":       {size(-1 << 31), ErrFrameSize},
		"size 0":         {size(0), ErrFrameSize},
		"size max":       {size(1<<31 - 1), ErrFrameSize},
		"over the limit": {size(1<<20 + 1), ErrFrameSize},
		"tls":            {[]byte{0x16, 3, 1, 2, 0, 1, 0, 1}, ErrFrameSize},
		"http":           {[]byte("GET / HTTP/1.1\r\n\r\n"), ErrFrameSize},
		"short header":   {append(size(3), 0, 0, 0), protocol.ErrMalformed},
		"unknown api":    {withHeader(protocol.RequestHeader{Key: 999}), &protocol.UnsupportedError{}},
		"removed api":    {withHeader(protocol.RequestHeader{Key: 4}), &protocol.UnsupportedError{}},
		"new version":    {withHeader(protocol.RequestHeader{Key: protocol.KeyFetch, Version: 99}), &protocol.UnsupportedError{}},
		"long client id": {withHeader(protocol.RequestHeader{Key: testKey, ClientID: strings.Repeat("x", 300)}), protocol.ErrMalformed},
		"cut off":        {frame(1, []byte("abc"))[:12], ErrDisconnected},
	} {
		t.Run(name, func(t *testing.T) {
			h := &held{}
			bubble(t, Options{Handler: h, MaxRequestBytes: 1 << 20}, func(r *rig) {
				cl := r.dial()
				// A good request before it is still answered, although it is not yet when the bad one arrives.
				cl.send(frame(7, []byte("good")), c.wire)
				if c.want == ErrDisconnected {
					_ = cl.Conn.(interface{ CloseWrite() error }).CloseWrite()
				}
				synctest.Wait()
				for _, x := range h.take() {
					x.echo()
				}
				cl.want(7, "good")
				cl.wantEnd()
				synctest.Wait()
				var u *protocol.UnsupportedError
				if errors.As(c.want, &u) {
					if got := r.reasons(); len(got) != 1 || !errors.As(got[0], &u) {
						t.Errorf("ended with %v", got)
					}
				} else {
					r.wantReason(c.want)
				}
				cl.Close()
			})
		})
	}
}

func TestRandomGarbage(t *testing.T) {
	r := start(t, network.OS, Options{Handler: handlerFunc(echo)})
	g := rand.New(rand.NewPCG(4, 4))
	for range 50 {
		c := r.dial()
		b := make([]byte, 100_000)
		for i := range b {
			b[i] = byte(g.Uint32())
		}
		_, _ = c.Write(b) // it may be cut off while it sends
		c.wantEnd()
		c.Close()
	}
	r.stop()
}

// Connections that claim the largest request and send a thousandth of it hold little, do not keep others from being served, and are
// closed when they send no more.
func TestLyingLengths(t *testing.T) {
	const liars = 500
	bubble(t, Options{Handler: handlerFunc(echo), StallTimeout: 30 * time.Second}, func(r *rig) {
		var cs []*client
		lie := append(protocol.AppendInt32(nil, 100<<20), make([]byte, 1<<10)...)
		for range liars {
			c := r.dial()
			c.send(lie)
			cs = append(cs, c)
		}
		synctest.Wait()
		if n := r.server.MemoryInUse(); n > liars*(17<<10) {
			t.Errorf("%d bytes are held for %d connections", n, liars)
		}
		honest := r.dial()
		honest.send(frame(1, make([]byte, 3<<20)))
		if id, b, err := honest.receive(); id != 1 || len(b) != 3<<20 || err != nil {
			t.Errorf("honest client got %d, %d bytes, %v", id, len(b), err)
		}
		honest.Close()
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := r.server.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		r.wantReason(ErrStalled)
		for _, c := range cs {
			c.Close()
		}
	})
}

// When the budget is used up, requests wait for it in line and get it, or the connection is closed in the end.
func TestMemoryBudget(t *testing.T) {
	h := &held{}
	// Two requests of 2 MiB fit, with room to grow into but none for a third.
	bubble(t, Options{Handler: h, MaxRequestBytes: 2 << 20, MaxMemoryBytes: 11 << 19, StallTimeout: 10 * time.Second}, func(r *rig) {
		body := make([]byte, 2<<20-100)
		cs := []*client{r.dial(), r.dial(), r.dial()}
		for i, c := range cs {
			go func() { _, _ = c.Write(frame(int32(i), body)) }()
			synctest.Wait()
		}
		q := h.take()
		if len(q) != 2 {
			t.Fatalf("%d requests were served, want 2", len(q))
		}
		if n := r.server.MemoryInUse(); n > r.server.MaxMemoryBytes {
			t.Errorf("%d of %d bytes are in use", n, r.server.MaxMemoryBytes)
		}
		if q[0].req.Charge(3 << 20) {
			t.Error("charge was granted beyond the budget")
		}
		q[0].reply.None()
		synctest.Wait()
		third := h.take()
		if len(third) != 1 {
			t.Fatalf("%d requests were served after one was answered, want 1", len(third))
		}
		// The budget is full again; the fourth waits in vain.
		fourth := r.dial()
		go func() { _, _ = fourth.Write(frame(4, body)) }()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		r.wantReason(ErrMemory)
		for _, x := range append(q[1:], third...) {
			x.reply.None()
		}
		synctest.Wait()
		fifth := r.dial()
		go func() { _, _ = fifth.Write(frame(5, body)) }()
		synctest.Wait()
		if q := h.take(); len(q) != 1 {
			t.Errorf("%d requests were served after all were answered, want 1", len(q))
		} else {
			q[0].reply.None()
		}
		for _, c := range append(cs, fourth, fifth) {
			c.Close()
		}
	})
}

func TestCutInTheBody(t *testing.T) {
	for _, n := range []int{2, 300, 5000, 70_000, 900_000} {
		bubble(t, Options{Handler: handlerFunc(echo)}, func(r *rig) {
			c := r.dial()
			c.send(frame(1, make([]byte, 1<<20))[:n])
			c.Close()
			synctest.Wait()
			r.empty()
			r.wantReason(ErrDisconnected)
		})
	}
}

// A client that asks and never reads is closed; meanwhile what it makes the server hold is bounded, and no reply waits for it.
func TestSlowReader(t *testing.T) {
	var served atomic.Int64
	released := atomic.Int64{}
	big := make([]byte, 1<<20)
	handler := handlerFunc(func(req *Request, reply Reply) {
		served.Add(1)
		go reply.Send([]vfs.Span{vfs.MemSpan(req.AppendHeader(nil)), vfs.MemSpan(big)}, func() { released.Add(1) })
	})
	bubble(t, Options{Handler: handler, MaxQueuedBytes: 4 << 20, StallTimeout: 30 * time.Second}, func(r *rig) {
		c := r.dial()
		go func() {
			for i := range int32(1000) {
				if _, err := c.Write(frame(i, nil)); err != nil {
					return
				}
			}
		}()
		time.Sleep(29 * time.Second)
		if n := served.Load(); n > 200 {
			t.Errorf("%d requests of a client that does not read were served", n)
		}
		if r.server.Connections() != 1 {
			t.Error("closed too early")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.empty()
		r.wantReason(ErrStalled)
		if served.Load() != released.Load() {
			t.Errorf("%d answers, %d released", served.Load(), released.Load())
		}
		c.Close()
	})
}

// Who delivers an answer writes it, and waits for the client to take it, but not while somebody else is writing.
func TestDeliver(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: h}, func(r *rig) {
		c := r.dial()
		c.send(frame(1, nil), frame(2, nil))
		synctest.Wait()
		q := h.take()
		var done [2]atomic.Bool
		for i := range q {
			go func() {
				q[i].reply.Deliver([]vfs.Span{vfs.MemSpan(q[i].req.AppendHeader(nil)), vfs.MemSpan(make([]byte, 1<<20))}, nil)
				done[i].Store(true)
			}()
			synctest.Wait()
		}
		if done[0].Load() || !done[1].Load() {
			t.Errorf("while nothing is taken deliveries have returned: %v, %v; want the second alone, which the first one writes", done[0].Load(), done[1].Load())
		}
		for i := range int32(2) {
			c.want(i+1, string(make([]byte, 1<<20)))
		}
		synctest.Wait()
		if !done[0].Load() {
			t.Error("the answers were taken, and who delivers still waits")
		}
		c.Close()
	})
}

// Who reads slowly but reads is not closed.
func TestSlowButSteadyReader(t *testing.T) {
	big := make([]byte, 20<<20)
	handler := handlerFunc(func(req *Request, reply Reply) {
		reply.Send([]vfs.Span{vfs.MemSpan(req.AppendHeader(nil)), vfs.MemSpan(big)}, nil)
	})
	bubble(t, Options{Handler: handler, StallTimeout: 30 * time.Second}, func(r *rig) {
		c := r.dial()
		c.send(frame(1, nil))
		buf := make([]byte, 1<<20)
		for got := 0; got < len(big)+8; {
			time.Sleep(2 * time.Second)
			n, err := c.Read(buf)
			if got += n; err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
		}
		c.Close()
	})
}

func TestHalfClose(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: h}, func(r *rig) {
		c := r.dial()
		c.send(frame(1, []byte("a")), frame(2, []byte("b")))
		_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		synctest.Wait()
		q := h.take()
		if err := q[0].req.Conn.Context().Err(); err == nil {
			t.Error("context goes on although the client sends nothing more")
		}
		q[1].echo()
		q[0].echo()
		c.want(1, "a")
		c.want(2, "b")
		c.wantEnd()
		c.Close()
	})
}

func TestIdle(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: h, IdleTimeout: 10 * time.Minute}, func(r *rig) {
		quiet, waiting := r.dial(), r.dial()
		time.Sleep(5 * time.Minute)
		waiting.send(frame(1, []byte("x")))
		time.Sleep(5*time.Minute + time.Second)
		quiet.wantEnd()
		r.wantReason(ErrIdle)
		// The other one waits for its answer for an hour, and is idle from then on.
		time.Sleep(time.Hour)
		h.take()[0].echo()
		waiting.want(1, "x")
		time.Sleep(9 * time.Minute)
		if r.server.Connections() != 1 {
			t.Error("closed although it was not idle")
		}
		time.Sleep(11 * time.Minute)
		waiting.wantEnd()
		quiet.Close()
		waiting.Close()
	})
}

func TestNoneAndClose(t *testing.T) {
	why := errors.New("refused without an answer")
	h := &held{}
	bubble(t, Options{Handler: h}, func(r *rig) {
		c := r.dial()
		for i := range int32(5) {
			c.send(frame(i, []byte("x")))
		}
		synctest.Wait()
		q := h.take()
		q[4].echo()           // never leaves: it comes after the close
		q[3].reply.Close(why) // waits for those before it
		q[1].reply.None()
		q[2].echo()
		synctest.Wait()
		if len(r.reasons()) != 0 {
			t.Error("closed before the responses in front of it were sent")
		}
		q[0].echo()
		c.want(0, "x")
		c.want(2, "x")
		c.wantEnd()
		synctest.Wait()
		r.wantReason(why)
		c.Close()
	})
}

// After Close nothing more is served, though it was received.
func TestCloseStopsServing(t *testing.T) {
	served := 0
	why := errors.New("no more")
	bubble(t, Options{Handler: handlerFunc(func(req *Request, reply Reply) { served++; reply.Close(why) })}, func(r *rig) {
		c := r.dial()
		c.send(frame(1, nil), frame(2, nil), frame(3, nil))
		c.wantEnd()
		synctest.Wait()
		if served != 1 {
			t.Errorf("%d requests were served", served)
		}
		r.wantReason(why)
		c.Close()
	})
}

func TestShutdownDrains(t *testing.T) {
	h := &held{}
	synctest.Test(t, func(t *testing.T) {
		r := start(t, network.NewMem(), Options{Handler: h})
		c, idle := r.dial(), r.dial()
		c.send(frame(1, []byte("a")), frame(2, []byte("b")))
		half := r.dial()
		half.send(frame(1, make([]byte, 100_000))[:5000])
		synctest.Wait()
		q := h.take()
		done := make(chan error, 1)
		go func() { done <- r.server.Shutdown(context.Background()) }()
		synctest.Wait()
		if context.Cause(q[0].req.Conn.Context()) != ErrShutdown {
			t.Error("long polls are not told")
		}
		select {
		case <-done:
			t.Fatal("did not wait for what is in flight")
		default:
		}
		if _, err := r.net.Dial(context.Background(), r.addr); err == nil {
			t.Error("still listens")
		}
		q[1].echo()
		q[0].echo()
		c.want(1, "a")
		c.want(2, "b")
		c.wantEnd()
		idle.wantEnd()
		half.wantEnd()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.serve.Wait()
		r.empty()
		if err := r.server.Serve(context.Background(), "again", nopListener{}); err != ErrShutdown {
			t.Errorf("serve after shutdown: %v", err)
		}
		for _, c := range []*client{c, idle, half} {
			c.Close()
		}
	})
}

type nopListener struct{ network.Listener }

func (nopListener) Close() error { return nil }

// What a handler does not answer in time is cut off, and may still be answered later.
func TestShutdownDeadline(t *testing.T) {
	h := &held{}
	synctest.Test(t, func(t *testing.T) {
		r := start(t, network.NewMem(), Options{Handler: h, MaxInFlight: 2})
		c := r.dial()
		c.send(frame(1, nil), frame(2, nil), frame(3, nil)) // the third waits for its turn
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		r.serve.Wait()
		c.wantEnd()
		released := false
		q := h.take()
		q[0].reply.Send(nil, func() { released = true })
		q[1].reply.Close(errors.New("late"))
		if !released {
			t.Error("late reply was not released")
		}
		r.empty()
		c.Close()
	})
}

// A broken invariant and any other panic of a handler reach the broker, from the reader and from a writer.
func TestPanicIsFatal(t *testing.T) {
	for name, handler := range map[string]handlerFunc{
		"violation": func(*Request, Reply) { invariant.Check(false, "two and two is %d", 5) },
		"other":     func(*Request, Reply) { panic("two and two") },
		"twice": func(req *Request, reply Reply) {
			echo(req, reply)
			reply.None()
		},
		"writer": func(req *Request, reply Reply) {
			go reply.Send([]vfs.Span{vfs.MemSpan(req.AppendHeader(nil))}, func() { invariant.Check(false, "two and two") })
		},
		"delivery": func(req *Request, reply Reply) {
			go reply.Deliver([]vfs.Span{vfs.MemSpan(req.AppendHeader(nil))}, func() { invariant.Check(false, "two and two") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			fatal := make(chan error, 1)
			bubble(t, Options{Handler: handler, OnFatal: func(err error) { fatal <- err }}, func(r *rig) {
				c := r.dial()
				c.send(frame(1, nil))
				err := <-fatal
				var v *invariant.Violation
				if errors.As(err, &v) != (name != "other") || !strings.Contains(err.Error(), "two and two") && name != "twice" {
					t.Errorf("told of %v", err)
				}
				_, _ = io.Copy(io.Discard, c)
				c.Close()
				synctest.Wait()
				// What the panicking handler had in hand is lost; the broker is about to stop.
				r.server.memory.used.Store(0)
			})
		})
	}
}

func TestConnFacts(t *testing.T) {
	bubble(t, Options{Handler: handlerFunc(func(req *Request, reply Reply) {
		c := req.Conn
		n, _ := c.State.(int)
		c.State = n + 1
		reply.SendBytes(fmt.Appendf(req.AppendHeader(nil), "%d %s %s %s %v", n, c.Listener(), c.Host(), req.Header.ClientID, req.Received.IsZero()))
	})}, func(r *rig) {
		c := r.dial()
		for i := range 2 {
			c.send(frame(1, nil))
			c.want(1, fmt.Sprintf("%d PLAINTEXT client test false", i))
		}
		c.Close()
	})
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no handler")
	}
	if _, err := New(Options{Handler: handlerFunc(echo), MaxInFlight: -1}); err == nil {
		t.Error("negative limit")
	}
}

func TestBufferClasses(t *testing.T) {
	for _, n := range []int{0, 1, 512, 544, 545, 1088, 1089, 16<<10 + 1000, 1<<20 + 500, 1<<20 + 1<<16, 1<<20 + 1<<16 + 1, 16 << 20, 17 << 20, 17<<20 + 1, 21 << 20, 100 << 20, 1 << 30} {
		c := classOf(n)
		if classBytes(c) < int64(n) || c > minClass && classBytes(c-1) >= int64(n) {
			t.Errorf("%d bytes get class %d of %d", n, c, classBytes(c))
		}
	}
}

// A large buffer is kept for the next request while little of the budget is used, or each would be made anew; and not otherwise, or a flood of them
// would leave memory that nobody counts.
func TestLargeBuffersAreKeptWhileThereIsMuchRoom(t *testing.T) {
	class := classOf(smallMost + 1)
	m := &budget{limit: 5 * classBytes(class)}
	again := func() (n int) {
		for range 100 {
			b := newBuffer(class)
			b.free(m)
			if newBuffer(class) == b {
				n++
			}
		}
		return n
	}
	if n := again(); n == 0 {
		t.Error("no large buffer is kept though nothing of the budget is used")
	}
	for pools[class].Get() != nil { // none of those is left
	}
	m.force(classBytes(class))
	if n := again(); n != 0 {
		t.Errorf("%d large buffers of 100 are kept while memory is used", n)
	}
	if b := newBuffer(classOf(smallMost)); !m.keeps(classBytes(b.class)) {
		t.Error("a small buffer is not kept")
	}
}

// TestRequestsGrowWithinTheirPart: whatever its size, and whatever came with its first bytes, the largest request finds room while it grows if there is nothing else.
func TestRequestsGrowWithinTheirPart(t *testing.T) {
	for _, most := range []int{1 << 20, 4 << 20, 16 << 20, 17 << 20, 20 << 20, 40 << 20, 70 << 20, 100 << 20, 300 << 20} {
		for _, part := range []int{1, 2, 3} {
			size := most / part
			for first := 1; first <= len(block{}); first += 4099 {
				b := classBytes(classOf(grown(max(first, firstBody/growth), size)))
				for b < int64(size) {
					next := classBytes(classOf(grown(int(b), size)))
					if next <= b {
						t.Fatalf("%d bytes do not grow from %d", size, b)
					}
					if b+next > growing(most) {
						t.Fatalf("%d of at most %d bytes take %d and %d, which is more than %d", size, most, b, next, growing(most))
					}
					if b > hugeBody && size > growth*int(b) && next > 2*b+hugeStep {
						t.Fatalf("%d bytes that claim %d get %d", b, size, next)
					}
					b = next
				}
			}
		}
	}
}

// Of a connection only so many requests wait at a time because they want to. What is behind them is looked at when one is answered; if the client has gone
// meanwhile, which cannot be seen, the connection is closed as an idle one.
func TestParkedLimit(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: handlerFunc(func(req *Request, reply Reply) {
		req.Park()
		h.Serve(req, reply)
	})}, func(r *rig) {
		c := r.dial()
		var sent []byte
		for i := range int32(100) {
			sent = append(sent, frame(i, make([]byte, 600))...)
		}
		c.send(sent)
		answered := int32(0)
		for range 3 {
			synctest.Wait()
			q := h.take()
			if len(q) != maxParked {
				t.Fatalf("%d requests wait, want %d", len(q), maxParked)
			}
			if n := r.server.MemoryInUse(); n < int64(maxParked*parkedCharge+len(sent)-int(answered+maxParked)*len(sent)/100) || n > 100_000 {
				t.Errorf("%d bytes are paid for", n)
			}
			for i := range q { // in any order
				x := q[len(q)-1-i]
				x.reply.SendBytes(x.req.AppendHeader(nil))
			}
			for range q {
				c.want(answered, "")
				answered++
			}
		}
		synctest.Wait()
		c.Close()
		time.Sleep(9 * time.Minute)
		if n := r.server.Connections(); n != 1 {
			t.Errorf("%d connections, of which one waits", n)
		}
		time.Sleep(2 * time.Minute)
		r.wantReason(ErrIdle)
		for _, x := range h.take() {
			x.reply.None()
		}
	})
}

// Requests that wait for a time are told when it is over, each at its own, and when the client has no more to say.
func TestParkFor(t *testing.T) {
	type waiter struct {
		heldRequest
		over chan struct{}
	}
	parked := make(chan waiter, 10)
	handler := handlerFunc(func(req *Request, reply Reply) {
		w := waiter{heldRequest{req, reply}, make(chan struct{})}
		req.ParkFor(time.Duration(req.Header.CorrelationID)*time.Second, func() { close(w.over) })
		parked <- w
	})
	bubble(t, Options{Handler: handler}, func(r *rig) {
		c := r.dial()
		began := time.Now()
		at := func(what string, w waiter, want time.Duration) {
			t.Helper()
			<-w.over
			if got := time.Since(began); got != want*time.Second {
				t.Errorf("%s is over after %s, want %d s", what, got, want)
			}
		}
		answer := func(w waiter) {
			id := w.req.Header.CorrelationID
			w.reply.SendBytes(w.req.AppendHeader(nil))
			c.want(id, "")
		}
		c.send(frame(10, nil))
		first := <-parked
		conn := first.req.Conn
		time.Sleep(time.Second)
		answer(first)
		c.send(frame(12, nil), frame(3, nil))
		long, short := <-parked, <-parked
		at("what came last, and waits for less", short, 4)
		short.reply.SendBytes(short.req.AppendHeader(nil))
		at("what waits for more", long, 13)
		answer(long)
		c.want(3, "")
		time.Sleep(time.Minute)
		select {
		case <-first.over:
			t.Error("what was answered in time was told that it is over")
		default:
		}
		conn.mu.Lock()
		if conn.mu.reminder != nil {
			t.Error("a connection on which nothing waits keeps a timer for it")
		}
		conn.mu.Unlock()
		began = time.Now()
		c.send(frame(20, nil))
		again := <-parked
		at("what came while nothing waited", again, 20)
		answer(again)
		c.send(frame(1000, nil))
		last := <-parked
		began = time.Now()
		_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		at("what the client has gone from", last, 0)
		answer(last)
		c.Close()
	})
}

// Who parks a request of a connection that has ended is told at once.
func TestParkForAfterTheEnd(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: h}, func(r *rig) {
		c := r.dial()
		c.send(frame(1, nil))
		synctest.Wait()
		q := h.take()
		c.Close()
		synctest.Wait()
		told := false
		q[0].req.ParkFor(time.Hour, func() { told = true })
		if !told {
			t.Error("a request is to wait for an hour for nobody")
		}
		q[0].reply.None()
	})
}
