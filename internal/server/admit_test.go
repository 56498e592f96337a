package server

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/network"
)

// One connection too many waits until another ends, and is served then, as in Kafka.
func TestConnectionLimits(t *testing.T) {
	bubble(t, Options{Handler: handlerFunc(echo), Limits: &Limits{All: 3, PerHost: NoLimit}}, func(r *rig) {
		var cs []*client
		for i := range int32(5) {
			c := r.dial()
			defer c.Close()
			cs = append(cs, c)
			c.send(frame(i, []byte("x")))
			if i < 3 {
				c.want(i, "x")
			}
		}
		time.Sleep(time.Hour / 10)
		if n := r.server.Connections(); n != 3 {
			t.Errorf("%d connections are served, want 3", n)
		}
		cs[0].Close()
		cs[3].want(3, "x")
		r.server.Limit(Limits{All: 4, PerHost: NoLimit})
		cs[4].want(4, "x")
	})
	// None at all: they wait until the server ends.
	bubble(t, Options{Handler: handlerFunc(echo), Limits: &Limits{PerHost: NoLimit}}, func(r *rig) {
		c := r.dial()
		c.send(frame(1, []byte("x")))
		time.Sleep(time.Hour)
		if n := r.server.Connections(); n != 0 {
			t.Errorf("%d connections are served, want none", n)
		}
		r.stop()
		c.wantEnd()
		c.Close()
	})
	for limit, l := range map[int]Limits{
		2: {All: NoLimit, PerHost: 2},
		1: {All: NoLimit, PerHost: 5, Hosts: map[string]int{"client": 1}},
		0: {All: NoLimit, PerHost: 5, Hosts: map[string]int{"client": 0}},
	} {
		bubble(t, Options{Handler: handlerFunc(echo), Limits: &l}, func(r *rig) {
			for i := range 4 {
				c := r.dial()
				defer c.Close()
				if i >= limit {
					c.wantEnd()
					r.wantReason(ErrConnections)
					continue
				}
				c.send(frame(1, []byte("x")))
				c.want(1, "x")
			}
		})
	}
}

// serveAlso opens a second listener.
func (r *rig) serveAlso(name string) (dial func() *client) {
	r.t.Helper()
	l, err := r.net.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.serve.Go(func() {
		if err := r.server.Serve(context.Background(), name, l); err != nil {
			r.t.Error(err)
		}
	})
	addr := l.Addr().String()
	return func() *client {
		r.t.Helper()
		c, err := r.net.Dial(context.Background(), addr)
		if err != nil {
			r.t.Fatal(err)
		}
		return &client{r.t, c}
	}
}

// A listener has its own limit. The protected one gets room when all is taken: the quietest connection of the others goes.
func TestListenerLimits(t *testing.T) {
	l := Limits{All: 3, PerHost: NoLimit, Listeners: map[string]int{"PLAINTEXT": 2, "INTERNAL": 3}, Protected: "INTERNAL"}
	bubble(t, Options{Handler: handlerFunc(echo), Limits: &l}, func(r *rig) {
		internal := r.serveAlso("INTERNAL")
		ask := func(c *client) {
			t.Helper()
			time.Sleep(time.Second)
			c.send(frame(1, []byte("x")))
			c.want(1, "x")
		}
		a, b, c := r.dial(), r.dial(), r.dial()
		for _, x := range []*client{a, b, c} {
			defer x.Close()
		}
		ask(a)
		ask(b)
		synctest.Wait()
		if n := r.server.Connections(); n != 2 {
			t.Errorf("%d connections are served, want 2", n)
		}
		d, e := internal(), internal()
		defer d.Close()
		defer e.Close()
		ask(d)
		ask(e)
		a.wantEnd()
		r.wantReason(ErrConnections)
		ask(b)
		d.Close()
		synctest.Wait()
		ask(c)

		// Those that count by themselves find all of their room.
		l.Apart, l.PerHost = []string{"CONTROLLER"}, 3
		r.server.Limit(l)
		controllers := r.serveAlso("CONTROLLER")
		var more []*client
		for range 3 {
			x := controllers()
			defer x.Close()
			ask(x)
			more = append(more, x)
		}
		x := controllers()
		defer x.Close()
		x.send(frame(2, []byte("y")))
		more[0].Close()
		x.want(2, "y")
		ask(b)
	})
}

// rates answers as told.
type rates struct {
	mu         sync.Mutex
	wait, hold time.Duration
	came       int
}

func (r *rates) Accept(string, bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came++
	return r.wait
}

func (r *rates) From(string, bool, string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hold
}

func (r *rates) set(wait, hold time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wait, r.hold = wait, hold
}

// Connections that come too fast wait for one another; one of an address that is over its rate is kept waiting, and closed then.
func TestConnectionRates(t *testing.T) {
	rate := new(rates)
	bubble(t, Options{Handler: handlerFunc(echo), Rates: rate}, func(r *rig) {
		begin := time.Now()
		rate.set(700*time.Millisecond, 0)
		a, b := r.dial(), r.dial()
		defer a.Close()
		defer b.Close()
		a.send(frame(1, []byte("x")))
		b.send(frame(1, []byte("x")))
		a.want(1, "x")
		if d := time.Since(begin); d != 700*time.Millisecond {
			t.Errorf("served after %v", d)
		}
		b.want(1, "x")
		if d := time.Since(begin); d != 1400*time.Millisecond {
			t.Errorf("the next served after %v", d)
		}

		rate.set(0, time.Second)
		begin = time.Now()
		c := r.dial()
		defer c.Close()
		c.send(frame(1, []byte("x")))
		synctest.Wait()
		rate.set(0, 0)
		d := r.dial()
		defer d.Close()
		d.send(frame(1, []byte("x")))
		d.want(1, "x")
		if d := time.Since(begin); d != 0 {
			t.Errorf("another one served after %v", d)
		}
		c.wantEnd()
		if d := time.Since(begin); d != time.Second {
			t.Errorf("closed after %v", d)
		}
		if n := r.server.Connections(); n != 3 {
			t.Errorf("%d connections are served, want 3", n)
		}

		// Of those that are kept waiting there is a bound, and a shutdown does not wait for them.
		rate.set(0, time.Second)
		begin = time.Now()
		var held []*client
		for range maxRefused {
			held = append(held, r.dial())
		}
		synctest.Wait()
		e := r.dial()
		e.wantEnd()
		if d := time.Since(begin); d != 0 {
			t.Errorf("one more closed after %v", d)
		}
		r.stop()
		if d := time.Since(begin); d != 0 {
			t.Errorf("stopped after %v", d)
		}
		for _, c := range append(held, e) {
			c.wantEnd()
			c.Close()
		}
	})
}

// A connection that waits for its turn does not keep a server from stopping.
func TestStopWhileAcceptorWaits(t *testing.T) {
	rate := &rates{wait: time.Hour}
	synctest.Test(t, func(t *testing.T) {
		r := start(t, network.NewMem(), Options{Handler: handlerFunc(echo), Rates: rate})
		c := r.dial()
		synctest.Wait()
		begin := time.Now()
		r.stop()
		c.wantEnd()
		c.Close()
		if d := time.Since(begin); d != 0 {
			t.Errorf("stopped after %v", d)
		}
	})
}
