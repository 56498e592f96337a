package segment

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/moldau/moldau/internal/commitlog/index"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// MaxTimestamp returns the largest timestamp of the segment, NoTimestamp if it has none.
func (s *Segment) MaxTimestamp() (int64, error) {
	m, err := s.maxTimestamp()
	return m.timestamp, err
}

func (s *Segment) maxTimestamp() (timeMark, error) {
	s.mu.RLock()
	m, set, size := s.mu.max, s.mu.maxSet, s.mu.size
	s.mu.RUnlock()
	if set || size == 0 {
		return m, nil
	}
	if m, ok := s.lastTime(); ok {
		s.mu.Lock()
		s.mu.max, s.mu.maxSet = m, true
		s.mu.Unlock()
		return m, nil
	}
	if err := s.load(); err != nil {
		return m, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.max, nil
}

// lastTime reads the last entry of the time index without loading the indexes, since retention asks every segment for it. It believes
// the entry if its batch says the same and the last batch in the offset index is not younger; ok is false otherwise.
func (s *Segment) lastTime() (m timeMark, ok bool) {
	last, ok := s.entryOnDisk(TimeSuffix, index.TimeSize, func([]byte) bool { return true })
	if !ok {
		return m, false
	}
	times, _ := index.DecodeTimes(last)
	if len(times) != 1 {
		return m, false
	}
	e := times[0]
	w, err := s.walk(0)
	if err != nil {
		return m, false
	}
	defer w.close()
	pos, ok := s.positionOnDisk(math.MaxInt32)
	if !ok {
		return m, false
	}
	if b, err := w.header(pos); err != nil || b.MaxTimestamp() > e.Timestamp {
		return m, false
	}
	if pos, ok = s.positionOnDisk(int64(e.Rel)); !ok || !s.hasTime(w, pos, e) {
		return m, false
	}
	return timeMark{e.Timestamp, s.base + int64(e.Rel)}, true
}

// positionOnDisk returns the position in the last entry of the offset index with Rel <= rel; 0 if there is no such entry.
func (s *Segment) positionOnDisk(rel int64) (pos int64, ok bool) {
	entry, ok := s.entryOnDisk(IndexSuffix, index.OffsetSize, func(b []byte) bool { return int64(binary.BigEndian.Uint32(b)) <= rel })
	if !ok || entry == nil {
		return 0, ok
	}
	return int64(binary.BigEndian.Uint32(entry[4:])), true
}

// entryOnDisk returns the last entry of an index file for which take is true, as it is for all before; nil if there is none. ok is
// false when the file cannot be read or its size is odd.
func (s *Segment) entryOnDisk(suffix string, size int64, take func(b []byte) bool) (entry []byte, ok bool) {
	f, err := s.log.cache.openFile(s.log.fs, s.path(suffix), vfs.ReadOnly, 0)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	length, err := f.Size()
	if err != nil || length%size != 0 {
		return nil, false
	}
	entry = make([]byte, size)
	low, high := int64(0), length/size // take is true below low, false from high on
	for low < high {
		at := (low + high) / 2
		if got, _ := f.ReadAt(entry, at*size); int64(got) < size {
			return nil, false
		}
		if take(entry) {
			low = at + 1
		} else {
			high = at
		}
	}
	if low == 0 {
		return nil, true
	}
	got, _ := f.ReadAt(entry, (low-1)*size)
	return entry, int64(got) == size
}

// FindTime returns the position of the first batch, of those that end above from, whose largest timestamp is at least ts; ok is
// false when the segment has none.
func (s *Segment) FindTime(ts, from int64) (pos int64, ok bool, err error) {
	pos, ok, err = s.findTime(ts, from)
	if again, fatal := s.mended(err); again {
		pos, ok, err = s.findTime(ts, from)
	} else if fatal != nil {
		err = fatal
	}
	return pos, ok, err
}

func (s *Segment) findTime(ts, from int64) (int64, bool, error) {
	if err := s.load(); err != nil {
		return 0, false, err
	}
	s.mu.RLock()
	size := s.mu.size
	floor, found := index.Time{}, false
	if i := index.FloorTime(s.mu.times, ts-1); i >= 0 {
		floor, found = s.mu.times[i], true
	}
	s.mu.RUnlock()
	start := max(s.base, from)
	if found {
		// No batch up to this entry has a timestamp of ts or more. The entry is believed if its batch says the same.
		pos, ok, err := s.find(s.base + int64(floor.Rel))
		if err != nil {
			return 0, false, err
		}
		b, err := s.headerIf(ok, pos)
		if err != nil {
			return 0, false, err
		}
		if b == nil || b.MaxTimestamp() != floor.Timestamp {
			return 0, false, fmt.Errorf("%w: %s: no batch has timestamp %d at offset %d", ErrCorrupt, s.path(TimeSuffix), floor.Timestamp, s.base+int64(floor.Rel))
		}
		start = max(start, s.base+int64(floor.Rel))
	}
	pos, ok, err := s.find(start)
	if isDamage(err) { // its records are not found by their time either
		ok, err = true, nil
	}
	if !ok || err != nil {
		return 0, false, err
	}
	w, err := s.walk(size)
	if err != nil {
		return 0, false, err
	}
	defer w.close()
	for pos < size {
		b, err := w.header(pos)
		if d, ok := s.passes(err, pos); ok {
			pos = d.To
			continue
		}
		if err != nil {
			return 0, false, err
		}
		if b.MaxTimestamp() >= ts {
			return pos, true, nil
		}
		pos += Length(b)
	}
	return 0, false, nil
}

func (s *Segment) headerIf(ok bool, pos int64) (record.Batch, error) {
	if !ok {
		return nil, nil
	}
	return s.header(pos)
}

// Batch reads the whole batch at pos; next is the position behind it. ok is false at the end.
func (s *Segment) Batch(pos int64) (b record.Batch, next int64, ok bool, err error) {
	size := s.Size()
	if pos >= size {
		return nil, pos, false, nil
	}
	w, err := s.walk(size)
	if err != nil {
		return nil, 0, false, err
	}
	defer w.close()
	h, err := w.header(pos)
	if d, ok := s.passes(err, pos); ok {
		return s.Batch(d.To)
	}
	if err != nil {
		return nil, 0, false, err
	}
	n := Length(h)
	whole, err := w.batch(pos, n)
	if err != nil {
		return nil, 0, false, err
	}
	return append(record.Batch(nil), whole...), pos + n, true, nil
}

// Headers shows visit the header of each batch from the first that ends above from, until it says no. What is damaged is passed over.
func (s *Segment) Headers(from int64, visit func(b record.Batch, pos int64) bool) error {
	pos, ok, err := s.Find(from)
	if isDamage(err) {
		ok, err = true, nil
	}
	if !ok || err != nil {
		return err
	}
	size := s.Size()
	w, err := s.walk(size)
	if err != nil {
		return err
	}
	defer w.close()
	for last := int64(0); pos < size; pos += last {
		w.scanning(false, last)
		b, err := w.header(pos)
		if d, ok := s.passes(err, pos); ok {
			last = d.To - pos
			continue
		}
		if err != nil {
			return err
		}
		last = Length(b)
		if b.IsControl() {
			if b, err = w.batch(pos, last); err != nil {
				return err
			}
		}
		if !visit(b, pos) {
			return nil
		}
	}
	return nil
}

// HeaderAt returns the header of the batch at pos; ok is false at the end.
func (s *Segment) HeaderAt(pos int64) (b record.Batch, ok bool, err error) {
	if pos >= s.Size() {
		return nil, false, nil
	}
	b, err = s.header(pos)
	return b, err == nil, err
}

// OffsetBefore returns an offset whose batch lies n bytes before the first batch that ends above offset, or somewhat more, or the base where the segment has less; left is what
// that lacks of n.
func (s *Segment) OffsetBefore(offset, n int64) (from, left int64, err error) {
	pos, ok, err := s.Find(offset)
	if err != nil {
		return 0, 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !ok {
		pos = s.mu.size
	}
	if i := index.FloorPos(s.mu.offsets, pos-n); i >= 0 {
		return s.base + int64(s.mu.offsets[i].Rel), 0, nil
	}
	return s.base, max(n-pos, 0), nil
}
