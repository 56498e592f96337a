package controller

import (
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/uuid"
)

type (
	// RaiseLeaderEpochs raises the leader epochs of partitions that a broker leads, where its logs hold batches of later ones: their
	// folders were brought from another cluster. Without, every append would be an old leader's. Response: RaiseLeaderEpochsResponse.
	RaiseLeaderEpochs struct {
		Broker     int32
		Partitions []RaiseLeaderEpoch
	}

	// RaiseLeaderEpoch is one partition and the epoch that it must have at least.
	RaiseLeaderEpoch struct {
		TopicID uuid.UUID
		Number  int32
		Least   int32
	}

	// RaiseLeaderEpochsResponse says for how many partitions it was done.
	RaiseLeaderEpochsResponse struct{ Raised int }
)

func (*RaiseLeaderEpochs) urgent() bool { return true }

func (r *RaiseLeaderEpochs) step(s *step) Response {
	resp := &RaiseLeaderEpochsResponse{}
	type key struct {
		topic  uuid.UUID
		number int32
	}
	seen := map[key]bool{}
	for _, asked := range r.Partitions {
		p := s.img.Partition(asked.TopicID, asked.Number)
		at := key{asked.TopicID, asked.Number}
		if p == nil || p.Leader != r.Broker || p.LeaderEpoch >= asked.Least || seen[at] {
			continue
		}
		seen[at] = true
		s.add(&metadata.PartitionChangeRecord{TopicID: asked.TopicID, Number: asked.Number, LeaderEpoch: new(asked.Least)})
		resp.Raised++
	}
	return resp
}
