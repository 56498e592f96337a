// Package journal is the shared write-ahead log of one data directory: small appends of many partition logs become durable
// with one write and one sync, and stay here until the segment files of those logs are synced too. It owns its files, their
// order and their reuse. It never touches a segment file, knows no record batch, decides nothing about which append goes
// through it, and starts no goroutine.
//
// # Files
//
// journal/0.journal, journal/1.journal ... are at most Options.Files files, each used again and again. A use of a file is
// numbered by a sequence that only grows; exactly one file, the one with the highest sequence, is written. When it is full
// the next group starts another file: a free one, else a new one. A file is free when everything in it is in synced
// segment files (Retire) and a synced group says so (the oldest column below): so a crash never replays what was retired.
// Files grow by steps of zeros, and are overwritten in place afterwards: blocks that were written before are made durable
// without touching the metadata of the file system, which is what makes the journal fast. A file is as large as its first group needs, with what is
// kept behind that for settles, before the one before it is left.
//
// # File format, version 1 (frozen; all integers big-endian)
//
// Block 0 (4096 bytes), the header:
//
//	byte  0, 8 bytes: magic "MLDAUJNL"
//	byte  8, 4 bytes: version, 1
//	byte 12, 16 bytes: directory id, as in meta.properties
//	byte 28, 8 bytes: sequence of this use of the file, from 1
//	byte 36, 8 bytes: oldest sequence that is still needed
//	byte 44, 4 bytes: CRC of the last group of the file with the sequence before; 0 if that one was not needed when this began
//	byte 48, 4 bytes: CRC-32C of bytes 0-47
//	byte 52, 16 bytes: the mark of this use of the file, which is random; zeros in files from before there were marks
//	byte 68, 4 bytes: CRC-32C of bytes 0-67
//
// From block 1 on, groups, each starting at a multiple of 4096 bytes and padded with zeros to the next:
//
//	byte  0, 4 bytes: CRC-32C of the 4 bytes of the previous CRC (of the header for the first group), then of bytes 4 to the
//	                  end of the entries
//	byte  4, 4 bytes: length of the entries in bytes
//	byte  8, 8 bytes: sequence, as in the header
//	byte 16, 4 bytes: number of this group in the file, from 0
//	byte 20, 4 bytes: number of entries
//	byte 24, 8 bytes: oldest sequence that is still needed
//	byte 32: entries
//
// An entry:
//
//	byte  0, 1 byte: kind: 1 append, 2 settle
//	byte  1, 1 byte: length T of the topic's name
//	byte  2, 2 bytes: zero
//	byte  4, 16 bytes: topic id
//	byte 20, 4 bytes: partition
//	byte 24, 8 bytes: base offset of the first batch (append), 0 (settle)
//	byte 32, 4 bytes: length N of the record batches (append), 0 (settle)
//	byte 36, T bytes: topic name, so that a log whose directory did not survive can be made again
//	then N bytes: whole record batches as they lie in the segment
//
// Settle voids every earlier entry of its log: it is written before a log is cut back or removed, so that replay can
// neither undo that nor bring the log back. A settle entry without a topic name, whose topic id is the file's mark, is the first entry of
// each group; it voids nothing.
//
// The chain of CRCs and the sequence in every group mean that what an earlier use left in a file is never taken for this
// one's.
//
// # A group that does not check
//
// A bit that a disk gives back otherwise than it was written is put right, in what is read and not in the file: the CRC says which of the group's
// bits it is. What is put right so must bear the file's mark, and be confirmed by the group behind it or by the CRCs of its record batches. Of a
// header likewise.
//
// A reader stops at a group that is damaged more than that. In the file with the highest sequence that is where the crash was, unless a group behind
// it bears the mark; then it is damage (ErrCorrupt), because no group is written before all in front of it are synced. In any other file it is
// damage anyway, because a file is left only when all its groups are synced.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/moldau/moldau/internal/uuid"
)

// Format constants, frozen.
const (
	magic           = "MLDAUJNL"
	version         = 1
	blockSize       = 4096
	headerSize      = 72
	groupHeaderSize = 32
	entryHeaderSize = 36
	markSize        = entryHeaderSize
	startSize       = groupHeaderSize + markSize // what each group begins with
)

// Kind says what an entry is.
type Kind uint8

// Kinds of entries, frozen.
const (
	KindAppend Kind = 1
	KindSettle Kind = 2
)

// ErrCorrupt is wrapped by errors about damage that no crash explains.
var ErrCorrupt = errors.New("corrupt journal")

// ErrFull is returned by Commit when the group fits nowhere because no file is free. Nothing was written; the caller syncs
// the segment files instead and tries again later.
var ErrFull = errors.New("journal full")

// LogID names the log of an entry.
type LogID struct {
	Topic     string
	TopicID   uuid.UUID
	Partition int32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func align(n int64) int64 { return (n + blockSize - 1) &^ (blockSize - 1) }

type header struct {
	directory uuid.UUID
	sequence  uint64
	oldest    uint64
	previous  uint32 // CRC of the last group of the file before
	mark      uuid.UUID
}

// encode returns the first bytes of block 0 and their CRC, where the chain of the file's groups begins.
func (h header) encode(b []byte) uint32 {
	copy(b, magic)
	binary.BigEndian.PutUint32(b[8:], version)
	copy(b[12:], h.directory[:])
	binary.BigEndian.PutUint64(b[28:], h.sequence)
	binary.BigEndian.PutUint64(b[36:], h.oldest)
	binary.BigEndian.PutUint32(b[44:], h.previous)
	crc := crc32.Checksum(b[:48], castagnoli)
	binary.BigEndian.PutUint32(b[48:], crc)
	copy(b[52:], h.mark[:])
	binary.BigEndian.PutUint32(b[68:], crc32.Checksum(b[:68], castagnoli))
	return crc
}

// decodeHeader says with ok whether b begins with a whole header; a file whose first header was torn in a crash has none
// and held nothing that was acknowledged. It puts a wrong bit right in b, which mended tells.
func decodeHeader(b []byte) (h header, crc uint32, mended, ok bool, err error) {
	if len(b) < headerSize {
		return header{}, 0, false, false, nil
	}
	mended, ok = mendCRC(b[:48], b[48:52])
	if !ok || string(b[:8]) != magic {
		return header{}, 0, false, false, nil
	}
	crc = binary.BigEndian.Uint32(b[48:])
	if string(b[52:headerSize]) != string(zeros[52:headerSize]) {
		turned, ok := mendCRC(b[:68], b[68:72])
		if mended = mended || turned; ok {
			copy(h.mark[:], b[52:])
		}
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != version {
		return header{}, 0, false, false, fmt.Errorf("%w: version %d is not known here", ErrCorrupt, v)
	}
	copy(h.directory[:], b[12:28])
	h.sequence = binary.BigEndian.Uint64(b[28:])
	h.oldest = binary.BigEndian.Uint64(b[36:])
	h.previous = binary.BigEndian.Uint32(b[44:])
	return h, crc, mended, true, nil
}

// group is the header of a group of entries.
type group struct {
	length   uint32
	sequence uint64
	number   uint32
	entries  uint32
	oldest   uint64
}

// seal writes the group's header into b, whose entries follow it already, and returns the group's CRC.
func (g group) seal(b []byte, previous uint32) uint32 {
	binary.BigEndian.PutUint32(b[4:], g.length)
	binary.BigEndian.PutUint64(b[8:], g.sequence)
	binary.BigEndian.PutUint32(b[16:], g.number)
	binary.BigEndian.PutUint32(b[20:], g.entries)
	binary.BigEndian.PutUint64(b[24:], g.oldest)
	crc := chain(previous, b[4:groupHeaderSize+int(g.length)])
	binary.BigEndian.PutUint32(b, crc)
	return crc
}

func chain(previous uint32, b []byte) uint32 {
	var p [4]byte
	binary.BigEndian.PutUint32(p[:], previous)
	return crc32.Update(crc32.Checksum(p[:], castagnoli), castagnoli, b)
}

func decodeGroup(b []byte) (group, uint32) {
	return group{
		length:   binary.BigEndian.Uint32(b[4:]),
		sequence: binary.BigEndian.Uint64(b[8:]),
		number:   binary.BigEndian.Uint32(b[16:]),
		entries:  binary.BigEndian.Uint32(b[20:]),
		oldest:   binary.BigEndian.Uint64(b[24:]),
	}, binary.BigEndian.Uint32(b)
}

// appendMark appends the entry that each group of a file begins with.
func appendMark(b []byte, mark uuid.UUID) []byte {
	return appendEntryHeader(b, KindSettle, LogID{TopicID: mark}, 0, 0)
}

// isMark says whether b begins with an entry that is a mark.
func isMark(b []byte) bool {
	var mark uuid.UUID
	copy(mark[:], b[4:])
	return !mark.IsZero() && string(b[:markSize]) == string(appendMark(nil, mark))
}

// appendEntryHeader appends everything of an entry but its record batches.
func appendEntryHeader(b []byte, kind Kind, id LogID, base int64, n int) []byte {
	b = append(b, byte(kind), byte(len(id.Topic)), 0, 0)
	b = append(b, id.TopicID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(id.Partition))
	b = binary.BigEndian.AppendUint64(b, uint64(base))
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return append(b, id.Topic...)
}

// rawEntry is an entry as decoded: topic and batches point into the group's buffer.
type rawEntry struct {
	kind      Kind
	topic     []byte
	topicID   uuid.UUID
	partition int32
	base      int64
	at, n     int // where the batches lie in the entries of the group
}

// decodeEntry decodes the entry at b[at:] and returns where the next begins.
func decodeEntry(b []byte, at int) (rawEntry, int, error) {
	if len(b)-at < entryHeaderSize {
		return rawEntry{}, 0, fmt.Errorf("%w: entry of %d bytes", ErrCorrupt, len(b)-at)
	}
	h := b[at:]
	e := rawEntry{kind: Kind(h[0]), partition: int32(binary.BigEndian.Uint32(h[20:])), base: int64(binary.BigEndian.Uint64(h[24:]))}
	copy(e.topicID[:], h[4:20])
	topic, n := int(h[1]), int64(binary.BigEndian.Uint32(h[32:]))
	if e.kind != KindAppend && e.kind != KindSettle {
		return rawEntry{}, 0, fmt.Errorf("%w: entry of unknown kind %d", ErrCorrupt, e.kind)
	}
	if int64(len(h)) < entryHeaderSize+int64(topic)+n {
		return rawEntry{}, 0, fmt.Errorf("%w: entry of %d bytes says %d", ErrCorrupt, len(h), entryHeaderSize+int64(topic)+n)
	}
	e.topic = h[entryHeaderSize : entryHeaderSize+topic]
	e.at, e.n = at+entryHeaderSize+topic, int(n)
	return e, e.at + e.n, nil
}
