package compact

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestKeysIsAMap compares with a Go map, keys of every length and those that differ only at their end among them.
func TestKeysIsAMap(t *testing.T) {
	for _, load := range []float64{0.5, 0.9, 1} {
		rng := rand.New(rand.NewPCG(3, 4))
		k, want := NewKeys(4<<20, load, Seed{1, 2, 3}), map[string]int64{}
		for offset := range int64(40_000) {
			key := bytes.Repeat([]byte{'x'}, rng.IntN(40))
			if rng.IntN(3) > 0 {
				key = fmt.Appendf(key, "%d", rng.IntN(3000))
			}
			if !k.Put(key, offset) {
				t.Fatalf("load %v: full with %d keys, %d bytes", load, k.Len(), k.Bytes())
			}
			want[string(key)] = offset
		}
		if k.Len() != int64(len(want)) || k.Bytes() > 4<<20 {
			t.Errorf("%d keys in %d bytes, want %d", k.Len(), k.Bytes(), len(want))
		}
		for key, offset := range want {
			if got, ok := k.Newest([]byte(key)); !ok || got != offset {
				t.Fatalf("key %q: %d %v, want %d", key, got, ok, offset)
			}
		}
		if _, ok := k.Newest([]byte("never seen")); ok {
			t.Error("a key that was never seen is there")
		}
	}
}

// TestKeysKeepTheLargest: an offset is never taken back.
func TestKeysKeepTheLargest(t *testing.T) {
	k := NewKeys(1<<10, 0.9, Seed{1, 2, 3})
	for _, offset := range []int64{5, 9, 7, 0} {
		k.Put(nil, offset)
	}
	if got, ok := k.Newest([]byte{}); !ok || got != 9 {
		t.Errorf("%d %v, want 9", got, ok)
	}
}

// TestKeysStayInBounds: memory never exceeds the limit, a full map forgets nothing, known keys can still be moved on, and keys of a
// mebibyte take no more than short ones.
func TestKeysStayInBounds(t *testing.T) {
	for _, limit := range []int64{0, 31, 32, 100, 10_000, 1 << 20} {
		for _, size := range []int{8, 1 << 20} {
			k := NewKeys(limit, 0.9, Seed{1, 2, 3})
			key := make([]byte, size)
			n := int64(0)
			for ; n < 60_000; n++ {
				if size > 1000 && n == 50 {
					break
				}
				binary.BigEndian.PutUint64(key[size-8:], uint64(n))
				if !k.Put(key, n) {
					break
				}
				if k.Bytes() > max(limit, slotSize) {
					t.Fatalf("limit %d: %d bytes", limit, k.Bytes())
				}
			}
			if n == 0 || limit > 100_000 && n < min(limit/slotSize*6/10, 50) {
				t.Errorf("limit %d: full with %d keys", limit, n)
			}
			for i := range n {
				binary.BigEndian.PutUint64(key[size-8:], uint64(i))
				if got, ok := k.Newest(key); !ok || got != i || !k.Put(key, i+n) {
					t.Fatalf("limit %d: key %d of %d: %d %v", limit, i, n, got, ok)
				}
			}
		}
	}
}

// TestKeysShareSlots: keys with one and the same hash are told apart.
func TestKeysShareSlots(t *testing.T) {
	var h shard
	h.slots = make([]slot, 7)
	for i := range 7 {
		s := slot{length: 1, offset: int64(i + 1)}
		s.key[0] = byte(i)
		at := h.find(&s, 42)
		if at < 0 || h.slots[at].offset != 0 {
			t.Fatalf("key %d goes to slot %d, which is in use", i, at)
		}
		h.slots[at] = s
	}
	for i := range 7 {
		s := slot{length: 1}
		s.key[0] = byte(i)
		if at := h.find(&s, 42); at < 0 || h.slots[at].offset != int64(i+1) {
			t.Errorf("key %d is not found", i)
		}
	}
	if at := h.find(&slot{length: 2}, 42); at != -1 {
		t.Errorf("a key that is not there is found at %d", at)
	}
}

func BenchmarkKeys(b *testing.B) {
	for _, keys := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			k := NewKeys(128<<20, 0.9, Seed{1, 2, 3})
			key := []byte("user-00000000")
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				binary.BigEndian.PutUint32(key[5:], uint32(n*2654435761)%uint32(keys))
				k.Put(key, int64(n))
				n++
			}
		})
	}
}
