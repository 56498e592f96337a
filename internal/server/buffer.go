package server

import (
	"math/bits"
	"sync"
)

// Buffers come in classes of a power of two and a sixteenth more, so that a batch of a round size fits its class with the frame around
// it. They are reused as they are, never zeroed. Those of more than maxPooled are made and dropped: they are few, and what lies in a pool lives for two
// collections more, uncounted and perhaps never to be used again, which of small buffers is little. From maxClass on the classes are hugeStep apart: a power of
// two would have the largest request take a third more than it has.
const (
	maxPooled = 21 // 2 MiB: what counts as small (smallMost)
	minClass  = 9  // 512 bytes
	maxClass  = 24 // 16 MiB
	hugeStep  = 4 << 20
)

// buffer is a pooled run of memory.
type buffer struct {
	b     []byte // of the class's full size
	class int
}

var pools [maxPooled + 1]sync.Pool

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
	if class <= maxPooled {
		if b, ok := pools[class].Get().(*buffer); ok {
			return b
		}
	}
	return &buffer{b: make([]byte, classBytes(class)), class: class}
}

func (b *buffer) free() {
	if b.class <= maxPooled {
		pools[b.class].Put(b)
	}
}

// block is what readers read into, and writers collect small answers in one of their own.
type block [64 << 10]byte

var blocks = sync.Pool{New: func() any { return new(block) }}
