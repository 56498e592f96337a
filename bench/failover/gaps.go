package main

import (
	"sync"
	"time"
)

// gaps keeps, for each partition, when it was last acknowledged and the longest time between two acknowledgements.
type gaps struct {
	mu      sync.Mutex
	last    []time.Time // zero: never yet
	longest []gap
}

// gap is a time without an acknowledgement.
type gap struct {
	from time.Time
	took time.Duration
}

func newGaps(partitions int) *gaps {
	return &gaps{last: make([]time.Time, partitions), longest: make([]gap, partitions)}
}

// ack notes an acknowledgement.
func (g *gaps) ack(partition int32, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if from := g.last[partition]; !from.IsZero() && now.Sub(from) > g.longest[partition].took {
		g.longest[partition] = gap{from, now.Sub(from)}
	}
	g.last[partition] = now
}

// take returns the longest gaps that have ended since the last call. One that has not ended yet counts for the next, with all its length.
func (g *gaps) take() []gap {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.longest
	g.longest = make([]gap, len(all))
	return all
}

// silent returns the first of these partitions that has not been acknowledged since a moment, or -1.
func (g *gaps) silent(partitions []int32, since time.Time) int32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range partitions {
		if !g.last[p].After(since) {
			return p
		}
	}
	return -1
}
