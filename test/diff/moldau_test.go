package diff

import (
	"os"
	"testing"
)

// startMoldau starts the broker under test on a data directory of its own with the properties that the recorded Kafka had (Properties)
// and registers its end with the test. Where it is nil, MOLDAU_DIFF_ADDR names a broker that runs already: it should be fresh, and
// cannot be restarted.
var startMoldau func(t *testing.T) *Target

// served is the table of APIs that the broker under test serves; its rows must have cases.
var served = Table

// target returns the broker under test, or nil where there is none.
func target(t *testing.T) *Target {
	if startMoldau != nil {
		return startMoldau(t)
	}
	if addr := os.Getenv("MOLDAU_DIFF_ADDR"); addr != "" {
		return &Target{Addr: addr}
	}
	return nil
}

// TestMoldau plays every case to Moldau. What differs from Kafka must stand in the table of deliberate differences, and what stands
// there must differ.
func TestMoldau(t *testing.T) {
	cases, rec := recording(t)
	broker := target(t)
	if broker == nil {
		t.Log("no broker under test: the recordings are checked, nothing is compared")
		return
	}
	if err := Warm(broker); err != nil {
		t.Fatal(err)
	}
	var all []Difference
	played := 0
	for _, c := range cases {
		t.Run(c.ID(), func(t *testing.T) {
			differences := Compare(c.ID(), rec[c.ID()], Play(broker, c))
			rest, _ := Judge(Differences(), differences)
			for i, d := range rest {
				if i == maxShown {
					t.Errorf("and %d more", len(rest)-i)
					break
				}
				t.Errorf("%s", d)
				if d.Sent() != "" {
					t.Logf("sent:\n%s", d.Sent())
				}
			}
			all = append(all, differences...)
			played++
		})
	}
	if played < len(cases) {
		return // a part of the suite cannot tell what no longer differs
	}
	_, stale := Judge(Differences(), all)
	for _, a := range stale {
		t.Errorf("allowed difference no longer seen: case %s, field %s (%s)", a.Case, a.Path, a.Reason)
	}
}

// maxShown bounds the differences printed for one case.
const maxShown = 12
