package group

import (
	"math/rand/v2"
	"testing"
)

// TestTimers compares the heap with a list that is searched.
func TestTimers(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var h timers
		all := make([]timer, 1+rng.IntN(40))
		due := map[*timer]instant{}
		var now instant
		for range 500 {
			x := &all[rng.IntN(len(all))]
			switch rng.IntN(4) {
			case 0:
				h.stop(x)
				delete(due, x)
			case 1:
				now += instant(rng.IntN(20))
				for {
					got := h.next(now)
					if got == nil {
						break
					}
					if d, ok := due[got]; !ok || d > now {
						t.Fatalf("seed %d: a timer fires at %d that is due %d (%v)", seed, now, d, ok)
					}
					delete(due, got)
				}
			default:
				d := now + instant(rng.IntN(100))
				h.move(x, d)
				due[x] = d
			}
			earliest := never
			for _, d := range due {
				earliest = min(earliest, d)
			}
			if at, ok := h.earliest(); ok != (len(due) > 0) || ok && at > earliest {
				t.Fatalf("seed %d: the heap wants to be looked at at %d (%v), a timer is due %d", seed, at, ok, earliest)
			}
			for i, x := range h.heap {
				if int(x.pos) != i+1 || x.at > x.due || i > 0 && h.heap[(i-1)/2].at > x.at {
					t.Fatalf("seed %d: the heap is out of order at %d", seed, i)
				}
			}
		}
		for h.next(never) != nil {
		}
		if len(h.heap) > 0 {
			t.Fatalf("seed %d: %d timers never fire", seed, len(h.heap))
		}
	}
}

func TestTimersShrink(t *testing.T) {
	var h timers
	all := make([]timer, 10000)
	for i := range all {
		h.move(&all[i], instant(i))
	}
	for i := range all[10:] {
		h.stop(&all[10+i])
	}
	if len(h.heap) != 10 || cap(h.heap) > 2048 {
		t.Errorf("10 timers take room for %d", cap(h.heap))
	}
}
