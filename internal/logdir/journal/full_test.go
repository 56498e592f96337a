package journal

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// untilFull commits groups of batches, from number n on, until the journal takes no more of them, and returns how many it took.
func untilFull(t *testing.T, w *Writer, n int) (taken int, err error) {
	t.Helper()
	for ; taken < 1000; taken++ {
		add(t, w, n+taken)
		if err := w.Commit(); err != nil {
			return taken, err
		}
	}
	t.Fatal("the journal does not fill")
	return 0, nil
}

// TestSettlesOnAFullDisk: the disk takes no block more when the journal is to begin another file. What is kept for settles stays where it is, and each file that is
// retired is room for more of them.
func TestSettlesOnAFullDisk(t *testing.T) {
	for files := 1; files < 4; files++ {
		mem := disk()
		opts := options(mem)
		opts.FirstFile, opts.MaxFile, opts.Files = 64<<10, 64<<10, 9
		w := NewWriter(opts, nil)
		taken := 0
		for ; w.Sequence() < uint64(files); taken++ {
			add(t, w, taken)
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		mem.SetCapacity(mem.Used()) // a file is made in one piece here
		more, err := untilFull(t, w, taken)
		if taken += more; !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%d files: %v", files, err)
		}
		used, settled := mem.Used(), 0
		settle := func() error {
			w.Settle(id(7))
			err := w.CommitSettles()
			if err == nil {
				settled++
			}
			return err
		}
		for range 2 {
			if err := settle(); err != nil {
				t.Fatalf("%d files: settle %d: %v", files, settled, err)
			}
			if n, err := untilFull(t, w, taken); n > 0 || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("%d files: %d groups were taken in the room for settles, then %v", files, n, err)
			}
		}
		for files > 1 && settled < 200 {
			if err := settle(); err != nil {
				w.Retire(w.Sequence() - 1)
				if err := settle(); err != nil {
					t.Fatalf("%d files: settle %d, with a retired file: %v", files, settled, err)
				}
			}
		}
		if mem.Used() != used {
			t.Errorf("%d files: attempts leave %d bytes behind", files, mem.Used()-used)
		}
		found := 0
		for _, e := range mustOpen(t, mem.Peek(vfs.LoseUnsynced, 1)).Entries {
			if e.Kind == KindSettle {
				found++
			}
		}
		if found == 0 || files == 1 && found != settled {
			t.Errorf("%d files: %d of %d settles are found", files, found, settled)
		}
		mem.SetCapacity(0)
		for n := range 50 {
			w.Retire(w.Sequence() - 1)
			add(t, w, taken+n)
			if err := w.Commit(); err != nil {
				t.Fatalf("%d files: with space: %v", files, err)
			}
		}
		expect(t, mustOpen(t, mem.Crash(vfs.LoseUnsynced, 1)), taken+49, taken+49, 0)
	}
}

// TestSettlesTakeWhatTheyNeed: on a full disk a file grows by the block of a group that settles, for which the removal before it has made room, and not by a step that
// there is no room for. A group for which there is none takes nothing.
func TestSettlesTakeWhatTheyNeed(t *testing.T) {
	mem := disk()
	opts := options(mem)
	opts.FirstFile, opts.MaxFile = 4<<20, 4<<20
	w := NewWriter(opts, nil)
	settle := func() error {
		w.Settle(id(7))
		return w.CommitSettles()
	}
	add(t, w, 0)
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	used := mem.Used()
	mem.SetCapacity(used + 2*blockSize) // less than a file grows by
	for n := range 2 {                  // the one at hand, and another one
		if _, err := untilFull(t, w, 1); !errors.Is(err, syscall.ENOSPC) || mem.Used() != used {
			t.Fatalf("attempt %d leaves %d bytes behind, %v", n, mem.Used()-used, err)
		}
	}
	mem.SetCapacity(used)
	for settle() == nil { // in the room that there is for them
	}
	const room, beside = 40, 3 // the header of another file, and the block that each keeps
	mem.SetCapacity(used + room*blockSize)
	for n := range room - beside {
		if err := settle(); err != nil {
			t.Fatalf("settle %d, with room for %d: %v", n, room-beside, err)
		}
	}
}

// TestFirstSettleTakesTheLastSpace: after a start a group that settles needs a file of its own, and no more of it than it fills.
func TestFirstSettleTakesTheLastSpace(t *testing.T) {
	mem := disk()
	w := NewWriter(options(mem), nil)
	mem.SetCapacity(3 * blockSize)
	add(t, w, 0)
	if err := w.Commit(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	w.Settle(id(7))
	if err := w.CommitSettles(); err != nil {
		t.Fatal(err)
	}
	if s := mustOpen(t, mem.Crash(vfs.LoseUnsynced, 1)); len(s.Entries) != 1 || s.Entries[0].Kind != KindSettle {
		t.Errorf("found %v", s.Entries)
	}
}

// TestNoDescriptorForAnEmptyFile: a crash left a file that nothing was written to, and it cannot be opened at first. No other file goes for that.
func TestNoDescriptorForAnEmptyFile(t *testing.T) {
	mem := disk()
	w := NewWriter(options(mem), nil)
	last := 0
	for ; w.Sequence() < 2; last++ {
		add(t, w, last)
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	empty, err := mem.OpenFile(filepath.Join(dir, "2"+suffix), vfs.ReadWrite|vfs.Create, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	empty.Close()
	lack := true
	opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
		if lack && op.Kind == vfs.OpCreate {
			lack = false
			return syscall.EMFILE
		}
		return nil
	}))
	w = NewWriter(opts, mustOpen(t, mem))
	add(t, w, last)
	if err := w.Commit(); !errors.Is(err, syscall.EMFILE) {
		t.Fatal(err)
	}
	for n := last; w.Sequence() < 4; n++ {
		add(t, w, n)
		if err := w.Commit(); errors.Is(err, ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	expect(t, mustOpen(t, mem.Crash(vfs.LoseUnsynced, 1)), 0, last-1, 1000)
}
