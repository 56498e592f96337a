package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// testNow is the broker's clock in the cases below.
const testNow = 1_700_000_000_000

// validatorCase is one batch and what a topic demands of it. The same cases have been given to Kafka's own validator, whose
// answers are in testdata/kafka-4.4.0/validator.txt; testdata/kafka-4.4.0/Validator.java says how to record them again.
type validatorCase struct {
	name  string
	batch Batch
	rules Rules
}

// line is the case as Validator.java reads it.
func (c validatorCase) line() string {
	target := ""
	if c.rules.Compression != nil {
		target = c.rules.Compression.Codec.String()
	}
	return fmt.Sprintf("%s\t%x\t%d\t%d\t%d\t%v\t%s\t%d\t%d", c.name, []byte(c.batch), c.rules.TimestampType, c.rules.BeforeMax,
		c.rules.AfterMax, c.rules.Compacted, target, c.rules.MaxRecordBytes, testNow)
}

func plainRules() Rules {
	return Rules{Topic: "topic", Partition: 3, BeforeMax: math.MaxInt64, AfterMax: 3_600_000}
}

func compressionPtr(c Codec) *Compression {
	target := CompressionOf(c)
	return &target
}

// seal makes the length and the CRC of a batch that was tampered with right again.
func seal(b Batch) Batch {
	binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)-LengthEnd))
	b.updateCRC()
	return b
}

func set32(b Batch, at int, v int32) Batch {
	binary.BigEndian.PutUint32(b[at:], uint32(v))
	return seal(b)
}

// withContent returns a batch that says it has count records and has this content instead.
func withContent(c Codec, count int32, content []byte) Batch {
	b := NewBuilder(CompressionOf(None))
	b.Append(Record{Timestamp: testNow})
	out := b.Build()[:HeaderSize]
	out = compress(out, CompressionOf(c), content)
	binary.BigEndian.PutUint32(out[countAt:], uint32(count))
	binary.BigEndian.PutUint32(out[lastOffsetDeltaAt:], uint32(count-1))
	out[attributesAt+1] |= byte(c)
	return seal(out)
}

// body puts the length before the body of a record.
func body(parts ...[]byte) []byte {
	b := bytes.Join(parts, nil)
	return append(appendVarint(nil, int64(len(b))), b...)
}

func vint(values ...int64) []byte {
	var out []byte
	for _, v := range values {
		out = appendVarint(out, v)
	}
	return out
}

// three returns a batch of three records; nth may change each before it is added.
func three(c Codec, nth func(i int, r *Record)) Batch {
	b := NewBuilder(CompressionOf(c))
	for i := range 3 {
		r := Record{Timestamp: testNow + int64(i), Key: []byte{byte(i)}, Value: bytes.Repeat([]byte{'v'}, 10*i)}
		if nth != nil {
			nth(i, &r)
		}
		b.Append(r)
	}
	return b.Build()
}

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

func validatorCases() []validatorCase {
	var cases []validatorCase
	add := func(name string, b Batch, change func(*Rules)) {
		r := plainRules()
		if change != nil {
			change(&r)
		}
		cases = append(cases, validatorCase{name, b, r})
	}
	compacted := func(r *Rules) { r.Compacted = true }
	appendTime := func(r *Rules) { r.TimestampType = LogAppendTime }
	for _, c := range codecs {
		n := c.String()
		add(n+"/good", three(c, nil), nil)
		add(n+"/append time", three(c, nil), appendTime)
		add(n+"/count 0", set32(three(c, nil), countAt, 0), nil)
		add(n+"/count -1", set32(three(c, nil), countAt, -1), nil)
		add(n+"/count over offsets", set32(three(c, nil), countAt, 4), nil)
		add(n+"/count under offsets", set32(three(c, nil), countAt, 2), nil)
		add(n+"/last offset delta -1", set32(three(c, nil), lastOffsetDeltaAt, -1), nil)
		add(n+"/fewer records", set32(set32(three(c, nil), countAt, 4), lastOffsetDeltaAt, 3), nil)
		add(n+"/more records", set32(set32(three(c, nil), countAt, 2), lastOffsetDeltaAt, 1), nil)
		control := three(c, nil)
		control[attributesAt+1] |= controlBit
		add(n+"/control", seal(control), nil)
		idempotent := three(c, nil)
		binary.BigEndian.PutUint64(idempotent[producerIDAt:], 7)
		add(n+"/producer without sequence", seal(idempotent), nil)
		add(n+"/wrong max timestamp", func() Batch {
			b := three(c, nil)
			binary.BigEndian.PutUint64(b[maxTimestampAt:], 5)
			return seal(b)
		}(), nil)
		noKey := func(i int, r *Record) { r.Key = nil }
		add(n+"/no keys", three(c, noKey), nil)
		add(n+"/no keys, compacted", three(c, noKey), compacted)
		add(n+"/one without key, compacted", three(c, func(i int, r *Record) {
			if i == 1 {
				r.Key = nil
			}
		}), compacted)
		add(n+"/five without key, compacted", func() Batch {
			b := NewBuilder(CompressionOf(c))
			for range 5 {
				b.Append(Record{Timestamp: testNow})
			}
			return b.Build()
		}(), compacted)
		add(n+"/too old", three(c, nil), func(r *Rules) { r.BeforeMax, r.AfterMax = -1, 0 })
		add(n+"/second too new", three(c, func(i int, r *Record) {
			if i == 1 {
				r.Timestamp = testNow + 3_600_001
			}
		}), nil)
		add(n+"/old and without key", three(c, func(i int, r *Record) {
			r.Timestamp = testNow - 100
			if i == 2 {
				r.Key = nil
			}
		}), func(r *Rules) { r.BeforeMax = 10; r.Compacted = true })
		add(n+"/no timestamps", three(c, func(i int, r *Record) { r.Timestamp = NoTimestamp }), func(r *Rules) { r.BeforeMax = 10 })
		stamped := three(c, nil)
		stamped.SetMaxTimestamp(LogAppendTime, testNow)
		add(n+"/stamped by the producer", bytes.Clone(stamped), nil)
		add(n+"/stamped by the producer, append time", bytes.Clone(stamped), appendTime)
		stamped.SetMaxTimestamp(LogAppendTime, NoTimestamp)
		add(n+"/stamped with -1", stamped, nil)
		gap := NewBuilder(CompressionOf(c))
		for _, offset := range []int64{0, 2, 5} {
			gap.AppendAt(Record{Offset: offset, Timestamp: testNow, Key: []byte("k"), Headers: []Header{{"h", nil}}})
		}
		add(n+"/offsets with gaps", set32(gap.Build(), lastOffsetDeltaAt, 2), nil)
		add(n+"/offsets all 0", withContent(c, 2, bytes.Repeat(body(vint(0, 0, 0, -1, -1, 0)), 2)), nil)

		good := vint(0, 0, 0, -1, -1) // attributes, deltas, null key, null value
		for _, bad := range []struct {
			name    string
			content []byte
		}{
			{"empty content", nil},
			{"empty body", body()},
			{"ends in deltas", body(vint(0), []byte{0x80})},
			{"timestamp delta too long", body(vint(0), bytes.Repeat([]byte{0xff}, 11), vint(0, -1, -1, 0))},
			{"key over the end", body(vint(0, 0, 0, 5), []byte("ab"))},
			{"key of 2 GiB", body(vint(0, 0, 0, math.MaxInt32), []byte("ab"))},
			{"value over the end", body(vint(0, 0, 0, -1, 5), []byte("ab"))},
			{"headers -1", body(good, vint(-1))},
			{"headers 100", body(good, vint(100))},
			{"headers 2^31-1", body(good, vint(math.MaxInt32))},
			{"header key null", body(good, vint(1, -1, -1))},
			{"header key over the end", body(good, vint(1, 9), []byte("a"))},
			{"header value over the end", body(good, vint(1, 1), []byte("a"), vint(9))},
			{"header value null", body(good, vint(1, 1), []byte("a"), vint(-1))},
			{"body too short", append(vint(4), body(good, vint(0))[1:]...)},
			{"body too long", body(good, vint(0), []byte("xyz"))},
			{"size over the end", append(vint(100), good...)},
			{"size -5", append(vint(-5), body(good, vint(0))...)},
		} {
			add(n+"/"+bad.name, withContent(c, 1, bad.content), nil)
		}
		add(n+"/record over the limit", withContent(c, 1, body(vint(0, 0, 0, -1, 1000), make([]byte, 1000), vint(0))),
			func(r *Rules) { r.MaxRecordBytes = 1000 })
		add(n+"/record at the limit", withContent(c, 1, body(vint(0, 0, 0, -1, 992), make([]byte, 992), vint(0))),
			func(r *Rules) { r.MaxRecordBytes = 1000 })
		for _, target := range codecs {
			if target != c {
				add(n+"/to "+target.String(), three(c, nil), func(r *Rules) { r.Compression = compressionPtr(target) })
			}
		}
		add(n+"/to zstd, stamped with -1", bytes.Clone(stamped), func(r *Rules) { r.Compression = compressionPtr(Zstd) })
		if c == None {
			continue
		}
		garbage := withContent(None, 1, bytes.Repeat([]byte("garbage!"), 20))
		garbage[attributesAt+1] |= byte(c)
		add(n+"/garbage", seal(garbage), nil)
		whole := three(c, nil)
		add(n+"/cut", seal(bytes.Clone(whole[:len(whole)-5])), nil)
		add(n+"/nothing", seal(bytes.Clone(whole[:HeaderSize])), nil)
	}
	return cases
}
