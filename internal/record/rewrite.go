package record

import "encoding/binary"

// Rewriter takes records out of batches, as compaction does. What identifies a batch stays: base and last offset, producer id,
// epoch and sequence, leader epoch, codec, kind of timestamps. Records are copied as they lie, never encoded again, but for their
// timestamps where a delete horizon is set. It keeps its buffers from batch to batch and is for one goroutine.
type Rewriter struct {
	payload []byte // the records of a compressed batch
	content []byte // those that stay
	out     []byte
}

// Entry is what a Rewriter shows of one record. Key is nil for null, and valid until the next batch.
type Entry struct {
	Offset    int64
	Key       []byte
	Tombstone bool // the value is null
}

// Each shows visit every record of a batch until it says no. More than maxDecompressed bytes of records are refused.
func (w *Rewriter) Each(b Batch, maxDecompressed int64, visit func(Entry) bool) error {
	return w.walk(b, maxDecompressed, func(e Entry, _ *fields, _ []byte, _ []byte) bool { return visit(e) })
}

// walk is Each that also gives the record's fields, its body, and the body with its length before it.
func (w *Rewriter) walk(b Batch, maxDecompressed int64, visit func(e Entry, f *fields, body, whole []byte) bool) error {
	if b.Count() == 0 {
		return nil
	}
	if b.Count() < 0 {
		return failf(ErrInvalidRecord, "Found invalid record count %d in magic v%d batch", b.Count(), b.Magic())
	}
	payload := []byte(b[HeaderSize:])
	if b.Codec() != None {
		var err error
		if w.payload, err = decompress(w.payload[:0], b.Codec(), payload, maxDecompressed); err != nil {
			return err
		}
		payload = w.payload
	}
	base := b.BaseOffset()
	var f fields
	for range b.Count() {
		body, rest, err := nextBody(payload)
		if err == nil {
			err = f.parse(body)
		}
		if err != nil {
			return err
		}
		e := Entry{Offset: base + int64(f.offsetDelta), Key: slice(body, f.keyAt, f.keyLen), Tombstone: f.valueLen < 0}
		if !visit(e, &f, body, payload[:len(payload)-len(rest)]) {
			return nil
		}
		payload = rest
	}
	if len(payload) > 0 {
		return errRemaining
	}
	return nil
}

// Kept is the outcome of Keep.
type Kept struct {
	Batch   Batch // b itself where nothing changed; nil where no record stays; else valid until the next call
	Records int   // that stay
	Read    int   // that there were
}

// Keep returns b with the records for which keep is true. Where one of these is a tombstone, or mark is set, and the batch has no
// delete horizon yet, it gets the given one (KIP-534): from then on the base timestamp field holds the horizon.
func (w *Rewriter) Keep(b Batch, maxDecompressed int64, horizon int64, mark bool, keep func(Entry) bool) (Kept, error) {
	var k Kept
	var runs []byte // the records that stay, uncompressed; nil while they are all from the first on
	whole, tombstones := true, false
	base, largest := b.BaseTimestamp(), int64(NoTimestamp)
	prefix := 0 // bytes of records before the first that goes
	w.content = w.content[:0]
	var all []byte
	err := w.walk(b, maxDecompressed, func(e Entry, f *fields, _, record []byte) bool {
		k.Read++
		if k.Read == 1 {
			all = record[:0:cap(record)]
		}
		if !keep(e) {
			if whole {
				whole = false
				w.content = append(w.content, all[:prefix]...)
			}
			return true
		}
		k.Records++
		tombstones = tombstones || e.Tombstone
		largest = max(largest, base+f.timestampDelta)
		if whole {
			prefix += len(record)
		} else {
			w.content = append(w.content, record...)
		}
		return true
	})
	if err != nil || k.Records == 0 {
		return k, err
	}
	stamp := (tombstones || mark) && !b.HasDeleteHorizon()
	if whole && !stamp {
		k.Batch = b
		return k, nil
	}
	if whole {
		w.content = append(w.content, all[:prefix]...)
	}
	runs = w.content
	attributes := b.Attributes()
	if stamp {
		if runs, err = w.rebase(runs, base-horizon); err != nil {
			return k, err
		}
		base = horizon
		attributes |= deleteHorizonBit
	}
	if b.TimestampType() == LogAppendTime {
		largest = b.MaxTimestamp()
	}
	w.out = append(w.out[:0], b[:HeaderSize]...)
	w.out = compress(w.out, CompressionOf(b.Codec()), runs)
	out := Batch(w.out)
	binary.BigEndian.PutUint16(out[attributesAt:], attributes)
	binary.BigEndian.PutUint64(out[baseTimestampAt:], uint64(base))
	binary.BigEndian.PutUint64(out[maxTimestampAt:], uint64(largest))
	binary.BigEndian.PutUint32(out[countAt:], uint32(k.Records))
	out.finish()
	k.Batch = out
	return k, nil
}

// rebase returns the records with their timestamps shift later than they say, since the base they count from lies so much earlier.
func (w *Rewriter) rebase(records []byte, shift int64) ([]byte, error) {
	dst := make([]byte, 0, len(records)+len(records)/8)
	var f fields
	for len(records) > 0 {
		body, rest, err := nextBody(records)
		if err == nil {
			err = f.parse(body)
		}
		if err != nil {
			return nil, err
		}
		records = rest
		delta := f.timestampDelta + shift
		_, i := varlong(body, 1)
		dst = appendVarint(dst, int64(1+varintSize(delta)+len(body)-i))
		dst = append(dst, body[0])
		dst = appendVarint(dst, delta)
		dst = append(dst, body[i:]...)
	}
	return dst, nil
}

// Empty returns b without its records: offsets, sequence, producer and largest timestamp stay, so that what the log knows of the
// producer survives. It is valid until the next call.
func (w *Rewriter) Empty(b Batch) Batch {
	w.out = append(w.out[:0], b[:HeaderSize]...)
	out := Batch(w.out)
	binary.BigEndian.PutUint16(out[attributesAt:], b.Attributes()&(logAppendTimeBit|transactionalBit|controlBit))
	noTimestamp := int64(NoTimestamp)
	binary.BigEndian.PutUint64(out[baseTimestampAt:], uint64(noTimestamp))
	binary.BigEndian.PutUint32(out[countAt:], 0)
	out.finish()
	return out
}

// finish makes length and CRC right after the batch was put together.
func (b Batch) finish() {
	binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)-LengthEnd))
	b.updateCRC()
}
