package main

import (
	"strings"
	"testing"
)

// TestJudge gives the rule an hour of noise, one of a slow leak of each measure, and one that is too short.
func TestJudge(t *testing.T) {
	steady := sample{rss: 60e6, heap: 10e6, goroutines: 80, descriptors: 60}
	hour := func(leak sample) (minutes []sample) {
		for i := range 60 {
			noise := float64(i%7) / 100
			minutes = append(minutes, sample{rss: steady.rss*(1+noise) + float64(i)*leak.rss, heap: steady.heap*(1+noise) + float64(i)*leak.heap,
				goroutines: steady.goroutines*(1+noise) + float64(i)*leak.goroutines, descriptors: steady.descriptors + float64(i)*leak.descriptors})
		}
		return minutes
	}
	for _, c := range []struct {
		name  string
		leak  sample
		after sample
		want  string
	}{
		{"none", sample{}, steady, ""},
		{"memory", sample{rss: 500e3}, steady, "RSS grew"},
		{"heap", sample{heap: 200e3}, steady, "heap grew"},
		{"goroutines", sample{goroutines: 1}, steady, "goroutines grew"},
		{"descriptors", sample{descriptors: 1}, steady, "descriptors grew"},
		{"goroutines left behind", sample{}, sample{goroutines: 100}, "20 goroutines were left"},
	} {
		err := judge(hour(c.leak), steady, c.after)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: judged %v, want %q", c.name, err, c.want)
		}
	}
	if err := judge(hour(sample{})[:7], steady, steady); err == nil {
		t.Error("seven minutes are judged")
	}
}
