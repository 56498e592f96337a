package protocol

import (
	"fmt"
	"math"

	"github.com/moldau/moldau/internal/uuid"
)

// FetchRequest is a Fetch request, versions 4 to 18. A value may be decoded into again and again and then allocates next to nothing.
//
//	v5  log start offset of a follower       v7  sessions (KIP-227)
//	v9  current leader epoch (KIP-320)       v11 rack (KIP-392)
//	v12 flexible; last fetched epoch (KIP-595); cluster id as tag 0
//	v13 topic ids instead of names           v15 replica id moves into tag 1, with its epoch (KIP-903)
//	v17 directory id of a follower, tag 0 of a partition (KIP-853); v18 its high watermark, tag 1 (KIP-1166)
//
// Kafka has no field for how far a follower has synced: it is tag 20000 of a partition, from v17 on, and only followers send it.
type FetchRequest struct {
	ClusterID      *string // nil for none; valid until the next Decode
	ReplicaID      int32   // -1 for a consumer, DebuggingConsumer for one that debugs
	ReplicaEpoch   int64   // from v15; -1 where unknown
	MaxWaitMs      int32
	MinBytes       int32
	MaxBytes       int32
	IsolationLevel int8
	SessionID      int32 // from v7; 0 below
	SessionEpoch   int32 // from v7; -1 below
	Topics         []FetchTopic
	Forgotten      []ForgottenTopic // from v7
	RackID         string           // from v11

	Memory Memory // for decoding; no field of the wire

	clusterID string
}

// DebuggingConsumer is the ReplicaID of a consumer that debugs.
const DebuggingConsumer = -2

// FetchTopic is one topic of a FetchRequest.
type FetchTopic struct {
	Name       string    // to v12
	ID         uuid.UUID // from v13
	Partitions []FetchPartition
}

// FetchPartition is one partition of a FetchTopic.
type FetchPartition struct {
	Partition          int32
	CurrentLeaderEpoch int32 // from v9; -1 where unknown
	FetchOffset        int64
	LastFetchedEpoch   int32 // from v12; -1 where unknown
	LogStartOffset     int64 // from v5; -1 for a consumer
	MaxBytes           int32
	DirectoryID        uuid.UUID // from v17
	HighWatermark      int64     // from v18; math.MaxInt64 where not known
	SyncedEnd          int64     // of a follower that is one of ours, from v17; -1 where not known
}

// tagReplica is what our followers and leaders tell one another about a partition beyond what Kafka has fields for. It is frozen.
const tagReplica = 20000

// ForgottenTopic names partitions that a fetch session no longer covers.
type ForgottenTopic struct {
	Name       string    // to v12
	ID         uuid.UUID // from v13
	Partitions []int32
}

const (
	fetchTopicCost     = 56
	fetchPartitionCost = 72
)

// Decode reads a request body. Nothing in f aliases it.
func (f *FetchRequest) Decode(version int16, body []byte) error {
	flexible := version >= 12
	r := Reader{buf: body}
	allowed := allowance{amplification*len(body) + freeAllocation, f.Memory}

	f.ClusterID, f.ReplicaID, f.ReplicaEpoch = nil, -1, -1
	if version <= 14 {
		f.ReplicaID = r.Int32()
	}
	f.MaxWaitMs = r.Int32()
	f.MinBytes = r.Int32()
	f.MaxBytes = r.Int32()
	f.IsolationLevel = r.Int8()
	f.SessionID, f.SessionEpoch = 0, -1
	if version >= 7 {
		f.SessionID = r.Int32()
		f.SessionEpoch = r.Int32()
	}
	f.decodeTopics(&r, version, flexible, &allowed)
	f.decodeForgotten(&r, version, flexible, &allowed)
	if version >= 11 {
		f.RackID = keep(f.RackID, r.String(flexible))
	} else {
		f.RackID = ""
	}
	if flexible {
		f.decodeTags(&r, version)
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("decode Fetch version %d: %w", version, err)
	}
	return nil
}

func (f *FetchRequest) decodeTopics(r *Reader, version int16, flexible bool, allowed *allowance) {
	f.Topics = resize(r, f.Topics, r.ArrayLen(flexible, topicMin(flexible, version >= 13)), fetchTopicCost, allowed)
	for i := 0; i < len(f.Topics) && r.err == nil; i++ {
		t := &f.Topics[i]
		if version >= 13 {
			t.Name, t.ID = "", r.UUID()
		} else {
			t.Name, t.ID = keep(t.Name, r.String(flexible)), uuid.UUID{}
		}
		t.Partitions = resize(r, t.Partitions, r.ArrayLen(flexible, fetchPartitionMin(version)), fetchPartitionCost, allowed)
		for j := 0; j < len(t.Partitions) && r.err == nil; j++ {
			t.Partitions[j] = FetchPartition{CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, LogStartOffset: -1, HighWatermark: math.MaxInt64, SyncedEnd: -1}
			t.Partitions[j].decode(r, version, flexible)
		}
		if flexible {
			r.SkipTags()
		}
	}
}

func (p *FetchPartition) decode(r *Reader, version int16, flexible bool) {
	p.Partition = r.Int32()
	if version >= 9 {
		p.CurrentLeaderEpoch = r.Int32()
	}
	p.FetchOffset = r.Int64()
	if version >= 12 {
		p.LastFetchedEpoch = r.Int32()
	}
	if version >= 5 {
		p.LogStartOffset = r.Int64()
	}
	p.MaxBytes = r.Int32()
	if !flexible {
		return
	}
	if version < 17 || len(r.buf) > 0 && r.buf[0] == 0 {
		r.SkipTags()
		return
	}
	r.Tags(func(tag uint32, field *Reader) bool {
		switch {
		case tag == 0:
			p.DirectoryID = field.UUID()
		case tag == 1 && version >= 18:
			p.HighWatermark = field.Int64()
		case tag == tagReplica:
			p.SyncedEnd = field.Int64()
		default:
			return false
		}
		return true
	})
}

// fetchPartitionMin is the least that a partition takes on the wire.
func fetchPartitionMin(version int16) int {
	n := 4 + 8 + 4
	if version >= 5 {
		n += 8
	}
	if version >= 9 {
		n += 4
	}
	if version >= 12 {
		n += 4 + 1
	}
	return n
}

func (f *FetchRequest) decodeForgotten(r *Reader, version int16, flexible bool, allowed *allowance) {
	f.Forgotten = f.Forgotten[:0]
	if version < 7 {
		return
	}
	f.Forgotten = resize(r, f.Forgotten, r.ArrayLen(flexible, topicMin(flexible, version >= 13)), fetchTopicCost, allowed)
	for i := 0; i < len(f.Forgotten) && r.err == nil; i++ {
		t := &f.Forgotten[i]
		if version >= 13 {
			t.Name, t.ID = "", r.UUID()
		} else {
			t.Name, t.ID = keep(t.Name, r.String(flexible)), uuid.UUID{}
		}
		t.Partitions = resize(r, t.Partitions, r.ArrayLen(flexible, 4), 4, allowed)
		for j := range t.Partitions {
			t.Partitions[j] = r.Int32()
		}
		if flexible {
			r.SkipTags()
		}
	}
}

func (f *FetchRequest) decodeTags(r *Reader, version int16) {
	if len(r.buf) > 0 && r.buf[0] == 0 {
		r.buf = r.buf[1:]
		return
	}
	r.Tags(func(tag uint32, field *Reader) bool {
		switch {
		case tag == 0:
			if id, ok := field.NullableString(true); ok {
				f.clusterID = keep(f.clusterID, id)
				f.ClusterID = &f.clusterID
			}
		case tag == 1 && version >= 15:
			f.ReplicaID = field.Int32()
			f.ReplicaEpoch = field.Int64()
			field.SkipTags()
		default:
			return false
		}
		return true
	})
}

// Reset drops what is too large to keep for the next request.
func (f *FetchRequest) Reset() {
	entries := cap(f.Topics) + cap(f.Forgotten)
	for _, t := range f.Topics[:cap(f.Topics)] {
		entries += cap(t.Partitions)
	}
	for _, t := range f.Forgotten[:cap(f.Forgotten)] {
		entries += cap(t.Partitions)
	}
	f.Topics, f.Forgotten = f.Topics[:0], f.Forgotten[:0]
	if entries > maxRetained {
		f.Topics, f.Forgotten = nil, nil
	}
}

// AppendTo appends the body of the request. Fields that the version does not have are left out.
func (f *FetchRequest) AppendTo(dst []byte, version int16) []byte {
	flexible := version >= 12
	if version <= 14 {
		dst = AppendInt32(dst, f.ReplicaID)
	}
	dst = AppendInt32(dst, f.MaxWaitMs)
	dst = AppendInt32(dst, f.MinBytes)
	dst = AppendInt32(dst, f.MaxBytes)
	dst = AppendInt8(dst, f.IsolationLevel)
	if version >= 7 {
		dst = AppendInt32(dst, f.SessionID)
		dst = AppendInt32(dst, f.SessionEpoch)
	}
	dst = AppendArrayLen(dst, len(f.Topics), flexible)
	for i := range f.Topics {
		t := &f.Topics[i]
		dst = appendTopic(dst, t.Name, t.ID, flexible, version >= 13)
		dst = AppendArrayLen(dst, len(t.Partitions), flexible)
		for j := range t.Partitions {
			dst = t.Partitions[j].appendTo(dst, version, flexible)
		}
		dst = appendNoTags(dst, flexible)
	}
	if version >= 7 {
		dst = AppendArrayLen(dst, len(f.Forgotten), flexible)
		for _, t := range f.Forgotten {
			dst = appendTopic(dst, t.Name, t.ID, flexible, version >= 13)
			dst = AppendArrayLen(dst, len(t.Partitions), flexible)
			for _, p := range t.Partitions {
				dst = AppendInt32(dst, p)
			}
			dst = appendNoTags(dst, flexible)
		}
	}
	if version >= 11 {
		dst = AppendString(dst, f.RackID, flexible)
	}
	if flexible {
		dst = f.appendTags(dst, version)
	}
	return dst
}

func (p *FetchPartition) appendTo(dst []byte, version int16, flexible bool) []byte {
	dst = AppendInt32(dst, p.Partition)
	if version >= 9 {
		dst = AppendInt32(dst, p.CurrentLeaderEpoch)
	}
	dst = AppendInt64(dst, p.FetchOffset)
	if version >= 12 {
		dst = AppendInt32(dst, p.LastFetchedEpoch)
	}
	if version >= 5 {
		dst = AppendInt64(dst, p.LogStartOffset)
	}
	dst = AppendInt32(dst, p.MaxBytes)
	if !flexible {
		return dst
	}
	directory := version >= 17 && !p.DirectoryID.IsZero()
	highWatermark := version >= 18 && p.HighWatermark != math.MaxInt64
	synced := version >= 17 && p.SyncedEnd >= 0
	dst = append(dst, count(directory, highWatermark, synced))
	if directory {
		dst = AppendUUID(append(dst, 0, 16), p.DirectoryID)
	}
	if highWatermark {
		dst = AppendInt64(append(dst, 1, 8), p.HighWatermark)
	}
	if synced {
		dst = AppendInt64(append(AppendUvarint(dst, tagReplica), 8), p.SyncedEnd)
	}
	return dst
}

func (f *FetchRequest) appendTags(dst []byte, version int16) []byte {
	replica := version >= 15 && (f.ReplicaID != -1 || f.ReplicaEpoch != -1)
	dst = append(dst, count(f.ClusterID != nil, replica))
	if f.ClusterID != nil {
		n := uint32(len(*f.ClusterID))
		dst = AppendUvarint(append(dst, 0), uint32(uvarintLen(n+1))+n)
		dst = AppendString(dst, *f.ClusterID, true)
	}
	if replica {
		dst = AppendInt32(append(dst, 1, 4+8+1), f.ReplicaID)
		dst = AppendInt64(dst, f.ReplicaEpoch)
		dst = append(dst, 0)
	}
	return dst
}

// count returns how many of the tagged fields are there.
func count(present ...bool) (n byte) {
	for _, p := range present {
		if p {
			n++
		}
	}
	return n
}
