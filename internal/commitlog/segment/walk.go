package segment

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// Length returns the size of the batch whose first 12 bytes are in b.
func Length(b []byte) int64 { return 12 + int64(int32(binary.BigEndian.Uint32(b[8:]))) }

// Chunks in which a walker reads: one for a search, one for a scan of small batches.
const (
	searchChunk = 4 << 10
	scanChunk   = 256 << 10
)

var chunks = sync.Pool{New: func() any { b := make([]byte, scanChunk); return &b }}

// walker reads batch headers of a segment's file, or whole batches, through one buffer.
type walker struct {
	s    *Segment
	f    vfs.File
	size int64 // of the file, as far as it is looked at
	buf  *[]byte
	big  []byte // instead of buf for a batch that does not fit
	have []byte // what lies in the buffer, starting at
	from int64
	next int // how much to read next
}

// walk returns a walker over size bytes of the file; 0 means those that are published.
func (s *Segment) walk(size int64) (*walker, error) {
	if size == 0 {
		size = s.Size()
	}
	f, err := s.log.Acquire()
	if err != nil {
		return nil, err
	}
	return &walker{s: s, f: f, size: size, buf: chunks.Get().(*[]byte), next: searchChunk}, nil
}

func (w *walker) close() {
	chunks.Put(w.buf)
	w.s.log.Release()
}

// bytes returns n bytes at pos, which are valid until the next call.
func (w *walker) bytes(pos, n int64) ([]byte, error) {
	if pos+n > w.size {
		return nil, fmt.Errorf("%w: %d bytes at %d of %s, which has %d: %w", ErrCorrupt, n, pos, w.s.Path(), w.size, io.ErrUnexpectedEOF)
	}
	if at := pos - w.from; at >= 0 && at+n <= int64(len(w.have)) {
		return w.have[at : at+n], nil
	}
	dst := *w.buf
	if n > int64(len(dst)) {
		if n > int64(len(w.big)) {
			w.big = make([]byte, n) // no more than the file holds
		}
		dst = w.big
	}
	want := min(max(n, int64(w.next)), int64(len(dst)), w.size-pos)
	got, err := w.f.ReadAt(dst[:want], pos)
	if int64(got) < n {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		w.have = nil
		return nil, fmt.Errorf("read %d bytes at %d of %s: %w", n, pos, w.s.Path(), err)
	}
	w.have, w.from = dst[:got], pos
	return w.have[:n], nil
}

// header is look, and an error where the batch is known to be damaged.
func (w *walker) header(pos int64) (record.Batch, error) {
	if d, ok := w.s.damageAt(pos); ok {
		return nil, w.s.damageError(d)
	}
	return w.look(pos)
}

// look returns the header of the batch at pos and checks what can be checked without the batch. The result is valid until
// the next call.
func (w *walker) look(pos int64) (record.Batch, error) {
	h, err := w.bytes(pos, record.HeaderSize)
	if err != nil {
		return nil, err
	}
	b := record.Batch(h)
	n, base := Length(h), b.BaseOffset()
	switch {
	case zero(h), n > w.size-pos:
		err = fmt.Errorf("%w: batch length %d with %d bytes left", io.ErrUnexpectedEOF, n, w.size-pos)
	case n < record.HeaderSize:
		err = fmt.Errorf("batch length %d", n)
	case b.Magic() != 2:
		err = fmt.Errorf("magic %d", b.Magic())
	case base < 0 || b.LastOffsetDelta() < 0 || base > math.MaxInt64-math.MaxInt32 || !w.s.Fits(b.LastOffset()):
		err = fmt.Errorf("offsets %d to %d", base, b.LastOffset())
	default:
		return b, nil
	}
	return nil, fmt.Errorf("%w: %s at %d: %w", ErrCorrupt, w.s.Path(), pos, err)
}

// zero says that b was never written: the file got its size before a crash and not its content.
func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// batch returns the whole batch at pos, whose header was good. It is valid until the next call.
func (w *walker) batch(pos, n int64) (record.Batch, error) {
	b, err := w.bytes(pos, n)
	return record.Batch(b), err
}

// scanning makes the walker read large pieces, unless the batches are large and only their headers are looked at.
func (w *walker) scanning(whole bool, lastBatch int64) {
	if whole || lastBatch < scanChunk/8 {
		w.next = scanChunk
	} else {
		w.next = searchChunk
	}
}

// disordered is the error about a batch at pos that begins below the end of the one before.
func (w *walker) disordered(pos, base, before int64) error {
	return fmt.Errorf("%w: %s at %d: base offset %d below %d", ErrCorrupt, w.s.Path(), pos, base, before)
}
