package partition

import "github.com/moldau/moldau/internal/invariant"

// offsets are the marks of one partition replica.
//
// Invariant: logStart <= lastStable <= highWatermark <= logEnd.
type offsets struct {
	logStart      int64 // first offset served; only grows, but where a follower begins anew
	lastStable    int64 // LSO: start of the first undecided transaction, at most highWatermark
	highWatermark int64 // end of what every ISR member has; ordinary readers stop here
	logEnd        int64 // next offset to assign
}

func (o offsets) check() {
	if o.logStart <= o.lastStable && o.lastStable <= o.highWatermark && o.highWatermark <= o.logEnd {
		return // what is below allocates
	}
	invariant.Check(o.logStart <= o.lastStable, "log start %d > LSO %d", o.logStart, o.lastStable)
	invariant.Check(o.lastStable <= o.highWatermark, "LSO %d > high watermark %d", o.lastStable, o.highWatermark)
	invariant.Check(o.highWatermark <= o.logEnd, "high watermark %d > log end %d", o.highWatermark, o.logEnd)
}
