package protocol

import (
	"fmt"

	"github.com/moldau/moldau/internal/uuid"
)

// FollowerVersion is the version of Fetch that our followers send.
const FollowerVersion = 18

// FetchAnswer is a FetchResponse as a follower reads it, in FollowerVersion. A value may be decoded into again and again.
type FetchAnswer struct {
	ThrottleMs int32
	Error      ErrorCode
	SessionID  int32
	Partitions []FetchedPartition
}

// FetchedPartition is one partition of a FetchAnswer.
type FetchedPartition struct {
	TopicID          uuid.UUID
	Partition        int32
	Error            ErrorCode
	HighWatermark    int64
	LastStableOffset int64
	LogStartOffset   int64
	Records          []byte // alias the body
	Diverging        EpochEndOffset
	Diverges         bool
	Replica          ReplicaAnswer
	Told             bool // Replica is there
}

const (
	fetchedMin  = 4 + 2 + 8 + 8 + 8 + 1 + 4 + 1 + 1 // what a partition takes on the wire at least
	fetchedCost = 136
)

// Decode reads a response body. Records alias it.
func (a *FetchAnswer) Decode(body []byte) error {
	r := Reader{buf: body}
	budget := amplification*len(body) + freeAllocation
	a.ThrottleMs, a.Error, a.SessionID = r.Int32(), ErrorCode(r.Int16()), r.Int32()
	a.Partitions = a.Partitions[:0]
	for topics := r.ArrayLen(true, topicMin(true, true)); topics > 0 && r.err == nil; topics-- {
		id := r.UUID()
		n := r.ArrayLen(true, fetchedMin)
		if budget -= n * fetchedCost; budget < 0 {
			r.fail(errBudget)
		}
		for ; n > 0 && r.err == nil; n-- {
			p := FetchedPartition{TopicID: id}
			p.decode(&r)
			a.Partitions = append(a.Partitions, p)
		}
		r.SkipTags()
	}
	r.SkipTags() // endpoints of nodes, which followers know
	if r.err == nil && len(r.buf) > 0 {
		r.fail(errTagSize)
	}
	if r.err != nil {
		return fmt.Errorf("decode the answer to a Fetch: %w", r.err)
	}
	return nil
}

func (p *FetchedPartition) decode(r *Reader) {
	p.Partition, p.Error = r.Int32(), ErrorCode(r.Int16())
	p.HighWatermark, p.LastStableOffset, p.LogStartOffset = r.Int64(), r.Int64(), r.Int64()
	for n := r.length(true, false); n > 0 && r.err == nil; n-- { // aborted transactions are nothing to a follower
		r.Take(8 + 8)
		r.SkipTags()
	}
	r.Int32() // preferred replica
	p.Records = r.NullableBytes(true)
	if len(r.buf) > 0 && r.buf[0] == 0 {
		r.buf = r.buf[1:]
		return
	}
	r.Tags(func(tag uint32, field *Reader) bool {
		switch tag {
		case 0:
			p.Diverges = true
			p.Diverging.Epoch, p.Diverging.EndOffset = field.Int32(), field.Int64()
			field.SkipTags()
		case tagReplica:
			p.Told = true
			p.Replica.FetchOffset, p.Replica.LogEnd, p.Replica.LeaderEpoch = field.Int64(), field.Int64(), field.Int32()
		default:
			return false
		}
		return true
	})
}
