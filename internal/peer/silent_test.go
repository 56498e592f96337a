package peer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
)

// TestSilentConnectionIsGivenUp: where an answer is awaited and nothing comes the connection ends, also when its caller is gone, and another one serves.
func TestSilentConnectionIsGivenUp(t *testing.T) {
	net := network.NewMem()
	o := newOther(t, net)
	defer o.stop()
	opts := options(net)
	opts.Silence = 300 * time.Millisecond
	c := New(opts)
	defer c.Close()
	if _, err := c.Call(within(t), protocol.KeyNodeInfo, []byte("hold")); !errors.Is(err, ErrLost) || !errors.Is(err, errSilent) {
		t.Errorf("an answer that does not come: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	left, _ := c.Call(ctx, protocol.KeyNodeInfo, []byte("hold"))
	if body, err := c.Call(within(t), protocol.KeyNodeInfo, []byte("later")); left != nil || err != nil && !errors.Is(err, errSilent) || err == nil && string(body) != "LATER" {
		t.Errorf("%q, %v", body, err)
	}
	for ctx := within(t); ; { // a machine that is busy may take long for this, too
		body, err := c.Call(ctx, protocol.KeyNodeInfo, []byte("again"))
		if err == nil && string(body) == "AGAIN" {
			break
		}
		if ctx.Err() != nil || !errors.Is(err, errSilent) {
			t.Fatalf("waited for an answer: %q, %v", body, err)
		}
	}
}

// TestProbe: a connection that has messages alone asks now and then, stands while it is answered, and ends when it is not.
func TestProbe(t *testing.T) {
	net := network.NewMem()
	o := newOther(t, net)
	defer o.stop()
	up := make(chan struct{}, 1000)
	opts := options(net)
	opts.Keep, opts.Silence, opts.up = true, 2*time.Second, func() { up <- struct{}{} }
	opts.Probe = &Request{Key: protocol.KeyNodeInfo, Body: []byte("probe")}
	c := New(opts)
	defer c.Close()
	told := func() int32 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.told
	}
	for ctx := within(t); told() < 3; runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatalf("%d probes were answered, waited for 3", told())
		}
	}
	if len(up) != 1 {
		t.Errorf("%d connections while every probe is answered", len(up))
	}
	<-up
	mute := options(net)
	mute.Keep, mute.Silence, mute.up = true, 20*time.Millisecond, func() { up <- struct{}{} }
	mute.Probe = &Request{Key: protocol.KeyNodeInfo, Body: []byte("hold")}
	m := New(mute)
	defer m.Close()
	for range 3 {
		select {
		case <-up:
		case <-within(t).Done():
			t.Fatal("waited for another connection in the place of one that is silent")
		}
	}
}

// slowClock waits for nobody to dial.
type slowClock struct{ clock.Clock }

func (s slowClock) AfterFunc(_ time.Duration, f func()) clock.Timer {
	return s.Clock.AfterFunc(time.Millisecond, f)
}

// deaf is a network in which no dial is answered, nor refused.
type deaf struct{ network.Network }

func (deaf) Dial(ctx context.Context, addr string) (network.Conn, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("dial %s: %w", addr, ctx.Err())
}

// TestDialSaysWhy: a dial that the bound ends says so, and one that its context ends says why that did.
func TestDialSaysWhy(t *testing.T) {
	if _, err := Dial(t.Context(), deaf{}, slowClock{clock.Real}, address); !errors.Is(err, errDialTimeout) || !strings.Contains(err.Error(), address) {
		t.Errorf("%v", err)
	}
	why := errors.New("it is closed")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := Dial(ctx, deaf{}, clock.Real, address); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	if _, err := Dial(t.Context(), network.NewMem(), clock.Real, "n9:1"); !network.Refused(err) {
		t.Errorf("%v", err)
	}
	opts := options(nil)
	opts.Network = deaf{}
	c := New(opts)
	defer c.Close()
	if _, err := c.Call(ctx, protocol.KeyNodeInfo, nil); !errors.Is(err, why) {
		t.Errorf("a call that is given up: %v", err)
	}
}
