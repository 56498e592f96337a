package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// # The LZ4 payload
//
// One LZ4 frame of independent blocks, the only kind that Kafka's own reader takes:
//
//	4 bytes: magic 0x184D2204, little-endian as all integers of the frame
//	1 byte:  flags: version 01 in bits 6-7, independent blocks 5, block checksums 4, content size 3, content checksum 2
//	1 byte:  largest block in bits 4-6: 4 is 64 KiB, 5 256 KiB, 6 1 MiB, 7 4 MiB
//	8 bytes: content size, if the flag says so
//	1 byte:  second lowest byte of the XXH32 of flags to content size
//	blocks:  4 bytes of length, highest bit set where the block is stored as it is; the block; its XXH32 if the flag says so
//	4 bytes: zero, the end
//	4 bytes: XXH32 of the content, if the flag says so; like Kafka's reader this one passes over it
const (
	lz4Magic           = 0x184D2204
	lz4Version         = 0x40
	lz4VersionMask     = 0xc0
	lz4Independent     = 0x20
	lz4BlockChecksum   = 0x10
	lz4ContentSize     = 0x08
	lz4ContentChecksum = 0x04
	lz4ReservedFlags   = 0x03
	lz4Stored          = 1 << 31
	lz4BlockCode       = 4 // of the blocks written, as Kafka's
	lz4BlockSize       = 64 << 10

	// lz4Expansion bounds what a block can decode to: every byte of a match length adds at most 255 bytes.
	lz4Expansion = 255
)

var errLZ4 = errors.New("corrupt lz4 frame")

type lz4Source struct {
	rest     []byte
	flags    byte
	maxBlock int
	ended    bool
	buf      []byte
}

var lz4Sources = sync.Pool{New: func() any { return new(lz4Source) }}

func newLZ4Source(payload []byte) (*lz4Source, error) {
	if len(payload) < 7 {
		return nil, io.ErrUnexpectedEOF
	}
	if binary.LittleEndian.Uint32(payload) != lz4Magic {
		return nil, fmt.Errorf("%w: no magic", errLZ4)
	}
	flags, descriptor := payload[4], payload[5]
	code := descriptor >> 4 & 7
	if flags&lz4VersionMask != lz4Version || flags&lz4Independent == 0 || flags&lz4ReservedFlags != 0 || descriptor&0x8f != 0 ||
		code < 4 {
		return nil, fmt.Errorf("%w: flags %#x, block descriptor %#x", errLZ4, flags, descriptor)
	}
	end := 6
	if flags&lz4ContentSize != 0 {
		end += 8
	}
	if len(payload) <= end {
		return nil, io.ErrUnexpectedEOF
	}
	if payload[end] != byte(xxh32(payload[4:end])>>8) {
		return nil, fmt.Errorf("%w: header checksum", errLZ4)
	}
	s := lz4Sources.Get().(*lz4Source)
	s.rest, s.flags, s.maxBlock, s.ended = payload[end+1:], flags, 1<<(2*code+8), false
	return s, nil
}

func (s *lz4Source) next(limit int64) ([]byte, error) {
	for !s.ended {
		block, stored, err := s.block()
		if err != nil {
			return nil, err
		}
		if s.ended {
			break
		}
		chunk := block
		if !stored {
			size := min(s.maxBlock, len(block)*lz4Expansion)
			if cap(s.buf) < size {
				s.buf = make([]byte, size)
			}
			n, err := lz4.UncompressBlock(block, s.buf[:size])
			if err != nil {
				return nil, err
			}
			chunk = s.buf[:n]
		}
		if len(chunk) > 0 {
			return chunk, nil
		}
	}
	if len(s.rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after its end", errLZ4, len(s.rest))
	}
	return nil, io.EOF
}

// block takes the next block off the frame, and its checksum; at the end it sets ended.
func (s *lz4Source) block() (block []byte, stored bool, err error) {
	if len(s.rest) < 4 {
		return nil, false, io.ErrUnexpectedEOF
	}
	word := binary.LittleEndian.Uint32(s.rest)
	n := int(word &^ lz4Stored)
	s.rest = s.rest[4:]
	trailer := 0
	if n == 0 {
		s.ended = true
		if s.flags&lz4ContentChecksum != 0 {
			trailer = 4
		}
	} else if s.flags&lz4BlockChecksum != 0 {
		trailer = 4
	}
	if n > s.maxBlock {
		return nil, false, fmt.Errorf("%w: block size %d exceeded max: %d", errLZ4, n, s.maxBlock)
	}
	if n+trailer > len(s.rest) {
		return nil, false, io.ErrUnexpectedEOF
	}
	block = s.rest[:n]
	if trailer > 0 && !s.ended && binary.LittleEndian.Uint32(s.rest[n:]) != xxh32(block) {
		return nil, false, fmt.Errorf("%w: block checksum", errLZ4)
	}
	s.rest = s.rest[n+trailer:]
	return block, word&lz4Stored != 0, nil
}

func (s *lz4Source) release() {
	s.rest = nil
	lz4Sources.Put(s)
}

// lz4Writer holds the hash tables of both compressors.
type lz4Writer struct {
	fast lz4.Compressor
	high lz4.CompressorHC
}

var lz4Writers = sync.Pool{New: func() any { return new(lz4Writer) }}

// lz4HighLevels are the levels of the high compressor; higher ones are the highest.
var lz4HighLevels = [...]lz4.CompressionLevel{lz4.Level1, lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5,
	lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9}

// appendLZ4 appends content to dst as one frame of independent 64 KiB blocks without checksums, as Kafka writes it.
func appendLZ4(dst, content []byte, level int) []byte {
	w := lz4Writers.Get().(*lz4Writer)
	defer lz4Writers.Put(w)
	dst = binary.LittleEndian.AppendUint32(dst, lz4Magic)
	dst = append(dst, lz4Version|lz4Independent, lz4BlockCode<<4)
	dst = append(dst, byte(xxh32(dst[len(dst)-2:])>>8))
	for len(content) > 0 {
		part := content[:min(len(content), lz4BlockSize)]
		content = content[len(part):]
		at := len(dst)
		dst = grow(dst, 4+lz4.CompressBlockBound(len(part)))
		room := dst[at+4 : cap(dst)]
		var n int
		var err error
		if level == DefaultLZ4Level {
			n, err = w.fast.CompressBlock(part, room)
		} else {
			w.high.Level = lz4HighLevels[min(max(level, 1), len(lz4HighLevels)-1)]
			n, err = w.high.CompressBlock(part, room)
		}
		word := uint32(n)
		if err != nil || n == 0 || n >= len(part) { // it does not compress
			n = copy(room, part)
			word = uint32(n) | lz4Stored
		}
		binary.LittleEndian.PutUint32(dst[at:at+4:cap(dst)], word)
		dst = dst[:at+4+n]
	}
	return binary.LittleEndian.AppendUint32(dst, 0)
}
