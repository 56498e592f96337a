package controller

import (
	"slices"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/uuid"
)

type (
	// AssignDirectories notes in which of its data directories a broker has its replicas: of one with several only the broker knows. It is
	// what decides which replicas are lost when a broker comes back without a directory. Response: AssignDirectoriesResponse.
	AssignDirectories struct {
		Broker   int32
		Replicas []AssignDirectory
	}

	// AssignDirectory is one replica and the id of its directory.
	AssignDirectory struct {
		TopicID   uuid.UUID
		Number    int32
		Directory uuid.UUID
	}

	// AssignDirectoriesResponse says for how many replicas it was news.
	AssignDirectoriesResponse struct{ Assigned int }
)

func (*AssignDirectories) urgent() bool { return false }

func (r *AssignDirectories) step(s *step) Response {
	resp := &AssignDirectoriesResponse{}
	b := s.img.Broker(r.Broker)
	if b == nil {
		return resp
	}
	type key struct {
		topic  uuid.UUID
		number int32
	}
	seen := map[key]bool{}
	for _, asked := range slices.Backward(r.Replicas) { // the last counts
		p := s.img.Partition(asked.TopicID, asked.Number)
		at := key{asked.TopicID, asked.Number}
		if p == nil || seen[at] || !slices.Contains(b.Directories, asked.Directory) {
			continue
		}
		seen[at] = true
		place := slices.Index(p.Replicas, r.Broker)
		if place < 0 || place < len(p.Directories) && p.Directories[place] == asked.Directory {
			continue
		}
		directories := make([]uuid.UUID, len(p.Replicas))
		copy(directories, p.Directories)
		directories[place] = asked.Directory
		s.add(&metadata.PartitionChangeRecord{TopicID: asked.TopicID, Number: asked.Number, Directories: directories})
		resp.Assigned++
	}
	return resp
}
