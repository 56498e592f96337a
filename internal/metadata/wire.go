package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/uuid"
)

// ErrCorrupt is wrapped by every decoding error: the bytes are not what this package writes, or a newer version wrote them.
var ErrCorrupt = errors.New("corrupt metadata")

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendInt(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendInts(dst []byte, s []int32) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	for _, v := range s {
		dst = appendInt(dst, int64(v))
	}
	return dst
}

func appendIDs(dst []byte, s []uuid.UUID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	for i := range s {
		dst = append(dst, s[i][:]...)
	}
	return dst
}

// decoder reads what the functions above write. Its error sticks, and nothing it allocates is larger than a small multiple of
// the bytes that are there.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s, %d bytes before the end", ErrCorrupt, what, len(d.b))
	}
	d.b = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int32() int32 {
	v := d.int()
	if v != int64(int32(v)) {
		d.fail("number out of range")
		return 0
	}
	return int32(v)
}

func (d *decoder) int16() int16 {
	v := d.int()
	if v != int64(int16(v)) {
		d.fail("number out of range")
		return 0
	}
	return int16(v)
}

func (d *decoder) int8() int8 {
	v := d.int()
	if v != int64(int8(v)) {
		d.fail("number out of range")
		return 0
	}
	return int8(v)
}

func (d *decoder) bool() bool {
	switch b := d.take(1); {
	case len(b) == 1 && b[0] == 1:
		return true
	case len(b) == 1 && b[0] != 0:
		d.fail("bad boolean")
	}
	return false
}

// take returns the next n bytes, or nil with the error set.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("cut short")
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

// count reads the length of a list whose elements take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail("list longer than its bytes")
		return 0
	}
	return int(n)
}

func (d *decoder) string() string { return string(d.take(d.uvarint())) }

func (d *decoder) id() (u uuid.UUID) {
	copy(u[:], d.take(16))
	return u
}

// ints returns a list that is never nil, so that an empty list differs from none.
func (d *decoder) ints() []int32 {
	s := make([]int32, d.count(1))
	for i := range s {
		s[i] = d.int32()
	}
	return s
}

func (d *decoder) ids() []uuid.UUID {
	s := make([]uuid.UUID, d.count(16))
	for i := range s {
		s[i] = d.id()
	}
	return s
}

func (d *decoder) broker() Broker {
	b := Broker{ID: d.int32(), Epoch: d.int(), Incarnation: d.id(), Rack: d.string()}
	flags := d.uvarint()
	if flags > 3 {
		d.fail("unknown broker flag")
	}
	b.Fenced, b.ControlledShutdown = flags&1 != 0, flags&2 != 0
	b.Directories = d.ids()
	b.Listeners = make([]Listener, d.count(4))
	for i := range b.Listeners {
		b.Listeners[i] = Listener{Name: d.string(), Host: d.string(), Port: d.int32(), Protocol: d.int16()}
	}
	return b
}

func appendBroker(dst []byte, b *Broker) []byte {
	dst = appendInt(dst, int64(b.ID))
	dst = appendInt(dst, b.Epoch)
	dst = append(dst, b.Incarnation[:]...)
	dst = appendString(dst, b.Rack)
	var flags uint64
	if b.Fenced {
		flags |= 1
	}
	if b.ControlledShutdown {
		flags |= 2
	}
	dst = binary.AppendUvarint(dst, flags)
	dst = appendIDs(dst, b.Directories)
	dst = binary.AppendUvarint(dst, uint64(len(b.Listeners)))
	for _, l := range b.Listeners {
		dst = appendString(dst, l.Name)
		dst = appendString(dst, l.Host)
		dst = appendInt(dst, int64(l.Port))
		dst = appendInt(dst, int64(l.Protocol))
	}
	return dst
}
