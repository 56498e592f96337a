// One goroutine runs it all, so that the race detector would find nothing and take long for it.

//go:build !race

package replica

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSim(t *testing.T) {
	var all counts
	traces := map[uint64]bool{}
	for i := range uint64(*simSeeds) {
		s, err := simulate(*simSeed+i, noMutant)
		if err != nil {
			t.Fatal(err)
		}
		if i < 10 {
			again, _ := simulate(*simSeed+i, noMutant)
			if again.trace.Sum64() != s.trace.Sum64() {
				t.Fatalf("seed %d gave two traces", *simSeed+i)
			}
		}
		traces[s.trace.Sum64()] = true
		c := s.count
		all.epochs, all.truncations, all.rounds, all.losses, all.acks = all.epochs+c.epochs, all.truncations+c.truncations, all.rounds+c.rounds, all.losses+c.losses, all.acks+c.acks
		all.refusals, all.joins, all.deaths, all.resets = all.refusals+c.refusals, all.joins+c.joins, all.deaths+c.deaths, all.resets+c.resets
	}
	t.Logf("%+v", all)
	n := *simSeeds
	if len(traces) != n {
		t.Errorf("%d seeds gave %d traces", n, len(traces))
	}
	if n >= 100 && (all.epochs < 6*n || all.truncations < n || all.rounds < n || all.losses < n/2 || all.acks < 100*n || all.refusals < n/2 || all.joins < 3*n || all.deaths < 5*n || all.resets < n/20) {
		t.Fatal("too little happened for the test to mean anything")
	}
}

// planted is a bug and the invariants that must see it, each before any other one does, with some seed.
type planted struct {
	bug  mutant
	name string
	seen []string
}

var allPlanted = []planted{
	// Of the machine.
	{truncateToHW, "truncate to high watermark", []string{"I14"}},
	{truncateOnce, "truncate in one round", []string{"I15"}},
	{staleAnswers, "answers of other epochs followed", []string{"I17"}},
	{answerTwice, "answers followed twice", []string{"I21"}},
	{staleFetches, "fetches of other epochs counted", []string{"I5"}},
	{oldIncarnation, "fetches of other incarnations counted", []string{"I6"}},
	{countUnsynced, "unsynced end of a follower counted", []string{"I5"}},
	{countOwnUnsynced, "unsynced end of the leader counted", []string{"I5"}},
	{noMinISR, "no min ISR", []string{"I5"}},
	{earlyShrink, "smaller ISR before it is taken", []string{"I4"}},
	{refusedForgotten, "refused proposal forgotten", []string{"I5"}},
	{joinBelowHW, "join below the high watermark", []string{"I6"}},
	{joinBelowEpochStart, "join below the epoch start", []string{"I6"}},
	{joinUnfetched, "join without a fetch in the epoch", []string{"I6"}},
	{eagerHW, "high watermark before it is known", []string{"I22"}},
	{deleteUncommitted, "uncommitted records deleted", []string{"I18"}},
	{unregisteredLeads, "leads before registration", []string{"I9"}},
	// Of its host and disk.
	{ackUncommitted, "ack before commit", []string{"I13"}},
	{syncLies, "a sync that was none", []string{"I5"}},
	{lossKept, "loss not told", []string{"I8"}},
	{endIsHighWatermark, "log end told for the high watermark", []string{"I1"}},
	{nameUnsynced, "file synced, its name not", []string{"I3", "I19"}},
	{epochsUncut, "epochs of what was cut off", []string{"I16"}},
	// Of the controller.
	{electAny, "any live replica elected", []string{"I2"}},
	{uncleanElected, "unclean election", []string{"I2"}},
	{lastKnownElected, "last known leader elected", []string{"I12"}},
	{elrForgotten, "ELR forgotten", []string{"I12"}},
	{brokerEpochUnchecked, "broker epochs unchecked", []string{"I7"}},
	{versionUnchecked, "partition epoch unchecked", []string{"I7"}},
	{epochsUnchecked, "leader and partition epoch unchecked", []string{"I7"}},
	{ineligibleTaken, "fenced member taken", []string{"I11"}},
	{fencedStays, "fenced broker stays in the ISR", []string{"I11"}},
	{recordSkipped, "metadata lack a record", []string{"I10"}},
	{beatUnchecked, "heartbeat of another incarnation", []string{"M7"}},
}

// TestSimMutants shows that the judge sees what it is for: each bug with the invariant that it breaks, and each invariant with a bug.
func TestSimMutants(t *testing.T) {
	const most = 400
	proved := map[string]bool{}
	there := map[mutant]bool{mutants: true}
	for _, p := range allPlanted {
		there[p.bug] = true
		t.Run(p.name, func(t *testing.T) {
			first := map[string]int{} // by invariant, after so many seeds
			for seed := range most {
				_, err := simulate(uint64(1+seed), p.bug)
				if err == nil {
					continue
				}
				_, rest, _ := strings.Cut(err.Error(), ": ")
				name, _, _ := strings.Cut(rest, " ")
				if first[name] == 0 {
					first[name] = 1 + seed
				}
				if !slices.ContainsFunc(p.seen, func(name string) bool { return first[name] == 0 }) {
					t.Logf("%v; %v", first, err)
					break
				}
			}
			for _, name := range p.seen {
				if first[name] == 0 {
					t.Errorf("%s did not see it in %d seeds: %v", name, most, first)
				}
				proved[name] = true
			}
		})
	}
	for bug := noMutant + 1; bug < allMutants; bug++ {
		if !there[bug] {
			t.Errorf("nothing is to see mutant %d", bug)
		}
	}
	for i := 1; i <= 22; i++ {
		if name := fmt.Sprint("I", i); i != 20 && !proved[name] {
			t.Errorf("no bug shows that %s sees anything", name)
		}
	}
}

// TestSimReassignments moves the partition from broker to broker while brokers die, freeze, are cut off and lose power.
func TestSimReassignments(t *testing.T) {
	var all counts
	n := max(1, *simSeeds/2)
	for i := range uint64(n) {
		s, err := simulateAs(*simSeed+i, noMutant, wanders)
		if err != nil {
			t.Fatal(err)
		}
		if i < 5 {
			again, _ := simulateAs(*simSeed+i, noMutant, wanders)
			if again.trace.Sum64() != s.trace.Sum64() {
				t.Fatalf("seed %d gave two traces", *simSeed+i)
			}
		}
		all.moves, all.acks, all.joins, all.deaths = all.moves+s.count.moves, all.acks+s.count.acks, all.joins+s.count.joins, all.deaths+s.count.deaths
	}
	t.Logf("%+v", all)
	if n >= 100 && (all.moves < 3*n || all.acks < 50*n || all.joins < 3*n || all.deaths < 3*n) {
		t.Fatal("too little happened for the test to mean anything")
	}
}

// TestSimReassignmentMutants shows that the judge sees what it is for.
func TestSimReassignmentMutants(t *testing.T) {
	for name, c := range map[string]struct {
		how  moves
		seen string
	}{"taken out at once": {tornAway, "I20"}, "old metadata": {forgetful, "I3"}} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(100) {
				if _, err := simulateAs(1+seed, noMutant, c.how); err != nil && strings.Contains(err.Error(), ": "+c.seen+" ") {
					t.Log(err)
					return
				}
			}
			t.Fatalf("%s did not see it", c.seen)
		})
	}
}
