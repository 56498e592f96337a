package chaos

import (
	"context"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestGivenUpIsNoRefusal ends a run while a commit waits for a broker that says nothing: nobody has refused it.
func TestGivenUpIsNoRefusal(t *testing.T) {
	newWorld() // in which there is a loopback address
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	l := &load{c: newChecker(), patient: true, plain: "plain", seeds: []string{silent.Addr().String()}}
	l.alive, l.abort = context.WithCancel(t.Context())
	go func() {
		if conn, err := silent.Accept(); err == nil {
			defer conn.Close()
			l.abort()
			<-t.Context().Done()
		}
	}()
	cl, err := kgo.NewClient(l.options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if (&register{l: l, group: "g"}).write(cl, 1) {
		t.Error("it was acknowledged")
	}
	l.c.fail(t)
	if l.unconnected.Load() != 1 {
		t.Errorf("%d requests were given up, want the one", l.unconnected.Load())
	}
}
