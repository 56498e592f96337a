package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/moldau/moldau/internal/clock"
)

const (
	spareLook = time.Second
	// quietBytes is how much is allocated between two looks at most while there is hardly anything to do, and quietShare the part of what is in use
	// for which the same holds: looking after a hundred thousand idle partitions allocates, too.
	quietBytes = 256 << 10
	quietShare = 256
	// quietLooks is how many such looks come before memory is given back, so that a short pause costs nothing.
	quietLooks = 2
	// wornBytes must have been allocated since the last time, or be free; otherwise there is little to give back.
	wornBytes = 8 << 20
	// liveShare of the memory that is in use is the least for that as well: going through much of it takes time.
	liveShare = 4
	// releases is how often memory is given back, look by look. What lies in pools is free the second time.
	releases = 2
)

// spareMemory decides when memory that requests have left behind goes back to the system. The runtime does that by itself, but after minutes,
// because it waits for a collection that nothing asks for any more once the load is gone.
type spareMemory struct {
	allocated uint64 // since the start, at the last look
	since     uint64 // allocated when memory was given back
	stacks    uint64 // the least that the stacks of goroutines have taken since then
	quiet     int    // looks
	given     int    // times since there was load
}

// look is told how much was allocated since the start, how much is in use and how much is free already, and what stacks take, and says whether to
// give memory back now.
func (m *spareMemory) look(allocated, live, free, stacks uint64) bool {
	if allocated-m.allocated > max(quietBytes, live/quietShare) {
		m.quiet = 0
	} else {
		m.quiet++
	}
	m.allocated = allocated
	m.stacks = min(m.stacks, stacks)
	if m.quiet < quietLooks {
		return false
	}
	// A stack that a request has made larger shrinks in a collection, and counts as nothing in what was allocated.
	if max(allocated-m.since+stacks-m.stacks, free) >= max(wornBytes, live/liveShare) {
		m.given = 0
	} else if m.given == 0 || m.given == releases {
		return false
	}
	m.since, m.stacks = allocated, stacks
	m.given++
	return true
}

// startPercent is how much garbage there may be while a node starts, in percent of what is alive: with the runtime's 100 a start that opens many logs takes twice
// what they take, and keeps it until there is hardly anything to do.
const startPercent = 50

// CollectSooner has the runtime collect sooner until the func that it returns is called. GOGC, where it is set, is left as it is. It concerns the whole process,
// so that a program that has a broker in it is left alone.
func CollectSooner() (end func()) {
	was := debug.SetGCPercent(startPercent)
	if was != 100 {
		debug.SetGCPercent(was)
		return func() {}
	}
	return func() { debug.SetGCPercent(was) }
}

// giveBack gives memory back to the system, whenever there is hardly anything to do, until ctx ends. It concerns the whole process, so that a
// program that has a broker in it is left alone.
func giveBack(ctx context.Context, c clock.Clock) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"}}
	var m spareMemory
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.After(spareLook):
		}
		metrics.Read(samples)
		if m.look(samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()) {
			debug.FreeOSMemory()
		}
	}
}
