package partition

import "github.com/moldau/moldau/internal/invariant"

// offsets are the marks of one partition replica.
//
// Invariant: logStart <= lastStable <= highWatermark <= logEnd.
type offsets struct {
	logStart      int64 // first offset served; only grows
	lastStable    int64 // LSO: start of the first undecided transaction, at most highWatermark
	highWatermark int64 // end of what every ISR member has; ordinary readers stop here
	logEnd        int64 // next offset to assign
}

func (o offsets) check() {
	invariant.Check(o.logStart <= o.lastStable, "log start %d > LSO %d", o.logStart, o.lastStable)
	invariant.Check(o.lastStable <= o.highWatermark, "LSO %d > high watermark %d", o.lastStable, o.highWatermark)
	invariant.Check(o.highWatermark <= o.logEnd, "high watermark %d > log end %d", o.highWatermark, o.logEnd)
}

// leaderMarks is what a leader knows when it decides how far the high watermark may go.
type leaderMarks struct {
	durable      bool  // the topic counts synced ends, not log ends
	logEnd       int64 // the leader's own
	syncedEnd    int64 // the leader's own
	isr          int   // members of the in-sync replica set, the leader among them
	minISR       int   // min.insync.replicas, clipped to the replication factor
	followersEnd int64 // the smallest counted end of the other ISR members; the largest int64 where there are none
}

// highWatermark returns the high watermark that the marks allow, given the present one. It never goes back, and it stands
// still while the ISR is smaller than min.insync.replicas, for records of every acks setting (KIP-966).
func (m leaderMarks) highWatermark(present int64) int64 {
	if m.isr < m.minISR {
		return present
	}
	counted := m.logEnd
	if m.durable {
		counted = m.syncedEnd
	}
	return max(present, min(counted, m.followersEnd, m.logEnd))
}
