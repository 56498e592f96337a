package logdir

import (
	"slices"
	"testing"
)

// TestFingerprint: the order of the entries says nothing, and every change of one does.
func TestFingerprint(t *testing.T) {
	all := []Offset{{"a", 0, 5}, {"a", 1, 5}, {"b", 0, 7}, {"c", 3, 0}}
	want := fingerprintOf(all)
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	if fingerprintOf(reversed) != want {
		t.Fatal("the order counts")
	}
	for i := range all {
		for _, change := range []func(*Offset){func(o *Offset) { o.Topic += "x" }, func(o *Offset) { o.Partition++ }, func(o *Offset) { o.Offset++ }} {
			other := slices.Clone(all)
			change(&other[i])
			if fingerprintOf(other) == want {
				t.Errorf("%v is taken for %v", other, all)
			}
		}
		if fingerprintOf(slices.Delete(slices.Clone(all), i, i+1)) == want {
			t.Errorf("entry %d is not missed", i)
		}
	}
	swapped := slices.Clone(all)
	swapped[0].Offset, swapped[2].Offset = swapped[2].Offset, swapped[0].Offset
	if fingerprintOf(swapped) == want {
		t.Error("offsets of two topics may be exchanged")
	}
}
