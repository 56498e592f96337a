package network

import (
	"context"
	"net"
	"time"
)

// OS is the network of this machine.
var OS Network = osNetwork{}

type osNetwork struct{}

func (osNetwork) Listen(ctx context.Context, addr string) (Listener, error) {
	c := net.ListenConfig{Control: doNotPace}
	l, err := c.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return osListener{l}, nil
}

type osListener struct{ net.Listener }

func (l osListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if t, ok := c.(*net.TCPConn); ok {
		limitUnsent(t)
	}
	return c, err
}

// cutAfter is how long a connection that was dialled stands without a sign of the other machine: what was sent is not acknowledged, or on an idle
// one the questions whether it is there are not. A network that is cut says nothing, and the system itself would wait for a quarter of an hour.
const cutAfter = 5 * time.Second

// keepAlive are the questions on an idle connection.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: cutAfter - 2*time.Second, Interval: time.Second, Count: 2}

func (osNetwork) Dial(ctx context.Context, addr string) (Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: limitUnacknowledged}
	return d.DialContext(ctx, "tcp", addr)
}
