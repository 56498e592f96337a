package segment

import (
	"fmt"
	"path/filepath"

	"github.com/moldau/moldau/internal/commitlog/index"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// Suffixes behind the names of files that a cleaning makes. Frozen: they are Kafka's, and so is their meaning for a start: what ends in
// .cleaned was not finished and goes; what ends in .swap is whole and takes the place of what it was made of.
const (
	CleanedSuffix = ".cleaned"
	SwapSuffix    = ".swap"
)

// Suffixes are those of a segment's files. The .log file is the first where files go, since once it is gone the others belong to
// nothing.
var Suffixes = []string{LogSuffix, IndexSuffix, TimeSuffix, AbortedSuffix}

// CreateCleaned makes a segment for what a cleaning leaves, whose files end in .cleaned until Move gives them other names. Nobody may
// read it before Move gave them their own. What is left of an earlier attempt is overwritten.
func CreateCleaned(cache *FileCache, fsys vfs.FS, dir Dir, base int64) (*Segment, error) {
	s := newSegment(cache, fsys, dir, base)
	for _, suffix := range Suffixes {
		path := filepath.Join(dir.Dir(), Name(base, suffix)+CleanedSuffix)
		if err := fsys.Remove(path); err != nil && !notExist(err) {
			return nil, fmt.Errorf("clear the way for a cleaned segment: %w", err)
		}
	}
	s.named(CleanedSuffix)
	f, err := cache.openFile(fsys, s.Path(), vfs.ReadWrite|vfs.Create|vfs.Exclusive, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create cleaned segment: %w", err)
	}
	s.log.adopt(f)
	s.log.Release()
	s.active, s.mu.loaded, s.mu.maxSet, s.writer.abortedLoaded = true, true, true, true
	return s, nil
}

// named makes the names of the files end in suffix.
func (s *Segment) named(suffix string) {
	s.log.cache.mu.Lock()
	s.tail = suffix
	s.log.cache.mu.Unlock()
}

// Shut closes the .log file, which is opened again when it is needed, unless somebody holds it.
func (s *Segment) Shut() { s.log.shut() }

// Finish completes a cleaned segment, which ends at offset end, and makes its files durable, but for their names.
func (s *Segment) Finish(end int64) error {
	if err := s.Seal(); err != nil {
		return err
	}
	if err := s.Sync(); err != nil {
		return err
	}
	s.ExtendTo(end)
	return s.SyncIndexes()
}

// ExtendTo makes an old segment end at the base of the next one, behind a gap that compaction left.
func (s *Segment) ExtendTo(end int64) {
	s.mu.Lock()
	s.mu.end = end
	s.mu.Unlock()
}

// Move renames the files of a cleaned segment, the .log file last: from now on their names end in suffix.
func (s *Segment) Move(suffix string) error {
	for i := len(Suffixes) - 1; i >= 0; i-- {
		from := s.path(Suffixes[i])
		err := s.log.fs.Rename(from, filepath.Join(s.dir.Dir(), Name(s.base, Suffixes[i])+suffix))
		if err != nil && !(notExist(err) && Suffixes[i] == AbortedSuffix) {
			return err
		}
	}
	s.named(suffix)
	return nil
}

// Abandon removes the files of a cleaned segment that is not wanted.
func (s *Segment) Abandon() error {
	s.Close()
	var first error
	for _, suffix := range Suffixes {
		if err := s.log.fs.Remove(s.path(suffix)); err != nil && !notExist(err) && first == nil {
			first = err
		}
	}
	return first
}

// Pin keeps everything of an old segment at hand that reading it takes: the open file, the indexes, the list of aborted transactions. After
// it no name of the segment's files is used any more, so that they may be given to another. The caller must Unpin it.
func (s *Segment) Pin() error {
	s.mu.Lock()
	s.mu.pinned = true
	s.mu.Unlock()
	if _, err := s.log.Acquire(); err != nil {
		s.unpinned()
		return err
	}
	err := s.load()
	if err == nil {
		_, err = s.maxTimestamp()
	}
	if err == nil {
		err = s.loadAborted()
	}
	if err != nil {
		s.Unpin()
	}
	return err
}

// Unpin ends Pin. Where the segment's names were given away, the caller closes it first.
func (s *Segment) Unpin() {
	s.log.Release()
	if !s.log.isForgotten() {
		s.unpinned()
	}
}

func (s *Segment) unpinned() {
	s.mu.Lock()
	s.mu.pinned = false
	s.mu.Unlock()
}

func (h *File) isForgotten() bool {
	h.cache.mu.Lock()
	defer h.cache.mu.Unlock()
	return h.forgotten
}

// FirstTimestamp is the largest timestamp of the first batch, NoTimestamp where there is none. It is kept, for who asks often.
func (s *Segment) FirstTimestamp() (int64, error) {
	s.mu.RLock()
	ts, set, size := s.mu.first, s.mu.firstSet, s.mu.size
	s.mu.RUnlock()
	if set {
		return ts, nil
	}
	if size == 0 {
		return NoTimestamp, nil
	}
	h, err := s.firstHeader()
	if err != nil || h == nil {
		return NoTimestamp, err
	}
	s.mu.Lock()
	s.mu.first, s.mu.firstSet = h.MaxTimestamp(), true
	s.mu.Unlock()
	return h.MaxTimestamp(), nil
}

// Reader reads whole batches one after another through a buffer of the caller.
type Reader struct {
	w   *walker
	pos int64
}

// NewReader returns a reader that begins with the first batch that ends above from. It must be closed.
func (s *Segment) NewReader(from int64, buf []byte) (*Reader, error) {
	pos := int64(0)
	if from > s.base {
		p, ok, err := s.Find(from)
		if err != nil {
			return nil, err
		}
		if pos = p; !ok {
			pos = s.Size()
		}
	}
	f, err := s.log.Acquire()
	if err != nil {
		return nil, err
	}
	return &Reader{w: &walker{s: s, f: f, size: s.Size(), buf: &buf, next: len(buf)}, pos: pos}, nil
}

// Next returns the next batch, whose CRC is right, valid until the call after; nil at the end.
func (r *Reader) Next() (record.Batch, error) {
	if r.pos >= r.w.size {
		return nil, nil
	}
	h, err := r.w.header(r.pos)
	if err != nil {
		return nil, r.met(err)
	}
	b, err := r.w.batch(r.pos, Length(h))
	if err != nil {
		return nil, r.met(err)
	}
	if err := b.CheckCRC(); err != nil {
		return nil, r.met(fmt.Errorf("%w: %s at %d: %w", ErrCorrupt, r.w.s.Path(), r.pos, err))
	}
	r.pos += Length(b)
	return b, nil
}

// met has damage told that is not known yet.
func (r *Reader) met(err error) error {
	if corrupt(err) && !isDamage(err) {
		r.w.s.survey()
	}
	r.w.s.tellUnreadable(err)
	return err
}

// Close lets go of the file.
func (r *Reader) Close() { r.w.s.log.Release() }

// EndOf reads the .log file at path and returns the offset after its last batch, its base where it has none.
func EndOf(cache *FileCache, fsys vfs.FS, dir Dir, base, size int64, suffix string) (int64, error) {
	s := newSegment(cache, fsys, dir, base)
	s.named(suffix)
	s.mu.size = size
	defer s.Close()
	if size == 0 {
		return base, nil
	}
	w, err := s.walk(size)
	if err != nil {
		return 0, err
	}
	defer w.close()
	end := base
	for pos, last := int64(0), int64(0); pos < size; pos += last {
		w.scanning(false, last)
		b, err := w.header(pos)
		if err != nil {
			return 0, err
		}
		last, end = Length(b), b.NextOffset()
	}
	return end, nil
}

// Weight is what a segment takes, in bytes.
type Weight struct{ Log, Index, Times int64 }

// Weight tells what the files take. Indexes that are not in memory are asked for on the disk; one that cannot be read counts as full of
// entries at Kafka's default interval.
func (s *Segment) Weight() Weight {
	s.mu.RLock()
	w := Weight{Log: s.mu.size, Index: int64(len(s.mu.offsets)) * index.OffsetSize, Times: int64(len(s.mu.times)) * index.TimeSize}
	loaded := s.mu.loaded
	s.mu.RUnlock()
	if loaded {
		return w
	}
	size := func(suffix string, entry int64) int64 {
		info, err := s.log.fs.Stat(s.path(suffix))
		if err != nil {
			return w.Log / rebuildInterval * entry
		}
		return info.Size()
	}
	w.Index, w.Times = size(IndexSuffix, index.OffsetSize), size(TimeSuffix, index.TimeSize)
	return w
}
