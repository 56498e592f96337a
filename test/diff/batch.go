package diff

import (
	"encoding/binary"
	"hash/crc32"
)

// castagnoli is the polynomial of the checksum of a record batch.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// baseTime is the time the records of the cases carry: fixed, so that stored bytes are the same in every run.
const baseTime int64 = 1_700_000_000_000

// Attributes of a record batch. These bits are Kafka's and frozen.
const (
	attrGzip          = 1
	attrSnappy        = 2
	attrLZ4           = 3
	attrZstd          = 4
	attrLogAppendTime = 1 << 3
	attrTransactional = 1 << 4
	attrControl       = 1 << 5
)

// rec is one record of a batch to build.
type rec struct {
	key, value  []byte
	headers     []header
	timeDelta   int64
	offsetDelta *int64 // nil: the position in the batch
}

type header struct {
	key   string
	value []byte // nil: null
}

// text makes a record with a key and a value; an empty key means none.
func text(key, value string) rec {
	r := rec{value: []byte(value)}
	if key != "" {
		r.key = []byte(key)
	}
	return r
}

// batch says how to build one record batch. The zero value of every field means what an ordinary producer sends; the pointers lie about
// what the batch holds, for requests that must be refused.
type batch struct {
	records    []rec
	attributes int16 // the codec in the low bits is applied to the records
	timestamp  int64 // base and, unless maxTime is set, max timestamp; 0 means baseTime
	maxTime    *int64
	producer   *producer
	baseOffset int64
	epoch      *int32 // leader epoch; nil: -1, as clients send
	magic      *int8
	count      *int32 // records the header claims
	lastDelta  *int32 // last offset delta the header claims
	length     *int32 // length the header claims
	payload    []byte // replaces the encoded records when not nil
	breakCRC   bool
}

// producer is the identity an idempotent producer puts into its batches.
type producer struct {
	id       int64
	epoch    int16
	sequence int32
}

// of makes a plain batch of records with the given values and no keys.
func of(values ...string) batch {
	b := batch{}
	for _, v := range values {
		b.records = append(b.records, text("", v))
	}
	return b
}

// by returns the batch as sent by an idempotent producer.
func (b batch) by(id int64, epoch int16, sequence int32) batch {
	b.producer = &producer{id, epoch, sequence}
	return b
}

// with returns the batch with more attribute bits set.
func (b batch) with(attributes int16) batch {
	b.attributes |= attributes
	return b
}

// at returns the batch with another timestamp.
func (b batch) at(timestamp int64) batch {
	b.timestamp = timestamp
	return b
}

func ptr[T any](v T) *T { return &v }

// orElse is *p, or the default where p is nil.
func orElse[T any](p *T, def T) T {
	if p != nil {
		return *p
	}
	return def
}

// bytes encodes the batch.
func (b batch) bytes() []byte {
	base := b.timestamp
	if base == 0 {
		base = baseTime
	}
	last := base
	var plain []byte
	for i, r := range b.records {
		plain = appendRecord(plain, r, orElse(r.offsetDelta, int64(i)))
		last = max(last, base+r.timeDelta)
	}
	payload := compress(b.attributes&7, plain)
	if b.payload != nil {
		payload = b.payload
	}
	p := producer{-1, -1, -1}
	if b.producer != nil {
		p = *b.producer
	}
	n := int32(len(b.records))

	out := binary.BigEndian.AppendUint64(nil, uint64(b.baseOffset))
	out = binary.BigEndian.AppendUint32(out, uint32(orElse(b.length, int32(49+len(payload)))))
	out = binary.BigEndian.AppendUint32(out, uint32(orElse(b.epoch, -1)))
	out = append(out, byte(orElse(b.magic, 2)))
	out = append(out, 0, 0, 0, 0) // the checksum, set below
	out = binary.BigEndian.AppendUint16(out, uint16(b.attributes))
	out = binary.BigEndian.AppendUint32(out, uint32(orElse(b.lastDelta, n-1)))
	out = binary.BigEndian.AppendUint64(out, uint64(base))
	out = binary.BigEndian.AppendUint64(out, uint64(orElse(b.maxTime, last)))
	out = binary.BigEndian.AppendUint64(out, uint64(p.id))
	out = binary.BigEndian.AppendUint16(out, uint16(p.epoch))
	out = binary.BigEndian.AppendUint32(out, uint32(p.sequence))
	out = binary.BigEndian.AppendUint32(out, uint32(orElse(b.count, n)))
	out = append(out, payload...)
	sum := crc32.Checksum(out[21:], castagnoli)
	if b.breakCRC {
		sum ^= 1
	}
	binary.BigEndian.PutUint32(out[17:], sum)
	return out
}

func appendRecord(dst []byte, r rec, offsetDelta int64) []byte {
	body := []byte{0} // attributes of a record: none are defined
	body = binary.AppendVarint(body, r.timeDelta)
	body = binary.AppendVarint(body, offsetDelta)
	body = appendVarBytes(body, r.key)
	body = appendVarBytes(body, r.value)
	body = binary.AppendVarint(body, int64(len(r.headers)))
	for _, h := range r.headers {
		body = appendVarBytes(body, []byte(h.key))
		body = appendVarBytes(body, h.value)
	}
	dst = binary.AppendVarint(dst, int64(len(body)))
	return append(dst, body...)
}

// appendVarBytes writes a length and the bytes; nil is null, which has length -1.
func appendVarBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}
