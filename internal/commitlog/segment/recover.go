package segment

import (
	"errors"
	"fmt"
	"io"

	"github.com/moldau/moldau/internal/commitlog/index"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// Result says what Recover did.
type Result struct {
	Scanned   int64 // bytes whose CRC was checked
	Truncated int64 // bytes cut off behind the last good batch
	Rebuilt   bool  // an index was missing or broken
}

// ErrDamaged says that a batch below the recovery point, which was synced once, is not there any more.
var ErrDamaged = errors.New("batch below the recovery point is damaged")

// Recover makes an opened segment the active one. The index is believed below the offset known, up to which it was once made durable;
// from there on batches are walked, shown to visit (a header; control batches whole), which may refuse one with ErrCorrupt, and entered into the indexes. At and above
// the recovery point each CRC is checked too, and the file is cut behind the last good batch.
func (s *Segment) Recover(fileSize, known, recoveryPoint int64, limits Limits, visit func(b record.Batch) error) (Result, error) {
	var r Result
	start, whole, err := s.recoverIndex(fileSize, known)
	if err != nil {
		return r, err
	}
	r.Rebuilt = !whole
	if err := s.recoverAborted(known); err != nil {
		return r, err
	}
	s.writer.reserved = 0
	end, err := s.scan(&r, start, fileSize, recoveryPoint, limits, visit)
	if err != nil {
		return r, err
	}
	s.active, s.mu.maxSet, s.mu.own = true, true, end
	s.checked.cut(end)
	s.backed.Store(end)
	r.Truncated = fileSize - end
	if r.Truncated > 0 {
		f, err := s.log.Acquire()
		if err != nil {
			return r, err
		}
		defer s.log.Release()
		if err := f.Truncate(end); err != nil {
			return r, err
		}
	} else {
		s.writer.reserved = end + 1 // blocks may be allocated behind the end since before; Trim must look
	}
	return r, nil
}

// scan walks the batches from position start to the end of the file.
func (s *Segment) scan(r *Result, start, fileSize, recoveryPoint int64, limits Limits, visit func(record.Batch) error) (end int64, err error) {
	w, err := s.walk(max(fileSize, 1))
	if err != nil {
		return 0, err
	}
	defer w.close()
	w.size = fileSize
	synced := max(recoveryPoint, s.synced)
	pos := start
	s.mu.size = start
	unchecked := int64(-1) // position of the batch before, where its CRC was not checked
	for last := int64(0); pos < fileSize; {
		if d, ok := s.damageAt(pos); ok { // Examine found it
			pos, last, unchecked = d.To, d.To-pos, -1
			s.mu.size, s.mu.end = d.To, d.Next
			continue
		}
		w.scanning(s.mu.end >= recoveryPoint, last)
		b, n, err := s.scanOne(w, pos, recoveryPoint)
		if err == nil && !s.examined && s.mu.end < synced && b.BaseOffset() > max(s.mu.end, s.base) && b.NextOffset() > synced {
			// What was synced does not end in a gap. If this base offset is wrong, all behind it would be taken for torn.
			err = fmt.Errorf("%w: %s at %d: base offset %d behind %d", ErrCorrupt, s.Path(), pos, b.BaseOffset(), s.mu.end)
		}
		if err == nil {
			err = visit(b)
		}
		if err != nil {
			if old := w.refuseLegacy(pos); old != nil {
				return 0, old
			}
			cut := errors.Is(err, io.ErrUnexpectedEOF)
			damaged := corrupt(err) && s.mu.end < synced && !(cut && s.examined)
			if corrupt(err) && !damaged && !s.examined && unchecked >= 0 {
				// If the batch before, which was synced, does not say rightly where it ends, what is behind it is not torn.
				_, wrong := (&surveyor{w: w}).at(unchecked)
				damaged = wrong != nil
			}
			if damaged {
				// Synced batches may lie behind this one, so the file is left as it is. Examine finds them.
				return 0, fmt.Errorf("recover offset %d, synced up to %d: %w: %w", s.mu.end, synced, ErrDamaged, err)
			}
			if cut || errors.Is(err, ErrCorrupt) {
				return pos, nil // torn: nothing lies behind
			}
			return 0, err
		}
		if b.BaseOffset() >= recoveryPoint {
			r.Scanned += n
		}
		s.noteLocked(b, pos, n, limits.IndexInterval)
		if unchecked = pos; b.NextOffset() > recoveryPoint {
			unchecked = -1
		}
		pos, last = pos+n, n
	}
	return pos, nil
}

// scanOne returns the batch at pos: whole if it is a control batch or its CRC was checked, else its header.
func (s *Segment) scanOne(w *walker, pos, recoveryPoint int64) (record.Batch, int64, error) {
	b, err := w.header(pos)
	if err != nil {
		return nil, 0, err
	}
	n := Length(b)
	// The first batch of a segment may begin below the base: a follower starts at the leader's log start, inside a batch.
	if s.mu.end > s.base && b.BaseOffset() < s.mu.end {
		return nil, 0, fmt.Errorf("%w: %s at %d: base offset %d below %d", ErrCorrupt, s.Path(), pos, b.BaseOffset(), s.mu.end)
	}
	check := b.NextOffset() > recoveryPoint
	if !check && !b.IsControl() {
		return b, n, nil
	}
	if b, err = w.batch(pos, n); err != nil {
		return nil, 0, err
	}
	if err := b.CheckCRC(); err != nil {
		return nil, 0, fmt.Errorf("%w: %s at %d: %w", ErrCorrupt, s.Path(), pos, err)
	}
	return b, n, nil
}

// recoverIndex reads the index files of the segment that becomes active and keeps what lies below the offset known. It returns the
// position from which batches must be walked, and whether the files were what they should be.
func (s *Segment) recoverIndex(fileSize, known int64) (start int64, whole bool, err error) {
	f, err := s.readIndexes(fileSize)
	if err != nil {
		return 0, false, err
	}
	offsets, times, whole := f.offsets, f.times, f.whole()
	keep := index.FloorOffset(offsets, known-1-s.base) + 1
	if keep > 0 {
		// What lies behind known may be torn. The last entries that are kept must fit the batches, and the time index must not
		// have ended before; else the indexes are wrong from some place on and all batches are walked.
		t := index.TimesUpTo(times, int64(offsets[keep-1].Rel))
		if !f.wholeTimes && t == len(times) || !s.pointsAt(offsets[keep-1], fileSize) || !s.timesHold(offsets[:keep], times[:t], fileSize) {
			keep, whole = 0, false
		}
	}
	s.mu.end, s.mu.max, s.writer.since = s.base, timeMark{NoTimestamp, s.base}, 0
	if keep > 0 {
		last := offsets[keep-1]
		start = int64(last.Pos)
		times = times[:index.TimesUpTo(times, int64(last.Rel))]
	} else {
		times = nil
	}
	s.mu.offsets, s.mu.times, s.mu.loaded = offsets[:keep:keep], times, true
	if k := len(times); k > 0 {
		s.mu.max = timeMark{times[k-1].Timestamp, s.base + int64(times[k-1].Rel)}
	}
	s.writer.offsetsFiled, s.writer.timesFiled, s.mu.filed = int32(keep), int32(len(times)), int32(keep)
	return start, whole, nil
}

// pointsAt says whether the batch that e names is where e says.
func (s *Segment) pointsAt(e index.Offset, fileSize int64) bool {
	w, err := s.walk(fileSize)
	if err != nil {
		return false
	}
	defer w.close()
	b, err := w.header(int64(e.Pos))
	return err == nil && b.LastOffset()-s.base == int64(e.Rel)
}

// indexFiles is the content of the two index files.
type indexFiles struct {
	offsets                  []index.Offset
	times                    []index.Time
	wholeOffsets, wholeTimes bool
	missing                  bool // one of them
}

func (f indexFiles) whole() bool { return f.wholeOffsets && f.wholeTimes && !f.missing }

// readIndexes reads the index files for a .log file of the given size. One that is missing is empty.
func (s *Segment) readIndexes(size int64) (f indexFiles, err error) {
	b, err := vfs.ReadFile(s.log.fs, s.path(IndexSuffix))
	f.missing = notExist(err)
	if err != nil && !f.missing {
		return f, err
	}
	f.offsets, f.wholeOffsets = index.DecodeOffsets(b, size)
	b, err = vfs.ReadFile(s.log.fs, s.path(TimeSuffix))
	if notExist(err) {
		f.missing, err = true, nil
	}
	if err != nil {
		return f, err
	}
	f.times, f.wholeTimes = index.DecodeTimes(b)
	return f, nil
}
