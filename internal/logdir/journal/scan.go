package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

const suffix = ".journal"

// Scan is what the files of a journal hold after a stop.
type Scan struct {
	Entries []Entry  // in the order in which they were written; only those that are needed
	Mended  []Mended // what was put right in them, and in what says which they are

	exists   bool
	files    []file // sorted by sequence, needed or not
	sequence uint64 // the highest
	oldest   uint64 // the lowest needed
	chain    uint32 // CRC of the last group
	fs       vfs.FS
	dir      string
}

// Entry is one entry found; its record batches are read with Scan.Read.
type Entry struct {
	Log      LogID
	Kind     Kind
	Base     int64
	End      int64 // offset behind its last batch
	Bytes    int64
	Sequence uint64 // of the file that holds it

	file string // its path
	at   int64
	fix  fix // of the file
}

type file struct {
	name   string
	path   string
	header header
	size   int64
	end    int64 // where the groups that check end
	last   uint32
	oldest uint64
	found  []Entry
	groups uint32 // that check
	fix    fix    // of the group that was mended last
	mended []Mended
	lost   uint64 // sequence of a use whose header is damaged
}

// Open reads the journal in dir. A directory that is not there is an empty journal; one of another data directory is refused.
func Open(fsys vfs.FS, dir string, directory uuid.UUID) (*Scan, error) {
	s := &Scan{fs: fsys, dir: dir, oldest: 1}
	names, err := list(fsys, dir)
	if err != nil {
		return nil, err
	}
	s.exists = names != nil
	topics := map[string]string{}
	for _, name := range names {
		f, err := s.scanFile(name, directory, topics)
		if err != nil {
			return nil, fmt.Errorf("read journal file %s: %w", filepath.Join(dir, name), err)
		}
		s.files = append(s.files, f)
		s.oldest = max(s.oldest, f.oldest)
	}
	sort.SliceStable(s.files, func(i, k int) bool { return s.files[i].header.sequence < s.files[k].header.sequence })
	if err := s.link(); err != nil {
		return s, err
	}
	return s, s.torn()
}

// link checks that the files needed follow one another without a gap and collects their entries.
func (s *Scan) link() error {
	for i, f := range s.files {
		sequence := f.header.sequence
		if f.lost >= s.oldest {
			return fmt.Errorf("%w: the header of %s is damaged, which has sequence %d", ErrCorrupt, filepath.Join(s.dir, f.name), f.lost)
		}
		if sequence == 0 {
			continue
		}
		if i > 0 && s.files[i-1].header.sequence == sequence {
			return fmt.Errorf("%w: %s and %s have the same sequence %d", ErrCorrupt, s.files[i-1].name, f.name, sequence)
		}
		if sequence >= s.oldest {
			if err := s.follows(i); err != nil {
				return err
			}
			s.Entries = append(s.Entries, f.found...)
			s.Mended = append(s.Mended, f.mended...)
		}
		s.sequence, s.chain = sequence, f.last
	}
	if s.sequence+1 < s.oldest {
		return fmt.Errorf("%w: sequence %d is said to be the oldest needed, the highest found is %d", ErrCorrupt, s.oldest, s.sequence)
	}
	return nil
}

// follows checks that file i, which is needed, begins where the file before it ends.
func (s *Scan) follows(i int) error {
	f := s.files[i]
	if f.header.sequence == s.oldest {
		return nil
	}
	if i == 0 || s.files[i-1].header.sequence != f.header.sequence-1 {
		return fmt.Errorf("%w: %s has sequence %d, the file before it is missing", ErrCorrupt, filepath.Join(s.dir, f.name), f.header.sequence)
	}
	if before := s.files[i-1]; before.last != f.header.previous {
		return fmt.Errorf("%w: the groups of %s check up to byte %d only, although %s was begun after it",
			ErrCorrupt, filepath.Join(s.dir, before.name), before.end, f.name)
	}
	return nil
}

// torn checks that the last file ends as one does that was being written.
func (s *Scan) torn() error {
	if len(s.files) == 0 {
		return nil
	}
	f := s.files[len(s.files)-1]
	if f.header.sequence < s.oldest || f.header.mark.IsZero() {
		return nil
	}
	in, err := s.fs.OpenFile(f.path, vfs.ReadOnly, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := f.damaged(in); err != nil {
		return fmt.Errorf("read journal file %s: %w", f.path, err)
	}
	return nil
}

func list(fsys vfs.FS, dir string) ([]string, error) {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	names := []string{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (s *Scan) scanFile(name string, directory uuid.UUID, topics map[string]string) (file, error) {
	f := file{name: name, path: filepath.Join(s.dir, name)}
	in, err := s.fs.OpenFile(f.path, vfs.ReadOnly, 0)
	if err != nil {
		return f, err
	}
	defer in.Close()
	if f.size, err = in.Size(); err != nil {
		return f, err
	}
	block := make([]byte, blockSize)
	n, err := in.ReadAt(block, 0)
	if err != nil && err != io.EOF {
		return f, err
	}
	h, crc, mended, ok, err := decodeHeader(block[:n])
	if err != nil {
		return f, err
	}
	if !ok {
		f.lost, err = headless(in, f.size)
		return f, err
	}
	if mended {
		f.mended = append(f.mended, Mended{Path: f.path})
	}
	if h.directory != directory {
		return f, fmt.Errorf("%w: it belongs to directory %s, this is %s", ErrCorrupt, h.directory, directory)
	}
	f.header, f.last, f.oldest, f.end = h, crc, h.oldest, blockSize
	return f, scanGroups(in, &f, topics)
}

// scanGroups reads the groups of f up to the first that does not check and cannot be mended.
func scanGroups(in io.ReaderAt, f *file, topics map[string]string) error {
	var buf []byte
	for f.end+groupHeaderSize <= f.size {
		f.fix = fix{}
		b, crc, ok, err := f.group(in, f.groups, buf)
		if err != nil {
			return err
		}
		if !ok {
			if f.header.mark.IsZero() {
				return nil
			}
			if b, crc, ok, err = f.mend(in, f.groups); err != nil || !ok {
				return err
			}
			f.mended = append(f.mended, Mended{f.path, f.fix.at})
		}
		g, _ := decodeGroup(b)
		if err := f.addEntries(b[groupHeaderSize:], g, topics); err != nil {
			return fmt.Errorf("group at byte %d: %w", f.end, err)
		}
		f.last, f.oldest, buf = crc, g.oldest, b
		f.end += align(int64(len(b)))
		f.groups++
	}
	return nil
}

// group reads the group at the end of f, into buf if it has room. ok says whether it has this number and checks.
func (f *file) group(in io.ReaderAt, number uint32, buf []byte) (b []byte, crc uint32, ok bool, err error) {
	if f.end+groupHeaderSize > f.size {
		return nil, 0, false, nil
	}
	var head [groupHeaderSize]byte
	if _, err := in.ReadAt(head[:], f.end); err != nil {
		return nil, 0, false, err
	}
	g, crc := decodeGroup(head[:])
	total := groupHeaderSize + int64(g.length)
	if g.sequence != f.header.sequence || g.number != number || f.end+total > f.size {
		return nil, 0, false, nil
	}
	if int64(cap(buf)) < total {
		buf = make([]byte, total)
	}
	b = buf[:total]
	if _, err := in.ReadAt(b, f.end); err != nil {
		return nil, 0, false, err
	}
	return b, crc, chain(f.last, b[4:]) == crc, nil
}

func (f *file) addEntries(b []byte, g group, topics map[string]string) error {
	at := 0
	for range g.entries {
		e, next, err := decodeEntry(b, at)
		if err != nil {
			return err
		}
		if isMark(b[at:]) {
			at = next
			continue
		}
		topic, ok := topics[string(e.topic)]
		if !ok {
			topic = string(e.topic)
			topics[topic] = topic
		}
		f.found = append(f.found, Entry{
			Log:  LogID{Topic: topic, TopicID: e.topicID, Partition: e.partition},
			Kind: e.kind, Base: e.base, End: endOf(b[e.at:next], e.base), Bytes: int64(e.n), Sequence: g.sequence,
			file: f.path, at: f.end + groupHeaderSize + int64(e.at), fix: f.fix,
		})
		at = next
	}
	if at != len(b) {
		return fmt.Errorf("%w: %d bytes after the last entry", ErrCorrupt, len(b)-at)
	}
	return nil
}

// endOf returns the offset behind the last of the batches.
func endOf(batches []byte, base int64) int64 {
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			break // who replays it says so
		}
		base, batches = max(base, b.NextOffset()), rest
	}
	return base
}

// Sequence returns the highest sequence found, 0 for an empty journal.
func (s *Scan) Sequence() uint64 { return s.sequence }

// Oldest returns the lowest sequence needed; above Sequence if none is.
func (s *Scan) Oldest() uint64 { return s.oldest }

// Sync makes durable what was found, and needed. All of it was synced when it was written, but for the last group of a process that was
// killed. Whoever goes on after the Scan must not build on that before.
func (s *Scan) Sync() error {
	for _, f := range s.files {
		if f.header.sequence < s.oldest {
			continue
		}
		if err := s.syncFile(f.name); err != nil {
			return fmt.Errorf("sync journal file %s: %w", filepath.Join(s.dir, f.name), err)
		}
	}
	return nil
}

func (s *Scan) syncFile(name string) error {
	file, err := s.fs.OpenFile(filepath.Join(s.dir, name), vfs.ReadWrite, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Datasync(), file.Close())
}

// Reader reads the record batches of entries, of its Scan or of another one of the same file system. It keeps one file open.
type Reader struct {
	scan *Scan
	name string
	file vfs.File
}

// NewReader returns a Reader for one goroutine; several may read one Scan.
func (s *Scan) NewReader() *Reader { return &Reader{scan: s} }

// Read appends the record batches of the entry to dst. They checked when the journal was opened.
func (r *Reader) Read(dst []byte, e Entry) ([]byte, error) {
	if r.file == nil || r.name != e.file {
		r.Close()
		file, err := r.scan.fs.OpenFile(e.file, vfs.ReadOnly, 0)
		if err != nil {
			return dst, fmt.Errorf("open journal file: %w", err)
		}
		r.file, r.name = file, e.file
	}
	from := len(dst)
	dst, err := vfs.Span{File: r.file, Off: e.at, N: e.Bytes}.AppendTo(dst)
	e.fix.apply(dst[from:], e.at)
	return dst, err
}

// Close closes the open file; the Reader may be used again.
func (r *Reader) Close() {
	if r.file != nil {
		r.file.Close() // it was only read
		r.file = nil
	}
}
