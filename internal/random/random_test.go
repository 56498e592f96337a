package random

import (
	"bytes"
	"slices"
	"sync"
	"testing"
)

func TestSeededReplays(t *testing.T) {
	a, b, other := Seeded(7), Seeded(7), Seeded(8)
	same := true
	for n := range 20 {
		x, y, z := make([]byte, n), make([]byte, n), make([]byte, n)
		a.Read(x)
		b.Read(y)
		other.Read(z)
		if !bytes.Equal(x, y) || a.Uint64() != b.Uint64() {
			t.Fatal("one seed gives two sequences")
		}
		same = same && bytes.Equal(x, z)
		other.Uint64()
	}
	if same {
		t.Error("two seeds give one sequence")
	}
}

func TestReal(t *testing.T) {
	b := make([]byte, 64)
	Real.Read(b)
	first, second := Real.Uint64(), Real.Uint64()
	if bytes.Equal(b, make([]byte, 64)) || first == second {
		t.Error("the machine's randomness gives constants")
	}
}

func TestN(t *testing.T) {
	seen := map[int]int{}
	s := Seeded(1)
	for range 3000 {
		seen[N(s, 3)]++
	}
	if len(seen) != 3 || seen[0] < 800 || seen[1] < 800 || seen[2] < 800 {
		t.Error(seen)
	}
	defer func() {
		if recover() == nil {
			t.Error("N of 0 did not panic")
		}
	}()
	N(s, 0)
}

// TestSeededConcurrent: what several draw at the same time is what one would draw alone, in some order.
func TestSeededConcurrent(t *testing.T) {
	shared, alone := Seeded(1), Seeded(1)
	drawn := make([][]uint64, 8)
	var wg sync.WaitGroup
	for i := range drawn {
		wg.Go(func() {
			for range 1000 {
				drawn[i] = append(drawn[i], shared.Uint64())
			}
		})
	}
	wg.Wait()
	got, want := slices.Concat(drawn...), make([]uint64, 8000)
	for i := range want {
		want[i] = alone.Uint64()
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Error("two drew the same, or one what nobody draws alone")
	}
}
