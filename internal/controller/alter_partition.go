package controller

import (
	"fmt"
	"slices"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

type (
	// AlterPartition gives partitions the ISRs that their leader proposes (KIP-497); each succeeds or fails alone. What succeeds raises the
	// partition epoch, even where the ISR stays the same, so that a late copy of the request changes nothing. Response: AlterPartitionResponse.
	AlterPartition struct {
		Broker     int32 // who leads
		Epoch      int64 // its broker epoch
		Partitions []ProposedISR
	}

	// ProposedISR is what is proposed for one partition, and the epochs that the leader knows.
	ProposedISR struct {
		TopicID        uuid.UUID
		Number         int32
		LeaderEpoch    int32
		PartitionEpoch int32
		ISR            []ISRMember
		Recovering     bool // the leader came from an unclean election and has not recovered yet
	}

	// ISRMember is one broker of an ISR and the incarnation in which the leader saw it in sync (KIP-903).
	ISRMember struct {
		ID    int32
		Epoch int64
	}

	// AlterPartitionResponse has an answer for each partition of the request, in its order, unless the whole request is refused.
	AlterPartitionResponse struct {
		Error      Error
		Partitions []PartitionAltered
	}

	// PartitionAltered is the partition as it is now, or why it was not altered.
	PartitionAltered struct {
		Error     Error
		Partition *metadata.Partition
	}
)

// urgent: without it nothing is committed while a follower is dead.
func (*AlterPartition) urgent() bool { return true }

func (r *AlterPartition) step(s *step) Response {
	if err := checkEpoch(s.img.Broker(r.Broker), r.Broker, r.Epoch); err.Failed() {
		return &AlterPartitionResponse{Error: err}
	}
	response := &AlterPartitionResponse{Partitions: make([]PartitionAltered, len(r.Partitions))}
	type place struct {
		topic  uuid.UUID
		number int32
	}
	altered := make(map[place]bool, len(r.Partitions))
	rules := make(map[uuid.UUID]Rules)
	for i := range r.Partitions {
		a := &r.Partitions[i]
		if altered[place{a.TopicID, a.Number}] {
			s.settle() // the same once more: it comes too late
		}
		t := s.img.TopicByID(a.TopicID)
		if err := s.checkProposal(t, r.Broker, a); err.Failed() {
			response.Partitions[i].Error = err
			continue
		}
		if _, ok := rules[t.ID]; !ok {
			rules[t.ID] = s.rules(t)
		}
		s.add(s.propose(t, a, rules[t.ID]))
		altered[place{a.TopicID, a.Number}] = true
	}
	s.settle()
	for i := range r.Partitions {
		if a := &r.Partitions[i]; !response.Partitions[i].Error.Failed() {
			response.Partitions[i].Partition = s.img.Partition(a.TopicID, a.Number)
		}
	}
	return response
}

// propose is the record of a proposal that is accepted. The leader stays, for it is in the ISR and active, unless the new ISR ends a reassignment
// that removes it. One whose data directory is offline leads because nobody else could, and is done when somebody can.
func (s *step) propose(t *metadata.Topic, a *ProposedISR, rules Rules) *metadata.PartitionChangeRecord {
	p := t.Partitions[a.Number]
	isr := make([]int32, len(a.ISR))
	for i, m := range a.ISR {
		isr[i] = m.ID
	}
	if len(isr) > 1 && !s.online(p, p.Leader) {
		isr = without(isr, p.Leader)
	}
	c := change{topic: t, number: a.Number, isr: isr, lossy: metadata.NoLeader, leader: s.active, online: s.online, rules: rules}
	r := c.record()
	if r == nil {
		r = &metadata.PartitionChangeRecord{TopicID: t.ID, Number: a.Number, ISR: isr}
	}
	if p.Recovering && !a.Recovering {
		r.Recovering = new(false)
	}
	return r
}

// checkProposal judges a proposal in the order in which Kafka's controller does, whose codes tell a leader what to do: to find the
// controller, where its own metadata are newer, to wait for newer ones, or to propose something else. t is nil where the topic is unknown.
func (s *step) checkProposal(t *metadata.Topic, broker int32, a *ProposedISR) Error {
	if t == nil {
		return Error{Code: protocol.UnknownTopicID}
	}
	if a.Number < 0 || int(a.Number) >= len(t.Partitions) {
		return Error{Code: protocol.UnknownTopicOrPartition}
	}
	p := t.Partitions[a.Number]
	refuse := func(code protocol.ErrorCode, format string, args ...any) Error {
		return Error{code, fmt.Sprintf("%s-%d: ", t.Name, a.Number) + fmt.Sprintf(format, args...)}
	}
	switch {
	case a.LeaderEpoch > p.LeaderEpoch:
		return refuse(protocol.NotController, "leader epoch %d is newer than %d", a.LeaderEpoch, p.LeaderEpoch)
	case a.PartitionEpoch > p.PartitionEpoch:
		return refuse(protocol.NotController, "partition epoch %d is newer than %d", a.PartitionEpoch, p.PartitionEpoch)
	case a.LeaderEpoch < p.LeaderEpoch:
		return refuse(protocol.FencedLeaderEpoch, "leader epoch is %d, not %d", p.LeaderEpoch, a.LeaderEpoch)
	case broker != p.Leader:
		return refuse(protocol.InvalidRequest, "broker %d leads, not %d", p.Leader, broker)
	case a.PartitionEpoch < p.PartitionEpoch:
		return refuse(protocol.InvalidUpdateVersion, "partition epoch is %d, not %d", p.PartitionEpoch, a.PartitionEpoch)
	case a.Recovering && (!p.Recovering || len(a.ISR) > 1):
		return refuse(protocol.InvalidRequest, "a leader that recovers is alone in its ISR")
	case !slices.ContainsFunc(a.ISR, func(m ISRMember) bool { return m.ID == p.Leader }):
		return refuse(protocol.InvalidRequest, "the leader is not in the ISR")
	}
	for i, m := range a.ISR {
		if !metadata.Has(p.Replicas, m.ID) || slices.ContainsFunc(a.ISR[:i], func(other ISRMember) bool { return other.ID == m.ID }) {
			return refuse(protocol.InvalidRequest, "broker %d has no replica, or stands twice in the ISR", m.ID)
		}
	}
	for _, m := range a.ISR {
		switch b := s.img.Broker(m.ID); {
		case !b.Active():
			return refuse(protocol.IneligibleReplica, "broker %d is not registered, fenced or on its way out", m.ID)
		case b.Epoch != m.Epoch:
			return refuse(protocol.IneligibleReplica, "the broker epoch of %d is %d, not %d", m.ID, b.Epoch, m.Epoch)
		case m.ID != p.Leader && !p.Online(b):
			return refuse(protocol.IneligibleReplica, "the data directory of broker %d is offline", m.ID)
		}
	}
	return Error{}
}
