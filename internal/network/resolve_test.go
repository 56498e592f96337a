package network

import (
	"context"
	"testing"
)

func TestResolve(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing below may ask the world
	for name, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "127.1": "127.0.0.1", "1": "0.0.0.1", "192.0.2": "192.0.0.2", "2130706433": "127.0.0.1", "4294967295": "255.255.255.255",
		"010.0.0.1": "10.0.0.1", "1.65535": "1.0.255.255", "::1": "::1", "[::1]": "::1", "0:0:0:0:0:0:0:1": "::1", "::ffff:192.0.2.1": "192.0.2.1", "fe80::1%3": "fe80::1",
		"2001:db8::192.0.2.1": "2001:db8::c000:201",

		"": "", "4294967296": "", "256.1.1.1": "", "1.2.3.4.5": "", "1.2.3.": "", ".": "", "-": "", "+1": "", "-1": "", "a b": "", "*": "", "192.0.2.1/32": "", " 192.0.2.1": "",
		"192.0.2.1 ": "", "fe80::1%nowhere": "", "2001:db8::g": "", "[127.0.0.1]": "", "[::1": "", "::1]": "", "no.such.host.invalid": "", "a..b": "", "0000000000000001.1": "",
		"ü": "", "any.host": "",
	} {
		got, err := Resolve(ctx, name)
		if want == "" {
			if err == nil {
				t.Errorf("%q is %s", name, got)
			}
		} else if err != nil || got.String() != want {
			t.Errorf("%q is %s (%v), want %s", name, got, err, want)
		}
	}
}

// TestLoopback has what a machine without IPv6 cannot listen on, too.
func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:9092": true, "127.1.2.3:9092": true, "[::1]:9092": true, "[::ffff:127.0.0.1]:9092": true,
		"0.0.0.0:9092": false, "[::]:9092": false, "192.0.2.1:9092": false, "[2001:db8::1]:9092": false, "mem": false, "": false,
	} {
		if got := Loopback(addr); got != want {
			t.Errorf("%q: %v, want %v", addr, got, want)
		}
	}
}
