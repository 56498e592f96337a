package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestWriteCases writes the cases to the file that MOLDAU_CASES names, for Validator.java, and checks that their names are
// apart.
func TestWriteCases(t *testing.T) {
	seen := map[string]bool{}
	var out strings.Builder
	for _, c := range validatorCases() {
		if seen[c.name] {
			t.Errorf("two cases are named %s", c.name)
		}
		seen[c.name] = true
		out.WriteString(c.line() + "\n")
	}
	if name := os.Getenv("MOLDAU_CASES"); name != "" {
		if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// differs are the cases that Validate answers otherwise than Kafka, each with what it answers.
func differs(name, kafka string) (string, bool) {
	codec, name, _ := strings.Cut(name, "/")
	exception, _, _ := strings.Cut(kafka, "\t")
	switch {
	case exception == "KafkaException":
		// An internal error to clients of Kafka, which many take for the end; it is the batch that is broken.
		return "CorruptRecordException", true
	case exception == "UnsupportedOperationException":
		return "InvalidRecordException", true // the internal error described at Validate
	case codec == "none" && name == "offsets with gaps":
		return "ok none CreateTime max=1700000000000 0@1700000000000:1,-1,1 1@1700000000000:1,-1,1 2@1700000000000:1,-1,1", true
	case codec == "none" && name == "offsets all 0":
		return "ok none CreateTime max=1700000000000 0@1700000000000:-1,-1,0 1@1700000000000:-1,-1,0", true
	}
	return kafka, false
}

// TestValidateAsKafka compares every case with what Kafka's validator answered. Texts are compared where a client gets to
// see them: where single records are refused.
func TestValidateAsKafka(t *testing.T) {
	recorded, err := os.ReadFile("testdata/kafka-4.4.0/validator.txt")
	if err != nil {
		t.Fatal(err)
	}
	kafka := map[string]string{}
	for line := range strings.Lines(string(recorded)) {
		name, answer, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		kafka[name] = answer
	}
	used := 0
	for _, c := range validatorCases() {
		want, ok := kafka[c.name]
		if !ok {
			t.Errorf("%s: Kafka was not asked; record the cases again", c.name)
			continue
		}
		want, different := differs(c.name, want)
		if different {
			used++
		}
		got := answer(c)
		if fields := strings.Split(want, "\t"); len(fields) <= 2 && !strings.HasPrefix(want, "ok") {
			want = fields[0] // the text never leaves the broker
			got, _, _ = strings.Cut(got, "\t")
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, want)
		}
	}
	if len(kafka) != len(validatorCases()) || used < 20 {
		t.Errorf("%d answers for %d cases, %d differ", len(kafka), len(validatorCases()), used)
	}
}

// answer puts what Validate says in the form of Validator.java.
func answer(c validatorCase) string {
	out, err := Validate(bytes.Clone(c.batch), testNow, &c.rules)
	if err == nil {
		err = out.CheckCRC()
	}
	if err != nil {
		kind := "?"
		for exception, sentinel := range map[string]error{"CorruptRecordException": ErrCorrupt, "InvalidRecordException": ErrInvalidRecord,
			"InvalidTimestampException": ErrInvalidTimestamp} {
			if errors.Is(err, sentinel) {
				kind = exception
			}
		}
		s := kind + "\t" + err.Error()
		if e, ok := errors.AsType[*Error](err); ok {
			for _, r := range e.Records {
				s += fmt.Sprintf("\t%d %s", r.Index, r.Message)
			}
		}
		return s
	}
	s := "ok " + out.Codec().String() + " CreateTime"
	if out.TimestampType() == LogAppendTime {
		s = "ok " + out.Codec().String() + " LogAppendTime"
	}
	s += fmt.Sprint(" max=", out.MaxTimestamp())
	for r, err := range out.Records(0) {
		if err != nil {
			return "decode: " + err.Error()
		}
		size := func(b []byte) int {
			if b == nil {
				return -1
			}
			return len(b)
		}
		s += fmt.Sprintf(" %d@%d:%d,%d,%d", r.Offset, r.Timestamp, size(r.Key), size(r.Value), len(r.Headers))
	}
	return s
}

// TestValidateHeader has what Kafka checks before its validator, and the limits.
func TestValidateHeader(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(Batch) Batch
		rules  func(*Rules)
		kind   error
		text   string
	}{
		{"base offset", func(b Batch) Batch { b.SetBaseOffset(1); return b }, nil, ErrInvalidRecord,
			"The baseOffset of the record batch in the append to topic-3 should be 0, but it is 1"},
		{"base offset of the broker", func(b Batch) Batch { b.SetBaseOffset(1); return b }, func(r *Rules) { r.Internal = true }, nil, ""},
		{"control of the broker", func(b Batch) Batch { b[attributesAt+1] |= controlBit; return seal(b) },
			func(r *Rules) { r.Internal = true }, nil, ""},
		{"leader epoch", func(b Batch) Batch { b.SetLeaderEpoch(99); return b }, nil, nil, ""},
		{"size at the limit", nil, func(r *Rules) { r.MaxBatchBytes = int64(len(three(None, nil))) }, nil, ""},
		{"size over the limit", nil, func(r *Rules) { r.MaxBatchBytes = int64(len(three(None, nil))) - 1 }, ErrTooLarge,
			"The record batch size in the append to topic-3 is 115 bytes which exceeds the maximum configured value of 114."},
		{"crc", func(b Batch) Batch { b[len(b)-1] ^= 1; return b }, nil, ErrCorrupt, ""},
		{"crc field", func(b Batch) Batch { b[crcAt] ^= 1; return b }, nil, ErrCorrupt, ""},
		{"codec 5", func(b Batch) Batch { b[attributesAt+1] |= 5; return seal(b) }, nil, ErrUnsupportedCompression,
			"Unknown compression type id: 5"},
		{"codec 7", func(b Batch) Batch { b[attributesAt+1] |= 7; return seal(b) }, nil, ErrUnsupportedCompression,
			"Unknown compression type id: 7"},
		{"delete horizon", func(b Batch) Batch { b[attributesAt+1] |= deleteHorizonBit; return seal(b) }, nil, ErrInvalidRecord,
			"Clients are not allowed to set a delete horizon in topic partition topic-3"},
		{"cut header", func(b Batch) Batch { return b[:40] }, nil, ErrCorrupt, ""},
	} {
		b, r := three(None, nil), plainRules()
		if c.change != nil {
			b = c.change(b)
		}
		if c.rules != nil {
			c.rules(&r)
		}
		_, err := Validate(b, testNow, &r)
		if !errors.Is(err, c.kind) || err != nil && c.text != "" && err.Error() != c.text {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestConvertedTooLarge(t *testing.T) {
	b := NewBuilder(CompressionOf(Gzip))
	b.Append(Record{Timestamp: testNow, Value: make([]byte, 10000)})
	batch, r := b.Build(), plainRules()
	r.Compression, r.MaxBatchBytes = compressionPtr(None), 1000
	_, err := Validate(batch, testNow, &r)
	want := "Message batch size is 10072 bytes in append to partition topic-3 which exceeds the maximum configured size of 1000."
	if !errors.Is(err, ErrTooLarge) || err.Error() != want {
		t.Fatal(err)
	}
}

func TestRecordErrorsAreBounded(t *testing.T) {
	b := NewBuilder(CompressionOf(None))
	for range 5000 {
		b.Append(Record{Timestamp: testNow})
	}
	r := plainRules()
	r.Compacted = true
	_, err := Validate(b.Build(), testNow, &r)
	e, ok := errors.AsType[*Error](err)
	if !ok || len(e.Records) != maxRecordErrors || !strings.Contains(e.Message, "due to 5000 record errors") {
		t.Fatalf("%d errors: %v", len(e.Records), err)
	}
}

// TestValidateInPlace: what arrives is what is stored, but for the timestamps.
func TestValidateInPlace(t *testing.T) {
	for _, c := range codecs {
		b := three(c, nil)
		before := bytes.Clone(b)
		r := plainRules()
		out, err := Validate(b, testNow, &r)
		if err != nil || &out[0] != &b[0] || !bytes.Equal(b, before) {
			t.Errorf("%v: a good batch was changed: %v", c, err)
		}
		r.Compression = compressionPtr(c) // the codec it has already
		if out, err = Validate(b, testNow, &r); err != nil || &out[0] != &b[0] {
			t.Errorf("%v: converted to itself: %v", c, err)
		}
		r.TimestampType = LogAppendTime
		out, err = Validate(b, testNow+77, &r)
		if err != nil || &out[0] != &b[0] || out.MaxTimestamp() != testNow+77 || out.TimestampType() != LogAppendTime || out.CheckCRC() != nil {
			t.Errorf("%v: stamped %v: %v", c, out, err)
		}
		if !bytes.Equal(b[HeaderSize:], before[HeaderSize:]) {
			t.Errorf("%v: stamping changed the records", c)
		}
	}
}

func TestForProduce(t *testing.T) {
	good, zstd := three(None, nil), three(Zstd, nil)
	magic := func(m byte) []byte { b := bytes.Clone(good); b[magicAt] = m; return b }
	length := func(n int32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[lengthAt:], uint32(n))
		return b
	}
	for _, c := range []struct {
		name    string
		records []byte
		version int16
		kind    error
		text    string
	}{
		{"good", good, 3, nil, ""},
		{"cut batch after it", append(bytes.Clone(good), good[:50]...), 3, nil, ""},
		{"null", nil, 3, ErrInvalidRecord, "Produce requests with version 3 must have at least one record batch per partition"},
		{"cut", good[:len(good)-1], 9, ErrInvalidRecord, "Produce requests with version 9 must have at least one record batch per partition"},
		{"two", append(bytes.Clone(good), good...), 7, ErrInvalidRecord,
			"Produce requests with version 7 are only allowed to contain exactly one record batch per partition"},
		{"rubbish after it", append(bytes.Clone(good), make([]byte, 50)...), 7, ErrCorrupt, ""},
		{"magic 0", magic(0), 3, ErrInvalidRecord,
			"Produce requests with version 3 are only allowed to contain record batches with magic version 2"},
		{"magic 1", magic(1), 3, ErrInvalidRecord, ""},
		{"magic 3", magic(3), 3, ErrCorrupt, "Invalid magic found in record: 3"},
		{"magic 127", magic(127), 3, ErrCorrupt, ""},
		{"magic -1", magic(0xff), 3, ErrCorrupt, "Invalid magic found in record: -1"},
		{"length 0", length(0), 3, ErrCorrupt, ""},
		{"length -1", length(-1), 3, ErrCorrupt, ""},
		{"length under the header", length(48), 3, ErrCorrupt, ""},
		{"length over the data", length(1 << 30), 3, ErrInvalidRecord, ""},
		{"zstd before 7", zstd, 6, ErrUnsupportedCompression, "Produce requests with version 6 are not allowed to use ZStandard compression"},
		{"zstd", zstd, 7, nil, ""},
	} {
		b, err := ForProduce(c.records, c.version)
		if !errors.Is(err, c.kind) || err != nil && c.text != "" && err.Error() != c.text || err == nil && b == nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
