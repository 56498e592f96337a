package server

import (
	"math/bits"
	"sync"
)

// Buffers come in classes of a power of two and a sixteenth more, so that a batch of a round size fits its class with the frame around
// it. They are reused as they are, never zeroed.
const (
	minClass = 9  // 512 bytes
	maxClass = 24 // 16 MiB; larger ones are made and dropped
)

// buffer is a pooled run of memory.
type buffer struct {
	b     []byte // of the class's full size
	class int
}

var pools [maxClass + 1]sync.Pool

// classOf returns the smallest class that holds n bytes.
func classOf(n int) int {
	c := max(bits.Len(uint(max(n-1, 0))), minClass)
	if c > minClass && int64(n) <= classBytes(c-1) {
		c--
	}
	return c
}

func classBytes(class int) int64 { return 1<<class + 1<<(class-4) }

func newBuffer(class int) *buffer {
	if class <= maxClass {
		if b, ok := pools[class].Get().(*buffer); ok {
			return b
		}
	}
	return &buffer{b: make([]byte, classBytes(class)), class: class}
}

func (b *buffer) free() {
	if b.class <= maxClass {
		pools[b.class].Put(b)
	}
}

// block is what readers read into, and writers collect small answers in one of their own.
type block [64 << 10]byte

var blocks = sync.Pool{New: func() any { return new(block) }}
