package protocol

import (
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// FetchResponse is a Fetch response, versions 4 to 18. Records are spans and go from where they lie to the socket.
//
//	v5  log start offset                     v7  error and session id of the whole response (KIP-227)
//	v11 preferred read replica (KIP-392)     v12 flexible; diverging epoch, current leader, snapshot id as tags 0, 1, 2 of a partition
//	v13 topic ids instead of names           v16 node endpoints, tag 0 of the response (KIP-951)
//
// What a follower of ours must know beyond Kafka's fields is tag 20000 of a partition, from v17 on.
type FetchResponse struct {
	ThrottleMs    int32
	Error         ErrorCode // from v7
	SessionID     int32     // from v7
	Topics        []FetchResponseTopic
	NodeEndpoints []NodeEndpoint // from v16
}

// FetchResponseTopic is one topic of a FetchResponse.
type FetchResponseTopic struct {
	Name       string    // to v12
	ID         uuid.UUID // from v13
	Partitions []FetchResponsePartition
}

// FetchResponsePartition answers for one partition.
type FetchResponsePartition struct {
	Partition            int32
	Error                ErrorCode
	HighWatermark        int64                // -1 where unknown
	LastStableOffset     int64                // -1 where unknown
	LogStartOffset       int64                // from v5; -1 where unknown
	Aborted              []AbortedTransaction // nil is null, which says: not read_committed
	PreferredReadReplica int32                // from v11; -1 for none
	Records              []vfs.Span           // none is the empty run of records, not null
	DivergingEpoch       *EpochEndOffset      // from v12; nil for none
	CurrentLeader        *CurrentLeader       // from v12; nil for none
	SnapshotID           *SnapshotID          // from v12; nil for none
	Replica              *ReplicaAnswer       // for a follower that sent its synced end; nil for none
}

// ReplicaAnswer says to a follower what the answer was made of.
type ReplicaAnswer struct {
	FetchOffset int64 // from which it was read
	LogEnd      int64 // of the leader
	LeaderEpoch int32 // in which it was read; -1: none
}

// AbortedTransaction tells a read_committed consumer which records to leave out.
type AbortedTransaction struct{ ProducerID, FirstOffset int64 }

// EpochEndOffset is the largest epoch, and its end, up to which a log that has diverged may still agree with ours.
type EpochEndOffset struct {
	Epoch     int32
	EndOffset int64
}

// SnapshotID names the snapshot to load instead of fetching.
type SnapshotID struct {
	EndOffset int64
	Epoch     int32
}

// AppendTo appends the response to spans: everything but records goes to buf, which may already hold the response header and is
// then the first span; the record spans follow in their places. It returns both slices as they have grown; the spans alias buf.
func (f *FetchResponse) AppendTo(buf []byte, spans []vfs.Span, version int16) ([]byte, []vfs.Span) {
	flexible := version >= 12
	first := len(spans)
	cut := 0 // buf[:cut] is in spans already
	buf = AppendInt32(buf, f.ThrottleMs)
	if version >= 7 {
		buf = AppendInt16(buf, int16(f.Error))
		buf = AppendInt32(buf, f.SessionID)
	}
	buf = AppendArrayLen(buf, len(f.Topics), flexible)
	for i := range f.Topics {
		t := &f.Topics[i]
		buf = appendTopic(buf, t.Name, t.ID, flexible, version >= 13)
		buf = AppendArrayLen(buf, len(t.Partitions), flexible)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			buf = p.appendFields(buf, version, flexible)
			n := int64(0)
			for k := range p.Records {
				n += p.Records[k].N
			}
			buf = AppendArrayLen(buf, int(n), flexible)
			if n > 0 {
				spans = append(spans, vfs.Span{Off: int64(cut), N: int64(len(buf) - cut)})
				cut = len(buf)
				for _, s := range p.Records {
					if s.N > 0 {
						spans = append(spans, s)
					}
				}
			}
			if flexible {
				buf = p.appendTags(buf)
			}
		}
		buf = appendNoTags(buf, flexible)
	}
	if flexible {
		if version >= 16 && len(f.NodeEndpoints) > 0 {
			buf = append(buf, 1)
			buf = appendEndpoints(buf, f.NodeEndpoints)
		} else {
			buf = append(buf, 0)
		}
	}
	if cut < len(buf) {
		spans = append(spans, vfs.Span{Off: int64(cut), N: int64(len(buf) - cut)})
	}
	// Only now is buf where it stays: the runs of it were noted by position.
	for i := first; i < len(spans); i++ {
		if s := &spans[i]; s.File == nil && s.Mem == nil {
			*s = vfs.MemSpan(buf[s.Off : s.Off+s.N : s.Off+s.N])
		}
	}
	return buf, spans
}

func (p *FetchResponsePartition) appendFields(buf []byte, version int16, flexible bool) []byte {
	buf = AppendInt32(buf, p.Partition)
	buf = AppendInt16(buf, int16(p.Error))
	buf = AppendInt64(buf, p.HighWatermark)
	buf = AppendInt64(buf, p.LastStableOffset)
	if version >= 5 {
		buf = AppendInt64(buf, p.LogStartOffset)
	}
	if p.Aborted == nil {
		buf = AppendArrayLen(buf, -1, flexible)
	} else {
		buf = AppendArrayLen(buf, len(p.Aborted), flexible)
	}
	for _, a := range p.Aborted {
		buf = AppendInt64(buf, a.ProducerID)
		buf = AppendInt64(buf, a.FirstOffset)
		buf = appendNoTags(buf, flexible)
	}
	if version >= 11 {
		buf = AppendInt32(buf, p.PreferredReadReplica)
	}
	return buf
}

func (p *FetchResponsePartition) appendTags(buf []byte) []byte {
	if p.DivergingEpoch == nil && p.CurrentLeader == nil && p.SnapshotID == nil && p.Replica == nil {
		return append(buf, 0)
	}
	buf = append(buf, count(p.DivergingEpoch != nil, p.CurrentLeader != nil, p.SnapshotID != nil, p.Replica != nil))
	if d := p.DivergingEpoch; d != nil {
		buf = AppendInt32(append(buf, 0, 4+8+1), d.Epoch)
		buf = append(AppendInt64(buf, d.EndOffset), 0)
	}
	if p.CurrentLeader != nil {
		buf = appendCurrentLeader(buf, 1, p.CurrentLeader)
	}
	if s := p.SnapshotID; s != nil {
		buf = AppendInt64(append(buf, 2, 8+4+1), s.EndOffset)
		buf = append(AppendInt32(buf, s.Epoch), 0)
	}
	if r := p.Replica; r != nil {
		buf = append(AppendUvarint(buf, tagReplica), 8+8+4)
		buf = AppendInt32(AppendInt64(AppendInt64(buf, r.FetchOffset), r.LogEnd), r.LeaderEpoch)
	}
	return buf
}

// SpanBytes returns the sum of the spans' sizes.
func SpanBytes(spans []vfs.Span) (n int64) {
	for i := range spans {
		n += spans[i].N
	}
	return n
}
