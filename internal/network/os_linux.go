package network

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent is how much of what was written to a connection may wait in the system to be sent, besides all that is on its way. Where the system paces what it
// sends, as it does with BBR, what waits goes out in pieces by timers, which takes more of the processor than sending does; a writer who has to
// wait for room sends most of it itself. It must be several times what is sent in one piece, 64 KiB.
const unsent = 256 << 10

// limitUnsent sets that bound. A listener cannot have it for those who connect to it: they do not inherit it.
func limitUnsent(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) // without it, as much waits as the send buffer holds
	})
}

// unpaced is the congestion control of those who connect to a loopback address. Nothing is congested there, so what the system has been told
// to use for the networks of this machine only costs: BBR sends what is fast enough to be sent at once in pieces by timers.
const unpaced = "reno" // each Linux has it, and lets everyone use it

// doNotPace has those who connect to a loopback address not be paced. They inherit it from their listener; set on one who has connected, it does not end the
// pacing that has begun.
func doNotPace(_, addr string, c syscall.RawConn) error {
	if !Loopback(addr) {
		return nil
	}
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, unpaced) // without it the system's own holds
	})
}

// limitUnacknowledged has a connection end when what was sent on it is not acknowledged within cutAfter.
func limitUnacknowledged(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(cutAfter.Milliseconds())) // without it the system's own bound holds
	})
}
