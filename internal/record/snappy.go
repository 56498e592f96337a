package record

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/snappy"
)

// # The snappy payload
//
// Kafka's clients write the framing of the Xerial library, a header and then blocks:
//
//	byte  0, 8 bytes: 0x82 "SNAPPY" 0x00
//	byte  8, 4 bytes: version, 1
//	byte 12, 4 bytes: lowest version that reads it, 1
//	byte 16:          blocks: 4 bytes of length, big-endian, then one raw snappy block
//
// The header may come again between blocks, where streams were put together. A payload that does not begin with it is one
// raw snappy block. Both are read; the framing is written.

const (
	xerialMagic      = "\x82SNAPPY\x00"
	xerialHeaderSize = 16
	xerialVersion    = 1
	xerialBlockSize  = 32 << 10

	// snappyExpansion bounds what a block can decode to: its longest copy makes 64 bytes out of 3.
	snappyExpansion = 22
)

var errSnappy = errors.New("corrupt snappy framing")

type snappySource struct {
	rest   []byte
	framed bool
	buf    []byte
}

var snappySources = sync.Pool{New: func() any { return new(snappySource) }}

func newSnappySource(payload []byte) (*snappySource, error) {
	if len(payload) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	s := snappySources.Get().(*snappySource)
	s.rest, s.framed = payload, len(payload) >= len(xerialMagic) && string(payload[:len(xerialMagic)]) == xerialMagic
	return s, nil
}

func (s *snappySource) next(limit int64) ([]byte, error) {
	for len(s.rest) > 0 {
		block, err := s.block()
		if err != nil {
			return nil, err
		}
		if block == nil {
			continue
		}
		size, err := snappy.DecodedLen(block)
		if err != nil {
			return nil, err
		}
		if size > len(block)*snappyExpansion {
			return nil, errSnappy
		}
		if int64(size) > limit {
			return nil, errOverLimit
		}
		if cap(s.buf) < size {
			s.buf = make([]byte, size)
		}
		chunk, err := snappy.Decode(s.buf[:cap(s.buf)], block)
		if err != nil {
			return nil, err
		}
		if len(chunk) > 0 {
			return chunk, nil
		}
	}
	return nil, io.EOF
}

// block takes the next block off the payload, or nil where a header stands.
func (s *snappySource) block() ([]byte, error) {
	if !s.framed {
		block := s.rest
		s.rest = nil
		return block, nil
	}
	if len(s.rest) >= len(xerialMagic) && string(s.rest[:len(xerialMagic)]) == xerialMagic {
		if len(s.rest) < xerialHeaderSize || binary.BigEndian.Uint32(s.rest[8:]) < xerialVersion {
			return nil, errSnappy
		}
		s.rest = s.rest[xerialHeaderSize:]
		return nil, nil
	}
	if len(s.rest) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	n := int64(binary.BigEndian.Uint32(s.rest))
	if n == 0 || n > int64(len(s.rest)-4) {
		return nil, errSnappy
	}
	block := s.rest[4 : 4+n]
	s.rest = s.rest[4+n:]
	return block, nil
}

func (s *snappySource) release() {
	s.rest = nil
	if cap(s.buf) > 1<<20 { // a rare large raw block is not kept
		s.buf = nil
	}
	snappySources.Put(s)
}

// appendSnappy appends content to dst in the Xerial framing.
func appendSnappy(dst, content []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = binary.BigEndian.AppendUint32(dst, xerialVersion)
	dst = binary.BigEndian.AppendUint32(dst, xerialVersion)
	for len(content) > 0 {
		part := content[:min(len(content), xerialBlockSize)]
		content = content[len(part):]
		at := len(dst)
		dst = grow(dst, 4+snappy.MaxEncodedLen(len(part)))
		block := snappy.Encode(dst[at+4:cap(dst)], part)
		dst = dst[:at+4+len(block)]
		binary.BigEndian.PutUint32(dst[at:], uint32(len(block)))
	}
	return dst
}

// grow returns b with room for n more bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	out := make([]byte, len(b), len(b)+max(n, len(b)))
	copy(out, b)
	return out
}
