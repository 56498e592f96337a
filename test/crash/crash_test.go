// Package crash kills a broker under load, starts it again and checks that it kept its promises: a record
// acknowledged with acks=all is there, at its offset, in order, and once if its producer was idempotent.
// It holds tests only. A killed process leaves what it wrote to the kernel; what power loss leaves is tested
// with the crashing file system of internal/vfs.
//
//	go test ./test/crash -v                          a Moldau of this tree
//	go test ./test/crash -v -rounds 50 -seed 7
//	go test ./test/crash -v -bootstrap HOST:PORT -start 'COMMAND' -kill 'COMMAND'     any broker
package crash

import (
	"flag"
	"math/rand"
	"testing"
	"time"
)

var (
	rounds = flag.Int("rounds", 1, "how often the broker is killed")
	seed   = flag.Int64("seed", time.Now().UnixNano(), "seed of the load and of the moments of the kills")
	bound  = flag.Duration("start-bound", 0, "fail if a start takes longer until the first answer; 0: no bound")
)

func TestKill(t *testing.T) {
	t.Logf("seed %d", *seed)
	random := rand.New(rand.NewSource(*seed))
	p := newProcess(t)
	p.start(t)
	l := newLoad(t, p.addr, random.Int63())
	v := newVerifier(t, p.addr)
	var slowest time.Duration
	for round := 1; round <= *rounds; round++ {
		acks := 500 + random.Int63n(15_000)
		l.run(func() {
			l.awaitAcks(t, acks)
			p.kill(t)
			took := p.start(t)
			slowest = max(slowest, took)
			if *bound > 0 && took > *bound {
				t.Errorf("round %d: the start took %v, more than %v", round, took, *bound)
			}
			l.awaitAcks(t, 200) // the load goes on
			t.Logf("round %d: killed after %d acknowledgements, answered %v after its start", round, acks, took.Round(time.Millisecond))
		})
		l.flush(t)
		v.verify(t, l)
		if t.Failed() {
			t.Fatalf("round %d failed; again with -seed %d", round, *seed)
		}
	}
	newVerifier(t, p.addr).verify(t, l) // all of it once more, from the first record on
	t.Logf("%d records acknowledged, %d kills, slowest start %v", l.acked.Load(), *rounds, slowest.Round(time.Millisecond))
}
