package protocol

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrNoMemory is returned by DecodeCold when the request is well formed but the memory to decode it is not to be had.
var ErrNoMemory = errors.New("no memory left for requests")

// maxUnknownTags bounds the tagged fields that a cold request may carry beyond those that we know. kmsg keeps every one of them in a
// map, a hundred bytes for three on the wire; clients of Kafka 4.4 or older send none.
const maxUnknownTags = 128

// maxColdElements bounds the array elements of a cold request, whatever its size.
const maxColdElements = 1 << 20

// DecodeCold decodes the body of a request that has no codec of its own into req, whose key it must be. kmsg allocates by the lengths
// it finds, up to 40 times the bytes it is given when they are hostile, and takes no notice of bytes left over, which Kafka passes over too. So the body is
// walked first, without allocating, after a description of the request: every length must fit, null stands only where it may, unknown tags
// are few. The walk adds up what decoding will allocate and charge must grant it (it is given back with the
// request); a nil charge grants everything.
func DecodeCold(req kmsg.Request, version int16, body []byte, charge func(bytes int64) bool) error {
	key := APIKey(req.Key())
	shape, ok := coldShapes[key]
	if !ok {
		return fmt.Errorf("decode %s: %w", key, &UnsupportedError{key, version})
	}
	api := apis[key]
	w := walker{r: Reader{buf: body}, version: version, flexible: api.Flexible(version), tagsLeft: maxUnknownTags, elementsLeft: maxColdElements}
	w.structure(shape)
	if err := w.r.Err(); err != nil {
		return fmt.Errorf("decode %s version %d: %w", key, version, err)
	}
	if charge != nil && !charge(w.cost) {
		return fmt.Errorf("decode %s version %d: %w", key, version, ErrNoMemory)
	}
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return fmt.Errorf("decode %s version %d: %w: %w", key, version, ErrMalformed, err)
	}
	return nil
}

// A field of a request as the walker sees it. Fields stand in wire order.
type field struct {
	kind     kind
	from, to int16 // versions that have the field
	nullFrom int16 // version from which it may be null; never, if not
	elem     []field
	size     int64 // of an array's element in memory
}

type kind uint8

const (
	fixed1 kind = iota
	fixed2
	fixed4
	fixed8
	fixed16
	text
	blob // bytes, which kmsg does not copy
	array
	optional // a structure behind a byte that is negative where there is none
)

var fixedSizes = [...]int{fixed1: 1, fixed2: 2, fixed4: 4, fixed8: 8, fixed16: 16}

func one(k kind) field { return field{kind: k, to: never, nullFrom: never} }
func list(size int64, elem ...field) field {
	return field{kind: array, to: never, nullFrom: never, elem: elem, size: size}
}
func maybe(size int64, elem ...field) field {
	return field{kind: optional, to: never, nullFrom: never, elem: elem, size: size}
}
func (f field) since(v int16) field     { f.from = v; return f }
func (f field) until(v int16) field     { f.to = v; return f }
func (f field) nullSince(v int16) field { f.nullFrom = v; return f }

type walker struct {
	r            Reader
	version      int16
	flexible     bool
	tagsLeft     int
	elementsLeft int
	cost         int64 // bytes that decoding will allocate
}

func (w *walker) structure(fields []field) {
	w.fields(fields)
	if w.flexible {
		w.tags()
	}
}

func (w *walker) fields(fields []field) {
	for i := range fields {
		f := &fields[i]
		if w.version < f.from || w.version > f.to {
			continue
		}
		switch f.kind {
		case text:
			b, ok := w.r.NullableString(w.flexible)
			if !ok && w.r.err == nil && w.version < f.nullFrom {
				w.r.fail(errNull)
			}
			w.cost += int64(len(b)) + 16
		case blob:
			n := w.r.length(w.flexible, false)
			if n < 0 && w.version < f.nullFrom {
				w.r.fail(errNull)
			}
			w.r.Take(max(n, 0))
		case array:
			w.array(f)
		case optional:
			if there := w.r.Int8(); w.r.err == nil && there != -1 { // kmsg looks at nothing else
				w.cost += f.size
				w.structure(f.elem)
			}
		default:
			w.r.Take(fixedSizes[f.kind])
		}
		if w.r.err != nil {
			return
		}
	}
}

func (w *walker) array(f *field) {
	n := w.r.length(w.flexible, false)
	if n < 0 && w.version < f.nullFrom {
		w.r.fail(errNull)
	}
	if w.elementsLeft -= max(n, 0); w.elementsLeft < 0 {
		w.r.fail(errBudget)
	}
	w.cost += int64(max(n, 0)) * f.size
	// Elements are structures, with tags of their own, unless they are a single unnamed value.
	bare := len(f.elem) == 1
	for ; n > 0 && w.r.err == nil; n-- {
		if bare {
			w.fields(f.elem)
		} else {
			w.structure(f.elem)
		}
	}
}

func (w *walker) tags() {
	if len(w.r.buf) > 0 && w.r.buf[0] == 0 {
		w.r.buf = w.r.buf[1:]
		return
	}
	ahead := w.r
	n := int(ahead.Uvarint())
	if w.tagsLeft -= n; w.tagsLeft < 0 {
		w.r.fail(errBudget)
		return
	}
	w.cost += 512 + 64*int64(n)
	w.r.SkipTags()
}
