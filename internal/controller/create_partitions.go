package controller

import (
	"fmt"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

type (
	// CreatePartitions adds partitions to topics. Response: CreatePartitionsResponse.
	CreatePartitions struct {
		Topics       []MorePartitions
		ValidateOnly bool
		Quota        Quota `json:"-"`
	}

	// MorePartitions asks for a topic to have Count partitions in all. Assignments, where not nil, places each new one.
	MorePartitions struct {
		Name        string
		Count       int32
		Assignments [][]int32
	}

	// CreatePartitionsResponse has one result for each topic name.
	CreatePartitionsResponse struct{ Topics []PartitionsCreated }

	// PartitionsCreated is the result for one topic.
	PartitionsCreated struct {
		Name  string
		Error Error
	}
)

func (*CreatePartitions) urgent() bool { return false }

func (r *CreatePartitions) step(s *step) Response {
	response := new(CreatePartitionsResponse)
	times := make(map[string]int, len(r.Topics))
	for i := range r.Topics {
		times[r.Topics[i].Name]++
	}
	if s.tooManyMore(r.Topics, times) {
		for i := range r.Topics {
			response.Topics = append(response.Topics, PartitionsCreated{r.Topics[i].Name,
				Error{protocol.PolicyViolation, "Excessively large number of additional partitions per request."}})
		}
		return response
	}
	for i := range r.Topics {
		if name := r.Topics[i].Name; times[name] > 1 {
			response.Topics = append(response.Topics, PartitionsCreated{name, Error{protocol.InvalidRequest, "Duplicate topic name."}})
			times[name] = 0
		}
	}
	for i := range r.Topics {
		if name := r.Topics[i].Name; times[name] == 1 {
			response.Topics = append(response.Topics, PartitionsCreated{name, s.createPartitions(&r.Topics[i], r.Quota)})
		}
	}
	if r.ValidateOnly {
		s.drop()
	}
	return response
}

func (s *step) tooManyMore(topics []MorePartitions, times map[string]int) bool {
	var sum int64
	for i := range topics {
		t := s.img.Topic(topics[i].Name)
		if t == nil || times[topics[i].Name] > 1 {
			continue
		}
		sum += max(0, int64(topics[i].Count)-int64(len(t.Partitions)))
		if sum > maxPartitionsPerRequest {
			return true
		}
	}
	return false
}

func (s *step) createPartitions(r *MorePartitions, quota Quota) Error {
	t := s.img.Topic(r.Name)
	if t == nil {
		return Error{Code: protocol.UnknownTopicOrPartition}
	}
	have := int32(len(t.Partitions))
	switch {
	case r.Count == have:
		return Error{protocol.InvalidPartitions, fmt.Sprintf("Topic already has %d partition(s).", have)}
	case r.Count < have:
		return Error{protocol.InvalidPartitions, fmt.Sprintf("The topic %s currently has %d partition(s); %d would not be an increase.", r.Name, have, r.Count)}
	case r.Assignments != nil && int32(len(r.Assignments)) != r.Count-have:
		return Error{protocol.InvalidReplicaAssignment, fmt.Sprintf("Attempted to add %d additional partition(s), but only %d assignment(s) were specified.",
			r.Count-have, len(r.Assignments))}
	}
	if err := within(quota, int(r.Count-have)); err.Failed() {
		return err
	}
	factor := t.Partitions[0].Factor()
	placed := r.Assignments
	if placed == nil {
		var why string
		if placed, why = place(s.img.Brokers(), int(r.Count-have), factor, s.random); why != "" {
			return Error{protocol.InvalidReplicationFactor, why}
		}
	}
	var records []metadata.Record
	for i, replicas := range placed {
		if r.Assignments != nil {
			if err := s.checkAssignment(replicas, factor); err.Failed() {
				return err
			}
		}
		number := have + int32(i)
		p, ok := s.newPartition(replicas)
		if !ok && r.Assignments != nil {
			return assignedToFenced(number)
		} else if !ok {
			return allFenced(int16(factor))
		}
		records = append(records, &metadata.PartitionRecord{TopicID: t.ID, Number: number, Partition: p})
	}
	s.add(records...)
	return Error{}
}
