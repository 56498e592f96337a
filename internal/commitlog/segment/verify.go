package segment

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/moldau/moldau/internal/record"
)

// checked is what is known of the bytes that this process found in the file: from a reader's first look at a batch on, whether its CRC is
// right. What it wrote itself was checked when it came in.
type checked struct {
	mu   sync.Mutex
	runs []run // of good batches, in rising order, that do not touch
}

// run is a run of whole batches.
type run struct{ from, to int64 }

// checkedMax bounds how many runs a segment remembers. Readers who begin all over the place have some batches checked again.
const checkedMax = 64

// skip returns the end of the run that holds pos, or pos.
func (c *checked) skip(pos int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		if r.from <= pos && pos < r.to {
			return r.to
		}
	}
	return pos
}

func (c *checked) add(from, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := 0
	for at < len(c.runs) && c.runs[at].to < from {
		at++
	}
	end := at
	for end < len(c.runs) && c.runs[end].from <= to {
		from, to = min(from, c.runs[end].from), max(to, c.runs[end].to)
		end++
	}
	c.runs = slices.Replace(c.runs, at, end, run{from, to})
	if len(c.runs) <= checkedMax {
		return
	}
	least := 0
	for i, r := range c.runs {
		if r.to-r.from < c.runs[least].to-c.runs[least].from {
			least = i
		}
	}
	c.runs = slices.Delete(c.runs, least, least+1)
}

// cut forgets what lies from size on.
func (c *checked) cut(size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.runs) > 0 && c.runs[len(c.runs)-1].to > size {
		last := &c.runs[len(c.runs)-1]
		if last.to = size; last.from < size {
			return
		}
		c.runs = c.runs[:len(c.runs)-1]
	}
}

// verify returns the end of the good batches from pos on, at most to, which is where a batch ends. Each batch that this process did not
// write is read when it is asked for the first time: a disk may give back other bytes than it was given, and nobody is to get those. A
// first batch that is damaged is an error, which names file and position; one behind it is the next reader's.
func (s *Segment) verify(pos, to int64) (int64, error) {
	s.mu.RLock()
	own, size, last := s.mu.own, s.mu.size, s.mu.end
	s.mu.RUnlock()
	if pos >= own {
		return to, nil // as most reads are
	}
	start, end := pos, min(to, own)
	if pos = s.checked.skip(pos); pos >= end {
		return to, nil
	}
	w, err := s.walk(max(size, to))
	if err != nil {
		return 0, err
	}
	defer w.close()
	w.next = scanChunk
	first, next := pos, int64(-1)
	for pos < end {
		n, err := w.good(pos, next, last)
		if err != nil {
			if pos > first {
				s.checked.add(first, pos)
			}
			if pos > start {
				return pos, nil
			}
			return 0, err
		}
		next, pos = n.next, pos+n.bytes
		if skipped := s.checked.skip(pos); skipped > pos {
			s.checked.add(first, skipped)
			first, pos, next = skipped, skipped, -1
		}
	}
	s.checked.add(first, min(pos, end))
	return to, nil
}

// goodBatch is a batch that was checked: its size, and the offset after it.
type goodBatch struct{ bytes, next int64 }

// good checks the batch at pos. The CRC does not cover the base offset: that must not be below least, where the batch before ended, nor
// the batch reach into the next one, or beyond the segment's end.
func (w *walker) good(pos, least, end int64) (goodBatch, error) {
	h, err := w.header(pos)
	if err != nil {
		return goodBatch{}, err
	}
	n, base, next := Length(h), h.BaseOffset(), h.NextOffset()
	h = append(make(record.Batch, 0, record.HeaderSize), h...) // what follows reads on
	// A length may be wrong by a bit, too, and say that the batch takes the rest of the file.
	err = h.CheckCRCOf(n, scanChunk, func(at, n int64) ([]byte, error) { return w.bytes(pos+at, n) })
	if errors.Is(err, record.ErrCorrupt) {
		err = fmt.Errorf("%w: %s at %d, offset %d: %w", ErrCorrupt, w.s.Path(), pos, base, err)
	}
	if err != nil {
		return goodBatch{}, err
	}
	if d, ok := w.s.damageAt(pos + n); ok {
		end = d.Next
	} else if behind, err := w.look(pos + n); err == nil {
		end = behind.BaseOffset()
	}
	if base < least || next > end {
		return goodBatch{}, fmt.Errorf("%w: %s at %d: %w: offsets %d to %d between %d and %d", ErrCorrupt, w.s.Path(), pos, record.ErrCorrupt,
			base, next-1, max(least, w.s.base), end)
	}
	return goodBatch{n, next}, nil
}
