package record

import "encoding/binary"

// Builder builds one batch after another out of records. Set its fields before the first Append. Make it with NewBuilder:
// a zero Builder would claim producer id 0.
type Builder struct {
	Compression   Compression
	BaseOffset    int64
	LeaderEpoch   int32
	TimestampType TimestampType
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool

	content       []byte
	count         int32
	lastDelta     int32
	baseTimestamp int64
	maxTimestamp  int64
}

// NewBuilder returns a builder of batches with base offset 0, no leader epoch and no producer id.
func NewBuilder(c Compression) *Builder {
	return &Builder{Compression: c, LeaderEpoch: NoLeaderEpoch, ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch,
		BaseSequence: NoSequence}
}

// Append adds a record at the next offset. r.Offset is not looked at.
func (b *Builder) Append(r Record) {
	delta := b.lastDelta + 1
	if b.count == 0 {
		delta = 0
	}
	b.appendAt(delta, r)
}

// AppendAt adds a record at r.Offset, which must be BaseOffset or more and lie after the record before. It is for batches
// with gaps, as compaction leaves them.
func (b *Builder) AppendAt(r Record) { b.appendAt(int32(r.Offset-b.BaseOffset), r) }

func (b *Builder) appendAt(delta int32, r Record) {
	if b.count == 0 {
		b.baseTimestamp, b.maxTimestamp = r.Timestamp, r.Timestamp
	}
	b.count++
	b.lastDelta = delta
	b.maxTimestamp = max(b.maxTimestamp, r.Timestamp)
	b.content = appendRecord(b.content, delta, r.Timestamp-b.baseTimestamp, r)
}

func appendRecord(dst []byte, offsetDelta int32, timestampDelta int64, r Record) []byte {
	size := 1 + varintSize(timestampDelta) + varintSize(int64(offsetDelta)) + bytesSize(r.Key) + bytesSize(r.Value) +
		varintSize(int64(len(r.Headers)))
	for _, h := range r.Headers {
		size += varintSize(int64(len(h.Key))) + len(h.Key) + bytesSize(h.Value)
	}
	dst = appendVarint(dst, int64(size))
	dst = append(dst, 0)
	dst = appendVarint(dst, timestampDelta)
	dst = appendVarint(dst, int64(offsetDelta))
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = appendVarint(dst, int64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = appendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return appendVarint(dst, -1)
	}
	return append(appendVarint(dst, int64(len(b))), b...)
}

// Count returns the records added since the last Build.
func (b *Builder) Count() int { return int(b.count) }

// Size returns what the batch would take uncompressed.
func (b *Builder) Size() int { return HeaderSize + len(b.content) }

// Build returns the batch and makes the builder ready for the next one, which starts where this one ends; the sequence
// goes on too. A batch without records takes no offset: it has last offset delta -1, which no log accepts.
func (b *Builder) Build() Batch {
	if b.count == 0 {
		b.baseTimestamp, b.maxTimestamp, b.lastDelta = NoTimestamp, NoTimestamp, -1
	}
	out := make(Batch, HeaderSize, HeaderSize+len(b.content))
	if b.count > 0 {
		out = compress(out, b.Compression, b.content)
	}
	out.SetBaseOffset(b.BaseOffset)
	out.SetLeaderEpoch(b.LeaderEpoch)
	out[magicAt] = Magic
	binary.BigEndian.PutUint32(out[lengthAt:], uint32(len(out)-LengthEnd))
	binary.BigEndian.PutUint16(out[attributesAt:], b.attributes())
	binary.BigEndian.PutUint32(out[lastOffsetDeltaAt:], uint32(b.lastDelta))
	binary.BigEndian.PutUint64(out[baseTimestampAt:], uint64(b.baseTimestamp))
	binary.BigEndian.PutUint64(out[maxTimestampAt:], uint64(b.maxTimestamp))
	binary.BigEndian.PutUint64(out[producerIDAt:], uint64(b.ProducerID))
	binary.BigEndian.PutUint16(out[producerEpochAt:], uint16(b.ProducerEpoch))
	binary.BigEndian.PutUint32(out[baseSequenceAt:], uint32(b.BaseSequence))
	binary.BigEndian.PutUint32(out[countAt:], uint32(b.count))
	out.updateCRC()

	b.BaseOffset = out.NextOffset()
	if b.BaseSequence != NoSequence {
		b.BaseSequence = AddSequence(b.BaseSequence, b.lastDelta+1)
	}
	b.content, b.count, b.lastDelta = b.content[:0], 0, 0
	return out
}

func (b *Builder) attributes() uint16 {
	var a uint16
	if b.count > 0 {
		a = uint16(b.Compression.Codec)
	}
	if b.TimestampType == LogAppendTime {
		a |= logAppendTimeBit
	}
	if b.Transactional {
		a |= transactionalBit
	}
	if b.Control {
		a |= controlBit
	}
	return a
}
