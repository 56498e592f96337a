package server

import (
	"sync"
	"sync/atomic"

	"github.com/moldau/moldau/internal/invariant"
)

// budget counts the memory that requests and their answers hold. Who finds none waits in line, with nothing but his place.
//
// There are two lines: large buffers, each more than smallMost, have a part of the budget and wait for one another; small ones have all of
// it. So whoever sends little is not held up behind those who send much, however many they are. What is done already cannot be refused:
// force takes without asking, and until as much is given back nobody else is granted anything.
//
// Invariant: 0 <= large <= used; what try and wait grant never brings used above limit, nor large above largeLimit.
type budget struct {
	limit      int64
	largeLimit int64
	used       atomic.Int64
	large      atomic.Int64 // of used, by large buffers
	waiting    [2]atomic.Int32

	mu   sync.Mutex // guards line; waiting is written under it
	line [2][]*waiter
}

// smallMost is the largest buffer that counts as small: one for an ordinary batch, with what is around it.
const smallMost = 2<<20 + 2<<16

type waiter struct {
	n       int64
	granted chan struct{} // closed when n has been taken
}

// sort is the line of a size.
func sort(n int64) int {
	if n > smallMost {
		return 1
	}
	return 0
}

// largeOf is n if that is the size of a large buffer.
func largeOf(n int64) int64 { return n * int64(sort(n)) }

// try takes n if it is there. It does not overtake those who wait for as little or as much.
func (b *budget) try(n int64) bool {
	return b.waiting[sort(n)].Load() == 0 && b.take(n)
}

func (b *budget) take(n int64) bool {
	if !below(&b.used, n, b.limit) {
		return false
	}
	if sort(n) == 1 && !below(&b.large, n, b.largeLimit) {
		b.used.Add(-n)
		return false
	}
	return true
}

func below(v *atomic.Int64, n, limit int64) bool {
	for {
		used := v.Load()
		if n > limit-used {
			return false
		}
		if v.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// force takes n whether it is there or not. It is given back with giveForced, as are small pieces together.
func (b *budget) force(n int64) { b.used.Add(n) }

// wait joins the line. The caller waits for granted and must call leave if it gives up.
func (b *budget) wait(n int64) *waiter {
	w, s := &waiter{n: n, granted: make(chan struct{})}, sort(n)
	b.mu.Lock()
	b.line[s] = append(b.line[s], w)
	b.waiting[s].Store(int32(len(b.line[s])))
	b.mu.Unlock()
	b.grant()
	return w
}

// leave takes w out of the line; what it was granted meanwhile goes back.
func (b *budget) leave(w *waiter) {
	s := sort(w.n)
	b.mu.Lock()
	for i := range b.line[s] {
		if b.line[s][i] == w {
			b.line[s] = append(b.line[s][:i], b.line[s][i+1:]...)
			b.waiting[s].Store(int32(len(b.line[s])))
			b.mu.Unlock()
			b.grant() // the next in line may ask for less
			return
		}
	}
	b.mu.Unlock()
	b.give(w.n)
}

// give gives back what try or wait has granted in one piece.
func (b *budget) give(n int64) {
	if sort(n) == 1 {
		b.giveLarge(n)
	} else {
		b.giveForced(n)
	}
}

// giveLarge gives back one large piece or several.
func (b *budget) giveLarge(n int64) {
	b.large.Add(-n)
	b.giveForced(n)
}

func (b *budget) giveForced(n int64) {
	if b.used.Add(-n) < 0 { // not an argument of Check, which would allocate each time
		invariant.Check(false, "more memory was given back than taken")
	}
	if b.waits() {
		b.grant()
	}
}

// waits says whether anybody waits.
func (b *budget) waits() bool { return b.waiting[0].Load() > 0 || b.waiting[1].Load() > 0 }

// wanted is what all who wait ask for.
func (b *budget) wanted() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.line {
		for _, w := range line {
			n += w.n
		}
	}
	return n
}

// helps says whether somebody who waits is served when others give back bytes, of which large are of large buffers, and whether it takes large ones:
// then it is their part that is used up.
func (b *budget) helps(bytes, large int64) (helps, takesLarge bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	used, usedLarge := b.used.Load(), b.large.Load()
	if line := b.line[0]; len(line) > 0 && line[0].n <= b.limit-used+bytes {
		return true, false
	}
	if line := b.line[1]; len(line) > 0 {
		n := line[0].n
		return n <= b.limit-used+bytes && n <= b.largeLimit-usedLarge+large, n <= b.limit-used
	}
	return false, false
}

// grant serves the lines from their fronts, small ones first.
func (b *budget) grant() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.line {
		line := b.line[s]
		for len(line) > 0 && b.take(line[0].n) {
			close(line[0].granted)
			line[0] = nil
			line = line[1:]
		}
		if len(line) == 0 {
			line = nil
		}
		b.line[s] = line
		b.waiting[s].Store(int32(len(line)))
	}
}

// plenty says that less than half of the budget is used: then a connection may be given what it says it will need.
func (b *budget) plenty(n int64) bool { return b.used.Load()+n < b.limit/2 }

// keeps says whether a buffer of n bytes that is not needed any more is worth keeping for the next: making one of many megabytes costs more than
// reading the request into it, and keeping many of them when memory is short costs what is short.
func (b *budget) keeps(n int64) bool { return sort(n) == 0 || b.used.Load()+n < b.limit/4 }
