package replica

import (
	"time"
)

// follower is what a leader knows of one follower, from its fetches in this leader epoch.
type follower struct {
	brokerEpoch int64 // of the incarnation that fetched; -1: none did in this leader epoch
	logEnd      int64 // its fetch offset; -1 until it fetched. It only grows while leader epoch and broker epoch stay
	syncedEnd   int64 // what of it a power loss cannot take
	logStart    int64
	dead        bool // it is known to have died, and has not fetched since

	// caughtUp is when it last had all that the leader had. Under load that is never now: a mark, the leader's log end at one of its
	// fetches, is reached some fetches later, as many as a sync takes, and then the next one is set.
	caughtUp time.Time
	mark     time.Time
	markEnd  int64
}

func unheard(brokerEpoch int64) *follower {
	return &follower{brokerEpoch: brokerEpoch, logEnd: -1, syncedEnd: -1, logStart: -1}
}

// FetchRequest is a follower's fetch of one partition. The same request with a higher SyncedEnd may be sent while the first waits for
// records at the leader.
type FetchRequest struct {
	Replica     int32
	BrokerEpoch int64
	LeaderEpoch LeaderEpoch
	Offset      int64       // the follower's log end
	LastEpoch   LeaderEpoch // of its last record; NoEpoch: it has none
	SyncedEnd   int64
	LogStart    int64
	Outside     bool // the follower is not in the ISR, by what it knows; the request does not say so
}

// FetchAnswer is the leader's answer. The host adds the batches, from Offset on, unless there is an error or a divergence.
type FetchAnswer struct {
	Err           error
	LeaderEpoch   LeaderEpoch
	Diverging     *Diverging
	HighWatermark int64
	LogStart      int64
	LogEnd        int64
	Batches       []Batch
}

// Diverging says that the follower's last epoch ends earlier at the leader: the leader's largest epoch not above it, and where that ends.
type Diverging struct {
	Epoch LeaderEpoch
	End   int64
}

// Batch is what a follower must know of a record batch to append it.
type Batch struct {
	Base, End   int64
	LeaderEpoch LeaderEpoch
}

// CheckAppend says why a batch may not be appended as leader, in that epoch or NoEpoch, with acks=all or not.
func (m *Machine) CheckAppend(e LeaderEpoch, allReplicas bool) error {
	if err := m.check(e); err != nil || !allReplicas {
		return err
	}
	return CheckInSync(m.state, m.settings.MinISR)
}

// Fetch takes a follower's fetch: it answers and counts what the follower has.
func (m *Machine) Fetch(now time.Time, r FetchRequest, out *Out) FetchAnswer {
	a := m.Look(r)
	if a.Err != nil || a.Diverging != nil {
		return a
	}
	m.count(now, m.followers[r.Replica], r)
	m.Advance(now, out)
	a.HighWatermark = m.hw
	return a
}

// Look answers a fetch that was counted before, and has waited since: that it still waits says nothing of the follower.
func (m *Machine) Look(r FetchRequest) FetchAnswer {
	a := FetchAnswer{LeaderEpoch: m.leaderEpoch(), HighWatermark: m.hw, LogStart: m.log.LogStart(), LogEnd: m.log.LogEnd()}
	if a.Err = m.check(r.LeaderEpoch); a.Err == nil && r.LeaderEpoch == NoEpoch {
		a.Err = ErrFencedLeaderEpoch // it would count for any
	}
	if a.Err != nil {
		return a
	}
	f := m.followers[r.Replica]
	if f == nil {
		a.Err = ErrUnknownReplica
		return a
	}
	if b := m.brokers.Broker(r.Replica); m.bug != oldIncarnation && (r.BrokerEpoch < f.brokerEpoch || b != nil && r.BrokerEpoch < b.Epoch) {
		a.Err = ErrStaleBrokerEpoch
		return a
	}
	if r.LastEpoch != NoEpoch {
		// The epochs begin at the log start: of one before it they only say that it ended there, wherever that follower's log may have left this one.
		e, end := m.EpochEnd(r.LastEpoch)
		untold := end == r.Offset && end <= a.LogStart && r.LogStart < a.LogStart && r.LastEpoch < m.leaderEpoch()
		if e < r.LastEpoch || end < r.Offset || untold {
			a.Diverging = &Diverging{e, end}
			return a
		}
	}
	if r.Offset < a.LogStart || r.Offset > a.LogEnd {
		a.Err = ErrOffsetOutOfRange
	}
	return a
}

// count notes what the follower has. Its log is a beginning of ours now, and only grows while both epochs stay, so that a fetch which
// comes late says nothing new.
func (m *Machine) count(now time.Time, f *follower, r FetchRequest) {
	if r.BrokerEpoch > f.brokerEpoch && m.bug != oldIncarnation {
		next := unheard(r.BrokerEpoch)
		if f.brokerEpoch < 0 {
			next.caughtUp = f.caughtUp
		}
		*f = *next
	}
	f.brokerEpoch = max(f.brokerEpoch, r.BrokerEpoch)
	f.logEnd, f.logStart = max(f.logEnd, r.Offset), max(f.logStart, r.LogStart)
	f.syncedEnd = max(f.syncedEnd, min(r.SyncedEnd, r.Offset))
	f.dead = false
	end, counted := m.log.LogEnd(), m.counted(f)
	if counted >= f.markEnd { // it has by now what there was at the mark
		if f.mark.After(f.caughtUp) {
			f.caughtUp = f.mark
		}
		f.mark, f.markEnd = now, end
	}
	if counted >= end {
		f.caughtUp = now
	}
}

// counted is the end of what counts of a follower.
func (m *Machine) counted(f *follower) int64 {
	if m.settings.Durable && m.bug != countUnsynced {
		return f.syncedEnd
	}
	return f.logEnd
}

// EpochEnd answers OffsetForLeaderEpoch as leader. The leader epoch itself counts from its start on, though no record may have it yet.
func (m *Machine) EpochEnd(e LeaderEpoch) (LeaderEpoch, int64) {
	if e >= m.leaderEpoch() {
		return m.leaderEpoch(), m.log.LogEnd()
	}
	if known, end := m.log.EndOffsetFor(e); end >= 0 {
		return known, end
	}
	if latest, ok := m.log.LatestEpoch(); ok {
		return latest, m.epochStart
	}
	return e, m.epochStart
}

// commit moves the high watermark to where everybody who must have a record has it. It stands still while the ISR is too small, for
// records of every acks setting (KIP-966). Beside the maximal ISR it waits for followers that are about to join: running after a high
// watermark they would never get there.
func (m *Machine) commit(now time.Time) {
	if CheckInSync(m.state, m.settings.MinISR) != nil && m.bug != noMinISR {
		return
	}
	hw := m.log.LogEnd()
	if m.settings.Durable && m.bug != countOwnUnsynced {
		hw = min(hw, m.log.SyncedEnd())
	}
	for id, f := range m.followers {
		if m.counts(id) || m.eligible(id, f) && m.caughtUp(f, now) {
			hw = min(hw, m.counted(f))
		}
	}
	m.hw = max(m.hw, hw)
}

// Committed is the high watermark as clients may see it. A new leader answers ErrOffsetNotAvailable until what it found in its log is
// committed: the number it has may be older than one that clients have seen.
func (m *Machine) Committed() (int64, error) {
	switch {
	case m.role != Leader:
		return 0, ErrNotLeader
	case m.hw < m.epochStart && m.bug != eagerHW:
		return 0, ErrOffsetNotAvailable
	}
	return m.hw, nil
}

// DeleteRecords says where the log start goes when records below an offset are to be deleted; a negative one is the high watermark.
func (m *Machine) DeleteRecords(offset int64) (int64, error) {
	switch {
	case m.role != Leader:
		return 0, ErrNotLeader
	case offset < 0:
		offset = m.hw
	case offset > m.hw && m.bug != deleteUncommitted:
		return 0, ErrOffsetOutOfRange
	}
	return max(offset, m.log.LogStart()), nil
}

// LowWatermark is the smallest log start of the replicas whose brokers are alive and have their data directory: a DeleteRecords is done once it gets there.
func (m *Machine) LowWatermark() (int64, error) {
	if m.role != Leader {
		return 0, ErrNotLeader
	}
	low := m.log.LogStart()
	for id, f := range m.followers {
		if b := m.brokers.Broker(id); b.Active() && m.state.Online(b) {
			low = min(low, f.logStart)
		}
	}
	return low, nil
}

// Source is a follower that consumers may read from.
type Source struct {
	ID       int32
	LogEnd   int64
	CaughtUp time.Time // when it last had all that the leader had
}

// Sources are the followers that consumers may read from at an offset: they are in sync, and for all that is known alive, and their logs have
// the offset, or end there.
func (m *Machine) Sources(offset int64) (all []Source) {
	if m.role != Leader {
		return nil
	}
	for _, id := range m.state.ISR {
		if f := m.followers[id]; f != nil && m.eligible(id, f) && f.logStart <= offset && offset <= f.logEnd {
			all = append(all, Source{id, f.logEnd, f.caughtUp})
		}
	}
	return all
}
