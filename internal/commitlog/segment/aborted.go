package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/moldau/moldau/internal/vfs"
)

// Aborted is one entry of the list of aborted transactions. It lies in the segment that has the abort marker.
//
// # File format: <base offset, 20 digits>.txnindex
//
//	byte  0, 2 bytes: version, 0
//	byte  2, 8 bytes: producer id
//	byte 10, 8 bytes: first offset of the transaction
//	byte 18, 8 bytes: last offset, that of the marker
//	byte 26, 8 bytes: last stable offset when the marker was appended
//
// Entries repeat to the end, big-endian, last offsets increasing. A segment without aborted transactions has no file.
type Aborted struct {
	ProducerID, First, Last, LastStable int64
}

// abortedSize is the size of an entry. Frozen: it is Kafka's.
const abortedSize = 34

func appendAborted(dst []byte, entries []Aborted) []byte {
	for _, e := range entries {
		dst = binary.BigEndian.AppendUint16(dst, 0)
		for _, v := range []int64{e.ProducerID, e.First, e.Last, e.LastStable} {
			dst = binary.BigEndian.AppendUint64(dst, uint64(v))
		}
	}
	return dst
}

func decodeAborted(b []byte) (entries []Aborted, whole bool) {
	last := int64(-1)
	for ; len(b) >= abortedSize; b = b[abortedSize:] {
		v := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
		e := Aborted{v(2), v(10), v(18), v(26)}
		if binary.BigEndian.Uint16(b) != 0 || e.Last <= last || e.First < 0 || e.First > e.Last {
			return entries, false
		}
		entries = append(entries, e)
		last = e.Last
	}
	return entries, len(b) == 0
}

// NoteAborted enters an aborted transaction; the file gets it with the next WriteIndexes.
func (s *Segment) NoteAborted(a Aborted) {
	s.mu.Lock()
	s.mu.aborted = append(s.mu.aborted, a)
	s.mu.Unlock()
}

// RelistAborted writes the aborted transactions whose marker lies at or above an offset anew: those that are given.
func (s *Segment) RelistAborted(from int64, entries []Aborted) error {
	if err := s.loadAborted(); err != nil {
		return err
	}
	s.truncateAborted(from)
	s.mu.Lock()
	s.mu.aborted = append(s.mu.aborted[:len(s.mu.aborted):len(s.mu.aborted)], entries...)
	s.mu.Unlock()
	return s.writeAborted()
}

// ListsAborted says whether there are entries in the file, as far as the segment was asked for them.
func (s *Segment) ListsAborted() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.mu.aborted) > 0
}

// Aborted returns the aborted transactions that overlap [from, to). more says that a later segment may have more of them.
func (s *Segment) Aborted(from, to int64) (found []Aborted, more bool, err error) {
	if err := s.loadAborted(); err != nil {
		return nil, false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, a := range s.mu.aborted {
		if a.Last >= from && a.First < to {
			found = append(found, a)
		}
		if a.LastStable >= to {
			return found, false, nil
		}
	}
	return found, true, nil
}

// loadAborted reads the file of an old segment, once.
func (s *Segment) loadAborted() error {
	s.mu.RLock()
	loaded := s.writer.abortedLoaded
	s.mu.RUnlock()
	if loaded {
		return nil
	}
	b, err := vfs.ReadFile(s.log.fs, s.path(AbortedSuffix))
	if err != nil && !notExist(err) {
		return err
	}
	entries, whole := decodeAborted(b)
	if !whole {
		return fmt.Errorf("%w: %s", ErrCorrupt, s.path(AbortedSuffix))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.writer.abortedLoaded {
		s.mu.aborted, s.writer.abortedFiled, s.writer.abortedLoaded = entries, int32(len(entries)), true
	}
	return nil
}

// recoverAborted keeps the entries of the file whose marker lies below the offset known; the scan brings the others back.
func (s *Segment) recoverAborted(known int64) error {
	b, err := vfs.ReadFile(s.log.fs, s.path(AbortedSuffix))
	if err != nil && !notExist(err) {
		return err
	}
	entries, _ := decodeAborted(b)
	for k := len(entries); k > 0 && entries[k-1].Last >= known; k-- {
		entries = entries[: k-1 : k-1]
	}
	s.mu.aborted, s.writer.abortedFiled, s.writer.abortedLoaded = entries, int32(len(entries)), true
	s.writer.abortedStale = len(b) != len(entries)*abortedSize
	return nil
}

// truncateAborted forgets the transactions whose marker lies at or above end.
func (s *Segment) truncateAborted(end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := len(s.mu.aborted); k > 0 && s.mu.aborted[k-1].Last >= end; k-- {
		s.mu.aborted = s.mu.aborted[: k-1 : k-1]
	}
	if int(s.writer.abortedFiled) > len(s.mu.aborted) {
		s.writer.abortedFiled, s.writer.abortedStale = int32(len(s.mu.aborted)), true
	}
}

func (s *Segment) writeAborted() error {
	k := int(s.writer.abortedFiled)
	if !s.writer.abortedLoaded || k == len(s.mu.aborted) && !s.writer.abortedStale {
		return nil
	}
	if err := s.writeFrom(AbortedSuffix, int64(k)*abortedSize, appendAborted(nil, s.mu.aborted[k:])); err != nil {
		return err
	}
	s.writer.abortedFiled, s.writer.abortedStale = int32(len(s.mu.aborted)), false
	return nil
}
