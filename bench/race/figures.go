package main

import (
	"fmt"
	"math"
	"slices"
)

// metric is a figure of a run: rate, p50, p99 or cpu.
type metric string

const (
	rate metric = "rate"
	p50  metric = "p50"
	p99  metric = "p99"
	cpu  metric = "cpu" // seconds of the broker's CPU a GB of values
)

func (m metric) of(x run) float64 {
	switch m {
	case rate:
		return x.RecordsPerSec
	case p50, p99:
		return x.LatencyUS[string(m)]
	}
	return x.BrokerCPUPerGB
}

// median is 0 of nothing. Of an even number it is the middle of the two in the middle.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func values(runs map[int]run, m metric) (v []float64) {
	for _, x := range runs {
		v = append(v, m.of(x))
	}
	return v
}

// ratio compares two brokers: the ratio of their medians, and the least and the greatest ratio of their runs in one round.
type ratio struct {
	value, low, high float64
	rounds           int
}

func (q ratio) String() string {
	if q.rounds == 0 {
		return "-"
	}
	if q.rounds == 1 {
		return two(q.value)
	}
	return fmt.Sprintf("%s (%s..%s)", two(q.value), two(q.low), two(q.high))
}

// two writes a ratio with two digits behind the point, or with three where it is small.
func two(v float64) string {
	if v != 0 && math.Abs(v) < 0.1 {
		return fmt.Sprintf("%.3f", v)
	}
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// compare is label's figure by that of base.
func (r *results) compare(scenario, label, base string, m metric) (q ratio) {
	a, b := r.of(scenario, label), r.of(scenario, base)
	for round, x := range a {
		y, both := b[round]
		if !both || m.of(y) == 0 {
			continue
		}
		v := m.of(x) / m.of(y)
		if q.rounds == 0 || v < q.low {
			q.low = v
		}
		if q.rounds == 0 || v > q.high {
			q.high = v
		}
		q.rounds++
	}
	if d := median(values(b, m)); d > 0 && q.rounds > 0 {
		q.value = median(values(a, m)) / d
	}
	return q
}
