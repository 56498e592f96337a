package server

import (
	"sync"
	"sync/atomic"

	"github.com/moldau/moldau/internal/invariant"
)

// budget counts the memory that requests hold. Who finds none waits in line, with nothing but his place.
// Invariant: 0 <= used <= limit.
type budget struct {
	limit   int64
	used    atomic.Int64
	waiting atomic.Int32 // length of line; written under mu

	mu   sync.Mutex // guards line
	line []*waiter
}

type waiter struct {
	n       int64
	granted chan struct{} // closed when n has been taken
}

// try takes n if it is there. It does not overtake those who wait.
func (b *budget) try(n int64) bool {
	return b.waiting.Load() == 0 && b.take(n)
}

func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if n > b.limit-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// wait joins the line. The caller waits for granted and must call leave if it gives up.
func (b *budget) wait(n int64) *waiter {
	w := &waiter{n: n, granted: make(chan struct{})}
	b.mu.Lock()
	b.line = append(b.line, w)
	b.waiting.Store(int32(len(b.line)))
	b.mu.Unlock()
	b.grant()
	return w
}

// leave takes w out of the line; what it was granted meanwhile goes back.
func (b *budget) leave(w *waiter) {
	b.mu.Lock()
	for i := range b.line {
		if b.line[i] == w {
			b.line = append(b.line[:i], b.line[i+1:]...)
			b.waiting.Store(int32(len(b.line)))
			b.mu.Unlock()
			b.grant() // the next in line may ask for less
			return
		}
	}
	b.mu.Unlock()
	b.give(w.n)
}

func (b *budget) give(n int64) {
	if b.used.Add(-n) < 0 { // not an argument of Check, which would allocate each time
		invariant.Check(false, "more memory was given back than taken")
	}
	if b.waiting.Load() > 0 {
		b.grant()
	}
}

// grant serves the line from its front.
func (b *budget) grant() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.line) > 0 && b.take(b.line[0].n) {
		close(b.line[0].granted)
		b.line[0] = nil
		b.line = b.line[1:]
	}
	b.waiting.Store(int32(len(b.line)))
	if len(b.line) == 0 {
		b.line = nil
	}
}

// plenty says that less than half of the budget is used: then a connection may be given what it says it will need.
func (b *budget) plenty(n int64) bool { return b.used.Load()+n < b.limit/2 }
