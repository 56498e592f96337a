package replica

import (
	"time"

	"github.com/moldau/moldau/internal/metadata"
)

// NextFetch is what this follower is to ask its leader now; false where it follows nobody.
func (m *Machine) NextFetch() (leader int32, r FetchRequest, ok bool) {
	if m.role != Follower {
		return 0, r, false
	}
	return m.state.Leader, FetchRequest{Replica: m.id, BrokerEpoch: m.brokerEpoch, LeaderEpoch: m.leaderEpoch(), Offset: m.log.LogEnd(),
		LastEpoch: m.lastEpoch(), SyncedEnd: m.log.SyncedEnd(), LogStart: m.log.LogStart(),
		Outside: !metadata.Has(m.state.ISR, m.id)}, true
}

func (m *Machine) lastEpoch() LeaderEpoch {
	if e, ok := m.log.LatestEpoch(); ok {
		return e
	}
	return NoEpoch
}

// Answered takes a leader's answer to a fetch of this follower. Answers of another leader epoch, and to a fetch from where the log does
// not end any more, change nothing.
func (m *Machine) Answered(now time.Time, r FetchRequest, a FetchAnswer, out *Out) {
	if m.role != Follower || r.BrokerEpoch != m.brokerEpoch {
		return
	}
	if (r.LeaderEpoch != m.leaderEpoch() || a.LeaderEpoch != m.leaderEpoch()) && m.bug != staleAnswers {
		return
	}
	if (r.Offset != m.log.LogEnd() || r.LastEpoch != m.lastEpoch()) && m.bug != answerTwice {
		return
	}
	switch {
	case a.Err == ErrOffsetOutOfRange:
		m.restart(r, a, out)
	case a.Err != nil:
	case a.Diverging != nil:
		m.truncate(a, out)
	default:
		m.accept(a.Batches, out)
		m.leaderHW, m.leaderStart = a.HighWatermark, a.LogStart
		m.Advance(now, out)
	}
}

// restart begins the log anew: the leader has no record that this one could go on from. Nothing that is committed is dropped: all of it
// lies below the leader's log start, or there is nothing but an empty log, above the leader's end.
func (m *Machine) restart(r FetchRequest, a FetchAnswer, out *Out) {
	switch {
	case r.Offset < a.LogStart:
		m.hw = a.LogStart
	case r.Offset > a.LogEnd && r.LastEpoch == NoEpoch:
		m.hw = a.LogEnd
	default:
		return
	}
	out.Reset = new(m.hw)
}

// truncate cuts the log where it may differ from the leader's: not after the end that both have of the leader's epoch. If this log does
// not know that epoch it cuts to the end of the largest below it, and the next answer says more (KIP-279). Where nothing would be left but what
// the leader has deleted, of which its epochs say nothing any more, that may differ too: the log begins anew where the leader's begins.
func (m *Machine) truncate(a FetchAnswer, out *Out) {
	to := min(a.Diverging.End, m.log.LogEnd())
	if _, own := m.log.EndOffsetFor(a.Diverging.Epoch); own >= 0 && m.bug != truncateOnce {
		to = min(to, own)
	}
	switch start := m.log.LogStart(); {
	case to <= a.LogStart && start < a.LogStart:
		m.hw = a.LogStart
		out.Reset = new(m.hw)
		return
	case to < start:
		out.Reset = new(to)
	default:
		out.Truncate = new(to)
	}
	m.hw = min(m.hw, to) // it is above only where an unclean leader was elected
}

// accept takes those of the batches that go on from the log's end, by this leader or one before it. A batch of a later leader came with
// an answer that was read after this leader had lost its place. An empty log may begin within a batch, where records were deleted up to
// an offset in its middle: it is appended whole, and the log start stays.
func (m *Machine) accept(batches []Batch, out *Out) {
	start, end, last := m.log.LogStart(), m.log.LogEnd(), m.lastEpoch()
	if len(batches) > 0 && start == end && batches[0].Base < end && end < batches[0].End && batches[0].LeaderEpoch <= m.leaderEpoch() {
		out.Reset, out.LogStart = new(batches[0].Base), new(start)
		end = batches[0].Base
	}
	for _, b := range batches {
		if (b.Base < end || b.LeaderEpoch < last || b.LeaderEpoch > m.leaderEpoch()) && m.bug != answerTwice && m.bug != staleAnswers {
			break
		}
		end, last = b.End, b.LeaderEpoch
		out.Append++
	}
}

// follow takes over the leader's high watermark and log start, as far as this log reaches.
func (m *Machine) follow(out *Out) {
	m.hw = max(m.hw, min(m.leaderHW, m.log.LogEnd()))
	if start := min(m.leaderStart, m.hw); start > m.log.LogStart() {
		out.LogStart = new(start)
	}
}
