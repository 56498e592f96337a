// Package record reads, validates, converts and builds record batches of format v2, the only form in which records are
// received, stored, sent and replicated. It owns every byte of a batch and nothing around it: no segment, no partition
// state, no producer history, no I/O.
//
// # Record batch, format v2
//
//	byte  0, 8 bytes: base offset, the offset of the first record
//	byte  8, 4 bytes: length of what follows this field
//	byte 12, 4 bytes: partition leader epoch
//	byte 16, 1 byte:  magic, 2
//	byte 17, 4 bytes: CRC-32C of everything from byte 21 to the end
//	byte 21, 2 bytes: attributes: bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//	byte 23, 4 bytes: last offset delta, the offset of the last record minus the base offset
//	byte 27, 8 bytes: base timestamp, or the delete horizon where bit 6 is set
//	byte 35, 8 bytes: max timestamp
//	byte 43, 8 bytes: producer id, or -1
//	byte 51, 2 bytes: producer epoch, or -1
//	byte 53, 4 bytes: base sequence, or -1
//	byte 57, 4 bytes: number of records
//	byte 61:          the records, compressed as one stream by the codec
//
// Integers are big-endian. Base offset, length, leader epoch and magic are outside the CRC, so that a broker can assign
// an offset and an epoch without reading the rest. See record.go for the records.
package record

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// The layout of a batch header. These numbers are the format of files and of the protocol: they are frozen.
const (
	HeaderSize = 61 // bytes before the first record
	Magic      = 2  // the only format served

	// LengthEnd is where the length field ends: a batch takes LengthEnd bytes more than the field says.
	LengthEnd = 12

	baseOffsetAt      = 0
	lengthAt          = 8
	leaderEpochAt     = 12
	magicAt           = 16
	crcAt             = 17
	attributesAt      = 21
	lastOffsetDeltaAt = 23
	baseTimestampAt   = 27
	maxTimestampAt    = 35
	producerIDAt      = 43
	producerEpochAt   = 51
	baseSequenceAt    = 53
	countAt           = 57

	codecMask         = 0x07
	logAppendTimeBit  = 0x08
	transactionalBit  = 0x10
	controlBit        = 0x20
	deleteHorizonBit  = 0x40
	knownAttributes   = 0x7f
	legacyMinimumSize = 14 // of the length field, in any format
)

// Values of header fields that mean "none".
const (
	NoTimestamp     = -1
	NoProducerID    = -1
	NoProducerEpoch = -1
	NoSequence      = -1
	NoLeaderEpoch   = -1
)

// TimestampType says what a batch's timestamps are.
type TimestampType uint8

const (
	CreateTime    TimestampType = 0 // the producer's
	LogAppendTime TimestampType = 1 // the broker's: the batch's max timestamp counts for every record
)

// Batch is exactly one encoded record batch, header included. Its methods read the header in place and expect what Next
// has made sure of: that the header is whole and the length right.
type Batch []byte

// legacyOverhead is the least length of an entry of the oldest format, below which Kafka looks no further.
const legacyOverhead = 14

// Next returns the first batch of buf and what comes after it. Where buf ends inside the batch the error is
// io.ErrUnexpectedEOF; where no batch can start like that, it wraps ErrCorrupt. An empty buf is io.EOF.
func Next(buf []byte) (b Batch, rest []byte, err error) {
	if len(buf) == 0 {
		return nil, nil, io.EOF
	}
	if len(buf) < LengthEnd {
		return nil, buf, io.ErrUnexpectedEOF
	}
	length := int32(binary.BigEndian.Uint32(buf[lengthAt:]))
	if length < legacyOverhead {
		return nil, buf, unframed("Record size %d is less than the minimum record overhead (%d)", length, legacyOverhead)
	}
	if len(buf) <= magicAt {
		return nil, buf, io.ErrUnexpectedEOF
	}
	if magic := int8(buf[magicAt]); magic != Magic {
		return nil, buf, unframed("Invalid magic found in record: %d", magic)
	}
	if length < HeaderSize-LengthEnd {
		return nil, buf, failf(ErrCorrupt, "Record size %d is less than the minimum record overhead (%d)", length,
			HeaderSize-LengthEnd)
	}
	size := int64(length) + LengthEnd
	if int64(len(buf)) < size {
		return nil, buf, io.ErrUnexpectedEOF
	}
	return Batch(buf[:size:size]), buf[size:], nil
}

func (b Batch) BaseOffset() int64      { return int64(binary.BigEndian.Uint64(b[baseOffsetAt:])) }
func (b Batch) LeaderEpoch() int32     { return int32(binary.BigEndian.Uint32(b[leaderEpochAt:])) }
func (b Batch) Magic() int8            { return int8(b[magicAt]) }
func (b Batch) CRC() uint32            { return binary.BigEndian.Uint32(b[crcAt:]) }
func (b Batch) Attributes() uint16     { return binary.BigEndian.Uint16(b[attributesAt:]) }
func (b Batch) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(b[lastOffsetDeltaAt:])) }
func (b Batch) BaseTimestamp() int64   { return int64(binary.BigEndian.Uint64(b[baseTimestampAt:])) }
func (b Batch) MaxTimestamp() int64    { return int64(binary.BigEndian.Uint64(b[maxTimestampAt:])) }
func (b Batch) ProducerID() int64      { return int64(binary.BigEndian.Uint64(b[producerIDAt:])) }
func (b Batch) ProducerEpoch() int16   { return int16(binary.BigEndian.Uint16(b[producerEpochAt:])) }
func (b Batch) BaseSequence() int32    { return int32(binary.BigEndian.Uint32(b[baseSequenceAt:])) }
func (b Batch) Count() int32           { return int32(binary.BigEndian.Uint32(b[countAt:])) }

// Size returns the bytes of the whole batch.
func (b Batch) Size() int { return len(b) }

// LastOffset returns the offset of the last record. It stays when compaction removes that record.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset returns the offset that follows the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// Codec returns how the records are compressed; it may be one that nobody knows.
func (b Batch) Codec() Codec { return Codec(b[attributesAt+1] & codecMask) }

// TimestampType returns whose the timestamps are.
func (b Batch) TimestampType() TimestampType {
	if b[attributesAt+1]&logAppendTimeBit != 0 {
		return LogAppendTime
	}
	return CreateTime
}

func (b Batch) IsTransactional() bool  { return b[attributesAt+1]&transactionalBit != 0 }
func (b Batch) IsControl() bool        { return b[attributesAt+1]&controlBit != 0 }
func (b Batch) HasDeleteHorizon() bool { return b[attributesAt+1]&deleteHorizonBit != 0 }

// HasProducerID says whether an idempotent producer or a transaction wrote the batch.
func (b Batch) HasProducerID() bool { return b.ProducerID() > NoProducerID }

// LastSequence returns the sequence of the last record, or NoSequence. Sequences go on at 0 after the largest int32.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base == NoSequence {
		return NoSequence
	}
	return AddSequence(base, b.LastOffsetDelta())
}

// AddSequence returns the sequence that lies n after s. Sequences go on at 0 after the largest int32.
func AddSequence(s, n int32) int32 {
	return int32((int64(s) + int64(n)) & math.MaxInt32)
}

// SetBaseOffset assigns the offset of the first record. The CRC does not cover it.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[baseOffsetAt:], uint64(offset))
}

// SetLeaderEpoch stamps the epoch of the leader that appends the batch. The CRC does not cover it.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[leaderEpochAt:], uint32(epoch))
}

// SetMaxTimestamp sets the timestamp type and the max timestamp. The CRC, which must have been right, is made right again,
// only if one of them changes.
func (b Batch) SetMaxTimestamp(t TimestampType, ts int64) {
	if b.TimestampType() == t && b.MaxTimestamp() == ts {
		return
	}
	attributes := b.Attributes() & knownAttributes &^ logAppendTimeBit
	if t == LogAppendTime {
		attributes |= logAppendTimeBit
	}
	var old [producerIDAt - attributesAt]byte
	copy(old[:], b[attributesAt:])
	binary.BigEndian.PutUint16(b[attributesAt:], attributes)
	binary.BigEndian.PutUint64(b[maxTimestampAt:], uint64(ts))
	if len(b) < combineFrom {
		b.updateCRC()
	} else {
		b.changeCRC(old[:])
	}
}

func (b Batch) computeCRC() uint32 { return extendCRC(0, b[attributesAt:]) }

func (b Batch) updateCRC() { binary.BigEndian.PutUint32(b[crcAt:], b.computeCRC()) }

// CheckCRCOf is CheckCRC of a batch of size bytes of which b has the header, and read returns n bytes from an offset in it on, which need
// not live longer than until the next call. It holds no more of the batch at a time than piece.
func (b Batch) CheckCRCOf(size, piece int64, read func(at, n int64) ([]byte, error)) error {
	stored, computed := b.CRC(), uint32(0)
	for at := int64(attributesAt); at < size; at += piece {
		part, err := read(at, min(piece, size-at))
		if err != nil {
			return err
		}
		computed = extendCRC(computed, part)
	}
	return compareCRC(stored, computed)
}

func compareCRC(stored, computed uint32) error {
	if computed != stored {
		return failf(ErrCorrupt, "Record is corrupt (stored crc = %d, computed crc = %d)", stored, computed)
	}
	return nil
}

// CheckCRC returns an error that wraps ErrCorrupt where the content does not match the CRC.
func (b Batch) CheckCRC() error {
	return compareCRC(b.CRC(), b.computeCRC())
}

// String describes the header on one line, for logs and tools.
func (b Batch) String() string {
	return fmt.Sprintf("batch(offsets=[%d, %d], count=%d, size=%d, epoch=%d, codec=%v, producer=%d/%d, sequence=[%d, %d])",
		b.BaseOffset(), b.LastOffset(), b.Count(), b.Size(), b.LeaderEpoch(), b.Codec(), b.ProducerID(), b.ProducerEpoch(),
		b.BaseSequence(), b.LastSequence())
}
