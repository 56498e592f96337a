package server

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/network"
)

// exhausted is a listener of a process that has no file descriptor left, so many times.
type exhausted struct {
	network.Listener
	times int
	met   int
}

func (l *exhausted) Accept() (net.Conn, error) {
	if l.met < l.times {
		l.met++
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// TestNoDescriptorsToAccept: the acceptor waits, longer each time up to a second, and goes on once there are descriptors; those who are
// connected are served meanwhile.
func TestNoDescriptorsToAccept(t *testing.T) {
	h := &held{}
	bubble(t, Options{Handler: h}, func(r *rig) {
		before := r.dial()
		socket, err := r.net.Listen(context.Background(), "127.0.0.1:9999")
		if err != nil {
			t.Fatal(err)
		}
		l := &exhausted{Listener: socket, times: 20}
		began := time.Now()
		r.serve.Go(func() {
			if err := r.server.Serve(context.Background(), "OTHER", l); err != nil && !errors.Is(err, ErrShutdown) {
				t.Error(err)
			}
		})
		synctest.Wait()
		if _, err := before.Write(frame(1, make([]byte, 100))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if q := h.take(); len(q) != 1 {
			t.Fatalf("%d requests of a connection that stood before are served", len(q))
		} else {
			q[0].reply.None()
		}
		c, err := r.net.Dial(context.Background(), "127.0.0.1:9999")
		if err != nil {
			t.Fatal(err)
		}
		after := &client{t, c}
		go func() { _, _ = after.Write(frame(2, make([]byte, 100))) }()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if q := h.take(); len(q) != 1 || l.met != 20 {
			t.Fatalf("%d requests are served after %d failures and %v", len(q), l.met, time.Since(began))
		} else {
			q[0].reply.None()
		}
		before.Close()
		after.Close()
	})
}
