package controller

import (
	"fmt"
	"slices"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

type (
	// Reassign gives partitions other replicas; each succeeds or fails alone. Response: ReassignResponse.
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
		return Error{Code: protocol.NoReassignmentInProgress}
	}
	if err := s.checkAssignment(a.Replicas, -1); err.Failed() {
		return err
	}
	p := t.Partitions[a.Partition]
	if keepFactor && len(a.Replicas) != len(p.Replicas) {
		return Error{protocol.InvalidReplicationFactor, fmt.Sprintf("The replication factor is changed from %d to %d", len(p.Replicas), len(a.Replicas))}
	}
	if slices.Equal(a.Replicas, p.Replicas) {
		return Error{}
	}
	in := func(id int32) bool { return metadata.Has(a.Replicas, id) }
	for _, id := range a.Replicas {
		if !metadata.Has(p.Replicas, id) {
			return Error{protocol.InvalidReplicaAssignment, fmt.Sprintf("The manual partition assignment includes broker %d, to which no replica can be copied yet.", id)}
		}
	}
	isr := filter(p.ISR, in)
	if len(isr) == 0 {
		return Error{protocol.InvalidReplicaAssignment, "The manual partition assignment includes no replica that is in sync."}
	}
	r := &metadata.PartitionChangeRecord{TopicID: t.ID, Number: a.Partition, Replicas: slices.Clone(a.Replicas),
		Directories: make([]uuid.UUID, len(a.Replicas))}
	for i, id := range a.Replicas {
		r.Directories[i] = p.Directories[slices.Index(p.Replicas, id)]
	}
	if len(isr) != len(p.ISR) {
		r.ISR = isr
	}
	if elr := filter(p.ELR, in); len(elr) != len(p.ELR) {
		r.ELR = elr
	}
	if known := filter(p.LastKnownELR, in); len(known) != len(p.LastKnownELR) {
		r.LastKnownELR = known
	}
	if len(a.Replicas) != len(p.Replicas) {
		// Who was taken out must hear that it is: the leader epoch rises, whoever leads.
		r.Leader = new(s.leaderOf(p.Leader, a.Replicas, isr))
	}
	s.add(r)
	return Error{}
}

// leaderOf keeps the leader where it may stay, and takes the first replica in sync that is active otherwise.
func (s *step) leaderOf(leader int32, replicas, isr []int32) int32 {
	if metadata.Has(isr, leader) {
		return leader
	}
	for _, id := range replicas {
		if metadata.Has(isr, id) && s.active(id) {
			return id
		}
	}
	return metadata.NoLeader
}

// filter returns those that pass, never nil.
func filter(ids []int32, pass func(int32) bool) []int32 {
	some := []int32{}
	for _, id := range ids {
		if pass(id) {
			some = append(some, id)
		}
	}
	return some
}
