package controller

import (
	"fmt"
	"slices"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

type (
	// Reassign gives partitions other replicas (KIP-455); each succeeds or fails alone. New ones copy the partition first, and those that are
	// to go stay as long: the leader's proposal of an ISR with all that stay ends it. Response: ReassignResponse.
	Reassign struct {
		Partitions []Reassignment
		KeepFactor bool // the number of replicas must not change
	}

	// Reassignment asks for the replicas of one partition, preferred leader first; nil cancels a reassignment under way.
	Reassignment struct {
		Topic     string
		Partition int32
		Replicas  []int32
	}

	// ReassignResponse has an answer for each partition of the request, in its order.
	ReassignResponse struct{ Errors []Error }
)

func (*Reassign) urgent() bool { return false }

func (r *Reassign) step(s *step) Response {
	response := &ReassignResponse{Errors: make([]Error, len(r.Partitions))}
	type place struct {
		topic  string
		number int32
	}
	changed := make(map[place]bool) // by earlier items of the request
	for i := range r.Partitions {
		a := &r.Partitions[i]
		if changed[place{a.Topic, a.Partition}] {
			s.settle()
		}
		before := len(s.records)
		response.Errors[i] = s.reassign(a, r.KeepFactor)
		if len(s.records) > before {
			changed[place{a.Topic, a.Partition}] = true
		}
	}
	return response
}

func (s *step) reassign(a *Reassignment, keepFactor bool) Error {
	t := s.img.Topic(a.Topic)
	if t == nil {
		return Error{protocol.UnknownTopicOrPartition, fmt.Sprintf("Unable to find a topic named %s.", a.Topic)}
	}
	if a.Partition < 0 || int(a.Partition) >= len(t.Partitions) {
		return Error{protocol.UnknownTopicOrPartition, fmt.Sprintf("Unable to find partition %s:%d.", a.Topic, a.Partition)}
	}
	if a.Replicas == nil {
		return s.cancelReassignment(t, a.Partition)
	}
	if err := s.checkAssignment(a.Replicas, -1); err.Failed() {
		return err
	}
	p := t.Partitions[a.Partition]
	now := assigned(p)
	if keepFactor && len(a.Replicas) != len(now.target()) {
		return Error{protocol.InvalidReplicationFactor, fmt.Sprintf("The replication factor is changed from %d to %d", len(now.target()), len(a.Replicas))}
	}
	s.chosen(t, a.Partition, s.moveTo(t, a.Partition, a.Replicas), len(a.Replicas))
	return Error{}
}

// chosen adds the record of what an operator made of a partition, which is to have so many replicas now; nil where that is no change. Of a topic that grows
// it is noted whether he wants fewer; a move to as many as there were to be says nothing of that.
func (s *step) chosen(t *metadata.Topic, number int32, r *metadata.PartitionChangeRecord, replicas int) {
	p := t.Partitions[number]
	few := p.Chosen
	if replicas != len(assigned(p).target()) {
		few = replicas < int(s.settings.InternalFactors[t.Name])
	}
	if few != p.Chosen {
		if r == nil {
			r = &metadata.PartitionChangeRecord{TopicID: t.ID, Number: number}
		}
		r.Chosen = &few
	}
	if r != nil {
		s.add(r)
	}
}

// moveTo lets a partition be where it is to be, in the end: what is to be added is beside what there is, and who is to be removed stays, until all
// those are in the ISR that are to stay. Then, or at once, the reassignment is done. It returns the change, nil where there is none.
//
// What a reassignment under way was adding and the new target does not name goes at once: it would count among the replicas that the partition
// has, of which min.insync.replicas asks, and never be in sync. Those of them that have every committed record stay to the end where the ISR
// would be too small without them.
func (s *step) moveTo(t *metadata.Topic, number int32, target []int32) *metadata.PartitionChangeRecord {
	p := t.Partitions[number]
	now := assigned(p)
	rules := s.rules(t)
	dropped := func(id int32) bool { return metadata.Has(now.Adding, id) && !metadata.Has(target, id) }
	isr := filter(p.ISR, func(id int32) bool { return !dropped(id) })
	if len(isr) < metadata.MinISR(rules.MinISR, now.factor()) {
		isr = p.ISR
		dropped = func(id int32) bool {
			return metadata.Has(now.Adding, id) && !metadata.Has(target, id) && !metadata.Has(p.ISR, id) && !metadata.Has(p.ELR, id)
		}
	}
	to := assignment{replicas: slices.Clone(target)}
	for _, id := range target {
		if !metadata.Has(now.replicas, id) || metadata.Has(now.Adding, id) {
			to.Adding = append(to.Adding, id)
		}
	}
	for _, id := range now.replicas {
		if !metadata.Has(target, id) && !dropped(id) {
			to.Removing = append(to.Removing, id)
		}
	}
	slices.Sort(to.Adding)
	slices.Sort(to.Removing)
	to.replicas = append(to.replicas, to.Removing...)
	for _, id := range to.replicas {
		if at := slices.Index(now.replicas, id); at >= 0 {
			to.directories = append(to.directories, directoryAt(now.directories, at))
		} else {
			to.directories = append(to.directories, s.img.Broker(id).Directory())
		}
	}
	c := change{topic: t, number: number, isr: isr, to: &to, lossy: metadata.NoLeader, leader: s.active, online: s.online, rules: rules}
	c.rules.Unclean = false // nobody asked for that
	return c.record()
}

// cancelReassignment takes out what was being added. What was to be removed stays. It is refused where only those that would go are in the ISR or the
// ELR: with them the committed records would go.
func (s *step) cancelReassignment(t *metadata.Topic, number int32) Error {
	p := t.Partitions[number]
	now := assigned(p)
	if !now.under() {
		return Error{Code: protocol.NoReassignmentInProgress}
	}
	stays := func(id int32) bool { return !metadata.Has(now.Adding, id) }
	to := now.only(stays)
	to.Reassignment = metadata.Reassignment{}
	c := change{topic: t, number: number, isr: filter(p.ISR, stays), to: &to, lossy: metadata.NoLeader, leader: s.active, online: s.online, rules: s.rules(t)}
	if complete := slices.Concat(p.ISR, p.ELR); !c.rules.Unclean && len(complete) > 0 && !slices.ContainsFunc(complete, stays) {
		return Error{protocol.InvalidReplicaAssignment,
			fmt.Sprintf("Unable to revert partition assignment for %s:%d because it would require an unclean leader election.", t.Name, number)}
	}
	s.chosen(t, number, c.record(), len(to.target()))
	return Error{}
}
