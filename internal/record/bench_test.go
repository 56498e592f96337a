package record

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// benchBatch returns a batch of about 1 MiB of content, in records of the given size that compress to a half or so.
func benchBatch(c Codec, recordSize int) Batch {
	rng := rand.New(rand.NewPCG(1, 1))
	b := NewBuilder(CompressionOf(c))
	for b.Size() < 1<<20 {
		value := make([]byte, recordSize)
		for i := range value[:recordSize/2] {
			value[i] = byte(rng.Uint32())
		}
		copy(value[recordSize/2:], bytes.Repeat([]byte("moldau "), recordSize))
		b.Append(Record{Timestamp: 1_700_000_000_000 + int64(b.Count()), Value: value})
	}
	return b.Build()
}

func anyTime() *Rules {
	return &Rules{Topic: "t", BeforeMax: math.MaxInt64, AfterMax: math.MaxInt64}
}

func BenchmarkValidate(b *testing.B) {
	for _, c := range []Codec{None, Gzip, Snappy, LZ4, Zstd} {
		for _, size := range []int{100, 1024} {
			batch := benchBatch(c, size)
			content := len(batch)
			if c != None {
				content = len(benchBatch(None, size))
			}
			b.Run(fmt.Sprintf("%v/record=%d", c, size), func(b *testing.B) {
				b.SetBytes(int64(content)) // what the records are uncompressed
				b.ReportAllocs()
				rules := anyTime()
				for b.Loop() {
					if _, err := Validate(batch, 1_700_000_000_000, rules); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkStamp is Validate for a topic with LogAppendTime, where every batch is changed.
func BenchmarkStamp(b *testing.B) {
	batch, rules := benchBatch(None, 1024), anyTime()
	rules.TimestampType = LogAppendTime
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	now := int64(1_700_000_000_000)
	for b.Loop() {
		batch[attributesAt+1] &^= logAppendTimeBit
		batch.updateCRC()
		now++
		if _, err := Validate(batch, now, rules); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWalk is Validate without the CRC.
func BenchmarkWalk(b *testing.B) {
	for _, size := range []int{100, 1024} {
		batch := benchBatch(None, size)
		rules := anyTime()
		b.Run(fmt.Sprintf("record=%d", size), func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				w := walker{rules: rules, batch: batch, baseTimestamp: batch.BaseTimestamp()}
				if err := w.walk(batch[HeaderSize:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCRC(b *testing.B) {
	batch := benchBatch(None, 1024)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if err := batch.CheckCRC(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCopy(b *testing.B) {
	src := benchBatch(None, 1024)
	dst := make([]byte, len(src))
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		copy(dst, src)
	}
}

func BenchmarkConvert(b *testing.B) {
	for _, c := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		batch := benchBatch(None, 1024)
		rules := anyTime()
		target := CompressionOf(c)
		rules.Compression = &target
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Validate(batch, 1_700_000_000_000, rules); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRecords(b *testing.B) {
	batch := benchBatch(None, 1024)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range batch.Records(0) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	value := make([]byte, 1024)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	builder := NewBuilder(CompressionOf(None))
	for b.Loop() {
		for range 1024 {
			builder.Append(Record{Timestamp: 1, Value: value})
		}
		builder.Build()
	}
}
