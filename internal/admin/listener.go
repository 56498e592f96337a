package admin

import (
	"sync"

	"github.com/moldau/moldau/internal/network"
)

// limited accepts at most as many connections at once as free holds. Those beyond it are closed at once: a client that opens many and
// sends nothing must not keep a scrape waiting for longer than the header time-out.
type limited struct {
	network.Listener
	free chan struct{}
}

func limit(l network.Listener, n int) network.Listener {
	return &limited{l, make(chan struct{}, n)}
}

func (l *limited) Accept() (network.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			c.Close()
		}
	}
}

type limitedConn struct {
	network.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
