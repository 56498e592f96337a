package quorum

import (
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
	// walReserve is what stays free for terms, votes and the few entries that a node with a full disk must still write.
	walReserve = 32 << 10
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
	full     bool // the last attempt to write ahead found no space
	zeros    []byte
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

// createWAL starts the log of a new directory behind a snapshot of the given index and term.
func createWAL(fsys vfs.FS, dir string, id uint64, segmentBytes int64, hs hardState, index, term uint64) (*wal, error) {
	w := &wal{fs: fsys, dir: dir, id: id, segmentBytes: segmentBytes, hard: hs}
	w.frame.reset()
	if err := w.roll(1, func() { w.frame.record(recordBase, nil, index, term) }); err != nil {
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
	for i, number := range numbers {
		last := i == len(numbers)-1
		used, err := w.read(r, number, i == 0, last)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", w.path(number), err)
		}
		if !used {
			if err := w.removeUnused(number); err != nil {
				return nil, nil, err
			}
			continue
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

// read replays one file. It returns false for a last file that holds nothing: it was being made when the machine went down.
func (w *wal) read(r *replay, number uint64, first, last bool) (bool, error) {
	b, err := vfs.ReadFile(w.fs, w.path(number))
	if err != nil {
		return false, err
	}
	r.number, r.highest = number, 0
	at := 0
	for {
		sequence, body, size, ok := openFrame(b[at:])
		if !ok || !(first && at == 0) && sequence != w.sequence+1 {
			break
		}
		if err := r.frame(body, at == 0); err != nil {
			return false, fmt.Errorf("frame at byte %d: %w", at, err)
		}
		w.sequence = sequence
		at += size
	}
	if !last && at == 0 || laterFrame(b[at:], w.sequence) {
		return false, fmt.Errorf("%w: frame at byte %d is damaged, and it is not the last one", ErrCorrupt, at)
	}
	if !last && !allZero(b[at:]) {
		return false, fmt.Errorf("%w: bytes behind the last frame at %d, and it is not the last file", ErrCorrupt, at)
	}
	if at > 0 {
		w.end = int64(at) // of a file that stays
	}
	return at > 0, nil
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

// openLast opens the file that is written to and puts zeros where a torn frame may be.
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
	if !allZero(tail[:n]) {
		clear(tail)
		_, err = f.WriteAt(tail, w.end)
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
		return err
	}
	w.file, w.ahead = f, size
	return nil
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
	last := &w.segments[len(w.segments)-1]
	last.highest = max(last.highest, highest)
	return w.maybeRoll()
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
	last := &w.segments[len(w.segments)-1]
	last.highest = max(last.highest, index)
	return w.maybeRoll()
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
	for !w.full && w.ahead-w.end < size+walReserve {
		if w.zeros == nil {
			w.zeros = make([]byte, w.aheadBytes())
		}
		n, err := w.file.WriteAt(w.zeros, w.ahead)
		w.ahead += int64(n)
		w.full = errors.Is(err, syscall.ENOSPC)
		if err != nil && !w.full {
			return fmt.Errorf("write %s: %w", w.file.Name(), err)
		}
	}
	return nil
}

// room says whether a batch of about that size can be written without touching the reserve.
func (w *wal) room(size int64) (bool, error) {
	if err := w.extend(size); err != nil {
		return false, err
	}
	return !w.full, nil
}

// maybeRoll starts a new file once the current one is full.
func (w *wal) maybeRoll() error {
	if w.end < w.segmentBytes || w.full {
		return nil
	}
	w.frame.reset()
	err := w.roll(w.segments[len(w.segments)-1].number+1, func() {})
	if errors.Is(err, syscall.ENOSPC) {
		w.full = true // stay in the file at hand
		return w.removeUnused(w.segments[len(w.segments)-1].number + 1)
	}
	return err
}

// roll makes a new file, durable with its name and its first frame, and writes to it from then on.
func (w *wal) roll(number uint64, more func()) error {
	path := w.path(number)
	f, err := w.fs.OpenFile(path, vfs.ReadWrite|vfs.Create|vfs.Truncate, 0o644)
	if err != nil {
		return fmt.Errorf("create log segment: %w", err)
	}
	w.frame.record(recordSegment, nil, segmentVersion, w.id, number)
	w.frame.hardState(w.hard)
	more()
	b := w.frame.seal(w.sequence + 1)
	ahead := append(b[:len(b):len(b)], make([]byte, w.aheadBytes())...)
	if _, err = f.WriteAt(ahead, 0); err == nil {
		if err = f.Sync(); err == nil {
			err = w.fs.SyncDir(w.dir)
		}
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
	w.file, w.end, w.ahead = f, int64(len(b)), int64(len(ahead))
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
