// Package random is the randomness seam: ids, jitter and shuffles come from a Source, so that a simulation replays from its
// seed. It owns no algorithm that needs randomness.
package random

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"sync"
)

// Source gives random numbers and is safe for concurrent use.
type Source interface {
	Uint64() uint64
	// Read fills b; it cannot fail.
	Read(b []byte)
}

// Real is the operating system's randomness.
var Real Source = realSource{}

type realSource struct{}

func (realSource) Read(b []byte) { crand.Read(b) } // never returns an error since Go 1.24

func (s realSource) Uint64() uint64 {
	var b [8]byte
	s.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// Seeded returns a source that gives the same numbers for the same seed.
func Seeded(seed uint64) Source {
	return &seeded{rng: rand.New(rand.NewPCG(seed, 0x6d6f6c646175))}
}

type seeded struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func (s *seeded) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.Uint64()
}

func (s *seeded) Read(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(b) > 0 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], s.rng.Uint64())
		b = b[copy(b, w[:]):]
	}
}

// N returns a number in [0, n). It panics if n <= 0, as package rand does.
func N(s Source, n int) int {
	if n <= 0 {
		panic("random.N: n must be positive")
	}
	return int(s.Uint64() % uint64(n)) // the bias is below 2^-32 for every n used here
}
