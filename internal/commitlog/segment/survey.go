package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/moldau/moldau/internal/commitlog/index"
	"github.com/moldau/moldau/internal/record"
)

// anyOffset bounds the offsets of a segment whose end is not known.
const anyOffset = math.MaxInt64

// surveyor goes through the batches of a file and finds its way again behind damage.
type surveyor struct {
	w       *walker
	end     int64          // no batch ends above
	ends    int64          // where the last one is thought to end
	anchors []index.Offset // where the index says that batches begin
	visit   func(h record.Batch, pos, n int64)
	pace    func(bytes int64) error
	paid    int64 // up to this position

	last    sound // in order, and not visited yet: what follows may show that it is not what it was
	has     bool
	least   int64 // end of what was visited
	open    bool  // the last damage waits for the batch behind it
	damages []Damage
}

// sound is a batch whose CRC is right.
type sound struct {
	head       [record.HeaderSize]byte
	pos, n     int64
	base, next int64
	joins      bool // it begins where the one before ends
}

func (b *sound) to() int64 { return b.pos + b.n }

// newSurveyor returns one for the file of the segment, which is of the given size and ends at offset end. Its walker must be closed.
func (s *Segment) newSurveyor(size, end int64) (*surveyor, error) {
	s.mu.RLock()
	anchors, loaded := s.mu.offsets, s.mu.loaded
	s.mu.RUnlock()
	if !loaded {
		f, err := s.readIndexes(size)
		if err != nil {
			return nil, err
		}
		anchors = f.offsets
	}
	w, err := s.walk(size)
	if err != nil {
		return nil, err
	}
	w.next = scanChunk
	return &surveyor{w: w, end: end, anchors: anchors, least: s.base}, nil
}

// run looks through the file.
func (v *surveyor) run() error {
	pos := int64(0)
	for pos < v.w.size {
		if err := v.pay(pos); err != nil {
			return err
		}
		b, err := v.at(pos)
		switch {
		case err == nil && b.next > v.end:
			err = fmt.Errorf("offsets %d to %d, the segment ends at %d", b.base, b.next-1, v.end)
			v.lose(pos, b.to(), v.floor(), err)
			pos = b.to()
		case err == nil:
			v.take(b)
			pos = b.to()
		case corrupt(err):
			to, resyncErr := v.resync(pos)
			if resyncErr != nil {
				return resyncErr
			}
			v.lose(pos, to, v.floor(), err)
			pos = to
		default:
			return err
		}
	}
	if v.has && v.ends > 0 && v.last.next > v.ends && !v.last.joins && !v.open {
		last := v.last
		v.has = false
		v.lose(last.pos, last.to(), v.least, fmt.Errorf("offsets %d to %d, the log ended at %d", last.base, last.next-1, v.ends))
	}
	v.settle()
	if v.open {
		v.damages[len(v.damages)-1].Next = v.end
	}
	return v.pay(pos)
}

// pay tells of what was read, when it is worth it.
func (v *surveyor) pay(pos int64) error {
	if v.pace == nil || pos-v.paid < scanChunk && pos < v.w.size {
		return nil
	}
	n := pos - v.paid
	v.paid = pos
	return v.pace(n)
}

// at returns the batch at pos if its CRC is right.
func (v *surveyor) at(pos int64) (b sound, err error) {
	h, err := v.w.look(pos)
	if err != nil {
		return b, err
	}
	copy(b.head[:], h)
	head := record.Batch(b.head[:])
	b.pos, b.n, b.base, b.next = pos, Length(h), head.BaseOffset(), head.NextOffset()
	return b, head.CheckCRCOf(b.n, scanChunk, func(at, n int64) ([]byte, error) { return v.w.bytes(pos+at, n) })
}

// floor is the least offset that what follows may have.
func (v *surveyor) floor() int64 {
	if v.has {
		return v.last.next
	}
	return v.least
}

// take takes a batch whose CRC is right. That does not cover the base offset: where a batch begins below the end of the one before, one of
// them is wrong. It is the one that does not join its other neighbour; both where that does not tell, as between gaps that compaction left.
func (v *surveyor) take(b sound) {
	first := !v.has && len(v.damages) == 0
	if first || b.base >= v.floor() { // the first batch may begin below the base: a follower starts inside a batch
		b.joins = b.base == v.floor() && !v.open
		v.settle()
		v.close(b.base)
		v.last, v.has = b, true
		return
	}
	err := fmt.Errorf("base offset %d below %d", b.base, v.floor())
	joins := v.joinsNext(&b)
	switch {
	case v.has && !v.open && joins && !v.last.joins && b.base >= v.least:
		last := v.last
		v.has = false
		v.lose(last.pos, last.to(), v.least, fmt.Errorf("base offset %d, and %d behind it", last.base, b.base))
		v.close(b.base)
		v.last, v.has = b, true
	case v.has && v.last.joins && !joins || !v.has:
		v.lose(b.pos, b.to(), v.floor(), err)
	default:
		last := v.last
		v.has = false
		if v.open {
			v.damages[len(v.damages)-1].To = b.to()
			v.damages[len(v.damages)-1].From = min(v.damages[len(v.damages)-1].From, last.pos)
			v.damages[len(v.damages)-1].First = v.least
			return
		}
		v.lose(last.pos, b.to(), v.least, err)
	}
}

// joinsNext says whether the batch behind b begins where b ends, or b ends the segment.
func (v *surveyor) joinsNext(b *sound) bool {
	if b.to() == v.w.size {
		return b.next == v.end || b.next == v.ends
	}
	h, err := v.w.look(b.to())
	return err == nil && h.BaseOffset() == b.next
}

// settle shows the last batch, which is good, to who asked.
func (v *surveyor) settle() {
	if !v.has {
		return
	}
	if v.visit != nil {
		v.visit(record.Batch(v.last.head[:]), v.last.pos, v.last.n)
	}
	v.least, v.has = v.last.next, false
}

// lose notes damage; what touches is one.
func (v *surveyor) lose(from, to, first int64, why error) {
	if k := len(v.damages); v.open && v.damages[k-1].To == from {
		v.damages[k-1].To = to
		return
	}
	v.damages = append(v.damages, Damage{From: from, To: to, First: first, Why: why})
	v.open = true
}

// close says where the batch behind the last damage begins.
func (v *surveyor) close(base int64) {
	if v.open {
		v.damages[len(v.damages)-1].Next = base
		v.open = false
	}
}

// resync returns where the next good batch behind pos begins, or the size of the file. It asks the index and the damaged batch itself,
// and looks at each byte before what these say for one that begins earlier.
func (v *surveyor) resync(pos int64) (int64, error) {
	least := v.floor()
	to, bound := v.w.size, v.end
	accept := func(at int64) (sound, bool, error) {
		b, err := v.at(at)
		switch {
		case err == nil:
			return b, b.base >= least && b.next <= bound, nil
		case corrupt(err):
			return b, false, nil
		}
		return b, false, err
	}
	for _, e := range v.anchors[index.FloorPos(v.anchors, pos)+1:] {
		b, ok, err := accept(int64(e.Pos))
		if err != nil {
			return 0, err
		}
		if ok && b.next-1-v.w.s.base == int64(e.Rel) {
			to, bound = int64(e.Pos), b.base
			break
		}
	}
	said, next, err := v.said(pos)
	if err != nil {
		return 0, err
	}
	if said == v.w.size && to == said && next == bound {
		return said, nil
	}
	if said > pos && said < to {
		b, ok, err := accept(said)
		if err != nil {
			return 0, err
		}
		if ok && b.base == next {
			return said, nil // header and neighbour agree on how far the damaged batch reaches
		}
		if ok {
			to, bound = said, b.base
		}
	} else if said == to && next == bound {
		return said, nil
	}
	return v.search(pos+1, to, least, bound)
}

// said is where the batch at pos says that it ends, and the offset behind it; 0 and -1 where that cannot be.
func (v *surveyor) said(pos int64) (to, next int64, err error) {
	if v.w.size-pos < record.HeaderSize {
		return 0, -1, nil
	}
	h, err := v.w.bytes(pos, record.HeaderSize)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, -1, nil // the file is shorter than it was
	}
	if err != nil {
		return 0, -1, err
	}
	b, n := record.Batch(h), Length(h)
	if n < record.HeaderSize || n > v.w.size-pos {
		return 0, -1, nil
	}
	if b.BaseOffset() < v.floor() || b.LastOffsetDelta() < 0 || b.BaseOffset() > math.MaxInt64-math.MaxInt32 {
		return pos + n, -1, nil
	}
	return pos + n, b.NextOffset(), nil
}

// endsAt says whether the batch from pos on is whole if it ends at to, whatever it says of its length itself: no CRC covers that.
func (v *surveyor) endsAt(pos, to int64) bool {
	if to-pos < record.HeaderSize {
		return false
	}
	h, err := v.w.bytes(pos, record.HeaderSize)
	if err != nil {
		return false
	}
	h = bytes.Clone(h) // what follows reads on
	return record.Batch(h).CheckCRCOf(to-pos, scanChunk, func(at, n int64) ([]byte, error) { return v.w.bytes(pos+at, n) }) == nil
}

// search looks at each byte from pos on for a good batch with offsets from least on and below bound, that does not reach beyond the position
// to. What it spends on CRCs is bounded, whatever the bytes look like.
func (v *surveyor) search(pos, to, least, bound int64) (int64, error) {
	const back = record.HeaderSize - 1
	buf := make([]byte, min(scanChunk, to-pos))
	budget := 4*(to-pos) + 16<<20
	for pos+record.HeaderSize <= to {
		n := min(int64(len(buf)), to-pos)
		if got, err := v.w.f.ReadAt(buf[:n], pos); int64(got) < n {
			if err == nil || err == io.EOF {
				return v.w.size, nil // the file is shorter than it was
			}
			return 0, fmt.Errorf("read %d bytes at %d of %s: %w", n, pos, v.w.s.Path(), err)
		}
		for i := 0; i+record.HeaderSize <= int(n); i++ {
			k := bytes.IndexByte(buf[i+magicAt:n], 2)
			if k < 0 || i+k+record.HeaderSize > int(n) {
				break
			}
			i += k
			h := record.Batch(buf[i : i+record.HeaderSize])
			at, size := pos+int64(i), Length(h)
			if size < record.HeaderSize || size > to-at || h.LastOffsetDelta() < 0 || h.BaseOffset() < least || h.BaseOffset() >= bound || h.NextOffset() > bound {
				continue
			}
			if budget -= size; budget < 0 {
				return to, nil
			}
			if _, err := v.at(at); err == nil {
				return at, nil
			}
		}
		if n <= back {
			break
		}
		pos += n - back
		if err := v.pay(pos); err != nil {
			return 0, err
		}
	}
	return to, nil
}

// magicAt is where a batch has its magic byte.
const magicAt = 16

// contentEnd returns where the zeros begin that the damage ends with.
func (v *surveyor) contentEnd(d Damage) (int64, error) {
	to := d.To
	for to > d.From {
		n := min(searchChunk, to-d.From)
		b, err := v.w.bytes(to-n, n)
		if err != nil {
			return 0, err
		}
		if rest := bytes.TrimRight(b, "\x00"); len(rest) > 0 {
			return to - n + int64(len(rest)), nil
		}
		to -= n
	}
	return d.From, nil
}
