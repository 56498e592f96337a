package group

import (
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/protocol"
)

// offsetOverhead is about what a record batch adds to the key and the value of a committed offset.
const offsetOverhead = 9

// commit handles OffsetCommit. All partitions share a code but for those whose metadata is too long.
func (m *Machine) commit(now time.Time, r *CommitRequest, out *coordinator.Out) *CommitResponse {
	g, code := m.committable(r)
	if code != protocol.None {
		return r.respond(code)
	}
	if g != nil {
		m.touch(g, r.Member) // a commit is a sign of life
	}
	resp := r.respond(protocol.None)
	size := 0
	for i := range r.Topics {
		if m.gone.has(r.Topics[i].ID) {
			for j := range resp.Topics[i].Partitions {
				resp.Topics[i].Partitions[j].Code = protocol.UnknownTopicOrPartition
			}
			continue
		}
		size += m.measure(r, i, &resp.Topics[i])
	}
	if size > m.limit() {
		return r.respond(protocol.UnknownServerError) // Kafka's code for a commit larger than one record batch may be
	}
	if size == 0 {
		return resp // nothing is left to commit, and no group is made for it
	}
	if g == nil {
		g = m.findOrCreate(r.Group) // of a tool, or of consumers that do without membership
	}
	buf := make([]byte, 0, size) // holds all keys and values
	nowMs := now.UnixMilli()
	for i := range r.Topics {
		topic := &r.Topics[i]
		var t *topicOffsets
		for j := range topic.Partitions {
			if resp.Topics[i].Partitions[j].Code != protocol.None {
				continue
			}
			if t == nil {
				t = m.offsetsOf(g, topic.Topic)
			}
			o := r.stored(topic, &topic.Partitions[j], nowMs)
			partition := topic.Partitions[j].Partition
			t.put(partition, &o)
			start := len(buf)
			buf = stored.AppendOffsetKey(buf, r.Group, topic.Topic, partition)
			middle := len(buf)
			buf = o.Append(buf)
			out.Append(buf[start:middle:middle], buf[middle:len(buf):len(buf)])
		}
	}
	return resp
}

// committable finds the group that may commit, or says why it may not. It is nil if there is none yet.
func (m *Machine) committable(r *CommitRequest) (*group, protocol.ErrorCode) {
	g := m.find(r.Group)
	if g == nil && r.Generation >= 0 {
		return nil, protocol.GroupIDNotFound
	}
	if g == nil {
		return nil, protocol.None
	}
	return g, g.validateCommit(r.Member, r.Instance, r.Generation)
}

// respond makes a response in which every partition has the same code.
func (r *CommitRequest) respond(code protocol.ErrorCode) *CommitResponse {
	n := 0
	for i := range r.Topics {
		n += len(r.Topics[i].Partitions)
	}
	all := make([]CommittedPartition, n)
	resp := &CommitResponse{Topics: make([]CommittedTopic, len(r.Topics))}
	for i := range r.Topics {
		t := &r.Topics[i]
		n := len(t.Partitions)
		resp.Topics[i] = CommittedTopic{Topic: t.Topic, ID: t.ID, Partitions: all[:n:n]}
		for j := range t.Partitions {
			all[j] = CommittedPartition{t.Partitions[j].Partition, code}
		}
		all = all[n:]
	}
	return resp
}

// measure refuses the partitions of a topic whose metadata is too long and returns how many bytes the records of the others take.
func (m *Machine) measure(r *CommitRequest, i int, resp *CommittedTopic) (size int) {
	topic := &r.Topics[i]
	key := stored.OffsetKeySize(r.Group, topic.Topic) + offsetOverhead
	for j := range topic.Partitions {
		p := &topic.Partitions[j]
		if longerThan(p.Metadata, m.settings.MaxMetadataBytes) {
			resp.Partitions[j].Code = protocol.OffsetMetadataTooLarge
			continue
		}
		o := r.stored(topic, p, 0)
		size += key + o.Size()
	}
	return size
}

// limit is how many bytes of records one request may write.
func (m *Machine) limit() int {
	if m.settings.MaxRecordBytes > 0 {
		return m.settings.MaxRecordBytes
	}
	return 16 << 20
}

// longerThan says whether a string has more than limit UTF-16 units, which is how Kafka counts offset.metadata.max.bytes.
func longerThan(s string, limit int) bool {
	if len(s) <= limit { // a unit is one byte at least
		return false
	}
	n := 0
	for _, r := range s {
		if n++; r >= 0x10000 {
			n++
		}
	}
	return n > limit
}

// stored is the record's value for one partition of a commit.
func (r *CommitRequest) stored(t *CommitTopic, p *CommitPartition, nowMs int64) stored.Offset {
	o := stored.Offset{Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, CommittedMs: nowMs, ExpiresMs: stored.None, TopicID: t.ID}
	if r.Retention >= 0 {
		// The record with an expiry has no room for these, so that a load could not bring them back.
		o.LeaderEpoch, o.TopicID = stored.None, [16]byte{}
		o.ExpiresMs = nowMs + r.Retention.Milliseconds()
	}
	return o
}
