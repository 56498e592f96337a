package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/moldau/moldau/bench/node"
)

// sample is what the broker takes, by name of what.
type sample struct {
	rss, heap, goroutines, descriptors, connections, topics float64
}

func (s sample) String() string {
	return fmt.Sprintf("%9.1f %9.1f %11.0f %12.0f %12.0f %8.0f", s.rss/1e6, s.heap/1e6, s.goroutines, s.descriptors, s.connections, s.topics)
}

func look(ctx context.Context, b *node.Broker) (sample, error) {
	m, err := b.Metrics(ctx)
	if err != nil {
		return sample{}, err
	}
	u, err := b.Use()
	return sample{rss: float64(u.RSS), heap: m["go_heap_objects_bytes"], goroutines: m["go_goroutines"], descriptors: float64(u.Descriptors),
		connections: m["moldau_connections"], topics: m["moldau_topics"]}, err
}

// measures are what must not grow, and by how much more than a tenth it may seem to.
var measures = []struct {
	name  string
	of    func(sample) float64
	slack float64
}{
	{"RSS", func(s sample) float64 { return s.rss }, 4e6},
	{"heap", func(s sample) float64 { return s.heap }, 2e6},
	{"goroutines", func(s sample) float64 { return s.goroutines }, 10},
	{"descriptors", func(s sample) float64 { return s.descriptors }, 10},
}

// leftMax is how many goroutines more there may be when all guests have gone than before the first.
const leftMax = 10

// looksEach is how often the broker is looked at within a minute. The least of a minute counts, of each measure by itself: garbage and guests
// come and go, while what leaks stays.
const looksEach = 12

// watch looks at the broker until ctx ends and returns the least of each minute.
func (cr *crowd) watch(ctx context.Context) (minutes []sample, err error) {
	begin := time.Now()
	var of []sample
	for i := 1; ; i++ {
		select {
		case <-ctx.Done():
			return minutes, nil
		case <-time.After(time.Until(begin.Add(time.Duration(i) * time.Minute / looksEach))):
		}
		s, err := look(ctx, cr.broker)
		if ctx.Err() != nil {
			return minutes, nil
		}
		if err != nil {
			return minutes, err
		}
		if of = append(of, s); len(of) == looksEach {
			minutes = append(minutes, least(of))
			fmt.Printf("%8d %v %8d\n", len(minutes), minutes[len(minutes)-1], cr.done.Load())
			of = nil
		}
	}
}

func least(of []sample) sample {
	m := of[0]
	for _, s := range of[1:] {
		m = sample{min(m.rss, s.rss), min(m.heap, s.heap), min(m.goroutines, s.goroutines), min(m.descriptors, s.descriptors),
			min(m.connections, s.connections), min(m.topics, s.topics)}
	}
	return m
}

// judge says what has grown: from the second quarter of the time to the last one, by their medians, and of goroutines also from before the
// first guest to after the last. The first quarter is left out, since caches fill in it, that of open files too.
func judge(minutes []sample, before, after sample) (verdict error) {
	const least = 8
	if len(minutes) < least {
		return fmt.Errorf("%d minutes are too few to tell growth; %d are needed", len(minutes), least)
	}
	quarter := len(minutes) / 4
	second, last := minutes[quarter:2*quarter], minutes[len(minutes)-quarter:]
	for _, m := range measures {
		then, now := median(second, m.of), median(last, m.of)
		fmt.Printf("%-12s %12.0f in the second quarter, %12.0f in the last\n", m.name, then, now)
		if now > 1.1*then+m.slack {
			verdict = errors.Join(verdict, fmt.Errorf("%s grew from %.0f to %.0f", m.name, then, now))
		}
	}
	if left := after.goroutines - before.goroutines; left > leftMax {
		verdict = errors.Join(verdict, fmt.Errorf("%.0f goroutines were left behind", left))
	}
	return verdict
}

func median(of []sample, what func(sample) float64) float64 {
	var v []float64
	for _, s := range of {
		v = append(v, what(s))
	}
	slices.Sort(v)
	return v[len(v)/2]
}
