package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestGapsCountWhatHasEnded(t *testing.T) {
	g, at := newGaps(2), time.Unix(1000, 0)
	for _, ms := range []int{0, 10, 20} {
		g.ack(0, at.Add(time.Duration(ms)*time.Millisecond))
	}
	if all := g.take(); all[0].took != 10*time.Millisecond || all[1].took != 0 {
		t.Fatalf("gaps of acknowledgements 10 ms apart, and of none: %v", all)
	}
	if p := g.silent([]int32{0, 1}, at.Add(15*time.Millisecond)); p != 1 {
		t.Fatalf("partition %d counts as silent, want 1", p)
	}
	g.ack(0, at.Add(520*time.Millisecond))
	g.ack(0, at.Add(530*time.Millisecond))
	if all := g.take(); all[0].took != 500*time.Millisecond || !all[0].from.Equal(at.Add(20*time.Millisecond)) {
		t.Fatalf("a gap of 500 ms that begins in the time before: %v", all[0])
	}
}

// TestExamineSeesWhatIsWrong plants one fault of each kind.
func TestExamineSeesWhatIsWrong(t *testing.T) {
	offsets := []int64{0, 1, 3, -1}
	fresh := []placed{{7, 2, "new 7 1"}, {8, 9, "new 8 2"}}
	good := func() []entry {
		return []entry{{0, "load 7 0"}, {1, "load 7 1"}, {2, "new 7 1"}, {3, "load 7 2"}, {4, "load 7 3"}, {5, "load 7 4"}, {6, "new 7 5"}}
	}
	for _, c := range []struct {
		what string
		read []entry
		want wrong
	}{
		{"nothing", good(), wrong{}},
		{"without the last, which nobody was told of", good()[:5], wrong{}},
		{"lost at the end", good()[:4], wrong{Lost: 1}},
		{"lost in between", slices.Delete(good(), 1, 2), wrong{Lost: 1}},
		{"a new client's lost", slices.Delete(good(), 2, 3), wrong{Lost: 1}},
		{"twice", append(good(), entry{7, "load 7 4"}), wrong{Twice: 1}},
		{"a new client's twice", append(good(), entry{7, "new 7 1"}), wrong{Twice: 1}},
		{"out of order", append(good()[:5], entry{5, "load 7 5"}, entry{6, "load 7 4"}), wrong{Order: 1}},
		{"at another offset", append(good()[:3], entry{4, "load 7 2"}, entry{5, "load 7 3"}), wrong{Elsewhere: 1}},
		{"another partition's", append(good(), entry{7, "load 8 4"}), wrong{Elsewhere: 1}},
		{"nobody's", append(good(), entry{7, ""}), wrong{Elsewhere: 1}},
	} {
		var got wrong
		examine(7, offsets, fresh, c.read, &got)
		got.first = ""
		if got != c.want {
			t.Errorf("%s: found %+v, want %+v", c.what, got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var values []float64
	for i := range 200 {
		values = append(values, float64(200-i))
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 100, 0.99: 198, 1: 200} {
		if got := percentile(values, q); got != want {
			t.Errorf("percentile %v of 1 to 200 is %v, want %v", q, got, want)
		}
	}
}

// TestSummaryTellsWhatIsMissed reads back what runs wrote.
func TestSummaryTellsWhatIsMissed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "results")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 100 {
		slow := 40.0
		if i >= 97 {
			slow = 2000
		}
		h := hit{Kind: "hit", System: moldau, Fault: kill, LedMS: []float64{120}, FollowedMS: []float64{slow}, Quorum: i%2 == 0, Back: new(worst)}
		if err := write(f, h); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(f, hit{Kind: "hit", System: kafka, Fault: kill, LedMS: []float64{11000}, FollowedMS: []float64{11000}, Back: new(worst)}); err != nil {
		t.Fatal(err)
	}
	if err := write(f, check{Kind: "check", System: moldau, Acknowledged: 70}); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if err := summarize(&said, []string{name}, true); err == nil {
		t.Errorf("a missed bar does not fail:\n%s", &said)
	}
	for _, want := range []string{
		"| killed: partitions that it led | 1 | 11.0 s | 11.0 s | 11.0 s | 100 | 120 ms | 120 ms | 120 ms | p50 <= 300 ms; p99 <= 1500 ms | met |",
		"| killed: those that it followed | 1 | 11.0 s | 11.0 s | 11.0 s | 100 | 40 ms | 2000 ms | 2000 ms | p50 <= 300 ms; p99 <= 1500 ms | **NOT met: p99** |",
		"Moldau: 70 records acknowledged in 1 runs; 0 lost",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the summary does not say %q:\n%s", want, &said)
		}
	}
	if err := write(f, check{Kind: "check", System: moldau, wrong: wrong{Lost: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := summarize(&said, []string{name}, false); err == nil {
		t.Error("a lost record does not fail")
	}
}

func TestFaultsFollowFromTheSeed(t *testing.T) {
	counts := map[fault]int{kill: 20, freeze: 3, stop: 5}
	first, again, other := fmt.Sprint(mixed(1, counts)), fmt.Sprint(mixed(1, counts)), fmt.Sprint(mixed(2, counts))
	if first != again || first == other {
		t.Errorf("seed 1: %s\nagain: %s\nseed 2: %s", first, again, other)
	}
}
