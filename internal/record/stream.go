package record

import (
	"io"
	"math"
	"sync"
)

// maxWholeBody is the largest body that a stream gathers in one piece; larger records are passed over byte by byte, so
// that the memory for validating a batch does not depend on what it decompresses to.
const maxWholeBody = 256 << 10

// stream walks the records of a compressed payload as the decompressor gives them.
type stream struct {
	codec       Codec
	src         decompressor
	data        []byte // read from src and not yet used
	carry       []byte // holds data where it comes from several chunks
	limit, left int64  // bytes that may come in all, and still
}

var streams = sync.Pool{New: func() any { return new(stream) }}

// newStream opens the records of b, of which at most limit bytes may come; 0 or less is no limit.
func newStream(b Batch, limit int64) (*stream, error) {
	if limit <= 0 {
		limit = math.MaxInt64
	}
	src, err := newDecompressor(b.Codec(), b[HeaderSize:], limit)
	if err != nil {
		return nil, decompressError(b.Codec(), limit, err)
	}
	s := streams.Get().(*stream)
	s.codec, s.src, s.data, s.limit, s.left = b.Codec(), src, nil, limit, limit
	return s, nil
}

func (s *stream) close() {
	s.src.release()
	s.src, s.data = nil, nil
	streams.Put(s)
}

// fill adds the next chunk to data. At the end of the content it returns io.EOF.
func (s *stream) fill() error {
	left := len(s.data)
	if left > 0 { // the next chunk may overwrite it; append moves within carry where it lies there already
		s.carry = append(s.carry[:0], s.data...)
		s.data = s.carry
	}
	chunk, err := s.src.next(s.left)
	if err == nil && int64(len(chunk)) > s.left {
		err = errOverLimit
	}
	if err == io.EOF {
		return err
	}
	if err != nil {
		return decompressError(s.codec, s.limit, err)
	}
	s.left -= int64(len(chunk))
	if left == 0 {
		s.data = chunk
		return nil
	}
	s.carry = append(s.carry, chunk...)
	s.data = s.carry
	return nil
}

// next reads the next record into f. maxBody bounds its body.
func (s *stream) next(f *fields, maxBody int64) error {
	size, err := s.int32()
	if err != nil {
		return err
	}
	if size < 0 {
		return failf(ErrInvalidRecord, "Invalid record size: %d is negative.", size)
	}
	if int64(size) > maxBody {
		return failf(ErrDecompressedTooLarge, "Invalid record size: %d exceeds the configured maximum record size of %d.", size, maxBody)
	}
	n := int(size)
	for n > len(s.data) && n <= maxWholeBody {
		if err := s.must(s.fill()); err != nil {
			return err
		}
	}
	if n <= len(s.data) {
		body := s.data[:n]
		s.data = s.data[n:]
		return f.parse(body)
	}
	return s.pass(f, int64(n))
}

// must turns the end of the content, where more was promised, into an error.
func (s *stream) must(err error) error {
	if err == io.EOF {
		return errPremature
	}
	return err
}

// ended says whether the content ends here.
func (s *stream) ended() (bool, error) {
	if len(s.data) > 0 {
		return false, nil
	}
	err := s.fill()
	if err == io.EOF {
		return true, nil
	}
	return false, err
}

// int32 reads a varint, which may lie in two chunks.
func (s *stream) int32() (int32, error) {
	for {
		v, n := varint(s.data, 0)
		if n > 0 {
			s.data = s.data[n:]
			return v, nil
		}
		if len(s.data) >= 5 {
			return 0, errStructure
		}
		if err := s.must(s.fill()); err != nil {
			return 0, err
		}
	}
}

// pass is parse for a body of n bytes that is too large to gather.
func (s *stream) pass(f *fields, n int64) error {
	p := passer{s: s, left: n}
	p.skip(1) // attributes
	f.timestampDelta = p.int64()
	f.offsetDelta = int32(p.int32())
	f.keyLen = int(p.sized())
	f.valueLen = int(p.sized())
	count := p.int32()
	if p.err == nil && count < 0 {
		return failf(ErrInvalidRecord, "Found invalid number of record headers %d", count)
	}
	for i := int64(0); i < count && p.err == nil; i++ {
		if k := p.sized(); p.err == nil && k < 0 {
			return failf(ErrInvalidRecord, "Invalid negative header key size %d", k)
		}
		p.sized()
	}
	if p.err == nil && p.left != 0 {
		return failf(ErrInvalidRecord, "Invalid record size: expected to read %d bytes in record payload, but instead read %d", n, n-p.left)
	}
	return p.err
}

// passer reads the parts of one body from a stream. After an error it does nothing.
type passer struct {
	s    *stream
	left int64 // bytes of the body
	err  error
}

// skip passes over n bytes.
func (p *passer) skip(n int64) {
	if p.err == nil && n > p.left {
		p.err = errStructure
	}
	p.left -= n
	for n > 0 && p.err == nil {
		if len(p.s.data) == 0 {
			p.err = p.s.must(p.s.fill())
			continue
		}
		k := min(n, int64(len(p.s.data)))
		p.s.data = p.s.data[k:]
		n -= k
	}
}

// sized reads a length and passes over that many bytes; -1 is null.
func (p *passer) sized() int64 {
	n := p.int32()
	if p.err == nil && n < -1 {
		p.err = errStructure
	}
	p.skip(max(n, 0))
	return n
}

func (p *passer) int32() int64 {
	var b [5]byte
	v, _ := varint(b[:p.integer(b[:])], 0)
	return int64(v)
}

func (p *passer) int64() int64 {
	var b [10]byte
	v, _ := varlong(b[:p.integer(b[:])], 0)
	return v
}

// integer copies the bytes of one varint to b and returns how many there are.
func (p *passer) integer(b []byte) int {
	for i := range b {
		for len(p.s.data) == 0 && p.err == nil {
			p.err = p.s.must(p.s.fill())
		}
		if p.err != nil {
			return 0
		}
		b[i] = p.s.data[0]
		p.skip(1)
		if p.err != nil {
			return 0
		}
		if b[i] < 0x80 {
			return i + 1
		}
	}
	p.err = errStructure
	return 0
}
