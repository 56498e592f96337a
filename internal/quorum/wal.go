package quorum

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/moldau/moldau/internal/vfs"
)

const (
	logSuffix      = ".log"
	snapshotSuffix = ".snapshot"

	// walAheadMax and walAheadMin bound how much is written ahead in zeros at a time, a sixteenth of a segment. Overwriting them
	// later changes no file size, which makes the sync of a small batch cheaper.
	walAheadMax = 256 << 10
	walAheadMin = 8 << 10

	// The last part of the zeros is the reserve, a quarter of a segment within these bounds. Ordinary entries leave it alone: it is
	// for urgent ones on a full disk, the last walOwn bytes of it for terms, votes and the entries of the quorum itself.
	walReserveMax = 1 << 20
	walReserveMin = 64 << 10
	walOwn        = 16 << 10
	// walUrgent is how many urgent entries of the largest size seen fit into the reserve, which grows for them up to walReserveTop.
	walUrgent     = 4
	walReserveTop = 64 << 20
)

// wal is the log on disk: it appends frames and knows which files hold what. One goroutine uses it.
type wal struct {
	fs           vfs.FS
	dir          string
	id           uint64
	segmentBytes int64

	segments []walSegment // by number; the last one is written to
	file     vfs.File
	end      int64 // of the last frame
	ahead    int64 // of the zeros behind it
	sequence uint64
	hard     hardState
	frame    frame
	zeros    []byte
	cut      int   // bytes behind end that openWAL took for those of a torn write
	rollAt   int64 // end at which a new file is tried again, after there was no space for one

	full    bool  // the last attempt to write ahead found no space
	largest int64 // urgent entry so far
	pledged int64 // to entries that have been given room and are not written yet
	refused int64 // the largest entry that found no room; 0 once there is room for it again
}

type walSegment struct {
	number  uint64
	highest uint64 // highest index of an entry in it
}

func (w *wal) path(number uint64) string {
	return filepath.Join(w.dir, fmt.Sprintf("%020d%s", number, logSuffix))
}

// aheadBytes is how many zeros are written ahead at a time.
func (w *wal) aheadBytes() int64 { return max(walAheadMin, min(walAheadMax, w.segmentBytes/16)) }

// reserveBytes is how many zeros ordinary entries must leave.
func (w *wal) reserveBytes() int64 {
	least := max(walReserveMin, min(walReserveMax, w.segmentBytes/4))
	return max(least, min(walReserveTop, walOwn+walUrgent*w.largest))
}

// numbered returns the numbers in the names that end in suffix, in rising order.
func numbered(fsys vfs.FS, dir, suffix string) ([]uint64, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries { // sorted by name, and all names have 20 digits
		if digits, ok := strings.CutSuffix(e.Name(), suffix); ok && len(digits) == 20 {
			if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	return numbers, nil
}

// createWAL starts the log of a new directory behind a snapshot of the given index and term. Where there is no space for the whole
// reserve, a part of it is enough to begin with.
func createWAL(fsys vfs.FS, dir string, id uint64, segmentBytes int64, hs hardState, index, term uint64) (*wal, error) {
	w := &wal{fs: fsys, dir: dir, id: id, segmentBytes: segmentBytes, hard: hs}
	w.frame.reset()
	err := w.roll(firstLog, 2*walOwn, func() { w.frame.record(recordBase, nil, index, term) })
	if errors.Is(err, ErrFull) {
		fsys.Remove(w.path(firstLog)) // best effort, to give back what little space there was
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

// openWAL reads the log and makes it ready for appending: a torn tail is gone afterwards.
func openWAL(fsys vfs.FS, dir string, id uint64, segmentBytes int64) (*wal, *replay, error) {
	w := &wal{fs: fsys, dir: dir, id: id, segmentBytes: segmentBytes}
	numbers, err := numbered(fsys, dir, logSuffix)
	if err != nil {
		return nil, nil, err
	}
	for i := len(numbers) - 1; i > 0; i-- {
		if numbers[i-1]+1 != numbers[i] {
			numbers = numbers[i:] // what is before was being removed when the machine went down
			break
		}
	}
	if len(numbers) == 0 {
		return nil, nil, fmt.Errorf("%w: %s holds no log", ErrCorrupt, dir)
	}
	r := &replay{id: id}
	behind := 0 // bytes behind the last frame of the file before
	for i, number := range numbers {
		before, end := behind, w.end
		used, err := false, error(nil)
		if used, behind, err = w.read(r, number, i == 0, i == len(numbers)-1); err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", w.path(number), err)
		}
		if !used {
			if err := w.removeUnused(number); err != nil {
				return nil, nil, err
			}
			continue
		}
		if before > 0 { // only the end of the log can be torn
			return nil, nil, fmt.Errorf("read %s: %w: bytes behind the last frame at %d, and it is not the last file", w.path(number-1), ErrCorrupt, end)
		}
		w.segments = append(w.segments, walSegment{number: number, highest: r.highest})
	}
	if len(w.segments) == 0 {
		return nil, nil, fmt.Errorf("%w: %s has no first frame", ErrCorrupt, w.path(numbers[0]))
	}
	w.hard = r.hard
	if err := w.openLast(); err != nil {
		return nil, nil, err
	}
	return w, r, nil
}

// read replays one file. It is not used if it is the last and holds nothing: it was being made when the machine went down. behind is how
// many bytes behind its last frame are not zeros to the end.
func (w *wal) read(r *replay, number uint64, first, last bool) (used bool, behind int, err error) {
	b, err := vfs.ReadFile(w.fs, w.path(number))
	if err != nil {
		return false, 0, err
	}
	r.number, r.highest = number, 0
	at := 0
	for {
		sequence, body, size, ok := openFrame(b[at:])
		if !ok || !(first && at == 0) && sequence != w.sequence+1 {
			break
		}
		if err := r.frame(body, at == 0); err != nil {
			return false, 0, fmt.Errorf("frame at byte %d: %w", at, err)
		}
		w.sequence = sequence
		at += size
	}
	if !last && at == 0 || laterFrame(b[at:], w.sequence) {
		return false, 0, fmt.Errorf("%w: frame at byte %d is damaged, and it is not the last one", ErrCorrupt, at)
	}
	if at > 0 {
		w.end = int64(at) // of a file that stays
	}
	return at > 0, len(bytes.TrimRight(b[at:], "\x00")), nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (w *wal) removeUnused(number uint64) error {
	if err := w.fs.Remove(w.path(number)); err != nil {
		return err
	}
	return w.fs.SyncDir(w.dir)
}

// openLast opens the file that is written to, puts zeros where a torn frame may be, and fills up the reserve if there is space.
func (w *wal) openLast() error {
	path := w.path(w.segments[len(w.segments)-1].number)
	f, err := w.fs.OpenFile(path, vfs.ReadWrite, 0)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return err
	}
	tail := make([]byte, size-min(w.end, size))
	n, err := f.ReadAt(tail, w.end)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return err
	}
	err = nil
	if w.cut = len(bytes.TrimRight(tail[:n], "\x00")); w.cut > 0 {
		clear(tail)
		_, err = f.WriteAt(tail, w.end)
	}
	if err == nil {
		w.file, w.ahead = f, size
		err = w.extend(0)
	}
	// A process that died between a write and its sync leaves frames that are whole but not durable yet.
	if err == nil {
		err = f.Datasync()
	}
	if err == nil {
		err = w.fs.SyncDir(w.dir)
	}
	if err != nil {
		f.Close()
	}
	return err
}

// append writes one batch and syncs it. It is not durable before append returns, and any error is final.
func (w *wal) append(hs hardState, entries []*pb.Entry) error {
	w.frame.reset()
	highest := uint64(0)
	for _, e := range entries {
		w.frame.entry(e)
		highest = max(highest, e.GetIndex())
	}
	w.hard = hs
	w.frame.hardState(hs)
	if err := w.write(); err != nil {
		return err
	}
	return w.written(highest)
}

// restart says that the log starts anew behind a snapshot.
func (w *wal) restart(hs hardState, index, term uint64) error {
	w.frame.reset()
	w.frame.record(recordBase, nil, index, term)
	w.hard = hs
	w.frame.hardState(hs)
	if err := w.write(); err != nil {
		return err
	}
	return w.written(index)
}

// written takes note of the highest index in a frame that is durable, and puts behind the frame what proves that it is: the first frame
// of a new file, or a seal.
func (w *wal) written(highest uint64) error {
	last := &w.segments[len(w.segments)-1]
	last.highest = max(last.highest, highest)
	if rolled, err := w.maybeRoll(); rolled || err != nil {
		return err
	}
	w.frame.reset()
	b := w.frame.seal(w.sequence + 1)
	if w.ahead-w.end < int64(len(b)) {
		return nil // it is worth no space
	}
	if _, err := w.file.WriteAt(b, w.end); err != nil && !vfs.NoSpace(err) {
		return fmt.Errorf("write %s: %w", w.file.Name(), err)
	}
	return nil
}

// write writes the frame being built and syncs it.
func (w *wal) write() error {
	b := w.frame.seal(w.sequence + 1)
	if err := w.extend(int64(len(b))); err != nil {
		return err
	}
	if w.full && w.ahead-w.end < int64(len(b)) {
		return fmt.Errorf("write %s: %w", w.file.Name(), syscall.ENOSPC)
	}
	if _, err := w.file.WriteAt(b, w.end); err != nil {
		return fmt.Errorf("write %s: %w", w.file.Name(), err)
	}
	if err := w.file.Datasync(); err != nil {
		return fmt.Errorf("sync %s: %w", w.file.Name(), err)
	}
	w.end += int64(len(b))
	w.sequence++
	return nil
}

// extend writes zeros ahead until a frame of that size leaves the reserve behind it. No space for them sets full and is no error.
func (w *wal) extend(size int64) error {
	w.full = false
	for reserve := w.reserveBytes(); !w.full && w.ahead-w.end < size+reserve; {
		if w.zeros == nil {
			w.zeros = make([]byte, w.aheadBytes())
		}
		n, err := w.file.WriteAt(w.zeros, w.ahead)
		w.ahead += int64(n)
		w.full = vfs.NoSpace(err)
		if err != nil && !w.full {
			return fmt.Errorf("write %s: %w", w.file.Name(), err)
		}
	}
	return nil
}

// room says whether entries of about that size can be written, beside what was given room before: ordinary ones without touching
// the reserve, urgent ones without touching what the quorum itself needs.
func (w *wal) room(size int64, urgent bool) (bool, error) {
	if err := w.extend(w.pledged + size); err != nil {
		return false, err
	}
	if w.full && !(urgent && w.ahead-w.end >= w.pledged+size+walOwn) {
		w.refused = max(w.refused, size)
		return false, nil
	}
	w.pledged += size
	return true, nil
}

// short says that the reserve is not whole, or that an entry found no room, so that refill has something to do.
func (w *wal) short() bool { return w.full || w.refused > 0 }

// refill looks for space for the reserve, and for what was refused, and makes it durable.
func (w *wal) refill() error {
	before := w.ahead
	if err := w.extend(w.refused); err != nil {
		return err
	}
	if !w.full {
		w.refused = 0
	}
	if w.ahead == before {
		return nil
	}
	if err := w.file.Datasync(); err != nil {
		return fmt.Errorf("sync %s: %w", w.file.Name(), err)
	}
	return nil
}

// maybeRoll starts a new file once the current one is full, and says whether it did. Without space or a descriptor for it the log
// stays in the file at hand and tries again some way on.
func (w *wal) maybeRoll() (bool, error) {
	if w.end < max(w.segmentBytes, w.rollAt) || w.full {
		return false, nil
	}
	number := w.segments[len(w.segments)-1].number + 1
	w.frame.reset()
	err := w.roll(number, w.reserveBytes()+w.aheadBytes(), func() {})
	if errors.Is(err, ErrFull) || vfs.NoDescriptors(err) {
		w.rollAt = w.end + w.aheadBytes()
		// There may have been no space for its name; and where no descriptor is left, the file that may come back has no frame.
		if err = w.removeUnused(number); errors.Is(err, fs.ErrNotExist) || vfs.NoDescriptors(err) {
			err = nil
		}
		return false, err
	}
	return err == nil, err
}

// roll makes a new file, durable with its name and its first frame, and writes to it from then on. It has least zeros behind the
// frame, or there is ErrFull: no sync has failed then, and nothing was lost.
func (w *wal) roll(number uint64, least int64, more func()) error {
	path := w.path(number)
	f, err := w.fs.OpenFile(path, vfs.ReadWrite|vfs.Create|vfs.Truncate, 0o644)
	if vfs.NoSpace(err) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("create log segment: %w", err)
	}
	// The name comes first: what fails for a lack of descriptors leaves a file without a frame.
	if err := w.fs.SyncDir(w.dir); err != nil {
		f.Close()
		return fmt.Errorf("create log segment %s: %w", path, err)
	}
	w.frame.record(recordSegment, nil, segmentVersion, w.id, number)
	w.frame.hardState(w.hard)
	more()
	b := w.frame.seal(w.sequence + 1)
	// The zeros come first: a file for which there is no space stays without a frame, and so unused if the machine goes down now.
	n, err := f.WriteAt(make([]byte, int64(len(b))+w.reserveBytes()+w.aheadBytes()), 0)
	if w.full = vfs.NoSpace(err); w.full {
		if err = fmt.Errorf("%w: %w", ErrFull, err); int64(n) >= int64(len(b))+least {
			err = nil
		}
	}
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("create log segment %s: %w", path, err)
	}
	if w.file != nil {
		if err := w.file.Close(); err != nil {
			f.Close()
			return err
		}
	}
	w.file, w.end, w.ahead, w.rollAt = f, int64(len(b)), int64(n), 0
	w.sequence++
	w.segments = append(w.segments, walSegment{number: number})
	return nil
}

// compact removes files whose entries all have an index of at most through.
func (w *wal) compact(through uint64) error {
	for len(w.segments) > 1 && w.segments[0].highest <= through {
		if err := w.fs.Remove(w.path(w.segments[0].number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove log segment: %w", err)
		}
		w.segments = w.segments[1:]
	}
	return nil
}

func (w *wal) close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}
