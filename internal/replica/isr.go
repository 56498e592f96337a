package replica

import (
	"slices"
	"time"

	"github.com/moldau/moldau/internal/metadata"
)

// AlterPartition is a leader's proposal of an ISR. The controller takes it only if leader, leader epoch and partition epoch are the
// partition's and every broker of it is active in that very incarnation; taken, it raises the partition epoch, even if the ISR is the same.
type AlterPartition struct {
	Leader         int32
	BrokerEpoch    int64
	LeaderEpoch    LeaderEpoch
	PartitionEpoch int32
	ISR            []Member
}

// Member is one broker of a proposed ISR, and its incarnation.
type Member struct {
	ID          int32
	BrokerEpoch int64
}

func (a *AlterPartition) ids() []int32 {
	ids := make([]int32, len(a.ISR))
	for i, b := range a.ISR {
		ids[i] = b.ID
	}
	return ids
}

// Died says that the broker of that epoch is known to be dead: its connection is lost and nobody listens at its address. It leaves the
// ISR at once. If it was a false alarm its next fetch brings it back.
func (m *Machine) Died(now time.Time, broker int32, brokerEpoch int64, out *Out) {
	f := m.followers[broker]
	if m.role != Leader || f == nil || f.brokerEpoch > brokerEpoch {
		return
	}
	f.dead = true
	m.Advance(now, out)
}

// eligible says whether the follower may be in the ISR, for all that is known of its broker: it is active, the data directory is there, and what it
// fetched it fetched in its present incarnation.
func (m *Machine) eligible(id int32, f *follower) bool {
	b := m.brokers.Broker(id)
	return b.Active() && b.Epoch == f.brokerEpoch && !f.dead && m.state.Online(b)
}

// caughtUp says whether the follower had, within LagMax, all that the leader had.
func (m *Machine) caughtUp(f *follower, now time.Time) bool {
	return m.counted(f) >= m.log.LogEnd() || now.Sub(f.caughtUp) <= m.settings.LagMax
}

// joins says whether a follower may enter the ISR. All three are needed: what it has it said in this leader epoch, it reached what this
// leader knows to be committed, and, since that may be too little at first, where this leader epoch starts.
func (m *Machine) joins(id int32, f *follower) bool {
	counted := m.counted(f)
	return m.eligible(id, f) && counted >= 0 &&
		(counted >= m.hw || m.bug == joinBelowHW) &&
		(counted >= m.epochStart || m.bug == joinBelowEpochStart || m.bug == joinBelowHW)
}

// propose asks the controller for another ISR where one is due: one proposal at a time. After a refused one, of which a copy may still be
// under way, it asks for an ISR that nobody joins, if need be the same: taken, it makes a new partition epoch, and the copy is worth nothing.
func (m *Machine) propose(now time.Time, out *Out) {
	if m.peers == nobody || m.pending != nil || !m.refused && !m.due(now) {
		return
	}
	isr := make([]int32, 0, len(m.state.Replicas))
	for _, id := range m.state.Replicas {
		if m.belongs(now, id) {
			isr = append(isr, id)
		}
	}
	a := &AlterPartition{Leader: m.id, BrokerEpoch: m.brokerEpoch, LeaderEpoch: m.leaderEpoch(), PartitionEpoch: m.state.PartitionEpoch}
	for _, id := range isr {
		a.ISR = append(a.ISR, Member{id, m.incarnation(id)})
		if !slices.Contains(m.proposed, id) {
			m.proposed = append(m.proposed, id)
		}
	}
	m.pending, out.Alter = a, a
}

// belongs says whether a replica is to be in the ISR.
func (m *Machine) belongs(now time.Time, id int32) bool {
	if id == m.id {
		return true
	}
	f := m.followers[id]
	if metadata.Has(m.state.ISR, id) {
		return !f.dead && m.caughtUp(f, now)
	}
	return !m.refused && m.joins(id, f)
}

// due says whether another ISR than the present one is.
func (m *Machine) due(now time.Time) bool {
	for id := range m.followers {
		if m.belongs(now, id) != metadata.Has(m.state.ISR, id) {
			return true
		}
	}
	return !metadata.Has(m.state.ISR, m.id)
}

// incarnation is the broker epoch for which the leader vouches: the one that fetched, or of a member that has not yet, the registered one.
func (m *Machine) incarnation(id int32) int64 {
	if id == m.id {
		return m.brokerEpoch
	}
	if f := m.followers[id]; f.brokerEpoch >= 0 {
		return f.brokerEpoch
	}
	if b := m.brokers.Broker(id); b != nil {
		return b.Epoch
	}
	return -1
}

// Altered takes what became of a proposal: the partition as it is now, or why not.
func (m *Machine) Altered(now time.Time, a *AlterPartition, p *metadata.Partition, err error, out *Out) {
	if m.role != Leader || m.pending != a {
		return // of a partition epoch that is over
	}
	switch err {
	case nil:
		m.Apply(now, m.brokers, p, out)
	case ErrNoAnswer:
		out.Alter = a // the same again: it is taken once at most
	case ErrIneligibleReplica, ErrInvalidProposal:
		m.pending, m.refused = nil, true
		if m.bug == refusedForgotten {
			m.proposed, m.refused = nil, false
		}
		m.Advance(now, out)
	default:
		// The metadata have moved on; the pending proposal counts until they are here.
	}
}
