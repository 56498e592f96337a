package record

import (
	"bytes"
	"errors"
	"testing"
)

// fuzzCodec gives any bytes to a decompressor. What comes out is bounded and the same each time: decompressors are pooled, and nothing of a bad
// payload may be left for the next one.
func fuzzCodec(f *testing.F, c Codec) {
	content := contents()["mixed"][:2000]
	whole := compress(nil, CompressionOf(c), content)
	for _, seed := range [][]byte{nil, {0}, whole, whole[:len(whole)/2], append(bytes.Clone(whole), whole...), compress(nil, CompressionOf(c), nil), compress(nil, CompressionOf(c), whole)} {
		f.Add(seed)
	}
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, payload []byte) {
		first, err := decompress(nil, c, payload, limit)
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrDecompressedTooLarge) {
			t.Fatalf("a refusal of another kind: %v", err)
		}
		if len(first) > limit {
			t.Fatalf("%d bytes of at most %d", len(first), limit)
		}
		second, again := decompress(nil, c, payload, limit)
		if (err == nil) != (again == nil) || !bytes.Equal(first, second) {
			t.Fatalf("%d bytes, %v; then %d bytes, %v", len(first), err, len(second), again)
		}
		if got, err := decompress(nil, c, whole, 0); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("a good payload after it: %d bytes, %v", len(got), err)
		}
	})
}

func FuzzGzip(f *testing.F) { fuzzCodec(f, Gzip) }

func FuzzSnappy(f *testing.F) {
	f.Add([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\xff\xff\xff\xff"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1})
	fuzzCodec(f, Snappy)
}

func FuzzLZ4(f *testing.F) {
	f.Add([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0x80})
	f.Add(lz4Header(lz4Version|lz4Independent, 0x70))
	fuzzCodec(f, LZ4)
}

func FuzzZstd(f *testing.F) {
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00})
	f.Add([]byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0})
	fuzzCodec(f, Zstd)
}
