package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/broker"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/vfs"
)

// frozen takes connections and says nothing.
func frozen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String() // the kernel takes them
}

// serving is a broker that answers.
func serving(t *testing.T) string {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte("listeners=PLAINTEXT://127.0.0.1:0\nlog.dirs=data\n")})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(broker.Options{Config: cfg, FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Abort)
	return b.Addresses()[0]
}

func TestAny(t *testing.T) {
	good := serving(t)
	a, err := (&Options{Bootstrap: frozen(t) + "," + good + "," + frozen(t)}).ConnectAny(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if len(a.brokers) != 3 {
		t.Fatalf("%d brokers", len(a.brokers))
	}
	first := a.brokers[0]
	a.prefer(2) // one that is frozen
	a.each = 50 * time.Millisecond
	for range 100 { // a loaded machine may be slower than that
		if _, err = a.Ask(t.Context(), kmsg.NewPtrDescribeClusterRequest()); err == nil {
			break
		}
		a.each *= 2
	}
	if err != nil || a.brokers[0] != first {
		t.Errorf("ask past frozen brokers: %v", err)
	}
	if _, err := a.AskAt(t.Context(), good, kmsg.NewPtrDescribeClusterRequest()); err != nil {
		t.Errorf("ask one: %v", err)
	}
	silent := &Any{each: 50 * time.Millisecond}
	if _, err := silent.AskAt(t.Context(), frozen(t), kmsg.NewPtrDescribeClusterRequest()); err == nil {
		t.Error("one that is frozen answers")
	}
	bad := errors.New("no such answer is good")
	a.brokers = a.brokers[:1]
	if _, err := a.AskUntil(t.Context(), kmsg.NewPtrDescribeClusterRequest(), func(kmsg.Response) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("every answer is bad: %v", err)
	}
}

func TestNoneAnswers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := (&Options{Bootstrap: frozen(t)}).ConnectAny(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("interrupted: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := (&Options{Bootstrap: l.Addr().String()}).ConnectAny(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing listens there") {
		t.Errorf("nobody is there: %v", err)
	}
	if _, err := (&Options{Bootstrap: "a:1,"}).ConnectAny(t.Context()); err == nil || !strings.Contains(err.Error(), "want HOST:PORT") {
		t.Errorf("no address: %v", err)
	}
}
