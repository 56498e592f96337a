package segment

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/moldau/moldau/internal/vfs"
)

// Unreadable says whether err is the disk's own, about bytes that it cannot give back.
func Unreadable(err error) bool { return errors.Is(err, syscall.EIO) }

// OnUnreadable sets who hears of a .log file of which a reader could not read a part. It is called whenever that happens, by that reader, and must not block.
func (c *FileCache) OnUnreadable(tell func(path string)) { c.onUnreadable.Store(&tell) }

func (s *Segment) tellUnreadable(err error) {
	if !Unreadable(err) {
		return
	}
	if tell := s.log.cache.onUnreadable.Load(); tell != nil {
		(*tell)(s.Path())
	}
}

// Places is Survey for who mends what it finds: no reader learns of it, and a part of the file that the disk cannot give back counts as damaged.
func (s *Segment) Places(pace func(bytes int64) error) ([]Damage, error) {
	s.mu.RLock()
	size, end := s.mu.size, s.mu.end
	s.mu.RUnlock()
	if size == 0 {
		return nil, nil
	}
	v, err := s.newSurveyor(size, end)
	if err != nil {
		return nil, err
	}
	defer v.w.close()
	v.w.f, v.pace = zeroed{v.w.f}, pace
	if err := v.run(); err != nil {
		return nil, err
	}
	return v.damages, nil
}

// zeroed reads zeros where the disk gives nothing: no batch has those where its magic byte is, and one that has them inside has another CRC.
type zeroed struct{ vfs.File }

// zeroedPiece is the least that a disk or the page cache fails to give back.
const zeroedPiece = 4 << 10

func (z zeroed) ReadAt(b []byte, off int64) (int, error) {
	n, err := z.File.ReadAt(b, off)
	if !Unreadable(err) {
		return n, err
	}
	for n = 0; n < len(b); {
		at := off + int64(n)
		piece := b[n:min(len(b), n+int(zeroedPiece-at%zeroedPiece))]
		got, err := z.File.ReadAt(piece, at)
		if Unreadable(err) {
			clear(piece)
			got, err = len(piece), nil
		}
		n += got
		if got < len(piece) {
			if err == nil {
				err = io.EOF
			}
			return n, err
		}
	}
	return n, nil
}

// ErrUnread means that a disk does not give the bytes of a damaged place: it may do so later.
var ErrUnread = errors.New("a damaged place cannot be read")

// TakeDamage appends a damaged place of another segment as it is, for who cannot mend it yet: its offsets stay refused. Nothing is made up for what the disk does
// not give (ErrUnread).
func (s *Segment) TakeDamage(from *Segment, d Damage, buf []byte) error {
	in, err := from.log.Acquire()
	if err != nil {
		return err
	}
	defer from.log.Release()
	out, err := s.log.Acquire()
	if err != nil {
		return err
	}
	defer s.log.Release()
	at := s.mu.size // no lock: only the writer changes it
	for pos := d.From; pos < d.To; {
		b := buf[:min(int64(len(buf)), d.To-pos)]
		if n, err := in.ReadAt(b, pos); n < len(b) {
			return fmt.Errorf("%w: read %d bytes at %d of %s: %w", ErrUnread, len(b), pos, from.Path(), err)
		}
		if _, err := out.WriteAt(b, at+pos-d.From); err != nil {
			return err
		}
		pos += int64(len(b))
	}
	d.From, d.To = at, at+d.To-d.From
	s.mu.Lock()
	s.setDamagesLocked(append(s.Damages(), d))
	s.mu.size, s.mu.end = d.To, d.Next
	s.mu.Unlock()
	return nil
}

// NewReaderAt returns a reader of the batches between two positions of the file. It must be closed.
func (s *Segment) NewReaderAt(pos, end int64, buf []byte) (*Reader, error) {
	f, err := s.log.Acquire()
	if err != nil {
		return nil, err
	}
	return &Reader{w: &walker{s: s, f: f, size: end, buf: &buf, next: len(buf)}, pos: pos}, nil
}

// AllAborted are all entries of the list of aborted transactions.
func (s *Segment) AllAborted() ([]Aborted, error) {
	if err := s.loadAborted(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.aborted[:len(s.mu.aborted):len(s.mu.aborted)], nil
}
