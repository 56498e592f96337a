package group

import (
	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// fetch handles OffsetFetch. A group that is not there has no offsets; that is no error. RequireStable makes no difference as
// long as no transaction commits offsets, and members and their epochs are asked about only in consumer groups (KIP-848).
func (m *Machine) fetch(r *FetchRequest) *FetchResponse {
	var all offsets
	if g := m.find(r.Group); g != nil {
		all = g.offsets
	}
	if r.All {
		return all.fetchAll()
	}
	n := 0
	for i := range r.Topics {
		n += len(r.Topics[i].Partitions)
	}
	space := make([]FetchedPartition, n)
	resp := &FetchResponse{Topics: make([]FetchedTopic, len(r.Topics))}
	for i := range r.Topics {
		topic := &r.Topics[i]
		t := all.topics[topic.Topic]
		n := len(topic.Partitions)
		resp.Topics[i] = FetchedTopic{Topic: topic.Topic, ID: topic.ID, Partitions: space[:n:n]}
		for j, p := range topic.Partitions {
			space[j] = fetched(p, stored.Offset{Offset: stored.None, LeaderEpoch: stored.None})
			if t == nil {
				continue
			}
			if o, ok := t.get(p); ok && !other(o.TopicID, topic.ID) {
				space[j] = fetched(p, o)
			}
		}
		space = space[n:]
	}
	return resp
}

// other says whether two ids are those of different topics: an offset of a topic that is gone is not one of its successor.
func other(a, b uuid.UUID) bool { return a != b && !a.IsZero() && !b.IsZero() }

func (o *offsets) fetchAll() *FetchResponse {
	resp := &FetchResponse{Topics: make([]FetchedTopic, 0, len(o.topics))}
	for _, t := range o.sorted() {
		f := FetchedTopic{Topic: t.name, ID: t.id, Partitions: make([]FetchedPartition, 0, t.live)}
		for i := range t.all() {
			f.Partitions = append(f.Partitions, fetched(t.list[i].partition, t.at(i)))
		}
		resp.Topics = append(resp.Topics, f)
	}
	return resp
}

var noMetadata = "" // nobody writes to what a response points at

func fetched(partition int32, o stored.Offset) FetchedPartition {
	f := FetchedPartition{Partition: partition, Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: &noMetadata}
	if o.Metadata != "" {
		f.Metadata = new(o.Metadata)
	}
	return f
}

// deleteOffsets handles OffsetDelete: what nobody in the group reads any more may go.
func (m *Machine) deleteOffsets(r *DeleteOffsetsRequest, out *coordinator.Out) *DeleteOffsetsResponse {
	g := m.find(r.Group)
	switch {
	case g == nil:
		return &DeleteOffsetsResponse{Code: protocol.GroupIDNotFound}
	case g.state != Empty && g.protocolType != consumerType: // it is not known what the members read
		return &DeleteOffsetsResponse{Code: protocol.NonEmptyGroup}
	}
	if size := m.tombstoneBytes(g, r); size > tombstonesMax {
		return &DeleteOffsetsResponse{Code: protocol.UnknownServerError}
	}
	resp := &DeleteOffsetsResponse{Topics: make([]CommittedTopic, len(r.Topics))}
	for i := range r.Topics {
		topic := &r.Topics[i]
		code := protocol.None
		if g.subscribes(topic.Topic) {
			code = protocol.GroupSubscribedToTopic
		}
		resp.Topics[i] = CommittedTopic{Topic: topic.Topic, ID: topic.ID, Partitions: make([]CommittedPartition, len(topic.Partitions))}
		t := g.offsets.topics[topic.Topic]
		for j, p := range topic.Partitions {
			resp.Topics[i].Partitions[j] = CommittedPartition{p, code}
			if code == protocol.None && t != nil && t.remove(p) {
				out.Append(stored.AppendOffsetKey(nil, g.id, topic.Topic, p), nil)
			}
		}
		if t != nil {
			m.trimOffsets(g, t)
		}
	}
	return resp
}

// tombstonesMax bounds the bytes of tombstones that one request may write. Kafka's bound is a record batch.
const tombstonesMax = 16 << 20

func (m *Machine) tombstoneBytes(g *group, r *DeleteOffsetsRequest) (n int) {
	for i := range r.Topics {
		if t := g.offsets.topics[r.Topics[i].Topic]; t != nil {
			n += min(len(r.Topics[i].Partitions), t.live) * (stored.OffsetKeySize(g.id, t.name) + offsetOverhead)
		}
	}
	return n
}

// dropOffsets ends all offsets of a group that is deleted. It does nothing and returns false if their tombstones are more than one
// request may write; Kafka refuses such a group as well, with UNKNOWN_SERVER_ERROR.
func (m *Machine) dropOffsets(g *group, out *coordinator.Out) bool {
	size := 0
	for _, t := range g.offsets.topics {
		size += t.live * (stored.OffsetKeySize(g.id, t.name) + offsetOverhead)
	}
	if size > tombstonesMax {
		return false
	}
	for _, t := range g.offsets.sorted() {
		m.uncount(t.name)
		for i := range t.all() {
			out.Append(stored.AppendOffsetKey(nil, g.id, t.name, t.list[i].partition), nil)
		}
	}
	g.offsets = offsets{}
	return true
}
