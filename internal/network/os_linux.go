package network

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged has a connection end when what was sent on it is not acknowledged within cutAfter.
func limitUnacknowledged(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(cutAfter.Milliseconds())) // without it the system's own bound holds
	})
}
