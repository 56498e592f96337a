package controller

import (
	"fmt"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// Kinds of elections, as the protocol numbers them.
const (
	PreferredElection int8 = 0 // the first replica leads, if it is in sync
	UncleanElection   int8 = 1 // any replica that is alive leads where none does, even if records are lost by it
)

type (
	// ElectLeaders elects leaders of partitions by hand; each succeeds or fails alone. Response: ElectLeadersResponse.
	ElectLeaders struct {
		Election int8
		All      bool // every partition of every topic
		Topics   []TopicPartitions
	}

	// TopicPartitions names partitions of a topic.
	TopicPartitions struct {
		Topic      string
		Partitions []int32
	}

	// ElectLeadersResponse has the results in the order of the request. After All it has every topic, with those partitions that needed an
	// election.
	ElectLeadersResponse struct{ Topics []TopicElected }

	// TopicElected is the result for one topic.
	TopicElected struct {
		Topic      string
		Partitions []PartitionElected
	}

	// PartitionElected is the result for one partition.
	PartitionElected struct {
		Partition int32
		Error     Error
	}
)

// urgent: where no replica leads for lack of a clean one, this is how an operator brings it back.
func (*ElectLeaders) urgent() bool { return true }

func (r *ElectLeaders) step(s *step) Response {
	response := new(ElectLeadersResponse)
	if r.All {
		for t := range s.img.Topics() {
			result := TopicElected{Topic: t.Name}
			for i := range t.Partitions {
				if err := s.electLeader(t.Name, int32(i), r.Election); err.Code != protocol.ElectionNotNeeded {
					result.Partitions = append(result.Partitions, PartitionElected{int32(i), err})
				}
			}
			response.Topics = append(response.Topics, result)
		}
		return response
	}
	for i := range r.Topics {
		result := TopicElected{Topic: r.Topics[i].Topic, Partitions: make([]PartitionElected, len(r.Topics[i].Partitions))}
		for j, p := range r.Topics[i].Partitions {
			result.Partitions[j] = PartitionElected{p, s.electLeader(result.Topic, p, r.Election)}
		}
		response.Topics = append(response.Topics, result)
	}
	return response
}

func (s *step) electLeader(topic string, number int32, election int8) Error {
	t := s.img.Topic(topic)
	if t == nil {
		return Error{protocol.UnknownTopicOrPartition, "No such topic as " + topic}
	}
	if number < 0 || int(number) >= len(t.Partitions) {
		return Error{protocol.UnknownTopicOrPartition, fmt.Sprintf("No such partition as %s-%d", topic, number)}
	}
	p := t.Partitions[number]
	if election == UncleanElection {
		if !s.wanting(p) {
			return electionNotNeeded
		}
		c := change{topic: t, number: number, isr: s.able(p), lossy: metadata.NoLeader, leader: s.active, online: s.online, rules: s.rules(t)}
		c.rules.Unclean = true
		if r := c.record(); r != nil && r.Leader != nil {
			s.add(r)
			return Error{}
		}
		return Error{protocol.EligibleLeadersNotAvailable, "Eligible topic partition leaders are not available."}
	}
	preferred := p.Replicas[0]
	switch {
	case p.Leader == preferred:
		return electionNotNeeded
	case !metadata.Has(p.ISR, preferred) || !s.active(preferred) || !s.online(p, preferred):
		return Error{protocol.PreferredLeaderNotAvailable, "The preferred leader was not available."}
	}
	s.add(&metadata.PartitionChangeRecord{TopicID: t.ID, Number: number, Leader: &preferred})
	return Error{}
}

var electionNotNeeded = Error{protocol.ElectionNotNeeded, "Leader election not needed for topic partition."}
