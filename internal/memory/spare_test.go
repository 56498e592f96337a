package memory

import (
	"runtime/debug"
	"strings"
	"testing"
)

// TestCollectSooner: a start collects sooner, and what was set before is set after it; what somebody asked for is left as it is.
func TestCollectSooner(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	now := func() int {
		percent := debug.SetGCPercent(100)
		debug.SetGCPercent(percent)
		return percent
	}
	for _, c := range []struct{ before, during int }{{100, startPercent}, {200, 200}, {-1, -1}} {
		debug.SetGCPercent(c.before)
		end := CollectSooner()
		during := now()
		end()
		if after := now(); during != c.during || after != c.before {
			t.Errorf("of %d: %d during a start, %d after it", c.before, during, after)
		}
	}
}

// TestSpareMemory lets load come and go: memory is given back twice after each load, not during one, not after next to nothing, and
// later where much of it is in use, and when it has become free by itself or lies in stacks that have grown.
func TestSpareMemory(t *testing.T) {
	const mb = 1 << 20
	var m spareMemory
	allocated, free, stacks := uint64(0), uint64(0), uint64(mb)
	looks := func(name string, each, live uint64, want string) {
		t.Helper()
		got := ""
		for range want {
			allocated += each
			if m.look(allocated, live, free, stacks) {
				got += "x"
				free = 0
			} else {
				got += "."
			}
		}
		if got != want {
			t.Errorf("%s: gives back at %s, want %s", name, got, want)
		}
	}
	looks("load", 100*mb, 50*mb, ".....")
	looks("after it", mb/100, 5*mb, ".xx.....")
	looks("little by little", mb/4, 5*mb, strings.Repeat(".", 30))
	looks("and again", mb/4, 5*mb, ".xx......")
	looks("some load", 3*mb, 5*mb, "....")
	looks("a pause", 0, 5*mb, ".")
	looks("some load again", 3*mb, 5*mb, "....")
	looks("after it", 0, 5*mb, ".xx...")
	looks("load with much in use", 10*mb, 200*mb, "....")
	looks("after it", 0, 200*mb, ".....")
	looks("more of it", 10*mb, 200*mb, "....")
	looks("after that", 0, 200*mb, ".xx..")
	looks("much in use, and its upkeep", mb, 400*mb, strings.Repeat(".", 98))
	looks("of which little is left in the end", mb, 400*mb, ".xx..")
	free = 60 * mb
	looks("connections that have gone", 0, 5*mb, "xx...")
	stacks += 14 * mb
	looks("requests that allocate little on many connections", 0, 5*mb, "xx...")
	stacks -= 14 * mb
	looks("their stacks have shrunk", 0, 5*mb, "...")
	stacks += 14 * mb
	looks("more of them", 0, 5*mb, "xx...")
}
