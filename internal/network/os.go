package network

import (
	"context"
	"net"
)

// OS is the network of this machine.
var OS Network = osNetwork{}

type osNetwork struct{}

func (osNetwork) Listen(ctx context.Context, addr string) (Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", addr)
}

func (osNetwork) Dial(ctx context.Context, addr string) (Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}
