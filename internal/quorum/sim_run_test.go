// One goroutine runs it all, so that the race detector would find nothing and take long for it.

//go:build !race

package quorum

import (
	crand "crypto/rand"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/random"
)

var (
	simSeed  = flag.Uint64("seed", 0, "first seed of the simulation")
	simSeeds = flag.Int("seeds", 200, "number of seeds of the simulation")
)

// allPlanted names the invariants that must see a bug, each before any other one does, with some seed:
//
//	M1  a term has one leader                          M5  snapshot and log behind it make the state that the whole log makes
//	M2  all have the same entry at an index            M9  who is told that a change is done finds it, and no other in its place
//	M3  what was committed stays, on all nodes
//
// M4, that a broker's metadata are what a beginning of the log makes, is that of internal/metadata; M7 that of internal/replica, whose simulation
// has the brokers. M6, that a read sees all that was seen before it began, asks for reads of the quorum, and M10 for voters that are removed: there is neither.
var allPlanted = map[mutant][]string{
	syncDoesNothing: {"M3"}, wipedVoterKeepsItsID: {"M2"}, voteForgotten: {"M1"}, logForgotten: {"M2"},
	snapshotLacks: {"M5"}, anyTermAnswers: {"M9"},
}

// seededCrand makes the library's own randomness, which it takes from crypto/rand, a function of the seed.
func seededCrand(t *testing.T, seed uint64) {
	real := crand.Reader
	crand.Reader = sourceReader{random.Seeded(seed)}
	t.Cleanup(func() { crand.Reader = real })
}

type sourceReader struct{ random.Source }

func (r sourceReader) Read(b []byte) (int, error) {
	r.Source.Read(b)
	return len(b), nil
}

var _ io.Reader = sourceReader{}

// simulate runs one seed, and says which invariant did not hold.
func simulate(t *testing.T, seed uint64, bug mutant) (s *sim, err error) {
	seededCrand(t, seed)
	defer func() {
		switch v := recover().(type) {
		case nil:
		case violation:
			err = fmt.Errorf("seed %d: %s", seed, string(v))
		default: // the library's own checks, and core's
			if bug == none {
				panic(fmt.Sprintf("seed %d: %v", seed, v))
			}
			err = fmt.Errorf("seed %d: library: %v", seed, v)
		}
	}()
	s = newSim(t, seed, bug)
	for range 4000 {
		s.step(true)
	}
	s.cut = 0
	for range 6000 {
		s.step(false)
		if done := s.settled(); done {
			break
		}
	}
	for _, n := range s.nodes {
		if n.core == nil || n.index < s.highest {
			s.fail("M3", "node %d is at %d of %d after the faults ended", n.id, n.index, s.highest)
		}
		for e := range s.wanted {
			if !slices.Contains(n.data, e) {
				s.fail("M3", "node %d lost %q", n.id, e)
			}
		}
		n.core.close()
	}
	return s, nil
}

// settled says that all nodes are up and have everything.
func (s *sim) settled() bool {
	return !slices.ContainsFunc(s.nodes, func(n *simNode) bool { return n.core == nil || n.index < s.highest })
}

func TestSimThreeVoters(t *testing.T) {
	var entries, snaps, restarts, leaders, acked int
	traces := map[[32]byte]bool{}
	for i := range uint64(*simSeeds) {
		seed := *simSeed + i
		s, err := simulate(t, seed, none)
		if err != nil {
			t.Fatal(err)
		}
		entries, snaps, restarts, leaders = entries+len(s.wanted), snaps+s.snaps, restarts+s.restart, leaders+len(s.leaders)
		acked += s.acked
		traces[s.trace] = true
		if i < 10 {
			if again, _ := simulate(t, seed, none); again.trace != s.trace {
				t.Fatalf("seed %d gave two traces", seed)
			}
		}
	}
	t.Logf("%d entries, %d answered, %d snapshots received, %d crashes, %d leaders", entries, acked, snaps, restarts, leaders)
	n := *simSeeds
	if len(traces) != n {
		t.Errorf("%d seeds gave %d traces", n, len(traces))
	}
	if n >= 20 && (entries < 50*n || acked < 40*n || snaps < n || restarts < 20*n || leaders < 5*n) {
		t.Fatal("too little happened for the test to mean anything")
	}
}

// TestSimMutants shows that the checks see what they are for, and each of them something.
func TestSimMutants(t *testing.T) {
	const most = 200
	proved := map[string]bool{}
	for bug, seen := range allPlanted {
		t.Run(string(bug), func(t *testing.T) {
			first := map[string]int{} // by invariant, after so many seeds
			for seed := range most {
				_, err := simulate(t, uint64(seed), bug)
				if err == nil {
					continue
				}
				_, rest, _ := strings.Cut(err.Error(), ": ")
				name, _, _ := strings.Cut(rest, ":")
				if first[name] == 0 {
					first[name] = 1 + seed
					t.Log(err)
				}
				if !slices.ContainsFunc(seen, func(name string) bool { return first[name] == 0 }) {
					break
				}
			}
			for _, name := range seen {
				if first[name] == 0 {
					t.Errorf("%s did not see it in %d seeds: %v", name, most, first)
				}
				proved[name] = true
			}
		})
	}
	for _, name := range []string{"M1", "M2", "M3", "M5", "M9"} {
		if !proved[name] {
			t.Errorf("no bug shows that %s sees anything", name)
		}
	}
}
