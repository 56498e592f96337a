package record

import (
	"fmt"
	"io"
	"math"
)

// Rules are what a partition demands of the batches that clients send. A zero limit is no limit.
type Rules struct {
	Topic     string // for the texts of errors
	Partition int32

	// Internal allows what only this broker's coordinators write: control batches, and base offsets other than 0.
	Internal bool

	TimestampType TimestampType // message.timestamp.type
	// BeforeMax and AfterMax bound, in milliseconds, how far a record's CreateTime may lie before and after the broker's
	// clock (message.timestamp.before.max.ms, message.timestamp.after.max.ms). They have no default here; the setting
	// "no bound" is math.MaxInt64.
	BeforeMax, AfterMax int64
	Compacted           bool // cleanup.policy contains compact: every record needs a key
	// Compression is what compression.type converts to; nil, its value "producer", keeps the codec.
	Compression *Compression

	MaxBatchBytes int64 // max.message.bytes: of the batch as it is on the wire, and after conversion
	// MaxRecordBytes bounds one record of a compressed batch, as Kafka's max.decompressed.message.bytes does.
	MaxRecordBytes int64
	// MaxDecompressedBytes bounds the records of a compressed batch all together.
	MaxDecompressedBytes int64
}

// partition names the topic partition as Kafka does.
func (r *Rules) partition() string { return fmt.Sprintf("%s-%d", r.Topic, r.Partition) }

// ForProduce takes the one batch out of the records of a partition in a Produce request of the given version, which must
// be 3 or more. Bytes after it that are no whole batch are passed over, as Kafka does.
func ForProduce(records []byte, version int16) (Batch, error) {
	if len(records) > magicAt && (records[magicAt] == 0 || records[magicAt] == 1) && legacyLength(records) >= legacyMinimumSize {
		return nil, failf(ErrInvalidRecord, "Produce requests with version %d are only allowed to contain record batches with "+
			"magic version 2", version)
	}
	b, rest, err := Next(records)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, failf(ErrInvalidRecord, "Produce requests with version %d must have at least one record batch per partition", version)
	}
	if err != nil {
		return nil, err
	}
	if version < 7 && b.Codec() == Zstd {
		return nil, failf(ErrUnsupportedCompression, "Produce requests with version %d are not allowed to use ZStandard compression", version)
	}
	if _, _, err := Next(rest); err == nil {
		return nil, failf(ErrInvalidRecord, "Produce requests with version %d are only allowed to contain exactly one record "+
			"batch per partition", version)
	} else if err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	return b, nil
}

func legacyLength(records []byte) int32 {
	return int32(uint32(records[lengthAt])<<24 | uint32(records[lengthAt+1])<<16 | uint32(records[lengthAt+2])<<8 |
		uint32(records[lengthAt+3]))
}

// Validate checks a batch as it comes from a producer against the rules, walking every record, and stamps it: the max
// timestamp is made right, and where the topic says so the time is the broker's, now in milliseconds. It returns b itself,
// changed in place, or a new batch where compression.type asks for another codec. Base offset and leader epoch are left for
// the append to assign. A refusal is an *Error.
//
// The offsets in a batch should run 0, 1, 2 and so on. Where they do not, Kafka numbers the records anew if it converts them. If not,
// it keeps wrong offsets that are not compressed, and fails with an internal error on compressed ones. Here the first two are
// numbered anew, since no log may hold wrong offsets, and the third is refused.
func Validate(b Batch, now int64, r *Rules) (Batch, error) {
	if err := validateHeader(b, r); err != nil {
		return nil, err
	}
	w := walker{
		rules:         r,
		batch:         b,
		now:           now,
		baseTimestamp: b.BaseTimestamp(),
		logAppendTime: b.TimestampType() == LogAppendTime,
		converts:      r.Compression != nil && r.Compression.Codec != b.Codec() && !b.IsControl(),
		maxTimestamp:  NoTimestamp,
	}
	var err error
	if b.Codec() == None {
		err = w.walk(b[HeaderSize:])
	} else {
		err = w.walkCompressed()
	}
	if err == nil {
		err = w.errors.err()
	}
	if err != nil {
		return nil, err
	}
	maxTimestamp := w.maxTimestamp
	if r.TimestampType == LogAppendTime {
		maxTimestamp = now
	}
	if w.disordered && !w.converts && b.Codec() != None {
		return nil, failf(ErrInvalidRecord, "The offsets of compressed records should run from 0 without gaps in topic partition %s", r.partition())
	}
	if !w.converts && !w.disordered {
		b.SetMaxTimestamp(r.TimestampType, maxTimestamp)
		return b, nil
	}
	return convert(b, r, w.disordered, maxTimestamp)
}

// validateHeader checks what can be known without the records.
func validateHeader(b Batch, r *Rules) error {
	if len(b) < HeaderSize {
		return failf(ErrCorrupt, "Record batch is corrupt (the size %d is smaller than the minimum allowed overhead %d)", len(b), HeaderSize)
	}
	if !r.Internal && b.BaseOffset() != 0 {
		return failf(ErrInvalidRecord, "The baseOffset of the record batch in the append to %s should be 0, but it is %d",
			r.partition(), b.BaseOffset())
	}
	if r.MaxBatchBytes > 0 && int64(b.Size()) > r.MaxBatchBytes {
		return failf(ErrTooLarge, "The record batch size in the append to %s is %d bytes which exceeds the maximum configured "+
			"value of %d.", r.partition(), b.Size(), r.MaxBatchBytes)
	}
	if b.computeCRC() != b.CRC() {
		return failf(ErrCorrupt, "Record is corrupt (stored crc = %d) in topic partition %s.", b.CRC(), r.partition())
	}
	if !b.Codec().Known() {
		return unknownCodec(b.Codec())
	}
	countFromOffsets, count := int64(b.LastOffsetDelta())+1, int64(b.Count())
	switch {
	case countFromOffsets <= 0:
		return failf(ErrInvalidRecord, "Batch has an invalid offset range: [%d, %d] in topic partition %s", b.BaseOffset(),
			b.LastOffset(), r.partition())
	case count <= 0:
		return failf(ErrInvalidRecord, "Invalid reported count for record batch: %d in topic partition %s", count, r.partition())
	case countFromOffsets != count:
		return failf(ErrInvalidRecord, "Inconsistent batch offset range [%d, %d] and count of records %d in topic partition %s",
			b.BaseOffset(), b.LastOffset(), count, r.partition())
	case b.IsControl() && !r.Internal:
		return failf(ErrInvalidRecord, "Clients are not allowed to write control records in topic partition %s", r.partition())
	case b.HasProducerID() && b.BaseSequence() < 0 && !b.IsControl():
		return failf(ErrInvalidRecord, "Invalid sequence number %d in record batch with producerId %d in topic partition %s",
			b.BaseSequence(), b.ProducerID(), r.partition())
	case b.HasDeleteHorizon(): // only a cleaner sets it; Kafka would take the horizon for a base timestamp
		return failf(ErrInvalidRecord, "Clients are not allowed to set a delete horizon in topic partition %s", r.partition())
	}
	return nil
}

// walker checks the records of one batch.
type walker struct {
	rules         *Rules
	batch         Batch
	now           int64
	baseTimestamp int64
	logAppendTime bool // the batch says so, whatever the topic wants
	converts      bool
	index         int32 // of the record at hand
	maxTimestamp  int64
	disordered    bool // the offsets do not run 0, 1, 2 and so on
	errors        recordErrors
}

// walk checks uncompressed records. This loop sees every record that goes through the broker: it allocates nothing and
// touches nothing but the integers between keys and values.
func (w *walker) walk(p []byte) error {
	var f fields
	for count := w.batch.Count(); w.index < count; w.index++ {
		u, i := short(p, 0)
		n := int(zigzag(u))
		if i == 0 || uint(n) > uint(len(p)-i) {
			body, rest, err := nextBody(p)
			if err != nil {
				return err
			}
			n, i = len(body), len(p)-len(rest)-len(body)
		}
		if err := f.parse(p[i : i+n]); err != nil {
			return err
		}
		p = p[i+n:]
		w.check(&f)
	}
	if len(p) > 0 {
		return errRemaining
	}
	return nil
}

func (w *walker) walkCompressed() error {
	s, err := newStream(w.batch, w.rules.MaxDecompressedBytes)
	if err != nil {
		return err
	}
	defer s.close()
	maxBody := w.rules.MaxRecordBytes
	if maxBody <= 0 {
		maxBody = math.MaxInt64
	}
	var f fields
	for count := w.batch.Count(); w.index < count; w.index++ {
		if err := s.next(&f, maxBody); err != nil {
			return err
		}
		w.check(&f)
	}
	ended, err := s.ended()
	if err == nil && !ended {
		err = errRemaining
	}
	return err
}

// check applies the rules to one record.
func (w *walker) check(f *fields) {
	ts := w.baseTimestamp + f.timestampDelta
	if w.logAppendTime {
		ts = w.batch.MaxTimestamp()
	}
	w.maxTimestamp = max(w.maxTimestamp, ts)
	w.disordered = w.disordered || f.offsetDelta != w.index
	if w.rules.Compacted && f.keyLen < 0 && !w.batch.IsControl() {
		w.errors.add(ErrInvalidRecord, w.index, "Compacted topic cannot accept message without key in topic partition %s", w.rules.partition())
		return
	}
	if w.rules.TimestampType == CreateTime && ts != NoTimestamp {
		if diff := w.now - ts; diff > w.rules.BeforeMax || -diff > w.rules.AfterMax {
			w.errors.add(ErrInvalidTimestamp, w.index, "Timestamp %d of message with offset %d is out of range. The timestamp should "+
				"be within [%d, %d]", ts, w.batch.BaseOffset()+int64(f.offsetDelta), w.now-w.rules.BeforeMax, w.now+w.rules.AfterMax)
		}
	} else if w.logAppendTime {
		w.errors.add(ErrInvalidTimestamp, w.index, "Invalid timestamp type in message %s. Producer should not set timestamp type "+
			"to LogAppendTime.", w.describe(f, ts))
	}
}

// describe names a record as Kafka's texts do, which differ by whether it was only passed over in a compressed batch.
func (w *walker) describe(f *fields, ts int64) string {
	kind, key, value := "DefaultRecord", max(f.keyLen, 0), max(f.valueLen, 0)
	if w.batch.Codec() != None && !w.converts {
		kind, key, value = "PartialDefaultRecord", f.keyLen, f.valueLen
	}
	return fmt.Sprintf("%s(offset=%d, timestamp=%d, key=%d bytes, value=%d bytes)", kind, w.batch.BaseOffset()+int64(f.offsetDelta),
		ts, key, value)
}
