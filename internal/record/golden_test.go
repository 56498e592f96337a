package record

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"
)

// golden reads a batch that Kafka 4.4.0 built.
func golden(t testing.TB, name string) Batch {
	t.Helper()
	text, err := os.ReadFile("testdata/kafka-4.4.0/" + name + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	b, rest, err := Next(data)
	if err != nil || len(rest) > 0 {
		t.Fatal(len(rest), err)
	}
	return b
}

// goldenRecords are the records of those batches; the last is in the compressed ones alone.
func goldenRecords() []Record {
	large := make([]byte, 300_000)
	for i := range large {
		large[i] = byte('a' + i%26)
	}
	return []Record{
		{7, 1_700_000_000_000, []byte("k1"), []byte("hello"), []Header{{"h", []byte("v")}, {"n", nil}}},
		{8, 1_700_000_000_005, nil, nil, nil},
		{9, 1_699_999_999_990, []byte{}, bytes.Repeat([]byte("m"), 300), nil},
		{10, 1_700_000_000_001, []byte("large"), large, nil},
	}
}

func collect(t testing.TB, b Batch) []Record {
	t.Helper()
	var records []Record
	for r, err := range b.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

func TestGolden(t *testing.T) {
	for _, c := range codecs {
		b := golden(t, c.String())
		want := goldenRecords()
		if c == None {
			want = want[:3]
		}
		header := []any{b.BaseOffset(), b.LastOffset(), b.NextOffset(), b.Size(), b.LeaderEpoch(), b.Magic(), b.Codec(), b.TimestampType(),
			b.IsTransactional(), b.IsControl(), b.HasDeleteHorizon(), b.LastOffsetDelta(), b.BaseTimestamp(), b.MaxTimestamp(),
			b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.LastSequence(), b.Count()}
		n := int64(len(want))
		wantHeader := []any{int64(7), 6 + n, 7 + n, len(b), int32(3), int8(2), c, CreateTime, true, false, false, int32(n - 1),
			int64(1_700_000_000_000), int64(1_700_000_000_005), int64(4001), int16(2), int32(10), int32(9 + n), int32(n)}
		if !reflect.DeepEqual(header, wantHeader) {
			t.Errorf("%v: header\n got %v\nwant %v", c, header, wantHeader)
		}
		if err := b.CheckCRC(); err != nil {
			t.Errorf("%v: %v", c, err)
		}
		if got := collect(t, b); !reflect.DeepEqual(got, want) {
			t.Errorf("%v: records differ: got %d", c, len(got))
		}
		r := plainRules()
		b.SetBaseOffset(0)
		if out, err := Validate(b, testNow, &r); err != nil || &out[0] != &b[0] {
			t.Errorf("%v: %v", c, err)
		}
		// The same records built here. Uncompressed they are the same bytes; compressors differ.
		builder := NewBuilder(CompressionOf(c))
		builder.BaseOffset, builder.LeaderEpoch, builder.Transactional = 0, 3, true
		builder.ProducerID, builder.ProducerEpoch, builder.BaseSequence = 4001, 2, 10
		for _, r := range want {
			builder.Append(r)
		}
		built := builder.Build()
		if c == None && !bytes.Equal(built, b) {
			t.Errorf("built\n%x\nwant\n%x", built, b)
		}
		b.SetBaseOffset(7)
		built.SetBaseOffset(7)
		if !reflect.DeepEqual(collect(t, built), want) || !bytes.Equal(built[23:57], b[23:57]) {
			t.Errorf("%v: built %v", c, built)
		}
	}
}

func TestGoldenLogAppendTime(t *testing.T) {
	b := golden(t, "log-append-time")
	if b.TimestampType() != LogAppendTime || b.CheckCRC() != nil {
		t.Fatal(b)
	}
	for _, r := range collect(t, b) {
		if r.Timestamp != 1_700_000_001_234 {
			t.Errorf("offset %d has timestamp %d", r.Offset, r.Timestamp)
		}
	}
}

func TestGoldenControl(t *testing.T) {
	b := golden(t, "commit-marker")
	records := collect(t, b)
	if !b.IsControl() || !b.IsTransactional() || b.LeaderEpoch() != 5 || b.LastSequence() != NoSequence || len(records) != 1 ||
		!bytes.Equal(records[0].Key, []byte{0, 0, 0, 1}) || !bytes.Equal(records[0].Value, []byte{0, 0, 0, 0, 0, 9}) {
		t.Fatal(b, records)
	}
	builder := NewBuilder(CompressionOf(None))
	builder.BaseOffset, builder.LeaderEpoch, builder.Control, builder.Transactional = 42, 5, true, true
	builder.ProducerID, builder.ProducerEpoch = 4001, 2
	builder.Append(Record{Timestamp: 1_700_000_000_000, Key: records[0].Key, Value: records[0].Value})
	if built := builder.Build(); !bytes.Equal(built, b) {
		t.Errorf("built\n%x\nwant\n%x", built, b)
	}
}
