package stored

import (
	"fmt"
	"math/bits"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// Versions of the value of a committed offset. They are frozen.
const (
	offsetWithExpiry = 1 // the only one with an expiry time
	offsetWithEpoch  = 3
	offsetFlexible   = 4
	offsetNewest     = 4
	topicIDTag       = 0
)

// None stands for a time or an epoch that is not known.
const None = -1

// Offset is the value of a committed offset.
type Offset struct {
	Offset      int64
	LeaderEpoch int32 // None where the client did not tell
	Metadata    string
	CommittedMs int64
	ExpiresMs   int64     // None where the retention of the broker counts
	TopicID     uuid.UUID // zero where the writer did not know it
}

// DecodeOffset reads the value of a committed offset. It keeps nothing of b.
func DecodeOffset(b []byte) (Offset, error) {
	r := protocol.NewReader(b)
	version := r.Int16()
	if r.Err() == nil && (version < 0 || version > offsetNewest) {
		return Offset{}, fmt.Errorf("%w: committed offset of unknown version %d", ErrCorrupt, version)
	}
	o := Offset{Offset: r.Int64(), LeaderEpoch: None, ExpiresMs: None}
	if version >= offsetWithEpoch {
		o.LeaderEpoch = r.Int32()
	}
	o.Metadata = string(r.String(version >= offsetFlexible))
	o.CommittedMs = r.Int64()
	if version == offsetWithExpiry {
		o.ExpiresMs = r.Int64()
	}
	if version >= offsetFlexible {
		o.TopicID = topicID(&r)
	}
	if r.Err() != nil {
		return Offset{}, fmt.Errorf("%w: committed offset %s", ErrCorrupt, head(b))
	}
	return o, nil
}

// topicID reads the tagged fields. Nearly always the id is the only one, and a load reads millions of them.
func topicID(r *protocol.Reader) (id uuid.UUID) {
	if b := r.Rest(); len(b) >= 3+len(id) && b[0] == 1 && b[1] == topicIDTag && int(b[2]) == len(id) {
		return uuid.UUID(r.Take(3 + len(id))[3:])
	}
	r.Tags(func(tag uint32, field *protocol.Reader) bool {
		if tag != topicIDTag {
			return false
		}
		id = field.UUID()
		return true
	})
	return id
}

// Append appends the value. The version with an expiry has neither leader epoch nor topic id: Kafka loses them as well.
func (o *Offset) Append(dst []byte) []byte {
	if o.ExpiresMs != None {
		dst = protocol.AppendInt16(dst, offsetWithExpiry)
		dst = protocol.AppendInt64(dst, o.Offset)
		dst = protocol.AppendString(dst, o.Metadata, false)
		dst = protocol.AppendInt64(dst, o.CommittedMs)
		return protocol.AppendInt64(dst, o.ExpiresMs)
	}
	dst = protocol.AppendInt16(dst, offsetFlexible)
	dst = protocol.AppendInt64(dst, o.Offset)
	dst = protocol.AppendInt32(dst, o.LeaderEpoch)
	dst = protocol.AppendString(dst, o.Metadata, true)
	dst = protocol.AppendInt64(dst, o.CommittedMs)
	if o.TopicID.IsZero() {
		return append(dst, 0)
	}
	dst = append(dst, 1, topicIDTag, byte(len(o.TopicID)))
	return protocol.AppendUUID(dst, o.TopicID)
}

// Size is the length of what Append appends.
func (o *Offset) Size() int {
	n := 2 + 8 + 8 + len(o.Metadata)
	switch {
	case o.ExpiresMs != None:
		return n + 2 + 8
	case !o.TopicID.IsZero():
		n += 2 + len(o.TopicID)
	}
	return n + 4 + (bits.Len32(uint32(len(o.Metadata)+1)|1)+6)/7 + 1
}
