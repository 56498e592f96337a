// Package network is the network seam: listeners, connections, and the cheapest way to put memory and file spans on a
// connection. It owns no protocol: frames and requests belong to server and peer.
package network

import (
	"context"
	"net"
)

// Conn, Listener and Addr are package net's, named here because net itself is not imported elsewhere.
type (
	Conn     = net.Conn
	Listener = net.Listener
	Addr     = net.Addr
)

// Network opens listeners and connections. Addresses are HOST:PORT; port 0 takes any.
type Network interface {
	Listen(ctx context.Context, addr string) (Listener, error)
	Dial(ctx context.Context, addr string) (Conn, error)
}
