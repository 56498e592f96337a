package network

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDialledConnectionsNoticeACut: the system is told how long it may wait for a machine that says nothing.
func TestDialledConnectionsNoticeACut(t *testing.T) {
	l, err := OS.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := OS.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ level, option, want int }{
		"unacknowledged":      {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 5000},
		"keepalive":           {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"idle before the ask": {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 3},
		"between two asks":    {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
		"asks":                {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 2},
	} {
		var got int
		var failed error
		if err := raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptInt(int(fd), c.level, c.option) }); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestAcceptedConnectionsKeepLittleUnsent: a server that sends does not have the system pace megabytes.
func TestAcceptedConnectionsKeepLittleUnsent(t *testing.T) {
	l, err := OS.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := OS.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialled.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	var failed error
	if err := raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if got != unsent {
		t.Errorf("%d bytes may wait to be sent, want %d", got, unsent)
	}
}
