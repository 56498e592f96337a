package segment

import (
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/index"
	"github.com/moldau/moldau/internal/vfs"
)

// writeBehind is how many index entries may wait in memory before they are written, so that one write carries some KiB.
const writeBehind = 512

// IndexesWait says that enough entries wait in memory to be worth WriteIndexes.
func (s *Segment) IndexesWait() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.mu.offsets)-int(s.writer.offsetsFiled) >= writeBehind
}

// WriteIndexes writes the entries that the index files lack. With final it first adds the largest timestamp to the time index and
// makes sure that both files exist, as Kafka does when it closes a segment.
func (s *Segment) WriteIndexes(final bool) error {
	s.mu.Lock()
	if final {
		s.noteTimeLocked()
	}
	if s.mu.refile {
		s.writer.offsetsFiled, s.writer.timesFiled, s.mu.refile = 0, 0, false
	}
	offsets, times := s.mu.offsets, s.mu.times // entries are never changed in place
	s.mu.Unlock()
	if k := int(s.writer.offsetsFiled); final || k < len(offsets) {
		b := index.AppendOffsets(nil, offsets[k:])
		if err := s.writeFrom(IndexSuffix, int64(k)*index.OffsetSize, b); err != nil {
			return err
		}
		s.writer.offsetsFiled = int32(len(offsets))
	}
	if k := int(s.writer.timesFiled); final || k < len(times) {
		b := index.AppendTimes(nil, times[k:])
		if err := s.writeFrom(TimeSuffix, int64(k)*index.TimeSize, b); err != nil {
			return err
		}
		s.writer.timesFiled = int32(len(times))
	}
	return s.writeAborted()
}

// writeFrom makes b the content of a file of this segment from off to the end.
func (s *Segment) writeFrom(suffix string, off int64, b []byte) error {
	path := s.path(suffix)
	f, err := s.log.cache.openFile(s.log.fs, path, vfs.ReadWrite|vfs.Create, 0o644)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil && size > off {
		err = f.Truncate(off)
	}
	if err == nil && size < off {
		err = fmt.Errorf("write %s at %d: %w: it has %d bytes", path, off, ErrCorrupt, size)
	}
	if err == nil && len(b) > 0 {
		_, err = f.WriteAt(b, off)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// SyncIndexes makes what WriteIndexes wrote durable. It takes no lock.
func (s *Segment) SyncIndexes() error {
	for _, suffix := range []string{IndexSuffix, TimeSuffix, AbortedSuffix} {
		f, err := s.log.cache.openFile(s.log.fs, s.path(suffix), vfs.ReadWrite, 0)
		if notExist(err) {
			continue // no entry yet, or the segment is gone
		}
		if err != nil {
			return err
		}
		err = f.Datasync()
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// load brings the indexes of an old segment into memory.
func (s *Segment) load() error {
	s.mu.RLock()
	loaded, active, size, cuts := s.mu.loaded, s.active, s.mu.size, s.mu.cuts
	s.mu.RUnlock()
	if active {
		return nil
	}
	if loaded {
		s.log.cache.touchIndex(s, 0)
		return nil
	}
	f, err := s.readIndexes(size)
	if err != nil {
		return err
	}
	if !f.whole() || s.short(f.offsets, size) || !s.timesHold(f.offsets, f.times, size) {
		return s.rebuild()
	}
	s.setIndex(f.offsets, f.times, len(f.offsets), cuts)
	return nil
}

// timesHold compares the time index with two batches: the one of its last entry, and the one of the last offset entry, which must not
// have a larger timestamp. A time index that lost its end fails, unless timestamps fall along the log.
func (s *Segment) timesHold(offsets []index.Offset, times []index.Time, size int64) bool {
	if size == 0 {
		return len(times) == 0
	}
	w, err := s.walk(size)
	if err != nil {
		return false
	}
	defer w.close()
	last, pos := index.Time{Timestamp: NoTimestamp}, int64(0)
	if k := len(times); k > 0 {
		last = times[k-1]
	}
	if k := len(offsets); k > 0 {
		pos = int64(offsets[k-1].Pos)
	}
	if b, err := w.header(pos); err != nil || b.MaxTimestamp() > last.Timestamp {
		return false
	}
	pos = 0
	if i := index.FloorOffset(offsets, int64(last.Rel)); i >= 0 {
		pos = int64(offsets[i].Pos)
	}
	return last.Timestamp == NoTimestamp || s.hasTime(w, pos, last)
}

// hasTime says whether the batch that e names, which begins at pos or behind, has e's timestamp.
func (s *Segment) hasTime(w *walker, pos int64, e index.Time) bool {
	for pos < w.size {
		b, err := w.header(pos)
		if err != nil {
			return false
		}
		if rel := b.LastOffset() - s.base; rel >= int64(e.Rel) {
			return rel == int64(e.Rel) && b.MaxTimestamp() == e.Timestamp
		}
		pos += Length(b)
	}
	return false
}

// shortIndex is how much of the log may lie behind the last index entry before the index is taken for cut. A large batch or a
// large index interval costs a rebuild for nothing, which looks at headers only.
const shortIndex = 1 << 20

func (s *Segment) short(offsets []index.Offset, size int64) bool {
	last := int64(0)
	if k := len(offsets); k > 0 {
		last = int64(offsets[k-1].Pos)
	}
	return size-last > shortIndex
}

// setIndex takes over the index of an old segment, unless it was cut since so many cuts; filed entries of it come from the file.
func (s *Segment) setIndex(offsets []index.Offset, times []index.Time, filed int, cuts int32) {
	s.mu.Lock()
	if s.active || s.mu.cuts != cuts {
		s.mu.Unlock()
		return
	}
	s.mu.offsets, s.mu.times, s.mu.loaded, s.mu.filed = offsets, times, true, int32(filed)
	s.setMaxLocked(times)
	bytes := s.indexBytesLocked()
	s.mu.Unlock()
	s.log.cache.touchIndex(s, bytes)
}

// setMaxLocked takes the largest timestamp of an old segment from its last time entry.
func (s *Segment) setMaxLocked(times []index.Time) {
	if !s.mu.maxSet {
		s.mu.max, s.mu.maxSet = timeMark{NoTimestamp, s.base}, true
		if k := len(times); k > 0 {
			s.mu.max = timeMark{times[k-1].Timestamp, s.base + int64(times[k-1].Rel)}
		}
	}
}

// dropIndex forgets the loaded index of an old segment; the cache calls it.
func (s *Segment) dropIndex() {
	s.mu.Lock()
	if !s.active && !s.mu.pinned {
		s.mu.offsets, s.mu.times, s.mu.loaded = nil, nil, false
	}
	s.mu.Unlock()
}

// rebuildInterval is the index interval of rebuilt indexes: Kafka's default. The topic's may differ, which only makes searches a
// little longer or shorter.
const rebuildInterval = 4096

// rebuild makes the indexes anew from the headers in the .log file. The files stay as they are: a reader is no reason to write. Those of
// an active segment are written from the start the next time.
func (s *Segment) rebuild() error {
	fresh, cuts, err := s.remake()
	if err != nil {
		return err
	}
	s.replaceIndex(fresh, cuts)
	return nil
}

// replaceIndex takes over the index that was made when the segment had been cut so often. Where it was cut since, the caller tries again.
func (s *Segment) replaceIndex(fresh *Segment, cuts int32) {
	s.mu.Lock()
	if s.mu.cuts == cuts && !s.active {
		s.mu.maxSet = false
		s.mu.Unlock()
		s.setIndex(fresh.mu.offsets, fresh.mu.times, 0, cuts)
		return
	}
	defer s.mu.Unlock()
	if s.mu.cuts == cuts {
		k := index.FloorPos(s.mu.offsets, fresh.mu.size-1) + 1
		t := index.FloorTime(s.mu.times, fresh.mu.max.timestamp) + 1
		s.mu.offsets = append(fresh.mu.offsets, s.mu.offsets[k:]...)
		s.mu.times = append(fresh.mu.times, s.mu.times[t:]...)
		s.mu.filed, s.mu.refile = 0, true
	}
}

// Rebuild makes the indexes of an old segment anew, and their files.
func (s *Segment) Rebuild() error {
	fresh, cuts, err := s.remake()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.mu.maxSet = false
	s.mu.Unlock()
	s.setIndex(fresh.mu.offsets, fresh.mu.times, 0, cuts)
	return fresh.WriteIndexes(true)
}

// remake makes the indexes of the batches that are found, and says how often the segment had been cut when it began.
func (s *Segment) remake() (fresh *Segment, cuts int32, err error) {
	if fresh, cuts, err = s.remakeOnce(); errors.Is(err, ErrCorrupt) {
		s.survey()
		fresh, cuts, err = s.remakeOnce()
	}
	return fresh, cuts, err
}

func (s *Segment) remakeOnce() (fresh *Segment, cuts int32, err error) {
	fresh = newSegment(s.log.cache, s.log.fs, s.dir, s.base)
	s.mu.RLock()
	size, cuts := s.mu.size, s.mu.cuts
	s.mu.RUnlock()
	if size == 0 {
		return fresh, cuts, nil
	}
	w, err := s.walk(size)
	if err != nil {
		return nil, 0, err
	}
	defer w.close()
	for pos, last := int64(0), int64(0); pos < size; pos += last {
		if d, ok := s.damageAt(pos); ok {
			fresh.mu.size, fresh.mu.end = d.To, d.Next
			last = d.To - pos
			continue
		}
		w.scanning(false, last)
		b, err := w.header(pos)
		if err == nil && pos > 0 && b.BaseOffset() < fresh.mu.end {
			err = w.disordered(pos, b.BaseOffset(), fresh.mu.end)
		}
		if err != nil {
			return nil, 0, err
		}
		last = Length(b)
		fresh.noteLocked(b, pos, last, rebuildInterval)
	}
	fresh.noteTimeLocked()
	return fresh, cuts, nil
}

// Check says whether the index files of an old segment are there with a plausible size; it costs two calls of stat. Recovery
// rebuilds at once what is missing, so that a directory is complete for other tools.
func (s *Segment) Check(sizes map[string]int64) bool {
	offsets, ok := sizes[Name(s.base, IndexSuffix)]
	times, ok2 := sizes[Name(s.base, TimeSuffix)]
	return ok && ok2 && offsets%index.OffsetSize == 0 && times%index.TimeSize == 0 && (s.mu.size == 0 || times > 0 || offsets == 0)
}

// Forget takes everything from the first batch that ends above offset out of an active segment: readers do not find it any more.
// Shorten then makes the file as short. The segment ends with its last batch, or at its base.
func (s *Segment) Forget(offset int64) (end int64, err error) {
	pos, ok, err := s.Find(offset)
	if isDamage(err) { // all of what is damaged goes
		ok, err = true, nil
	}
	if err != nil {
		return 0, err
	}
	if !ok {
		return s.End(), nil
	}
	s.mu.Lock()
	s.mu.cuts++
	s.cutDamagesLocked(pos)
	keep := index.FloorPos(s.mu.offsets, pos-1) + 1
	start := int64(0)
	times := 0
	if keep > 0 {
		last := s.mu.offsets[keep-1]
		start, times = int64(last.Pos), index.TimesUpTo(s.mu.times, int64(last.Rel))
	}
	s.mu.offsets, s.mu.times = s.mu.offsets[:keep:keep], s.mu.times[:times:times]
	s.mu.size, s.mu.end, s.mu.filed = pos, s.base, min(s.mu.filed, int32(keep))
	s.mu.recent.clear()
	s.mu.hints.clear()
	s.mu.own = min(s.mu.own, pos)
	s.checked.cut(s.mu.own)
	s.mu.firstSet = s.mu.firstSet && pos > 0
	s.mu.max, s.mu.maxSet = timeMark{NoTimestamp, s.base}, true
	if times > 0 {
		s.mu.max = timeMark{s.mu.times[times-1].Timestamp, s.base + int64(s.mu.times[times-1].Rel)}
	}
	s.mu.Unlock()
	s.writer.offsetsFiled, s.writer.timesFiled = min(s.writer.offsetsFiled, int32(keep)), min(s.writer.timesFiled, int32(times))
	s.writer.since = pos - start
	s.backed.Store(min(s.backed.Load(), pos))
	s.writer.firstSet = s.writer.firstSet && pos > 0
	if err := s.finishTail(start); err != nil {
		return 0, err
	}
	end = s.End()
	s.truncateAborted(end)
	return end, nil
}

// Shorten makes the file end with the last batch, durably.
func (s *Segment) Shorten() error {
	f, err := s.log.Acquire()
	if err != nil {
		return err
	}
	defer s.log.Release()
	size := s.Size()
	if err := f.Truncate(size); err != nil {
		return err
	}
	s.writer.reserved, s.writer.step = size, 0
	return f.Datasync()
}

// finishTail takes the end and the largest timestamp from the batches behind start, the last index entry.
func (s *Segment) finishTail(start int64) error {
	size := s.Size()
	if start >= size {
		return nil
	}
	w, err := s.walk(size)
	if err != nil {
		return err
	}
	defer w.close()
	for pos := start; pos < size; {
		b, err := w.header(pos)
		if d, ok := s.passes(err, pos); ok {
			s.mu.Lock()
			s.mu.end = d.Next
			s.mu.Unlock()
			pos = d.To
			continue
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		if ts := b.MaxTimestamp(); ts > s.mu.max.timestamp {
			s.mu.max = timeMark{ts, b.LastOffset()}
		}
		s.mu.end = b.NextOffset()
		s.mu.Unlock()
		pos += Length(b)
	}
	return nil
}

// Reactivate makes the last old segment the active one again, after the newer ones were cut off.
func (s *Segment) Reactivate() error {
	if s.active {
		return nil
	}
	if err := s.load(); err != nil {
		return err
	}
	if _, err := s.maxTimestamp(); err != nil {
		return err
	}
	if err := s.loadAborted(); err != nil {
		return err
	}
	s.log.cache.forgetIndex(s)
	if err := s.reactivate(); err != nil {
		return err
	}
	start := int64(0)
	s.mu.Lock()
	if k := len(s.mu.offsets); k > 0 {
		start = int64(s.mu.offsets[k-1].Pos)
	}
	s.mu.end = s.base // until now it was the base of the next segment
	s.mu.Unlock()
	return s.finishTail(start)
}

func (s *Segment) reactivate() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.loaded { // the cache dropped it meanwhile; it cannot any more
		return fmt.Errorf("reactivate %s: %w: index was dropped", s.Path(), ErrCorrupt)
	}
	s.active = true
	s.writer.offsetsFiled, s.writer.timesFiled = int32(len(s.mu.offsets)), int32(len(s.mu.times))
	s.backed.Store(s.mu.size)
	s.writer.reserved = s.mu.size
	s.writer.since = s.mu.size
	if k := len(s.mu.offsets); k > 0 {
		s.writer.since -= int64(s.mu.offsets[k-1].Pos)
	}
	return nil
}
