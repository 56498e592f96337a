//go:build !linux

package network

import (
	"net"
	"syscall"
)

// limitUnacknowledged does nothing where the system has no such bound; idle connections are asked all the same.
func limitUnacknowledged(_, _ string, _ syscall.RawConn) error { return nil }

// limitUnsent does nothing where it has not been seen to be good for anything.
func limitUnsent(*net.TCPConn) {}

// doNotPace does nothing where it has not been seen to be good for anything.
func doNotPace(_, _ string, _ syscall.RawConn) error { return nil }
