package server

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/network"
)

// throttle answers at once, and then does not read for as long as the body says.
func throttle(req *Request, reply Reply) {
	if d, err := time.ParseDuration(string(req.Body)); err == nil {
		reply.Throttle(d)
	}
	echo(req, reply)
}

// A throttled request is answered at once; those behind it, sent with it or later, wait, keep their order, and are answered then.
func TestMuted(t *testing.T) {
	bubble(t, Options{Handler: handlerFunc(throttle)}, func(r *rig) {
		c, other := r.dial(), r.dial()
		defer c.Close()
		defer other.Close()
		begin := time.Now()
		after := func(want time.Duration) {
			t.Helper()
			if got := time.Since(begin); got != want {
				t.Errorf("answered after %v, want %v", got, want)
			}
		}
		c.send(frame(1, []byte("a")), frame(2, []byte("10s")), frame(3, []byte("b")), frame(4, []byte("c")))
		c.want(1, "a")
		c.want(2, "10s")
		after(0)
		c.send(frame(5, []byte("5s")), frame(6, make([]byte, 200_000))[:150_000])
		other.send(frame(1, []byte("x")))
		other.want(1, "x")
		after(0)
		synctest.Wait()
		r.server.mu.Lock()
		for conn := range r.server.mu.conns {
			conn.mu.Lock()
			if conn.muted.Load() != 0 && conn.in.block != nil {
				t.Error("a connection that is not read from holds a block")
			}
			conn.mu.Unlock()
		}
		r.server.mu.Unlock()
		c.want(3, "b")
		after(10 * time.Second)
		c.want(4, "c")
		c.want(5, "5s")
		after(10 * time.Second)
		c.send(frame(6, make([]byte, 200_000))[150_000:])
		c.want(6, string(make([]byte, 200_000)))
		after(15 * time.Second)
		c.send(frame(7, []byte("a")))
		c.want(7, "a")
		after(15 * time.Second)
	})
}

// An answer that comes later mutes from then on, and what was in flight before it is answered while the connection is muted. The longest
// throttle time counts.
func TestMutedByLaterAnswer(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: h}, func(r *rig) {
		c := r.dial()
		defer c.Close()
		c.send(frame(1, []byte("a")), frame(2, []byte("b")))
		synctest.Wait()
		q := h.take()
		time.Sleep(time.Second)
		begin := time.Now()
		q[0].reply.Throttle(10 * time.Second)
		q[0].reply.Throttle(3 * time.Second)
		q[0].echo()
		c.want(1, "a")
		c.send(frame(3, []byte("c")))
		synctest.Wait()
		if len(h.take()) != 0 {
			t.Fatal("a request was served while the connection is muted")
		}
		q[1].reply.Throttle(12 * time.Second)
		q[1].reply.None()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if len(h.take()) != 0 {
			t.Fatal("a request was served while the connection is muted")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		q = h.take()
		if len(q) != 1 || time.Since(begin) != 12*time.Second {
			t.Fatalf("%d requests served after %v", len(q), time.Since(begin))
		}
		q[0].echo()
		c.want(3, "c")
	})
}

// That a request waits to be answered does not keep a muted connection whose client may be gone: it could be for days.
func TestMutedEndsWithRequestsInFlight(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: h, IdleTimeout: time.Hour}, func(r *rig) {
		c, patient := r.dial(), r.dial()
		defer patient.Close()
		begin := time.Now()
		c.send(frame(1, []byte("a")), frame(2, []byte("b")))
		patient.send(frame(1, []byte("x")))
		synctest.Wait()
		q := h.take()
		for i := range q {
			if string(q[i].req.Body) == "b" {
				q[i].reply.Throttle(24 * 24 * time.Hour)
			}
		}
		c.send(frame(3, []byte("c")))
		synctest.Wait() // from here on the reader waits
		c.Close()
		time.Sleep(time.Hour - 1)
		synctest.Wait()
		if n := r.server.Connections(); n != 2 {
			t.Errorf("%d connections after %v, want 2", n, time.Since(begin))
		}
		time.Sleep(time.Nanosecond)
		r.wantReason(ErrIdle)
		if n := r.server.Connections(); n != 1 {
			t.Errorf("%d connections after %v, want the one that waits and is not muted", n, time.Since(begin))
		}
		for _, x := range q {
			x.echo()
		}
		patient.want(1, "x")
	})
}

// A client that has gone and left nothing behind is missed soon, and what it has sent is served in its time.
func TestMutedClientGoes(t *testing.T) {
	var served atomic.Int32
	count := func(req *Request, reply Reply) {
		served.Add(1)
		throttle(req, reply)
	}
	bubble(t, Options{Handler: handlerFunc(count)}, func(r *rig) {
		a, b, c := r.dial(), r.dial(), r.dial()
		defer c.Close()
		a.send(frame(1, []byte("5m")))
		a.want(1, "5m")
		b.send(frame(1, []byte("5m")))
		b.want(1, "5m")
		b.send(frame(2, []byte("late")))
		c.send(frame(1, []byte("5m")))
		c.want(1, "5m")
		a.Close()
		b.Close()
		time.Sleep(lookAfter)
		r.wantReason(ErrDisconnected)
		if n := r.server.Connections(); n != 2 {
			t.Errorf("%d connections are left, want 2", n)
		}
		time.Sleep(5*time.Minute - lookAfter - 1)
		synctest.Wait()
		if n := r.server.Connections(); n != 2 || served.Load() != 3 {
			t.Errorf("%d connections are left with %d requests served, want 2 with 3", n, served.Load())
		}
		time.Sleep(time.Nanosecond)
		r.wantReason(ErrDisconnected)
		if n := r.server.Connections(); n != 1 || served.Load() != 4 {
			t.Errorf("%d connections are left with %d requests served, want 1 with 4", n, served.Load())
		}
	})
}

// Ten thousand muted connections, of which half have clients that go, hold nothing but what is unread, and end when they are no longer muted, or
// with the server.
func TestManyMuted(t *testing.T) {
	const n = 10_000
	bubble(t, Options{Handler: handlerFunc(throttle)}, func(r *rig) {
		var stay []*client
		for i := range n {
			c := r.dial()
			c.send(frame(1, []byte("30s")), frame(2, []byte("30s"))[:len(frame(2, nil))])
			c.want(1, "30s")
			if i%2 == 0 {
				stay = append(stay, c)
			} else {
				c.Close()
			}
		}
		synctest.Wait()
		if got := r.server.Connections(); got != n {
			t.Errorf("%d connections while they are muted, want %d", got, n)
		}
		if got := r.server.MemoryInUse(); got != 0 {
			t.Errorf("they hold %d bytes of the budget", got)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := r.server.Connections(); got != n/2 {
			t.Errorf("%d connections are left, want %d", got, n/2)
		}
		for _, c := range stay {
			c.send(frame(2, []byte("30s"))[len(frame(2, nil)):])
			c.want(2, "30s")
		}
		r.stop()
		for _, c := range stay {
			c.wantEnd()
			c.Close()
		}
	})
}

// A muted connection ends with the server, and when it is idle for too long, but is never taken for stalled.
func TestMutedEnds(t *testing.T) {
	for _, partial := range []bool{false, true} {
		bubble(t, Options{Handler: handlerFunc(throttle), IdleTimeout: time.Hour, StallTimeout: 10 * time.Second}, func(r *rig) {
			c := r.dial()
			defer c.Close()
			begin := time.Now()
			c.send(frame(1, []byte("2h")))
			c.want(1, "2h")
			if partial {
				c.send(frame(2, []byte("2h"))[:6])
			}
			c.wantEnd()
			if got := time.Since(begin); got != time.Hour {
				t.Errorf("partial %v: ended after %v, want an hour", partial, got)
			}
			r.wantReason(ErrIdle)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := start(t, network.NewMem(), Options{Handler: handlerFunc(throttle)})
		c := r.dial()
		defer c.Close()
		begin := time.Now()
		c.send(frame(1, []byte("2h")), frame(2, nil))
		c.want(1, "2h")
		if err := r.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		c.wantEnd()
		if got := time.Since(begin); got != 0 {
			t.Errorf("ended after %v, want at once", got)
		}
		r.serve.Wait()
		r.empty()
	})
}
