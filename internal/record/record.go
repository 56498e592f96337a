package record

import "iter"

// # A record
//
//	varint:  length of what follows this field
//	1 byte:  attributes, none defined
//	varlong: timestamp minus the batch's base timestamp
//	varint:  offset minus the batch's base offset
//	varint:  length of the key, or -1 for null; then the key
//	varint:  length of the value, or -1 for null; then the value
//	varint:  number of headers, and for each
//	         varint: length of its key; then the key, which cannot be null
//	         varint: length of its value, or -1 for null; then the value
//
// Integers are zig-zag varints, see varint.go.

// Record is one record, decoded. A nil Key or Value is null.
type Record struct {
	Offset, Timestamp int64
	Key, Value        []byte
	Headers           []Header
}

// Header is one header of a record. A nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// fields are where the parts of one record lie in its body. A length of -1 is null.
type fields struct {
	timestampDelta   int64
	offsetDelta      int32
	keyAt, keyLen    int
	valueAt          int
	valueLen         int
	headersAt        int // of the first header
	headers          int32
	afterOffsetDelta int
}

// parse reads the body of one record, what follows its length field, and checks that its parts fill it exactly.
func (f *fields) parse(body []byte) error {
	if len(body) == 0 {
		return errStructure
	}
	i := 1
	if u, n := short(body, i); n > 0 {
		f.timestampDelta, i = int64(zigzag(u)), i+n
	} else if f.timestampDelta, i = varlong(body, i); i < 0 {
		return errStructure
	}
	if u, n := short(body, i); n > 0 {
		f.offsetDelta, i = zigzag(u), i+n
	} else if f.offsetDelta, i = varint(body, i); i < 0 {
		return errStructure
	}
	f.afterOffsetDelta = i
	var length int32
	if u, n := short(body, i); n > 0 {
		length, i = zigzag(u), i+n
	} else if length, i = varint(body, i); i < 0 {
		return errStructure
	}
	if length < -1 || int(length) > len(body)-i {
		return errStructure
	}
	f.keyAt, f.keyLen = i, int(length)
	i += max(int(length), 0)
	if u, n := short(body, i); n > 0 {
		length, i = zigzag(u), i+n
	} else if length, i = varint(body, i); i < 0 {
		return errStructure
	}
	if length < -1 || int(length) > len(body)-i {
		return errStructure
	}
	f.valueAt, f.valueLen = i, int(length)
	i += max(int(length), 0)
	if i == len(body)-1 && body[i] == 0 { // no headers and the end
		f.headersAt, f.headers = len(body), 0
		return nil
	}
	return f.parseHeaders(body, i)
}

func (f *fields) parseHeaders(body []byte, i int) error {
	n, i := varint(body, i)
	if i < 0 {
		return errStructure
	}
	if n < 0 {
		return failf(ErrInvalidRecord, "Found invalid number of record headers %d", n)
	}
	if int(n) > len(body)-i {
		return failf(ErrInvalidRecord, "Found invalid number of record headers. %d is larger than the remaining size of the buffer", n)
	}
	f.headersAt, f.headers = i, n
	for range n {
		var length int32
		if length, i = varint(body, i); i < 0 {
			return errStructure
		}
		if length < 0 {
			return failf(ErrInvalidRecord, "Invalid negative header key size %d", length)
		}
		if int(length) > len(body)-i {
			return errStructure
		}
		i += int(length)
		if length, i = varint(body, i); i < 0 || length < -1 || int(length) > len(body)-i {
			return errStructure
		}
		i += max(int(length), 0)
	}
	if i != len(body) {
		return failf(ErrInvalidRecord, "Invalid record size: expected to read %d bytes in record payload, but instead read %d",
			len(body), i)
	}
	return nil
}

// errStructure is the refusal of a record whose parts do not fit into it. Making one costs nothing, since it has no numbers.
var errStructure = &Error{Kind: ErrInvalidRecord, Message: "Found invalid record structure"}

// slice returns n bytes of body at i, or nil for null.
func slice(body []byte, i, n int) []byte {
	if n < 0 {
		return nil
	}
	return body[i : i+n : i+n]
}

func (f *fields) decodeHeaders(body []byte) []Header {
	if f.headers == 0 {
		return nil
	}
	headers := make([]Header, f.headers)
	i := f.headersAt
	for k := range headers {
		var n int32
		n, i = varint(body, i)
		headers[k].Key = string(body[i : i+int(n)])
		i += int(n)
		n, i = varint(body, i)
		headers[k].Value = slice(body, i, int(n))
		i += max(int(n), 0)
	}
	return headers
}

// nextBody returns the body of the record at the beginning of p and what follows it.
func nextBody(p []byte) (body, rest []byte, err error) {
	n, i := varint(p, 0)
	if i < 0 {
		return nil, nil, errPremature
	}
	if n < 0 {
		return nil, nil, failf(ErrInvalidRecord, "Invalid record size: %d is negative.", n)
	}
	if int(n) > len(p)-i {
		return nil, nil, failf(ErrInvalidRecord, "Invalid record size: expected %d bytes in record payload, but instead the "+
			"buffer has only %d remaining bytes.", n, len(p)-i)
	}
	return p[i : i+int(n)], p[i+int(n):], nil
}

var (
	errPremature = &Error{Kind: ErrInvalidRecord, Message: "Incorrect declared batch size, premature EOF reached"}
	errRemaining = &Error{Kind: ErrInvalidRecord, Message: "Incorrect declared batch size, records still remaining in file"}
)

// Records decodes the records one after another. It stops with the first error, which wraps one of this package's. Keys,
// values and header values alias b, or a buffer of their own where b is compressed; more than maxDecompressed bytes of
// records are refused. It does not check the CRC.
func (b Batch) Records(maxDecompressed int64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if b.Count() == 0 {
			return // compaction removed every record
		}
		if b.Count() < 0 {
			yield(Record{}, failf(ErrInvalidRecord, "Found invalid record count %d in magic v%d batch", b.Count(), b.Magic()))
			return
		}
		payload := []byte(b[HeaderSize:])
		if b.Codec() != None {
			var err error
			if payload, err = decompress(nil, b.Codec(), payload, maxDecompressed); err != nil {
				yield(Record{}, err)
				return
			}
		}
		base, baseTimestamp := b.BaseOffset(), b.BaseTimestamp()
		logAppendTime, maxTimestamp := b.TimestampType() == LogAppendTime, b.MaxTimestamp()
		var f fields
		for range b.Count() {
			body, rest, err := nextBody(payload)
			if err == nil {
				err = f.parse(body)
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			r := Record{
				Offset:    base + int64(f.offsetDelta),
				Timestamp: baseTimestamp + f.timestampDelta,
				Key:       slice(body, f.keyAt, f.keyLen),
				Value:     slice(body, f.valueAt, f.valueLen),
				Headers:   f.decodeHeaders(body),
			}
			if logAppendTime {
				r.Timestamp = maxTimestamp
			}
			if !yield(r, nil) {
				return
			}
			payload = rest
		}
		if len(payload) > 0 {
			yield(Record{}, errRemaining)
		}
	}
}
