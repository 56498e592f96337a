package segment

import (
	"testing"
	"time"

	"github.com/moldau/moldau/internal/vfs"
)

// TestCloseIdle: files that nobody has used for a while are closed, and opened again by who needs them; those in use stay.
func TestCloseIdle(t *testing.T) {
	mem := vfs.NewMem()
	cache := NewFileCache(10, 0)
	open := func(name string) *File {
		if err := vfs.WriteFileAtomic(mem, name, []byte(name)); err != nil {
			t.Fatal(err)
		}
		return &File{cache: cache, fs: mem, path: name}
	}
	use := func(h *File) {
		t.Helper()
		if _, err := h.Acquire(); err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	idle, busy, held := open("idle"), open("busy"), open("held")
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
