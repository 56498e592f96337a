package network

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// connected returns both ends of a connection over loopback.
func connected(t *testing.T) (dialled, accepted Conn) {
	t.Helper()
	l, err := OS.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialled, err = OS.Dial(t.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return dialled, accepted
}

// option is what the system has for a connection.
func option(t *testing.T, c Conn, level, name int) (got int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptInt(int(fd), level, name) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return got
}

// TestDialledConnectionsNoticeACut: the system is told how long it may wait for a machine that says nothing.
func TestDialledConnectionsNoticeACut(t *testing.T) {
	conn, _ := connected(t)
	for name, c := range map[string]struct{ level, option, want int }{
		"unacknowledged":      {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 5000},
		"keepalive":           {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"idle before the ask": {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 3},
		"between two asks":    {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
		"asks":                {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 2},
	} {
		if got := option(t, conn, c.level, c.option); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestAcceptedConnectionsKeepLittleUnsent: a server that sends does not have the system pace megabytes.
func TestAcceptedConnectionsKeepLittleUnsent(t *testing.T) {
	_, conn := connected(t)
	if got := option(t, conn, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT); got != unsent {
		t.Errorf("%d bytes may wait to be sent, want %d", got, unsent)
	}
}

// TestConnectionsOfLoopbackAreNotPaced: whatever the machine uses for its networks. Elsewhere that holds.
func TestConnectionsOfLoopbackAreNotPaced(t *testing.T) {
	for addr, want := range map[string]func(system string) string{
		"127.0.0.1:0": func(string) string { return unpaced },
		"0.0.0.0:0":   func(system string) string { return system },
	} {
		t.Run(addr, func(t *testing.T) {
			l, err := OS.Listen(t.Context(), addr)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			dialled, err := OS.Dial(t.Context(), l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer dialled.Close()
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer accepted.Close()
			if got, want := congestionControl(t, accepted), want(congestionControl(t, dialled)); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// congestionControl is that of a connection.
func congestionControl(t *testing.T, c Conn) (name string) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		name, failed = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return name
}
