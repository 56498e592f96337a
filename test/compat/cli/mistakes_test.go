package cli

import (
	"net"
	"testing"
)

// mistakes are those that anyone makes: a broker that is not there, a host that is none, a port of another service.
func mistakes(t *testing.T, c command) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	c.refused(t, 1, []string{"topic", "list", "--bootstrap", free}, "connect to "+free, "connection refused", "moldau serve", "--bootstrap")
	c.refused(t, 1, []string{"topic", "list", "--bootstrap", "no-such-host.invalid:9092"}, "connect to no-such-host.invalid:9092", "the host no-such-host.invalid is not known here")

	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SSH-2.0-something else\r\n"))
			conn.Close()
		}
	}()
	c.refused(t, 1, []string{"topic", "list", "--bootstrap", other.Addr().String()}, "connect to "+other.Addr().String(), "moldau serve")
	c.refused(t, 1, []string{"consume", c.prefix + "nothing"}, "consume topic "+c.prefix+"nothing on "+c.addr, "UNKNOWN_TOPIC_OR_PARTITION")
	c.refused(t, 1, []string{"topic", "create", "a/b"}, "create topic a/b on "+c.addr, "249 letters")
}
