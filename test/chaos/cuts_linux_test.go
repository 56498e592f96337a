package chaos

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// TestCuts shows that a cut drops what goes one way, and nothing else, until it is mended.
func TestCuts(t *testing.T) {
	w := newWorld()
	if w.noCuts != "" {
		fmt.Printf("NOT TESTED HERE: %s: %s\n", t.Name(), w.noCuts)
		return
	}
	var conns [2]net.PacketConn
	for i := range conns {
		if err := w.hosts[i].do(func() (err error) {
			conns[i], err = net.ListenPacket("udp", w.hosts[i].addr+":7000")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	round := byte(0)
	hears := func(from, to int) bool {
		round++
		for range 10 {
			if _, err := conns[from].WriteTo([]byte{round}, conns[to].LocalAddr()); err != nil {
				t.Fatal(err)
			}
			_ = conns[to].SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			var got [1]byte
			for {
				if _, _, err := conns[to].ReadFrom(got[:]); err != nil {
					break
				}
				if got[0] == round {
					return true
				}
			}
		}
		return false
	}
	expect := func(when string, first, second bool) {
		t.Helper()
		if a, b := hears(0, 1), hears(1, 0); a != first || b != second {
			t.Errorf("%s: the second hears the first: %v, want %v; the first hears the second: %v, want %v", when, a, first, b, second)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a, b := &w.hosts[0], &w.hosts[1]
	expect("before", true, true)
	must(w.cut(a, b))
	expect("cut one way", false, true)
	must(w.cut(b, a))
	must(w.cut(a, b)) // twice
	expect("cut both ways", false, false)
	must(w.mend(a, b))
	must(w.mend(b, a))
	expect("half mended", false, true)
	must(w.mend(a, b))
	expect("mended", true, true)
}
