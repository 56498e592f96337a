package commitlog

import (
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// paceRun is a log whose appends are of a bit more than a MiB, and what its write-back was.
type paceRun struct {
	log    *Log
	starts []func()   // given to the owner of the directory
	began  [][2]int64 // from where to where the disk was told to write
}

func newPaceRun(t *testing.T, takes bool) *paceRun {
	r := &paceRun{}
	w := newWorld(t, vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if op.Kind == vfs.OpWriteBack {
			r.began = append(r.began, [2]int64{op.Off, op.Off + op.N})
		}
		return nil
	}))
	w.env.WriteBack = func(start func()) bool {
		if takes {
			r.starts = append(r.starts, start)
		}
		return takes
	}
	r.log = w.open(t, Config{}, Recovery{Missing: true})
	return r
}

func (r *paceRun) append(t *testing.T, mib int) {
	t.Helper()
	for range mib {
		if _, err := r.log.Append(batchSpec{size: 1 << 20}.build(), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWriteBackIsLeftToOthers: an append asks for write-back once, and starts none; what is started then is all there is by then.
func TestWriteBackIsLeftToOthers(t *testing.T) {
	r := newPaceRun(t, true)
	r.append(t, 7)
	if len(r.starts) != 0 {
		t.Fatalf("7 MiB ask for %d", len(r.starts))
	}
	r.append(t, 13)
	if len(r.starts) != 1 || len(r.began) != 0 {
		t.Fatalf("asked %d times, began %v", len(r.starts), r.began)
	}
	r.starts[0]()
	if want := [][2]int64{{0, r.log.Size()}}; !slices.Equal(r.began, want) {
		t.Fatalf("began %v, want %v", r.began, want)
	}
	r.starts[0]() // once more does nothing
	r.append(t, 8)
	if len(r.starts) != 2 || len(r.began) != 1 {
		t.Fatalf("asked %d times, began %v", len(r.starts), r.began)
	}
}

// TestWriteBackIsLate: where nobody starts what was asked for, or nobody takes it, the appends do, range by range.
func TestWriteBackIsLate(t *testing.T) {
	for _, takes := range []bool{true, false} {
		r := newPaceRun(t, takes)
		r.append(t, 80)
		want := map[bool]int{true: 2, false: 10}[takes] // each 32 MiB, and each 8
		if len(r.began) != want {
			t.Fatalf("takes %v: began %v", takes, r.began)
		}
		at := int64(0)
		for _, part := range r.began {
			if part[0] != at || part[1] <= at {
				t.Fatalf("takes %v: began %v", takes, r.began)
			}
			at = part[1]
		}
	}
}

// TestWriteBackOfAnEndedLog: what was asked for may come when the log is gone.
func TestWriteBackOfAnEndedLog(t *testing.T) {
	r := newPaceRun(t, true)
	r.append(t, 9)
	if err := r.log.Close(true); err != nil {
		t.Fatal(err)
	}
	r.starts[0]()
	if len(r.began) != 0 {
		t.Fatalf("began %v", r.began)
	}
}
