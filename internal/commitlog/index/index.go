// Package index encodes and searches the two indexes of a segment. It owns their formats and rules, not the files: it never
// reads or writes one.
//
// # File format: <base offset, 20 digits>.index
//
//	byte 0, 4 bytes: relative offset, the last offset of a batch minus the segment's base offset
//	byte 4, 4 bytes: position in the .log file where that batch starts
//
// Entries repeat to the end, big-endian, both columns strictly increasing and above zero, since the first batch of a
// segment is never indexed. No header, no checksum: the .log file is the truth, and an index that breaks a rule is
// rebuilt from it.
//
// # File format: <base offset, 20 digits>.timeindex
//
//	byte 0, 8 bytes: largest timestamp in the segment so far
//	byte 8, 4 bytes: relative offset, the last offset of the batch that has it
//
// Timestamps strictly increase, offsets do not decrease. When a segment is rolled or closed a last entry holds the largest
// timestamp of all.
//
// Behind the entries a file may hold zeros: Kafka gives an active index its full size.
package index

import (
	"encoding/binary"
	"math"
	"sort"
)

// Sizes of an entry on disk. Frozen: they are Kafka's.
const (
	OffsetSize = 8
	TimeSize   = 12
)

// Offset says where the batch starts whose last offset is Rel above the segment's base.
type Offset struct{ Rel, Pos uint32 }

// Time says that no batch up to the one whose last offset is Rel above the base has a larger timestamp, and that this one has it.
type Time struct {
	Timestamp int64
	Rel       uint32
}

// AppendOffsets appends the entries as they lie on disk.
func AppendOffsets(dst []byte, entries []Offset) []byte {
	for _, e := range entries {
		dst = binary.BigEndian.AppendUint32(dst, e.Rel)
		dst = binary.BigEndian.AppendUint32(dst, e.Pos)
	}
	return dst
}

// AppendTimes appends the entries as they lie on disk.
func AppendTimes(dst []byte, entries []Time) []byte {
	for _, e := range entries {
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.Timestamp))
		dst = binary.BigEndian.AppendUint32(dst, e.Rel)
	}
	return dst
}

// DecodeOffsets returns the entries of b that obey the rules, up to the first that does not; whole says that they are all
// of b but zeros. size is that of the .log file: no batch starts at or beyond it.
func DecodeOffsets(b []byte, size int64) (entries []Offset, whole bool) {
	b = b[:used(b, OffsetSize)]
	entries = make([]Offset, 0, len(b)/OffsetSize)
	last := Offset{}
	for ; len(b) >= OffsetSize; b = b[OffsetSize:] {
		e := Offset{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
		if e.Rel <= last.Rel || e.Pos <= last.Pos || e.Rel > math.MaxInt32 || int64(e.Pos) >= size {
			return entries, false
		}
		entries = append(entries, e)
		last = e
	}
	return entries, len(b) == 0
}

// DecodeTimes returns the entries of b that obey the rules, up to the first that does not; whole says that they are all of b but
// zeros.
func DecodeTimes(b []byte) (entries []Time, whole bool) {
	b = b[:used(b, TimeSize)]
	entries = make([]Time, 0, len(b)/TimeSize)
	last := Time{Timestamp: -1}
	for ; len(b) >= TimeSize; b = b[TimeSize:] {
		e := Time{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])}
		if e.Timestamp <= last.Timestamp || e.Rel < last.Rel || e.Rel > math.MaxInt32 {
			return entries, false
		}
		entries = append(entries, e)
		last = e
	}
	return entries, len(b) == 0
}

// used is the length of b without the zero entries at its end. One entry is kept: all zeros, it is the time index of a segment
// whose only batch has offset 0 and timestamp 0.
func used(b []byte, entry int) int {
	n := len(b)
	for n > entry && n%entry == 0 && zero(b[n-entry:n]) {
		n -= entry
	}
	return n
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// FloorOffset returns the position in entries of the last one with Rel <= rel, or -1.
func FloorOffset(entries []Offset, rel int64) int {
	return sort.Search(len(entries), func(i int) bool { return int64(entries[i].Rel) > rel }) - 1
}

// FloorPos returns the position in entries of the last one with Pos <= pos, or -1.
func FloorPos(entries []Offset, pos int64) int {
	return sort.Search(len(entries), func(i int) bool { return int64(entries[i].Pos) > pos }) - 1
}

// FloorTime returns the position in entries of the last one with Timestamp <= ts, or -1.
func FloorTime(entries []Time, ts int64) int {
	return sort.Search(len(entries), func(i int) bool { return entries[i].Timestamp > ts }) - 1
}

// TimesUpTo returns how many entries have Rel <= rel.
func TimesUpTo(entries []Time, rel int64) int {
	return sort.Search(len(entries), func(i int) bool { return int64(entries[i].Rel) > rel })
}
