package server

import (
	"math/bits"
	"sync"
)

// Buffers come in classes of a power of two and a sixteenth more, so that a batch of a round size fits its class with the frame around
// it. They are reused as they are, never zeroed. What lies in a pool lives for up to two collections more and counts as nothing, which of small buffers is
// little; large ones are kept only while little of the budget is used (budget.keeps), so that a flood of them leaves nothing. Those above maxClass are made and
// dropped, and their classes are hugeStep apart: a power of two would have the largest request take a third more than it has.
const (
	minClass = 9  // 512 bytes
	maxClass = 24 // 16 MiB
	hugeStep = 4 << 20
)

// buffer is a pooled run of memory.
type buffer struct {
	b     []byte // of the class's full size
	class int
}

var pools [maxClass + 1]sync.Pool

// classOf returns the smallest class that holds n bytes.
func classOf(n int) int {
	if over := int64(n) - classBytes(maxClass); over > 0 {
		return maxClass + int((over+hugeStep-1)/hugeStep)
	}
	c := max(bits.Len(uint(max(n-1, 0))), minClass)
	if c > minClass && int64(n) <= classBytes(c-1) {
		c--
	}
	return c
}

func classBytes(class int) int64 {
	huge := max(class-maxClass, 0)
	class -= huge
	return 1<<class + 1<<(class-4) + int64(huge)*hugeStep
}

func newBuffer(class int) *buffer {
	if class <= maxClass {
		if b, ok := pools[class].Get().(*buffer); ok {
			return b
		}
	}
	return &buffer{b: make([]byte, classBytes(class)), class: class}
}

// free gives b up, whose memory has been given back to m.
func (b *buffer) free(m *budget) {
	if b.class <= maxClass && m.keeps(classBytes(b.class)) {
		pools[b.class].Put(b)
	}
}

// block is what readers read into, and writers collect small answers in one of their own.
type block [64 << 10]byte

var blocks = sync.Pool{New: func() any { return new(block) }}
