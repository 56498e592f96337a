package segment

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/moldau/moldau/internal/commitlog/index"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// Find returns the position of the first batch that ends above offset; ok is false when the segment has none.
func (s *Segment) Find(offset int64) (pos int64, ok bool, err error) {
	pos, ok, err = s.find(offset)
	if again, fatal := s.mended(err); again {
		pos, ok, err = s.find(offset)
	} else if fatal != nil {
		err = fatal
	}
	return pos, ok, err
}

// mended says whether what failed with err may be tried again. A wrong index is rebuilt; where a batch is wrong, what lies beside it is found.
func (s *Segment) mended(err error) (again bool, fatal error) {
	var known *DamageError
	switch {
	case !errors.Is(err, ErrCorrupt), errors.As(err, &known):
		return false, nil
	case errors.Is(err, record.ErrCorrupt):
		s.survey()
		return true, nil
	}
	fatal = s.rebuild()
	return fatal == nil, fatal
}

// hintLocked returns the position of the batch with this base offset if it is one of the last or one where a read was cut.
func (s *Segment) hintLocked(base int64) (pos int64, ok bool) {
	for _, m := range s.mu.recent.marks {
		if m.base == base {
			return m.pos, true
		}
	}
	for _, m := range s.mu.hints.marks {
		if m.base == base {
			return m.pos, true
		}
	}
	return 0, false
}

func (s *Segment) find(offset int64) (pos int64, ok bool, err error) {
	if err := s.load(); err != nil {
		return 0, false, err
	}
	s.mu.RLock()
	size, end := s.mu.size, s.mu.end
	if offset >= end || size == 0 {
		s.mu.RUnlock()
		return 0, false, nil
	}
	if pos, ok := s.hintLocked(offset); ok {
		s.mu.RUnlock()
		if d, ok := s.damageAt(pos); ok {
			return d.From, false, s.damageError(d)
		}
		return pos, true, nil
	}
	entry := index.Offset{}
	if i := index.FloorOffset(s.mu.offsets, offset-s.base); i >= 0 {
		entry = s.mu.offsets[i]
	}
	s.mu.RUnlock()

	w, err := s.walk(size)
	if err != nil {
		return 0, false, err
	}
	defer w.close()
	pos = int64(entry.Pos)
	before := int64(-1) // end of the batch before
	for first := true; pos < size; first = false {
		if d, ok := s.damageAt(pos); ok {
			if offset < d.Next {
				return d.From, false, s.damageError(d)
			}
			pos, before = d.To, d.Next
			continue
		}
		b, err := w.header(pos)
		if err != nil {
			return 0, false, err
		}
		if b.BaseOffset() < before {
			return 0, false, w.disordered(pos, b.BaseOffset(), before)
		}
		before = b.NextOffset()
		if first && entry.Pos > 0 && b.LastOffset()-s.base != int64(entry.Rel) {
			return 0, false, s.wrongEntry(entry)
		}
		if b.LastOffset() >= offset {
			return pos, true, nil
		}
		pos += Length(b)
	}
	return 0, false, nil
}

// Slice is a run of whole batches of one segment. It pins the file until Release, which must be called exactly once.
type Slice struct {
	Span  vfs.Span // N is zero when there is nothing
	Bytes int64    // Span.N
	More  bool     // there is more to read than maxBytes, or this segment, let through
	file  *File
}

// Release unpins the file.
func (s Slice) Release() {
	if s.file != nil {
		s.file.Release()
	}
}

// Read returns whole batches from the one that contains offset, before the offset end, at most maxBytes; with atLeastOne the first
// one even if it is larger. ok is false when no batch of the segment ends above offset. It reads no data of this
// process, only the headers that it needs to find where to begin and to cut; what was there before is checked once.
func (s *Segment) Read(offset, maxBytes, end int64, atLeastOne bool) (slice Slice, ok bool, err error) {
	slice, ok, err = s.read(offset, maxBytes, end, atLeastOne)
	if again, fatal := s.mended(err); again {
		slice, ok, err = s.read(offset, maxBytes, end, atLeastOne)
	} else if fatal != nil {
		err = fatal
	}
	s.tellUnreadable(err)
	return slice, ok, err
}

func (s *Segment) read(offset, maxBytes, end int64, atLeastOne bool) (slice Slice, ok bool, err error) {
	pos, ok, err := s.find(offset)
	if !ok || err != nil {
		return Slice{}, ok, err
	}
	s.mu.RLock()
	size, segmentEnd := s.mu.size, s.mu.end
	s.mu.RUnlock()
	if end < segmentEnd {
		bound, found, err := s.find(end)
		if isDamage(err) { // bound is where it begins
			found, err = true, nil
		}
		if err != nil {
			return Slice{}, false, err
		}
		if found { // else a gap reaches from the last batch to the next segment
			size = bound
		}
		if size < pos { // the log was cut meanwhile
			return Slice{}, true, nil
		}
	}
	all := size - pos
	if d, ok := s.damageFrom(pos); ok && d.From < size {
		size = d.From // what lies behind is for those who ask for it
	}
	n := size - pos
	if n > maxBytes {
		if n, err = s.cut(pos, size, maxBytes, atLeastOne); err != nil {
			return Slice{}, false, err
		}
	}
	if n <= 0 {
		return Slice{More: all > 0}, true, nil
	}
	good, err := s.verify(pos, pos+n)
	if err != nil {
		return Slice{}, false, err
	}
	n = good - pos
	f, err := s.log.Acquire()
	if err != nil {
		return Slice{}, false, err
	}
	return Slice{Span: vfs.Span{File: f, Off: pos, N: n}, Bytes: n, More: n < all, file: &s.log}, true, nil
}

// cut returns how many bytes from the batch at pos make whole batches of at most maxBytes. Where the index knows a batch start that
// gives more than half, that is good enough; else it walks headers.
func (s *Segment) cut(pos, size, maxBytes int64, atLeastOne bool) (int64, error) {
	entry := index.Offset{}
	s.mu.RLock()
	i := index.FloorPos(s.mu.offsets, pos+maxBytes)
	if i >= 0 {
		entry = s.mu.offsets[i]
	}
	known := i >= int(s.mu.filed)
	s.mu.RUnlock()
	at := max(int64(entry.Pos), pos)
	enough := at-pos > maxBytes/2
	if enough && known {
		return at - pos, nil
	}
	w, err := s.walk(size)
	if err != nil {
		return 0, err
	}
	defer w.close()
	for first := true; at < size; first = false {
		b, err := w.header(at)
		switch {
		case err != nil && at == pos:
			return 0, err
		case err != nil && !first:
			return at - pos, nil // the next read meets the damage
		case first && at > pos && (err != nil || b.LastOffset()-s.base != int64(entry.Rel)):
			at, enough = pos, false // the index or that batch is wrong; those before may be good
			continue
		}
		n := Length(b)
		if at == pos && n > maxBytes && atLeastOne {
			return n, nil
		}
		if first && enough || at+n-pos > maxBytes {
			s.remember(b.BaseOffset(), at)
			break
		}
		at += n
	}
	return at - pos, nil
}

func (s *Segment) wrongEntry(e index.Offset) error {
	return fmt.Errorf("%w: %s: no batch ends at %d at position %d", ErrCorrupt, s.path(IndexSuffix), s.base+int64(e.Rel), e.Pos)
}

// remember keeps where a read was cut.
func (s *Segment) remember(base, pos int64) {
	s.mu.Lock()
	s.mu.hints.note(mark{base, pos}, hintMax)
	s.mu.Unlock()
}

// AppendTo appends the bytes of the file between two positions to dst.
func (s *Segment) AppendTo(dst []byte, pos, end int64) ([]byte, error) {
	if pos >= end {
		return dst, nil
	}
	f, err := s.log.Acquire()
	if err != nil {
		return dst, err
	}
	defer s.log.Release()
	at := len(dst)
	dst = slices.Grow(dst, int(end-pos))[:at+int(end-pos)]
	n, err := f.ReadAt(dst[at:], pos)
	if n < len(dst)-at {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return dst[:at], fmt.Errorf("read %d bytes at %d of %s: %w", end-pos, pos, s.Path(), err)
	}
	return dst, nil
}
