package controller

import (
	"slices"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
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

	// LoseDirectories says that data directories of a broker that runs are offline (KIP-858): its replicas there leave the ISR, and others lead. Where no
	// other replica can, the leader stays: what can be read of it is read. It has told before which replicas are there. What a directory had may
	// be there again when the broker comes back with it, so it does not count as lost before. Response: LoseDirectoriesResponse.
	LoseDirectories struct {
		Broker      int32
		Epoch       int64
		Directories []uuid.UUID
	}

	// LoseDirectoriesResponse says whether it was done.
	LoseDirectoriesResponse struct{ Error Error }

	// LoseReplicas says of replicas that their broker, which has just registered, has less of them than it had when it stopped: a folder is gone, a file was cut off. They
	// leave ISR and ELR, so that those who have all of it lead, but where nobody else is left in the two: then there is nobody to wait for.
	// Response: LoseReplicasResponse.
	LoseReplicas struct {
		Broker   int32
		Epoch    int64
		Replicas []LostReplica
	}

	// LostReplica names a partition.
	LostReplica struct {
		TopicID uuid.UUID
		Number  int32
	}

	// LoseReplicasResponse says whether it was done.
	LoseReplicasResponse struct{ Error Error }
)

func (*LoseReplicas) urgent() bool { return true }

func (r *LoseReplicas) step(s *step) Response {
	if err := checkEpoch(s.img.Broker(r.Broker), r.Broker, r.Epoch); err.Failed() {
		return &LoseReplicasResponse{Error: err}
	}
	others := func(id int32) bool { return id != r.Broker && s.active(id) }
	seen := make(map[LostReplica]bool, len(r.Replicas))
	for _, lost := range r.Replicas {
		t, p := s.img.TopicByID(lost.TopicID), s.img.Partition(lost.TopicID, lost.Number)
		if p == nil || seen[lost] {
			continue
		}
		seen[lost] = true
		counted := slices.Concat(p.ISR, p.ELR)
		if !metadata.Has(counted, r.Broker) || len(counted) == 1 {
			continue
		}
		c := change{topic: t, number: lost.Number, isr: without(p.ISR, r.Broker), lossy: r.Broker, leader: others, online: s.online, rules: s.rules(t)}
		c.rules.Unclean = false // nobody asked for that
		if record := c.record(); record != nil {
			s.add(record)
		}
	}
	return &LoseReplicasResponse{}
}

func (*LoseDirectories) urgent() bool { return true }

func (r *LoseDirectories) step(s *step) Response {
	b := s.img.Broker(r.Broker)
	if err := checkEpoch(b, r.Broker, r.Epoch); err.Failed() {
		return &LoseDirectoriesResponse{Error: err}
	}
	lost := func(id uuid.UUID) bool { return slices.Contains(r.Directories, id) }
	left := slices.DeleteFunc(slices.Clone(b.Directories), lost)
	switch {
	case len(left) == 0:
		return &LoseDirectoriesResponse{Error: Error{protocol.InvalidRequest, "A broker without any data directory stops."}}
	case len(left) < len(b.Directories):
		s.add(&metadata.BrokerChangeRecord{ID: b.ID, Epoch: b.Epoch, Directories: left})
		s.settle()
	}
	s.sweep(func(p *metadata.Partition) bool {
		at := slices.Index(p.Replicas, r.Broker)
		return at >= 0 && metadata.Has(p.ISR, r.Broker) && lost(p.Directories[at])
	}, func(p *metadata.Partition, c *change) { c.isr = without(p.ISR, r.Broker) })
	return &LoseDirectoriesResponse{}
}

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
	revise := false
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
		revise = revise || len(p.ELR)+len(p.LastKnownELR) > 0
	}
	if revise { // the replica may have been offline where it was
		s.revise()
	}
	return resp
}
