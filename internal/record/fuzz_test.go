package record

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
)

// randomRecords returns records as odd as the format allows.
func randomRecords(rng *rand.Rand) []Record {
	blob := func(most int) []byte {
		switch rng.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		b := make([]byte, rng.IntN(most)+1)
		for i := range b[:len(b)/2] {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	records := make([]Record, rng.IntN(30)+1)
	for i := range records {
		most := 200
		if rng.IntN(20) == 0 {
			most = 400_000 // over what a stream gathers in one piece
		}
		r := Record{Offset: int64(i), Timestamp: testNow + rng.Int64N(1<<40) - 1<<39, Key: blob(50), Value: blob(most)}
		for range rng.IntN(4) {
			r.Headers = append(r.Headers, Header{Key: string(blob(20)), Value: blob(20)})
		}
		records[i] = r
	}
	return records
}

// TestBuildValidateRecords: what is built is valid, and reads as what it was built of, through every conversion.
func TestBuildValidateRecords(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 5))
		want := randomRecords(rng)
		source, target := codecs[rng.IntN(len(codecs))], codecs[rng.IntN(len(codecs))]
		builder := NewBuilder(CompressionOf(source))
		size := HeaderSize
		for i, r := range want {
			builder.Append(r)
			size += len(appendRecord(nil, int32(i), r.Timestamp-want[0].Timestamp, r))
		}
		if builder.Size() != size || builder.Count() != len(want) {
			t.Fatalf("seed %d: size %d, want %d", seed, builder.Size(), size)
		}
		batch := builder.Build()
		rules := *anyTime()
		rules.Compression = compressionPtr(target)
		out, err := Validate(batch, testNow, &rules)
		if err != nil {
			t.Fatalf("seed %d, %v to %v: %v", seed, source, target, err)
		}
		maxTimestamp := int64(0)
		for _, r := range want {
			maxTimestamp = max(maxTimestamp, r.Timestamp)
		}
		if out.Codec() != target || out.CheckCRC() != nil || out.MaxTimestamp() != maxTimestamp || out.Count() != int32(len(want)) {
			t.Fatalf("seed %d: %v", seed, out)
		}
		if got := collect(t, out); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d, %v to %v: records differ", seed, source, target)
		}
	}
}

// TestStreamAsWhole compares the walk over a compressed batch, whose chunks cut records anywhere, with that over the same
// batch uncompressed.
func TestStreamAsWhole(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 6))
		var content []byte
		records := randomRecords(rng)
		for i, r := range records {
			content = append(content, appendRecord(nil, int32(i), r.Timestamp-testNow, r)...)
		}
		if rng.IntN(3) > 0 {
			content[rng.IntN(len(content))] ^= byte(1 << rng.IntN(8))
		}
		rules := *anyTime()
		_, wantErr := Validate(withContent(None, int32(len(records)), content), testNow, &rules)
		for _, c := range codecs[1:] {
			_, err := Validate(withContent(c, int32(len(records)), content), testNow, &rules)
			if (err == nil) != (wantErr == nil) || err != nil && !errors.Is(err, ErrInvalidRecord) {
				t.Errorf("seed %d, %v: %v, uncompressed %v", seed, c, err, wantErr)
			}
		}
	}
}

// FuzzBatch gives any bytes to everything that reads bytes from outside.
func FuzzBatch(f *testing.F) {
	for _, c := range validatorCases() {
		f.Add([]byte(c.batch))
	}
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd", "log-append-time", "commit-marker"} {
		f.Add([]byte(golden(f, name)))
	}
	rules := *anyTime()
	rules.Topic, rules.MaxRecordBytes, rules.MaxDecompressedBytes = "t", 1<<20, 1<<20
	internal := rules
	internal.Internal = true
	converting := rules
	converting.Compression = compressionPtr(None)
	f.Fuzz(func(t *testing.T, data []byte) {
		ForProduce(data, 9)
		b, _, err := Next(data)
		if err != nil {
			return
		}
		_ = b.String()
		for range b.Records(1 << 20) {
		}
		b = bytes.Clone(b)
		b.updateCRC() // a fuzzer does not guess it
		for _, r := range []*Rules{&rules, &internal, &converting} {
			out, err := Validate(bytes.Clone(b), testNow, r)
			if err != nil {
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Fatalf("a refusal of type %T: %v", err, err)
				}
				continue
			}
			if err := out.CheckCRC(); err != nil {
				t.Fatal(err)
			}
			checkStable(t, out)
		}
	})
}

// checkStable decodes a valid batch, builds it again and decodes that: the records must be the same.
func checkStable(t *testing.T, b Batch) {
	first := collect(t, b)
	builder := NewBuilder(CompressionOf(b.Codec()))
	builder.BaseOffset = b.BaseOffset()
	for _, r := range first {
		builder.AppendAt(r)
	}
	if second := collect(t, builder.Build()); !reflect.DeepEqual(first, second) {
		t.Fatalf("records change when they are built again:\n%v\n%v", first, second)
	}
	for i, r := range first {
		if r.Offset != b.BaseOffset()+int64(i) {
			t.Fatalf("record %d has offset %d", i, r.Offset)
		}
	}
}

// TestFuzzSeedsStayAllocationBounded: no seed makes Validate allocate more than the buffers that it pools and a small
// multiple of the batch.
func TestFuzzSeedsStayAllocationBounded(t *testing.T) {
	for _, c := range validatorCases() { // fill the pools
		Validate(bytes.Clone(c.batch), testNow, &c.rules)
	}
	for _, c := range validatorCases() {
		batch := bytes.Clone(c.batch)
		if n := allocated(func() { Validate(batch, testNow, &c.rules) }); n > 12<<20 {
			t.Errorf("%s: %d bytes for a batch of %d", c.name, n, len(batch))
		}
	}
}

// TestValidateDoesNotAllocate holds for good batches of every codec, once the pools are filled.
func TestValidateDoesNotAllocate(t *testing.T) {
	batch := benchBatch(None, 1024)
	rules := anyTime()
	if n := testing.AllocsPerRun(20, func() {
		if _, err := Validate(batch, testNow, rules); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for an uncompressed batch", n)
	}
}
