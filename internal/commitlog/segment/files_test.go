package segment

import (
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/moldau/moldau/internal/vfs"
)

// TestCloseIdle: files that nobody has used for a while are closed, and opened again by who needs them; those in use stay.
func TestCloseIdle(t *testing.T) {
	mem := vfs.NewMem()
	cache := NewFileCache(10, 0)
	open := func(base int64) *File {
		s := newSegment(cache, mem, At(""), base)
		if err := vfs.WriteFileAtomic(mem, s.Path(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		return &s.log
	}
	use := func(h *File) {
		t.Helper()
		if _, err := h.Acquire(); err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	idle, busy, held := open(0), open(1), open(2)
	now := time.Unix(1000, 0)
	cache.CloseIdle(now, time.Minute)
	use(idle)
	if _, err := held.Acquire(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		use(busy)
		now = now.Add(time.Minute)
		cache.CloseIdle(now, time.Minute)
		cache.CloseIdle(now, time.Minute) // too soon to count
	}
	if idle.open != nil || busy.open == nil || held.open == nil || cache.Unused() != 1 {
		t.Fatalf("open: idle %v, busy %v, held %v; %d unused", idle.open != nil, busy.open != nil, held.open != nil, cache.Unused())
	}
	held.Release()
	use(idle)
	if idle.open == nil {
		t.Fatal("a file that was closed is not opened again")
	}
}

// TestSegmentSize: a hundred thousand segments may be in use at once. The runtime gives an object of more than 512 bytes another eight, and rounds up.
func TestSegmentSize(t *testing.T) {
	if size := unsafe.Sizeof(Segment{}); size > 512 {
		t.Fatalf("a Segment takes %d bytes", size)
	}
}

// TestRing: the last marks are kept, each once, also those noted after the ring was cleared.
func TestRing(t *testing.T) {
	var r ring
	for _, clear := range []bool{false, true} {
		if clear {
			r.clear()
		}
		for i := range int64(11) {
			r.note(mark{base: i, pos: 10 * i}, 4)
			for at := max(0, i-3); at <= i; at++ {
				if !slices.Contains(r.marks, mark{at, 10 * at}) {
					t.Fatalf("after %d: %v", i, r.marks)
				}
			}
			if want := int(min(i+1, 4)); len(r.marks) != want {
				t.Fatalf("after %d: %v", i, r.marks)
			}
		}
	}
}
