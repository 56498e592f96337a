package logdir

import (
	"testing"
	"time"
)

// TestPacer: what it takes it calls, in turn and not in the caller; a crowd is refused, and nothing is called after its end.
func TestPacer(t *testing.T) {
	p := newPacer()
	began, hold, last := make(chan int, 2*paced), make(chan struct{}), make(chan struct{})
	if !p.run(func() { began <- 0; <-hold }) {
		t.Fatal("refused")
	}
	wait(t, "the first start", began)
	for i := range paced {
		if !p.run(func() { began <- i + 1 }) {
			t.Fatalf("%d wait, and one more is refused", i)
		}
	}
	if p.run(func() {}) {
		t.Fatalf("more than %d wait", paced)
	}
	close(hold)
	for i := range paced {
		if got := wait(t, "a start", began); got != i+1 {
			t.Fatalf("%d was called, want %d", got, i+1)
		}
	}
	p.close()
	p.run(func() { close(last) })
	select {
	case <-last:
		t.Fatal("called after the end")
	default:
	}
}

func wait(t *testing.T, what string, c <-chan int) int {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("%s did not come", what)
		return 0
	}
}
