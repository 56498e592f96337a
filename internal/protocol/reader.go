package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/moldau/moldau/internal/uuid"
)

// ErrMalformed is wrapped by every error of a decoder of this package. The connection that sent such bytes is closed, as in Kafka:
// after it nothing on the connection can be trusted to start where it seems to.
var ErrMalformed = errors.New("malformed request")

var (
	errShort   = fmt.Errorf("%w: ends before its last field", ErrMalformed)
	errLength  = fmt.Errorf("%w: length is negative or larger than what was received", ErrMalformed)
	errVarint  = fmt.Errorf("%w: varint is too long", ErrMalformed)
	errNull    = fmt.Errorf("%w: null where null is not allowed", ErrMalformed)
	errTags    = fmt.Errorf("%w: tags do not ascend", ErrMalformed)
	errTagSize = fmt.Errorf("%w: tagged field does not have its size", ErrMalformed)
)

// Reader takes primitives off the front of a byte slice. Its error is sticky and after it every read returns zero, so that a
// decoder may check once at its end. It never allocates, and no length that it returns exceeds the bytes that are left.
type Reader struct {
	buf []byte
	err error
}

// NewReader returns a Reader of buf, which it aliases.
func NewReader(buf []byte) Reader { return Reader{buf: buf} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Rest returns what has not been read.
func (r *Reader) Rest() []byte { return r.buf }

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.buf = nil
}

// Take returns the next n bytes, aliasing the input.
func (r *Reader) Take(n int) []byte {
	if n < 0 || n > len(r.buf) {
		r.fail(errShort)
		return nil
	}
	b := r.buf[:n:n]
	r.buf = r.buf[n:]
	return b
}

func (r *Reader) Int8() int8 {
	if len(r.buf) < 1 {
		r.fail(errShort)
		return 0
	}
	v := int8(r.buf[0])
	r.buf = r.buf[1:]
	return v
}

func (r *Reader) Int16() int16 {
	if len(r.buf) < 2 {
		r.fail(errShort)
		return 0
	}
	v := int16(binary.BigEndian.Uint16(r.buf))
	r.buf = r.buf[2:]
	return v
}

func (r *Reader) Int32() int32 {
	if len(r.buf) < 4 {
		r.fail(errShort)
		return 0
	}
	v := int32(binary.BigEndian.Uint32(r.buf))
	r.buf = r.buf[4:]
	return v
}

func (r *Reader) Int64() int64 {
	if len(r.buf) < 8 {
		r.fail(errShort)
		return 0
	}
	v := int64(binary.BigEndian.Uint64(r.buf))
	r.buf = r.buf[8:]
	return v
}

func (r *Reader) UUID() (u uuid.UUID) {
	copy(u[:], r.Take(len(u)))
	return u
}

// Uvarint reads an unsigned varint of at most 5 bytes that fits 32 bits.
func (r *Reader) Uvarint() uint32 {
	if len(r.buf) > 0 && r.buf[0] < 0x80 {
		v := uint32(r.buf[0])
		r.buf = r.buf[1:]
		return v
	}
	v, n := binary.Uvarint(r.buf[:min(len(r.buf), binary.MaxVarintLen32)])
	switch {
	case n > 0 && v < 1<<32:
		r.buf = r.buf[n:]
		return uint32(v)
	case n == 0 && len(r.buf) < binary.MaxVarintLen32:
		r.fail(errShort)
	default:
		r.fail(errVarint)
	}
	return 0
}

// length reads the length of a string, of bytes or of an array; -1 is null.
func (r *Reader) length(flexible, short bool) int {
	var n int
	switch {
	case flexible:
		n = int(r.Uvarint()) - 1
		if r.err != nil {
			return 0
		}
	case short:
		n = int(r.Int16())
	default:
		n = int(r.Int32())
	}
	if n > len(r.buf) || short && n > math.MaxInt16 { // a compact string could be longer, but Kafka refuses it
		r.fail(errLength)
		return 0
	}
	return max(n, -1) // every negative length is null, as in Kafka
}

// String returns the bytes of a string that may not be null, aliasing the input.
func (r *Reader) String(flexible bool) []byte {
	n := r.length(flexible, true)
	if n < 0 {
		r.fail(errNull)
		return nil
	}
	return r.Take(n)
}

// NullableString returns the bytes of a string, aliasing the input; ok is false for null.
func (r *Reader) NullableString(flexible bool) (b []byte, ok bool) {
	n := r.length(flexible, true)
	if n < 0 {
		return nil, false
	}
	return r.Take(n), r.err == nil
}

// NullableBytes returns a run of bytes, aliasing the input, and nil only for null.
func (r *Reader) NullableBytes(flexible bool) []byte {
	n := r.length(flexible, false)
	if n < 0 || r.err != nil {
		return nil
	}
	return r.Take(n)
}

// ArrayLen returns the length of an array that may not be null. elem is the least an element takes on the wire; an array that
// cannot be there whole is refused, so that what a decoder allocates is bounded by what was received.
func (r *Reader) ArrayLen(flexible bool, elem int) int {
	n := r.length(flexible, false)
	if n < 0 {
		r.fail(errNull)
		return 0
	}
	if n > len(r.buf)/elem {
		r.fail(errLength)
		return 0
	}
	return n
}

// Tags walks a tag section. known is called with a Reader of the field's bytes for each tag and says whether it knows the tag;
// a known field must be read to its end, an unknown one is passed over. known may be nil.
func (r *Reader) Tags(known func(tag uint32, field *Reader) bool) {
	n := r.Uvarint()
	last := int64(-1)
	for ; n > 0 && r.err == nil; n-- {
		tag := r.Uvarint()
		size := r.Uvarint()
		if int64(size) > int64(len(r.buf)) {
			r.fail(errLength)
			return
		}
		field := Reader{buf: r.Take(int(size))}
		if r.err != nil {
			return
		}
		if int64(tag) <= last {
			r.fail(errTags)
			return
		}
		last = int64(tag)
		if known != nil && known(tag, &field) {
			if field.err != nil {
				r.fail(field.err)
			} else if len(field.buf) != 0 {
				r.fail(errTagSize)
			}
		}
	}
}

// SkipTags passes over a tag section of which nothing is known.
func (r *Reader) SkipTags() {
	if len(r.buf) > 0 && r.buf[0] == 0 {
		r.buf = r.buf[1:]
		return
	}
	r.Tags(nil)
}

// keep returns old if it has the bytes of b, otherwise a new string. A decoder that serves one connection sees the same names again and
// again. So it allocates none of them anew, and no string aliases a buffer that will be another request's.
func keep(old string, b []byte) string {
	if old == string(b) {
		return old
	}
	return string(b)
}
