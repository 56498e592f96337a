// Package network is the network seam: listeners, connections, and the cheapest way to put memory and file spans on a
// connection. It owns no protocol: frames and requests belong to server and peer.
//
// There are two networks: OS, and Mem for tests and for brokers inside one process. Writer and Reader work on the connections of both
// and on any other net.Conn; on TCP they use the calls that cost least.
package network

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Conn, Listener and Addr are package net's, named here because net itself is not imported elsewhere.
type (
	Conn     = net.Conn
	Listener = net.Listener
	Addr     = net.Addr
)

// What operations return or wrap when the connection or listener was closed on this side, and when a deadline has passed.
var (
	ErrClosed   = net.ErrClosed
	ErrDeadline = os.ErrDeadlineExceeded
)

// Disconnected says whether err means that the other side has gone.
func Disconnected(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNABORTED)
}

// Network opens listeners and connections. Addresses are HOST:PORT; port 0 takes any.
type Network interface {
	Listen(ctx context.Context, addr string) (Listener, error)
	Dial(ctx context.Context, addr string) (Conn, error)
}

// Host returns the host part of a connection's address: the client's IP address, where there is one.
func Host(a Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.IP.String()
	}
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// Refused says whether a dial found nobody who listens: the machine answers, and the process is not there.
func Refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// HungUp says whether a dial found somebody who was there and closed the connection before the dial was over. So does a process that ends and has
// not closed all of its sockets yet: the next dial will be refused, or find a process that lives.
func HungUp(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// WriteAll writes buffers one after another, with one call where the connection can.
func WriteAll(conn Conn, buffers [][]byte) (int64, error) {
	if _, ok := conn.(*net.TCPConn); !ok {
		n, err := conn.Write(bytes.Join(buffers, nil))
		return int64(n), err
	}
	b := net.Buffers(buffers)
	return b.WriteTo(conn)
}
