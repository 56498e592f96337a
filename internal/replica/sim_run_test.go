// One goroutine runs it all, so that the race detector would find nothing and take long for it.

//go:build !race

package replica

import (
	"testing"
)

func TestSim(t *testing.T) {
	var all counts
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
		c := s.count
		all.epochs, all.truncations, all.rounds, all.losses, all.acks = all.epochs+c.epochs, all.truncations+c.truncations, all.rounds+c.rounds, all.losses+c.losses, all.acks+c.acks
		all.refusals, all.joins, all.deaths, all.resets = all.refusals+c.refusals, all.joins+c.joins, all.deaths+c.deaths, all.resets+c.resets
	}
	t.Logf("%+v", all)
	n := *simSeeds
	if n >= 100 && (all.epochs < 6*n || all.truncations < n || all.rounds < n || all.losses < n/2 || all.acks < 100*n || all.refusals < n/2 || all.joins < 3*n || all.deaths < 5*n || all.resets < n/20) {
		t.Fatal("too little happened for the test to mean anything")
	}
}

// TestSimMutants shows that the judge sees what it is for.
func TestSimMutants(t *testing.T) {
	names := map[mutant]string{truncateToHW: "truncate to high watermark", truncateOnce: "truncate in one round", staleAnswers: "answers of other epochs followed",
		answerTwice: "answers followed twice", staleFetches: "fetches of other epochs counted", oldIncarnation: "fetches of other incarnations counted",
		countUnsynced: "unsynced end of a follower counted", countOwnUnsynced: "unsynced end of the leader counted", noMinISR: "no min ISR",
		earlyShrink: "smaller ISR before it is taken", refusedForgotten: "refused proposal forgotten", joinBelowHW: "join below the high watermark",
		joinBelowEpochStart: "join below the epoch start", joinUnfetched: "join without a fetch in the epoch", eagerHW: "high watermark before it is known",
		deleteUncommitted: "uncommitted records deleted", unregisteredLeads: "leads before registration",
		ackUncommitted: "ack before commit", syncLies: "a sync that was none", electAny: "any live replica elected", brokerEpochUnchecked: "broker epochs unchecked",
		versionUnchecked: "partition epoch unchecked", lossKept: "loss not told", lastKnownElected: "last known leader elected"}
	for bug := noMutant + 1; bug < allMutants; bug++ {
		if bug == mutants {
			continue
		}
		name := names[bug]
		if name == "" {
			t.Fatalf("mutant %d has no name", bug)
		}
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(300) {
				if _, err := simulate(1+seed, bug); err != nil {
					t.Log(err)
					return
				}
			}
			t.Fatal("nobody noticed")
		})
	}
}
