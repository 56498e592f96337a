package logdir

import (
	"errors"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// TestAnew: of two folders of a partition the one that was begun anew counts, also once it has moved on, and the other one is set aside. Where a log is there already
// nothing is begun; two that nothing tells apart are refused.
func TestAnew(t *testing.T) {
	for _, moved := range []bool{false, true} {
		mem := vfs.NewMem()
		h := newHouse()
		must(t, h.open(options(mem)))
		must(t, h.append(0, 500, 1, true))
		old, other := h.at[0], 1-h.at[0]
		if made, err := h.dirs[old].Anew(logID(0), 7); made || err != nil {
			t.Fatalf("where the log is: %v, %v", made, err)
		}
		if moved { // which does not count against what is begun anew
			must(t, h.dirs[old].setMoves(logID(0).DirName(), 3))
		}
		if made, err := h.dirs[other].Anew(logID(0), 7); !made || err != nil {
			t.Fatalf("%v, %v", made, err)
		}
		if n, err := h.dirs[other].movesIn(logID(0).DirName()); n != 8<<movesBits || err != nil {
			t.Errorf("%d moves, %v", n, err)
		}
		must(t, h.close())
		must(t, h.open(options(mem)))
		folders := func(dir int) (log, stray bool) {
			entries, err := mem.ReadDir(h.dirs[dir].Path())
			must(t, err)
			for _, e := range entries {
				log = log || e.Name() == logID(0).DirName()
				stray = stray || strings.HasPrefix(e.Name(), logID(0).DirName()+".") && strings.HasSuffix(e.Name(), straySuffix)
			}
			return log, stray
		}
		if log, stray := folders(old); log || !stray {
			t.Errorf("moved %v: the old folder has its name %v, and is aside %v", moved, log, stray)
		}
		if log, stray := folders(other); !log || stray {
			t.Errorf("moved %v: the new folder has its name %v, and is aside %v", moved, log, stray)
		}
		must(t, h.close())
	}

	mem := vfs.NewMem()
	h := newHouse()
	must(t, h.open(options(mem)))
	for _, d := range h.dirs {
		if made, err := d.Anew(logID(0), 7); !made || err != nil {
			t.Fatalf("%v, %v", made, err)
		}
	}
	must(t, h.close())
	if err := h.open(options(mem)); !errors.Is(err, ErrTwice) {
		t.Errorf("twice anew: %v", err)
	}
}
