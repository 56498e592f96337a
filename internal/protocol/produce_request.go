package protocol

import (
	"fmt"

	"github.com/moldau/moldau/internal/uuid"
)

// ProduceRequest is a Produce request, versions 3 to 13. A value may be decoded into again and again and then allocates next to nothing.
//
//	v3  transactional id                 v9  flexible
//	v13 topic ids instead of names (KIP-516)
//	body: nullable string transactional id, int16 acks, int32 timeout ms, array of topics
//	topic: string name (to v12) or uuid (from v13), array of partitions
//	partition: int32 index, nullable bytes records
type ProduceRequest struct {
	TransactionalID *string // nil for none; valid until the next Decode
	Acks            int16
	TimeoutMs       int32
	Topics          []ProduceTopic

	Memory Memory // for decoding; no field of the wire

	transactionalID string
}

// ProduceTopic is one topic of a ProduceRequest.
type ProduceTopic struct {
	Name       string    // to v12
	ID         uuid.UUID // from v13
	Partitions []ProducePartition
}

// ProducePartition is one partition of a ProduceTopic.
type ProducePartition struct {
	Partition int32
	Records   []byte // aliases the request's body; nil for null
}

const (
	produceTopicCost     = 56
	producePartitionCost = 32
)

// Decode reads a request body. Records alias body; names do not.
func (p *ProduceRequest) Decode(version int16, body []byte) error {
	flexible := version >= 9
	r := Reader{buf: body}
	allowed := allowance{amplification*len(body) + freeAllocation, p.Memory}

	p.TransactionalID = nil
	if id, ok := r.NullableString(flexible); ok {
		p.transactionalID = keep(p.transactionalID, id)
		p.TransactionalID = &p.transactionalID
	}
	p.Acks = r.Int16()
	p.TimeoutMs = r.Int32()
	p.Topics = resize(&r, p.Topics, r.ArrayLen(flexible, topicMin(flexible, version >= 13)), produceTopicCost, &allowed)
	for i := 0; i < len(p.Topics) && r.err == nil; i++ {
		t := &p.Topics[i]
		if version >= 13 {
			t.Name, t.ID = "", r.UUID()
		} else {
			t.Name, t.ID = keep(t.Name, r.String(flexible)), uuid.UUID{}
		}
		t.Partitions = resize(&r, t.Partitions, r.ArrayLen(flexible, pick(flexible, 6, 8)), producePartitionCost, &allowed)
		for j := 0; j < len(t.Partitions) && r.err == nil; j++ {
			t.Partitions[j] = ProducePartition{Partition: r.Int32(), Records: r.NullableBytes(flexible)}
			if flexible {
				r.SkipTags()
			}
		}
		if flexible {
			r.SkipTags()
		}
	}
	if flexible {
		r.SkipTags()
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("decode Produce version %d: %w", version, err)
	}
	return nil
}

// Reset drops what aliases the body, and what is too large to keep for the next request.
func (p *ProduceRequest) Reset() {
	topics := p.Topics[:cap(p.Topics)]
	entries := len(topics)
	for i := range topics {
		parts := topics[i].Partitions[:cap(topics[i].Partitions)]
		clear(parts)
		topics[i].Partitions = parts[:0]
		entries += len(parts)
	}
	p.Topics = topics[:0]
	if entries > maxRetained {
		p.Topics = nil
	}
	p.TransactionalID = nil
}

// AppendTo appends the body of the request.
func (p *ProduceRequest) AppendTo(dst []byte, version int16) []byte {
	flexible := version >= 9
	dst = AppendNullableString(dst, p.TransactionalID, flexible)
	dst = AppendInt16(dst, p.Acks)
	dst = AppendInt32(dst, p.TimeoutMs)
	dst = AppendArrayLen(dst, len(p.Topics), flexible)
	for i := range p.Topics {
		t := &p.Topics[i]
		dst = appendTopic(dst, t.Name, t.ID, flexible, version >= 13)
		dst = AppendArrayLen(dst, len(t.Partitions), flexible)
		for _, part := range t.Partitions {
			dst = AppendInt32(dst, part.Partition)
			n := len(part.Records)
			if part.Records == nil {
				n = -1
			}
			dst = AppendArrayLen(dst, n, flexible)
			dst = append(dst, part.Records...)
			dst = appendNoTags(dst, flexible)
		}
		dst = appendNoTags(dst, flexible)
	}
	return appendNoTags(dst, flexible)
}

// topicMin is the least that a topic with an empty name and no partitions takes on the wire.
func topicMin(flexible, byID bool) int {
	switch {
	case byID:
		return 16 + 1 + 1
	case flexible:
		return 1 + 1 + 1
	}
	return 2 + 4
}

func pick(flexible bool, yes, no int) int {
	if flexible {
		return yes
	}
	return no
}

func appendTopic(dst []byte, name string, id uuid.UUID, flexible, byID bool) []byte {
	if byID {
		return AppendUUID(dst, id)
	}
	return AppendString(dst, name, flexible)
}

func appendNoTags(dst []byte, flexible bool) []byte {
	if flexible {
		return append(dst, 0)
	}
	return dst
}
