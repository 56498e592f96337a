package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

func contents() map[string][]byte {
	rng := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	return map[string][]byte{
		"one byte": {1}, "text": bytes.Repeat([]byte("abcdefgh "), 40_000), "noise": noise, "zeros": make([]byte, 1<<20),
		"64K": make([]byte, 64<<10), "32K+1": noise[:32<<10+1], "mixed": append(bytes.Clone(noise[:1000]), make([]byte, 100_000)...),
	}
}

func TestCodecsRoundTrip(t *testing.T) {
	for name, content := range contents() {
		for _, c := range codecs[1:] {
			for _, level := range []int{-2, -1, 0, 1, 3, 6, 9, 17, 22} {
				if c == Snappy && level != 0 || len(content) > 100_000 && level > 9 {
					continue
				}
				payload := compress([]byte("prefix"), Compression{c, level}, content)
				if !bytes.HasPrefix(payload, []byte("prefix")) {
					t.Fatalf("%v: compress does not append", c)
				}
				got, err := decompress(nil, c, payload[6:], int64(len(content)))
				if err != nil || !bytes.Equal(got, content) {
					t.Fatalf("%v level %d, %s: %d bytes, want %d: %v", c, level, name, len(got), len(content), err)
				}
				if _, err := decompress(nil, c, payload[6:], int64(len(content))-1); len(content) > 1 && !errors.Is(err, ErrDecompressedTooLarge) {
					t.Fatalf("%v, %s: over the limit: %v", c, name, err)
				}
			}
		}
	}
}

func TestLevelsMatter(t *testing.T) {
	content := bytes.Repeat([]byte("some words that repeat, and some that do not: "), 1000)
	for i := range content {
		if i%37 == 0 {
			content[i] = byte(i * 7 / 37)
		}
	}
	for c, levels := range map[Codec][2]int{Gzip: {1, 9}, LZ4: {DefaultLZ4Level, 17}, Zstd: {1, 19}} {
		low, high := compress(nil, Compression{c, levels[0]}, content), compress(nil, Compression{c, levels[1]}, content)
		if len(high) >= len(low) {
			t.Errorf("%v: level %d gives %d bytes, level %d %d", c, levels[0], len(low), levels[1], len(high))
		}
	}
}

// TestForeignPayloads reads what other clients write: raw snappy, lz4 frames with every option, several zstd frames.
func TestForeignPayloads(t *testing.T) {
	content := contents()["mixed"]
	framed := appendSnappy(nil, content)
	lz4Frame := func(options ...lz4.Option) []byte {
		var out bytes.Buffer
		w := lz4.NewWriter(&out)
		if err := w.Apply(options...); err != nil {
			t.Fatal(err)
		}
		w.Write(content)
		w.Close()
		return out.Bytes()
	}
	window := func(size int) []byte {
		var out bytes.Buffer
		w, err := zstd.NewWriter(&out, zstd.WithWindowSize(size), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(content[:len(content)-1]) // in two, so that the frame does not know its size
		w.Flush()
		w.Write(content[len(content)-1:])
		w.Close()
		return out.Bytes()
	}
	half := len(content) / 2
	for name, p := range map[string]struct {
		codec   Codec
		payload []byte
	}{
		"raw snappy":           {Snappy, snappy.Encode(nil, content)},
		"two xerial streams":   {Snappy, append(appendSnappy(nil, content[:half]), appendSnappy(nil, content[half:])...)},
		"xerial":               {Snappy, framed},
		"lz4 64K":              {LZ4, lz4Frame(lz4.BlockSizeOption(lz4.Block64Kb))},
		"lz4 4M":               {LZ4, lz4Frame(lz4.BlockSizeOption(lz4.Block4Mb))},
		"lz4 block checksums":  {LZ4, lz4Frame(lz4.BlockChecksumOption(true), lz4.ChecksumOption(false))},
		"lz4 content checksum": {LZ4, lz4Frame(lz4.ChecksumOption(true))},
		"lz4 content size":     {LZ4, lz4Frame(lz4.SizeOption(uint64(len(content))))},
		"zstd window 8M":       {Zstd, window(8 << 20)},
		"zstd window 128M":     {Zstd, window(128 << 20)},
		"zstd two frames":      {Zstd, append(compress(nil, CompressionOf(Zstd), content[:half]), window(1 << 20)[:0]...)},
		"gzip two members":     {Gzip, append(compress(nil, CompressionOf(Gzip), content[:half]), compress(nil, CompressionOf(Gzip), content[half:])...)},
	} {
		if name == "zstd two frames" {
			p.payload = append(p.payload, compress(nil, CompressionOf(Zstd), content[half:])...)
		}
		got, err := decompress(nil, p.codec, p.payload, 0)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(content), err)
		}
	}
	if got, err := io.ReadAll(lz4.NewReader(bytes.NewReader(compress(nil, CompressionOf(LZ4), content)))); err != nil || !bytes.Equal(got, content) {
		t.Error("our lz4 frame:", err)
	}
}

// TestDamagedPayloads cuts payloads at every byte and flips bits: an error or the content, never a panic.
func TestDamagedPayloads(t *testing.T) {
	content := contents()["mixed"][:3000]
	for _, c := range codecs[1:] {
		payload := compress(nil, CompressionOf(c), content)
		for n := range payload {
			got, err := decompress(nil, c, payload[:n], 0)
			if err == nil && n > 0 && c != Snappy { // blocks of snappy do not say which is the last
				t.Errorf("%v: cut at %d of %d gave %d bytes", c, n, len(payload), len(got))
			}
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v: cut at %d: %v", c, n, err)
			}
			damaged := bytes.Clone(payload)
			damaged[n] ^= 1 << (n % 8)
			if got, err := decompress(nil, c, damaged, 1<<20); err == nil && len(got) > 1<<20 {
				t.Errorf("%v: %d bytes", c, len(got))
			}
		}
		trailing := append(bytes.Clone(payload), "trailing"...)
		if _, err := decompress(nil, c, trailing, 0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v: trailing bytes: %v", c, err)
		}
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestBomb: batches that decompress to a thousand times their size and more are walked, and refused over the cap, in the
// memory of a window.
func TestBomb(t *testing.T) {
	for _, c := range codecs[1:] {
		bomb := withContent(c, 1, body(vint(0, 0, 0, -1, 30<<20), make([]byte, 30<<20), vint(0)))
		warm, r := three(c, nil), plainRules()
		if _, err := Validate(warm, testNow, &r); err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int64{0, 10 << 20} {
			r.MaxDecompressedBytes = limit
			var err error
			n := allocated(func() { _, err = Validate(bomb, testNow, &r) })
			if limit == 0 && err != nil || limit > 0 && !errors.Is(err, ErrDecompressedTooLarge) {
				t.Errorf("%v, limit %d: %v", c, limit, err)
			}
			if n > 16<<20 {
				t.Errorf("%v, limit %d: a batch of %d bytes made us allocate %d", c, limit, len(bomb), n)
			}
		}
		r.MaxDecompressedBytes, r.MaxRecordBytes = 0, 1<<20
		if _, err := Validate(bomb, testNow, &r); !errors.Is(err, ErrDecompressedTooLarge) || !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%v: large record: %v", c, err)
		}
	}
}

// TestClaims: what a payload claims about its size costs nothing.
func TestClaims(t *testing.T) {
	xerial := appendSnappy(nil, []byte("x"))[:xerialHeaderSize]
	claims := map[string]struct {
		codec   Codec
		payload []byte
	}{
		"snappy block of 4 GiB":     {Snappy, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1}},
		"snappy block of 2 GiB":     {Snappy, []byte{0xff, 0xff, 0xff, 0xff, 0x07, 0, 1}},
		"xerial block of 2 GiB":     {Snappy, append(bytes.Clone(xerial), 0x7f, 0xff, 0xff, 0xff, 1, 2, 3)},
		"xerial block of -1":        {Snappy, append(bytes.Clone(xerial), 0xff, 0xff, 0xff, 0xff, 1, 2, 3)},
		"xerial block of 0":         {Snappy, append(bytes.Clone(xerial), 0, 0, 0, 0)},
		"xerial inner of 4 GiB":     {Snappy, append(bytes.Clone(xerial), 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x0f, 1)},
		"lz4 skippable of 2 GiB":    {LZ4, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 0x184D2A50), 1<<31)},
		"lz4 linked blocks":         {LZ4, lz4Header(lz4Version, 0x40)},
		"lz4 block size 3":          {LZ4, lz4Header(lz4Version|lz4Independent, 0x30)},
		"lz4 block over the size":   {LZ4, append(lz4Header(lz4Version|lz4Independent, 0x40), 0xff, 0xff, 0xff, 0x7f, 1)},
		"lz4 bad header checksum":   {LZ4, append(lz4Header(lz4Version|lz4Independent, 0x40)[:6], 0, 0, 0, 0, 0)},
		"zstd window of 128 MiB":    {Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00}},
		"zstd window of 3 TiB":      {Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00}},
		"zstd content of 2^60":      {Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x01, 0x00, 0x00}},
		"zstd skippable of 4 GiB":   {Zstd, []byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0}},
		"gzip without anything":     {Gzip, []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0}},
		"gzip with an endless name": {Gzip, append([]byte{0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte("n"), 5000)...)},
	}
	for _, c := range codecs[1:] { // fill the pools
		decompress(nil, c, compress(nil, CompressionOf(c), []byte("warm")), 0)
	}
	for name, p := range claims {
		b := withContent(None, 1, p.payload)
		b[attributesAt+1] |= byte(p.codec)
		seal(b)
		r := plainRules()
		r.MaxDecompressedBytes = 64 << 20
		var err error
		if n := allocated(func() { _, err = Validate(b, testNow, &r) }); n > 9<<20 {
			t.Errorf("%s: allocated %d", name, n)
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func lz4Header(flags, descriptor byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	b = append(b, flags, descriptor)
	return append(b, byte(xxh32(b[4:])>>8))
}

func TestXXH32(t *testing.T) {
	for text, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff, "Nobody inspects the spammish repetition": 0xe2293b2f} {
		if got := xxh32([]byte(text)); got != want {
			t.Errorf("xxh32(%q) = %#x, want %#x", text, got, want)
		}
	}
}

func ExampleCodec() {
	fmt.Println(None, Gzip, Snappy, LZ4, Zstd, Codec(6))
	// Output: none gzip snappy lz4 zstd codec(6)
}
