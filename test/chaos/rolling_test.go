package chaos

import (
	"testing"
	"time"
)

// TestRollingRestart restarts the three brokers one after another, each when all replicas are in sync again, under clients with the settings that franz-go gives
// them. No error of a broker may reach their users: there is none that a client does not retry by itself.
func TestRollingRestart(t *testing.T) {
	t.Logf("seed %d", *seed)
	tr := newTrial(t, *seed, true)
	if _, ok := tr.inSync(time.Now(), bound); !ok {
		tr.conclude(t)
		return
	}
	for _, n := range tr.nodes {
		tr.takePauses()
		began := time.Now()
		n.stop()
		stopped := time.Since(began)
		if err := n.start(); err != nil {
			t.Fatal(err)
		}
		if err := n.answers(bound); err != nil {
			t.Fatalf("broker %d does not answer: %v", n.id, err)
		}
		took, _ := tr.inSync(time.Now(), bound)
		tr.check.alive(tr.load.pulses, time.Now(), bound)
		t.Logf("broker %d: stopped within %v, all in sync %v after its start; longest pause of acknowledgements in a partition %v", n.id,
			stopped.Round(time.Millisecond), took.Round(time.Millisecond), tr.takePauses().Round(time.Millisecond))
		tr.struck["restart"]++
	}
	t.Logf("%d single requests were given up with their connection", tr.load.unconnected.Load())
	tr.conclude(t)
}
