package record

import "encoding/binary"

// convert returns a new batch of the records of b, which have been validated: compressed as the rules say, and where
// renumber is set with the offsets 0, 1, 2 and so on. Records are copied as they are, not decoded and encoded again.
func convert(b Batch, r *Rules, renumber bool, maxTimestamp int64) (Batch, error) {
	content := []byte(b[HeaderSize:])
	if b.Codec() != None {
		var err error
		if content, err = decompress(nil, b.Codec(), content, r.MaxDecompressedBytes); err != nil {
			return nil, err
		}
	}
	if renumber {
		content = renumbered(content, b.Count())
	}
	target := CompressionOf(b.Codec())
	if r.Compression != nil && !b.IsControl() {
		target = *r.Compression
	}
	room := len(content)
	if target.Codec != None {
		room /= 2 // a guess: compressors append
	}
	out := append(make(Batch, 0, HeaderSize+room), b[:HeaderSize]...)
	out = compress(out, target, content)
	if r.MaxBatchBytes > 0 && int64(len(out)) > r.MaxBatchBytes {
		return nil, failf(ErrTooLarge, "Message batch size is %d bytes in append to partition %s which exceeds the maximum configured "+
			"size of %d.", len(out), r.partition(), r.MaxBatchBytes)
	}
	attributes := b.Attributes()&(transactionalBit|controlBit) | uint16(target.Codec)
	if r.TimestampType == LogAppendTime {
		attributes |= logAppendTimeBit
	}
	binary.BigEndian.PutUint32(out[lengthAt:], uint32(len(out)-LengthEnd))
	binary.BigEndian.PutUint16(out[attributesAt:], attributes)
	binary.BigEndian.PutUint64(out[maxTimestampAt:], uint64(maxTimestamp))
	out.updateCRC()
	return out, nil
}

// renumbered returns count records with the offset deltas 0, 1, 2 and so on.
func renumbered(content []byte, count int32) []byte {
	out := make([]byte, 0, len(content)+len(content)/8)
	var f fields
	for i := range count {
		body, rest, err := nextBody(content)
		if err == nil {
			err = f.parse(body)
		}
		if err != nil {
			panic("record: a validated batch does not parse: " + err.Error())
		}
		head := 1 + varintSize(f.timestampDelta)
		size := head + varintSize(int64(i)) + len(body) - f.afterOffsetDelta
		out = appendVarint(out, int64(size))
		out = append(out, body[0])
		out = appendVarint(out, f.timestampDelta)
		out = appendVarint(out, int64(i))
		out = append(out, body[f.afterOffsetDelta:]...)
		content = rest
	}
	return out
}
