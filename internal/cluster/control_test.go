package cluster

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/network"
)

// dials is a network in which every dial fails.
type dials struct {
	network.Network
	err error
}

func (d dials) Dial(context.Context, string) (network.Conn, error) { return nil, d.err }

// TestDialOfOneThatEnds: who hangs up while he is dialled has answered and is dialled again, which shows whether the process was about to end. Were
// it taken for silence, its death would be known only after a session.
func TestDialOfOneThatEnds(t *testing.T) {
	connect := func(e syscall.Errno) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", e)} }
	for _, c := range []struct {
		err  error
		want dialed
	}{
		{connect(syscall.ECONNREFUSED), refused},
		{connect(syscall.ECONNRESET), answered},
		{connect(syscall.EHOSTUNREACH), silent},
		{errors.New("no answer"), silent},
	} {
		n := New(Options{Network: dials{err: c.err}, Clock: clock.Real})
		if got := n.dial("n1:1"); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
		n.Close()
	}
}
