// Package segment keeps one segment of a log: its .log file of record batches, the offset and time index over it and the
// list of aborted transactions. It owns those four files, how they are opened and cached, and their recovery from the .log file. It
// knows no other segment, no producer, no leader epoch, and never syncs on its own.
//
// One writer at a time calls the methods that change a segment (the log's lock sees to that); any number of readers run beside
// it and wait for no file operation of the writer.
package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/moldau/moldau/internal/commitlog/index"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// Suffixes of a segment's files. Frozen: they are Kafka's.
const (
	LogSuffix      = ".log"
	IndexSuffix    = ".index"
	TimeSuffix     = ".timeindex"
	AbortedSuffix  = ".txnindex"
	SnapshotSuffix = ".snapshot" // beside them, kept by the log
	DeletedSuffix  = ".deleted"  // of files that wait for their removal
)

// ErrCorrupt says that a file contradicts itself; the error that wraps it names file and position.
var ErrCorrupt = errors.New("log is corrupt")

// NoTimestamp is the largest timestamp of a segment whose records have none.
const NoTimestamp = -1

// Name returns the name of a segment's file: the offset with 20 digits, and the suffix.
func Name(base int64, suffix string) string {
	digits := strconv.FormatInt(base, 10)
	return "00000000000000000000"[len(digits):] + digits + suffix
}

// ParseName returns the offset in a name that Name made; ok is false for all others.
func ParseName(name, suffix string) (base int64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	base, err := strconv.ParseInt(digits, 10, 64)
	return base, err == nil && base >= 0
}

// Segment is one segment.
type Segment struct {
	base     int64
	dir      Dir
	tail     string // behind the names of the files, while a cleaning makes them
	log      File
	synced   int64 // nothing below this offset is torn; the recovery point where that is higher
	examined bool  // Examine looked for damage that Recover then passes over
	active   bool  // set by Create and Recover, ended by Seal; read by the writer, and under mu by readers

	mu struct {
		sync.RWMutex
		size    int64          // bytes of whole batches
		own     int64          // from here on this process wrote them
		end     int64          // offset after the last batch; of an old segment the next one's base
		offsets []index.Offset // the whole index of an active segment; of an old one nil until it is needed
		times   []index.Time
		aborted []Aborted
		recent  ring     // starts of the last batches, so that a reader at the end needs no search
		hints   ring     // where reads were cut, so that the reader who goes on there needs no search
		max     timeMark // largest timestamp so far
		first   int64    // largest timestamp of the first batch
		cuts    int32    // so often it was cut: what a file was found to hold before says nothing of what lies there now
		filed   int32    // entries at the start of offsets that came from the file and are believed only as far as they were checked

		maxSet   bool // max is known
		firstSet bool
		loaded   bool
		refile   bool // the index files are wrong and must be written from the start
		pinned   bool // the index stays in memory
	}

	writer struct { // for the one writer
		since         int64 // bytes since the last index entry
		first         int64 // timestamp by which the segment ages: that of its first batch
		reserved      int64 // bytes allocated on disk
		step          int64 // by which reserved last grew
		offsetsFiled  int32 // entries that are in the files already
		timesFiled    int32
		abortedFiled  int32
		abortedLoaded bool
		abortedStale  bool // the file has entries that are not in memory any more
		firstSet      bool
	}

	checked checked

	damages atomic.Pointer[[]Damage] // in rising order, never changed in place; written under mu
	surveys struct {
		mu sync.Mutex // held for one
		n  int        // that readers asked for
	}

	backed atomic.Int64 // bytes whose write-back was started

	indexLink link[*Segment] // in cache.mu.indexes
	indexHeld int64
}

// timeMark is a timestamp and the last offset of the batch that has it.
type timeMark struct{ timestamp, last int64 }

// mark is the start of a batch.
type mark struct{ base, pos int64 }

// Sizes of the rings of a segment.
const (
	recentMax = 8
	hintMax   = 4
)

// ring is the last few marks, in no order. Most segments of many never have more than one.
type ring struct {
	marks []mark
	next  uint8 // the oldest one, once there are as many as there may be
}

func (r *ring) note(m mark, most int) {
	if len(r.marks) < most {
		r.marks = append(r.marks, m)
		return
	}
	r.marks[r.next] = m
	r.next = uint8((int(r.next) + 1) % most)
}

func (r *ring) clear() { *r = ring{marks: r.marks[:0]} }

// Dir says where the directory of a segment is. A segment asks for it whenever it needs a name, and keeps none: those of a hundred thousand that are in use
// would be much, and as they are made among others that are soon garbage, would hold far more than they are.
type Dir interface{ Dir() string }

// At is a directory that stays where it is.
type At string

// Dir is the directory's path.
func (a At) Dir() string { return string(a) }

func newSegment(cache *FileCache, fsys vfs.FS, dir Dir, base int64) *Segment {
	s := &Segment{base: base, dir: dir}
	s.log = File{cache: cache, fs: fsys, of: s}
	s.mu.end = base
	s.mu.max = timeMark{NoTimestamp, base}
	return s
}

// Create makes a new empty segment, which is active. Its name is durable once the directory is synced.
func Create(cache *FileCache, fsys vfs.FS, dir Dir, base int64) (*Segment, error) {
	s := newSegment(cache, fsys, dir, base)
	f, err := cache.openFile(fsys, s.Path(), vfs.ReadWrite|vfs.Create, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	// The file may be there from an attempt that found no space; it must not hold anything.
	size, err := f.Size()
	if err == nil && size > 0 {
		err = fmt.Errorf("create segment %s: %w: the file exists and has %d bytes", s.Path(), ErrCorrupt, size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	s.log.adopt(f)
	s.log.Release()
	s.active, s.mu.loaded, s.mu.maxSet, s.writer.abortedLoaded = true, true, true, true
	return s, nil
}

// Open returns an old segment of the given file size that ends where the next one begins. It touches no file.
func Open(cache *FileCache, fsys vfs.FS, dir Dir, base, size, end int64) *Segment {
	s := newSegment(cache, fsys, dir, base)
	s.mu.size, s.mu.own, s.mu.end = size, size, end
	return s
}

// Base is the offset in the segment's name; no batch begins below it.
func (s *Segment) Base() int64 { return s.base }

// Size is the length of the whole batches in bytes.
func (s *Segment) Size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.size
}

// End is the offset after the last batch; for an old segment the base of the next one.
func (s *Segment) End() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.end
}

func (s *Segment) path(suffix string) string {
	return filepath.Join(s.dir.Dir(), Name(s.base, suffix)+s.tail)
}

// Path is the name of the .log file.
func (s *Segment) Path() string { return s.path(LogSuffix) }

// Fits says whether a batch with this last offset can be indexed: relative offsets have 31 bits.
func (s *Segment) Fits(last int64) bool { return last-s.base <= math.MaxInt32 && last >= s.base }

// IndexFull says whether an index has reached limit bytes. The time index keeps room for the entry of the roll.
func (s *Segment) IndexFull(limit int32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.mu.offsets) >= int(limit)/index.OffsetSize || len(s.mu.times) >= int(limit)/index.TimeSize-1
}

// Limits are the settings that an append needs.
type Limits struct {
	IndexInterval int64 // bytes of log between two index entries
	SegmentBytes  int64 // size of a full segment, beyond which nothing is preallocated
	Preallocate   bool  // the first append preallocates all of it
	Ahead         int64 // most bytes to allocate ahead at a time; 0: no bound, negative: none
}

// Steps of preallocation: small at first, so that a topic with a few records takes little of the disk.
const (
	firstStep = 64 << 10
	lastStep  = 64 << 20
	backStep  = 1 << 20
)

// Append writes a run of batches at the end in one call and makes it visible to readers. After an error nothing is visible, and
// the next append overwrites what may have been written.
func (s *Segment) Append(run []byte, limits Limits) error {
	f, err := s.log.Acquire()
	if err != nil {
		return err
	}
	defer s.log.Release()
	pos := s.mu.size // no lock: only the writer changes it
	if end := pos + int64(len(run)); end > s.writer.reserved {
		s.reserve(f, end, limits)
	}
	if _, err := f.WriteAt(run, pos); err != nil {
		return err
	}
	s.mu.Lock()
	for len(run) > 0 {
		n := Length(run)
		s.noteLocked(record.Batch(run[:n]), pos, n, limits.IndexInterval)
		run, pos = run[n:], pos+n
	}
	s.mu.Unlock()
	return nil
}

// noteLocked enters a batch of n bytes at pos into sizes and indexes, as Kafka does: an entry when more than interval bytes came since
// the last one. b needs to hold no more than the header.
func (s *Segment) noteLocked(b record.Batch, pos, n, interval int64) {
	last := b.LastOffset()
	if ts := b.MaxTimestamp(); ts > s.mu.max.timestamp {
		s.mu.max = timeMark{ts, last}
	}
	if pos == 0 {
		s.writer.first, s.writer.firstSet = b.MaxTimestamp(), true
	}
	if s.writer.since > interval {
		s.mu.offsets = append(s.mu.offsets, index.Offset{Rel: uint32(last - s.base), Pos: uint32(pos)})
		s.noteTimeLocked()
		s.writer.since = 0
	}
	s.writer.since += n
	s.mu.size, s.mu.end = pos+n, last+1
	s.mu.recent.note(mark{b.BaseOffset(), pos}, recentMax)
}

// noteTimeLocked adds the largest timestamp so far to the time index unless it is there.
func (s *Segment) noteTimeLocked() {
	last := int64(NoTimestamp)
	if k := len(s.mu.times); k > 0 {
		last = s.mu.times[k-1].Timestamp
	}
	if s.mu.max.timestamp > last {
		s.mu.times = append(s.mu.times, index.Time{Timestamp: s.mu.max.timestamp, Rel: uint32(s.mu.max.last - s.base)})
	}
}

// reserve allocates blocks ahead of the end. It is an optimisation: if there is no space for it, the write decides.
func (s *Segment) reserve(f vfs.File, end int64, limits Limits) {
	step := min(max(2*s.writer.step, firstStep), lastStep)
	if limits.Preallocate {
		step = limits.SegmentBytes
	}
	if limits.Ahead != 0 {
		if step = min(step, limits.Ahead); step < 0 {
			s.writer.reserved = end
			return
		}
	}
	to := max(min(s.writer.reserved+step, limits.SegmentBytes), end)
	from := max(s.writer.reserved, s.mu.size)
	s.writer.reserved, s.writer.step = to, step
	_ = f.Preallocate(from, to-from)
}

// WriteBack starts writing what was appended since the last time to the disk when it is 1 MiB or more, so that no sync finds
// much to do. The caller need not hold the log's lock.
func (s *Segment) WriteBack() {
	size, from := s.Size(), s.backed.Load()
	if size-from < backStep || !s.backed.CompareAndSwap(from, size) {
		return
	}
	f, err := s.log.Acquire()
	if err != nil {
		return
	}
	defer s.log.Release()
	_ = f.WriteBack(from, size-from) // a hint; the sync reports errors
}

// Age is how far ts lies behind the first batch's timestamp; ok is false for a segment that is empty or has none.
func (s *Segment) Age(ts int64) (age int64, ok bool, err error) {
	if !s.writer.firstSet {
		if s.mu.size == 0 {
			return 0, false, nil
		}
		h, err := s.firstHeader()
		if err != nil || h == nil {
			return 0, false, err
		}
		s.writer.first, s.writer.firstSet = h.MaxTimestamp(), true
	}
	return ts - s.writer.first, s.writer.first >= 0, nil
}

// firstHeader reads the header of the first batch that is not damaged, nil where there is none.
func (s *Segment) firstHeader() (record.Batch, error) {
	for pos, size := int64(0), s.Size(); pos < size; {
		h, err := s.header(pos)
		if d, ok := s.passes(err, pos); ok {
			pos = d.To
			continue
		}
		return h, err
	}
	return nil, nil
}

// header reads the header of the batch at pos.
func (s *Segment) header(pos int64) (record.Batch, error) {
	w, err := s.walk(0)
	if err != nil {
		return nil, err
	}
	defer w.close()
	h, err := w.header(pos)
	if err != nil {
		return nil, err
	}
	return append(record.Batch(nil), h...), nil
}

// Sync makes the .log file durable. It takes no lock.
func (s *Segment) Sync() error {
	f, err := s.log.Acquire()
	if err != nil {
		return err
	}
	defer s.log.Release()
	return f.Datasync()
}

// Trim gives back the blocks that were allocated ahead.
func (s *Segment) Trim() error {
	if s.writer.reserved <= s.mu.size {
		return nil
	}
	f, err := s.log.Acquire()
	if err != nil {
		return err
	}
	defer s.log.Release()
	if err := f.Truncate(s.mu.size); err != nil {
		return err
	}
	s.writer.reserved = s.mu.size
	return nil
}

// Seal ends the active state: the indexes are completed and written, the file is trimmed. The index stays in memory as long as
// the cache has room.
func (s *Segment) Seal() error {
	if err := s.WriteIndexes(true); err != nil {
		return err
	}
	if err := s.Trim(); err != nil {
		return err
	}
	s.Retire()
	return nil
}

// Retire is Seal without a change of the files, for a disk that takes none.
func (s *Segment) Retire() {
	s.mu.Lock()
	s.active = false
	bytes := s.indexBytesLocked()
	s.mu.Unlock()
	s.log.cache.touchIndex(s, bytes)
}

func (s *Segment) indexBytesLocked() int64 {
	return int64(cap(s.mu.offsets))*8 + int64(cap(s.mu.times))*16 + 1
}

// Close closes the files when their last reader is gone.
func (s *Segment) Close() {
	s.log.cache.forgetIndex(s)
	s.log.Forget()
}

// InUse says whether a reader holds the .log file.
func (s *Segment) InUse() bool { return s.log.InUse() }

func isReadOnlyFS(err error) bool { return errors.Is(err, syscall.EROFS) }

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
