package group

import (
	"context"
	"errors"
	"net"
	"sync"
)

// Cable carries a member's connections. A member whose cable is cut is, to the broker, one that was killed: its
// connections end and it says nothing more.
type Cable struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
	ends  []func()
}

var errCut = errors.New("the cable is cut")

// DialContext connects while the cable is whole.
func (c *Cable) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		_ = conn.Close()
		return nil, errCut
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

// Dial is DialContext for clients that know no contexts.
func (c *Cable) Dial(network, addr string) (net.Conn, error) {
	return c.DialContext(context.Background(), network, addr)
}

// OnCut adds what else happens when the cable is cut: a member with a process of its own is killed.
func (c *Cable) OnCut(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = append(c.ends, f)
}

// Cut ends the connections and refuses new ones.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	for _, f := range c.ends {
		f()
	}
}
