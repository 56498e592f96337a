package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// Options configures a Writer. A zero field means its default.
type Options struct {
	FS        vfs.FS
	Clock     clock.Clock
	Random    random.Source // of the files' marks
	Dir       string        // the journal's own directory, made by the first group in the data directory, which exists
	Directory uuid.UUID     // id of the data directory, kept in every file
	Files     int           // files at most; default 4
	FirstFile int64         // size at which the first files are left; default 4 MiB
	MaxFile   int64         // what that grows to, doubling while files fill within FillTime; default 64 MiB
	FillTime  time.Duration // default 1 s
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Clock == nil {
		o.Clock = clock.Real
	}
	if o.Random == nil {
		o.Random = random.Real
	}
	if o.Files == 0 {
		o.Files = 4
	}
	if o.FirstFile == 0 {
		o.FirstFile = 4 << 20
	}
	if o.MaxFile == 0 {
		o.MaxFile = 64 << 20
	}
	if o.FillTime == 0 {
		o.FillTime = time.Second
	}
	return o
}

// growStep bounds how much is zeroed at once when a file grows: a quarter of what it has, between these.
const (
	growStepMin = 256 << 10
	growStepMax = 4 << 20
)

// settleReserve is the room in the file at hand that groups of batches leave to those that only settle: a full disk gets space by the
// removal of logs, and that must be settled first. Small files keep an eighth. Its blocks are written, and no other file is begun before as much
// is written there, so that it lasts on a disk that takes no block more. All but the last block of a file may be used by settles: that one is for the
// empty group that a rotation may need.
const settleReserve = 128 << 10

// zeros is what files grow by.
var zeros [256 << 10]byte

// Writer appends groups of entries. One goroutine calls its methods; Retire, Oldest and MaxSequence may be called by any.
type Writer struct {
	opts    Options
	made    bool // Options.Dir exists
	slots   []slot
	current int // in slots; -1 before the first group
	limit   int64
	started time.Time // when the current file was begun
	failed  error     // of a write or sync after which nothing more is written

	position int64 // where the next group goes in the current file
	room     int64 // how far that may be filled: the limit when it was begun, or less where the disk had no space for more
	number   uint32
	chain    uint32
	mark     uuid.UUID // of the current file
	refused  bool      // what lies at position may be a group that the disk had no room for, or only behind it

	buf     []byte // the group being built, its header first, then room for the mark
	entries uint32
	vec     [][]byte

	sequence atomic.Uint64 // of the current file, or of the last before this Writer
	retired  atomic.Uint64 // files up to here hold nothing that is needed
	oldest   atomic.Uint64 // what the last synced group says is the oldest file needed
}

type slot struct {
	name     string
	file     vfs.File
	sequence uint64 // 0: no use of it is needed
	size     int64  // bytes whose blocks are written
	new      bool   // it has no file yet
}

// NewWriter returns a Writer that continues after the files scan found, which stay until they are retired. It touches no file.
func NewWriter(opts Options, scan *Scan) *Writer {
	w := &Writer{opts: opts.withDefaults(), current: -1}
	w.limit = w.opts.FirstFile
	w.oldest.Store(1)
	if scan != nil {
		w.made = scan.exists
		w.sequence.Store(scan.sequence)
		w.oldest.Store(max(scan.oldest, 1))
		w.retired.Store(w.oldest.Load() - 1)
		w.chain = scan.chain
		for _, f := range scan.files {
			w.slots = append(w.slots, slot{name: f.name, sequence: f.header.sequence, size: f.size})
		}
	}
	w.reset()
	return w
}

func (w *Writer) reset() {
	w.buf = append(w.buf[:0], zeros[:startSize]...)
	w.entries = 1
}

// Append adds to the group batches that read appends to what it is given; an entry of no bytes is not added. It returns
// the number of bytes added.
func (w *Writer) Append(id LogID, read func(dst []byte) (batches []byte, base int64, err error)) (int, error) {
	start := len(w.buf)
	w.buf = appendEntryHeader(w.buf, KindAppend, id, 0, 0)
	body := len(w.buf)
	buf, base, err := read(w.buf)
	if err != nil || len(buf) <= body {
		w.buf = w.buf[:start]
		return 0, err
	}
	w.buf = buf
	appendEntryHeader(w.buf[:start], KindAppend, id, base, len(buf)-body)
	w.entries++
	return len(buf) - body, nil
}

// Settle adds to the group that every earlier entry of the log is void.
func (w *Writer) Settle(id LogID) {
	w.buf = appendEntryHeader(w.buf, KindSettle, id, 0, 0)
	w.entries++
}

// Pending returns the size of the group being built.
func (w *Writer) Pending() int { return len(w.buf) - startSize }

// MaxSequence returns the highest sequence that the group being built may get.
func (w *Writer) MaxSequence() uint64 { return w.sequence.Load() + 1 }

// Sequence returns the sequence of the file that is written, 0 before the first.
func (w *Writer) Sequence() uint64 { return w.sequence.Load() }

// Oldest returns the lowest sequence whose entries a crash now would replay.
func (w *Writer) Oldest() uint64 { return w.oldest.Load() }

// Files returns how many files there may be.
func (w *Writer) Files() int { return w.opts.Files }

// Retire says that nothing in files up to the sequence is needed any more. The next group makes that durable; then they are
// written again.
func (w *Writer) Retire(sequence uint64) {
	for {
		have := w.retired.Load()
		if have >= sequence || w.retired.CompareAndSwap(have, sequence) {
			return
		}
	}
}

// Reclaimable says that a file was retired which the next groups may make free.
func (w *Writer) Reclaimable() bool { return w.retired.Load() >= w.oldest.Load() }

// Commit makes the group durable and begins another. After an error the group is gone: with ErrFull, without space and where no descriptor was
// left for another file the Writer goes on as if it had never been, after any other it is broken for good.
func (w *Writer) Commit() error {
	return w.commitLeaving(blockSize + min(settleReserve, w.limit/8)&^(blockSize-1))
}

// CommitSettles is Commit for a group that only settles: it may go where no other may.
func (w *Writer) CommitSettles() error { return w.commitLeaving(blockSize) }

func (w *Writer) commitLeaving(reserve int64) error {
	defer w.reset()
	if w.failed != nil {
		return w.failed
	}
	err := w.commit(reserve)
	if err != nil && !passes(err) {
		w.failed = err
	}
	return err
}

// passes says of an error that nothing was written, or nothing that matters.
func passes(err error) bool {
	return errors.Is(err, ErrFull) || vfs.NoDescriptors(err) || vfs.NoSpace(err) && !errors.Is(err, errSync)
}

// Broken says that the Writer failed for good.
func (w *Writer) Broken() bool { return w.failed != nil }

// errSync marks a failed sync: whatever its reason, the pages it was about are in an unknown state.
var errSync = errors.New("sync")

func (w *Writer) commit(reserve int64) error {
	need := align(int64(len(w.buf)))
	if w.current < 0 || w.position+need > w.room-reserve {
		if err := w.rotate(need, reserve); err != nil {
			return err
		}
	}
	return w.write(need, reserve)
}

// rotate begins the next file. The one at hand stays until that has room for the group and the reserve.
func (w *Writer) rotate(need, reserve int64) error {
	least := blockSize + need + reserve
	if w.refused && w.position == 0 { // nothing of the file counts, and a sequence that no file has would be missed
		w.room = max(w.room, least)
		return w.makeRoom(&w.slots[w.current], least, least)
	}
	now, limit := w.opts.Clock.Now(), w.limit
	if w.current >= 0 && now.Sub(w.started) < w.opts.FillTime {
		limit = min(2*limit, w.opts.MaxFile)
	}
	limit = max(limit, least+blockSize)
	next, err := w.nextSlot()
	if err != nil {
		return err
	}
	size := least // the last of a full disk is enough for a group that only settles
	if reserve > blockSize {
		size = grown(w.slots[next].size, least, limit)
	}
	if err := w.prepare(&w.slots[next], least, size); err != nil {
		if s := w.slots[next]; s.new {
			w.slots = w.slots[:next]
			_ = w.opts.FS.Remove(filepath.Join(w.opts.Dir, s.name)) // the next attempt makes it again
		}
		return err
	}
	if w.refused { // it would be taken for the file's last
		if err := w.writeEmpty(); err != nil {
			return err
		}
	}
	w.started, w.limit, w.room, w.current = now, limit, limit, next
	s := &w.slots[next]
	s.sequence = w.sequence.Load() + 1
	w.sequence.Store(s.sequence)
	w.position, w.number, w.mark = 0, 0, uuid.New(w.opts.Random)
	return nil
}

// nextSlot returns the slot of the file that comes next.
func (w *Writer) nextSlot() (int, error) {
	if next := w.freeSlot(); next >= 0 {
		return next, nil
	}
	if w.current >= 0 && w.Reclaimable() { // a file is retired, and no group says so yet
		if err := w.writeEmpty(); err != nil {
			return -1, err
		}
		if next := w.freeSlot(); next >= 0 {
			return next, nil
		}
	}
	// The first group always gets a file, be it one too many: only a group can say that others are not needed any more.
	if len(w.slots) >= w.opts.Files && w.current >= 0 {
		return -1, ErrFull
	}
	w.slots = append(w.slots, slot{name: w.unusedName(), new: true})
	return len(w.slots) - 1, nil
}

// prepare opens the file of a slot, and makes it as large as that, unless it has what it needs at least.
func (w *Writer) prepare(s *slot, least, size int64) (err error) {
	if s.file != nil {
		return w.makeRoom(s, least, size)
	}
	if s.file, err = w.open(s.name); err != nil {
		return err
	}
	if err = w.makeRoom(s, least, size); err == nil {
		if err = w.opts.FS.SyncDir(w.opts.Dir); err == nil {
			s.new = false
			return nil
		}
		err = fmt.Errorf("%w journal directory %s: %w", errSync, w.opts.Dir, err)
	}
	s.file.Close()
	s.file = nil
	return err
}

// makeRoom makes a file that has less than it needs at least as large as that.
func (w *Writer) makeRoom(s *slot, least, size int64) error {
	if s.size >= least {
		return nil
	}
	w.vec = appendZeros(w.vec[:0], size-s.size)
	if _, err := s.file.WritevAt(w.vec, s.size); err != nil {
		_ = s.file.Truncate(s.size) // what fitted is room for others
		return fmt.Errorf("make room in journal %s from %d on: %w", s.file.Name(), s.size, err)
	}
	s.size = size
	return nil
}

// grown is the size to which a file of a size grows that needs so much at least.
func grown(size, least, limit int64) int64 {
	return min(least+min(max(size/4, growStepMin), growStepMax), max(limit, least))
}

func appendZeros(vec [][]byte, n int64) [][]byte {
	for ; n > 0; n -= int64(len(zeros)) {
		vec = append(vec, zeros[:min(n, int64(len(zeros)))])
	}
	return vec
}

func (w *Writer) freeSlot() int {
	for i, s := range w.slots {
		if i != w.current && s.sequence < w.oldest.Load() {
			return i
		}
	}
	return -1
}

func (w *Writer) unusedName() string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%d%s", i, suffix)
		used := false
		for _, s := range w.slots {
			used = used || s.name == name
		}
		if !used {
			return name
		}
	}
}

func (w *Writer) open(name string) (vfs.File, error) {
	if !w.made {
		if err := w.opts.FS.MkdirAll(w.opts.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("make journal directory: %w", err)
		}
		if err := w.opts.FS.SyncDir(filepath.Dir(w.opts.Dir)); err != nil {
			return nil, fmt.Errorf("%w data directory: %w", errSync, err)
		}
		w.made = true
	}
	file, err := w.opts.FS.OpenFile(filepath.Join(w.opts.Dir, name), vfs.ReadWrite|vfs.Create, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open journal file: %w", err)
	}
	return file, nil
}

// writeEmpty makes the retirement of files durable in the block that each file keeps for it.
func (w *Writer) writeEmpty() error {
	group, entries := w.buf, w.entries
	w.buf, w.entries = make([]byte, startSize), 1
	err := w.write(blockSize, 0)
	w.buf, w.entries = group, entries
	return err
}

// write writes the group in need bytes, and the file's header before it if it is the first, and syncs. Behind it there is room for the
// reserve.
func (w *Writer) write(need, reserve int64) error {
	s := &w.slots[w.current]
	oldest := max(w.retired.Load()+1, w.oldest.Load())
	w.vec = w.vec[:0]
	at, chain := w.position, w.chain
	if at == 0 {
		block := make([]byte, blockSize)
		h := header{directory: w.opts.Directory, sequence: s.sequence, oldest: oldest, previous: chain, mark: w.mark}
		if oldest >= s.sequence {
			h.previous = 0
		}
		chain = h.encode(block)
		w.vec = append(w.vec, block)
		need += blockSize
	}
	appendMark(w.buf[:groupHeaderSize], w.mark)
	g := group{length: uint32(len(w.buf) - groupHeaderSize), sequence: s.sequence, number: w.number, entries: w.entries, oldest: oldest}
	chain = g.seal(w.buf, chain)
	w.vec = append(w.vec, w.buf, zeros[:align(int64(len(w.buf)))-int64(len(w.buf))])
	end, size := at+need, s.size
	if end+reserve > size {
		if size = end + reserve; reserve > blockSize { // what a group that only settles found free beyond itself on a full disk would be taken from the next one
			size = grown(s.size, end+reserve, w.room)
		}
		w.vec = appendZeros(w.vec, size-end)
	}
	w.refused = true
	if _, err := s.file.WritevAt(w.vec, at); err != nil {
		if size > s.size && vfs.NoSpace(err) {
			w.room = s.size
			_ = s.file.Truncate(s.size) // what fitted is room for others
		}
		return fmt.Errorf("write journal %s at %d: %w", s.file.Name(), at, err)
	}
	if err := s.file.Datasync(); err != nil {
		return fmt.Errorf("%w journal %s: %w", errSync, s.file.Name(), err)
	}
	s.size = size
	w.position, w.chain = end, chain
	w.number++
	w.refused = false
	w.oldest.Store(oldest)
	return nil
}

// Close closes the files and leaves them for a scan.
func (w *Writer) Close() error {
	var first error
	for i := range w.slots {
		if f := w.slots[i].file; f != nil {
			if err := f.Close(); err != nil && first == nil {
				first = fmt.Errorf("close journal file: %w", err)
			}
			w.slots[i].file = nil
		}
	}
	w.failed = errors.New("journal is closed")
	return first
}

// discardedSuffix ends the name of a journal's directory that is being removed.
const discardedSuffix = ".discarded"

// Remove removes the journal in dir, whose Writer is closed or was never used: everything in it is in synced segment files. It is renamed
// first, so that a crash leaves all of it or nothing.
func Remove(fsys vfs.FS, dir string) error {
	discarded := dir + discardedSuffix
	if err := fsys.RemoveAll(discarded); err != nil { // of an earlier Remove that a crash interrupted
		return fmt.Errorf("remove journal: %w", err)
	}
	err := fsys.Rename(dir, discarded)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove journal: %w", err)
	}
	if err := fsys.SyncDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("remove journal: %w", err)
	}
	if err := fsys.RemoveAll(discarded); err != nil {
		return fmt.Errorf("remove journal: %w", err)
	}
	return nil
}
