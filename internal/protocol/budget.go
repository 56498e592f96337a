package protocol

import "fmt"

// A decoder of this package may allocate amplification times the bytes it was given plus freeAllocation. Every request of a real
// client stays far below: what it names takes more room on the wire than in memory, or nearly so. A frame of zeros does not.
const (
	amplification  = 8
	freeAllocation = 64 << 10
)

var errBudget = fmt.Errorf("%w: needs more memory than its size accounts for", ErrMalformed)

// Memory grants what a decoder allocates; a request of the server does. A decoder asks for what is more than freeAllocation at once, before it
// allocates, and fails with ErrNoMemory where it gets none. Without one it gets all.
type Memory interface {
	Charge(bytes int64) bool
}

// allowance is what a decoding may allocate.
type allowance struct {
	left   int
	memory Memory
}

// maxRetained bounds how many entries a request that is decoded again and again keeps for the next time.
const maxRetained = 4096

// resize returns s with n elements, what they were before included: a decoder uses again what an earlier decoding left in them
// (slices, strings). The cost of the elements is taken from what is allowed; without enough of it, r fails.
func resize[T any](r *Reader, s []T, n, cost int, allowed *allowance) []T {
	if allowed.left -= n * cost; allowed.left < 0 {
		r.fail(errBudget)
		return s[:0]
	}
	if n <= cap(s) {
		return s[:n]
	}
	if n*cost > freeAllocation && allowed.memory != nil && !allowed.memory.Charge(int64(n*cost)) {
		r.fail(ErrNoMemory)
		return s[:0]
	}
	grown := make([]T, n)
	copy(grown, s[:cap(s)])
	return grown
}
