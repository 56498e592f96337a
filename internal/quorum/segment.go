package quorum

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	pb "go.etcd.io/raft/v3/raftpb"
)

// # File format: <number, 20 digits>.log
//
// Frames one after another, then zeros to the end of the file. A frame is one batch: one write, one sync.
//
//	byte 0, 4 bytes:  magic, 4d 4c 44 51
//	byte 4, 4 bytes:  length of the body
//	byte 8, 8 bytes:  sequence of the frame, one more than that of the frame before, over all files
//	byte 16, 4 bytes: CRC-32C of bytes 0-15 and the body
//	byte 20:          the body, records one after another, each a kind (1 byte), an unsigned varint length and that many bytes:
//
//	1 segment     version (1), raft id, number of the file; the first record of a file
//	2 hard state  term, vote, commit; follows in the first frame of a file, so that earlier files can go
//	3 entry       index, term, type, then the data; an index that was there before drops what is from it on
//	4 base        index, term: the log starts anew behind a snapshot
//
// Numbers in records are unsigned varints, the others big-endian. The zeros are written ahead so that a sync changes no file
// size. A frame that is damaged ends the log where nothing valid with a higher sequence follows it, since it then was never
// synced; otherwise synced bytes were damaged. So that this is known of the last frame too, a seal is written behind it once it
// is synced: a frame without records. Nothing waits for the seal to be durable, and the next frame takes its place and its
// sequence: torn, it leaves the seal or its own pieces where the seal was, and nothing valid behind them. All of this is frozen.
const (
	frameMagic     = 0x4d4c4451
	frameHeader    = 20
	segmentVersion = 1

	recordSegment   byte = 1
	recordHardState byte = 2
	recordEntry     byte = 3
	recordBase      byte = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is a batch while it is built.
type frame struct {
	buf     []byte
	scratch []byte
}

func (f *frame) reset() { f.buf = append(f.buf[:0], make([]byte, frameHeader)...) }

// seal fills in the header and returns the bytes of the frame.
func (f *frame) seal(sequence uint64) []byte {
	binary.BigEndian.PutUint32(f.buf[0:], frameMagic)
	binary.BigEndian.PutUint32(f.buf[4:], uint32(len(f.buf)-frameHeader))
	binary.BigEndian.PutUint64(f.buf[8:], sequence)
	binary.BigEndian.PutUint32(f.buf[16:], frameCRC(f.buf))
	return f.buf
}

func frameCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:16], castagnoli), castagnoli, b[frameHeader:])
}

func (f *frame) record(kind byte, data []byte, numbers ...uint64) {
	f.scratch = f.scratch[:0]
	for _, n := range numbers {
		f.scratch = binary.AppendUvarint(f.scratch, n)
	}
	f.buf = append(f.buf, kind)
	f.buf = binary.AppendUvarint(f.buf, uint64(len(f.scratch)+len(data)))
	f.buf = append(f.buf, f.scratch...)
	f.buf = append(f.buf, data...)
}

func (f *frame) hardState(hs hardState) { f.record(recordHardState, nil, hs.term, hs.vote, hs.commit) }

func (f *frame) entry(e *pb.Entry) {
	f.record(recordEntry, e.GetData(), e.GetIndex(), e.GetTerm(), uint64(e.GetType()))
}

// hardState is what a voter must not forget, and how far it knows entries to be committed.
type hardState struct{ term, vote, commit uint64 }

// openFrame returns the frame at the start of b, with its body, or false where there is no valid one.
func openFrame(b []byte) (sequence uint64, body []byte, size int, ok bool) {
	if len(b) < frameHeader || binary.BigEndian.Uint32(b) != frameMagic {
		return 0, nil, 0, false
	}
	n := uint64(binary.BigEndian.Uint32(b[4:]))
	if n > uint64(len(b)-frameHeader) {
		return 0, nil, 0, false
	}
	size = frameHeader + int(n)
	if binary.BigEndian.Uint32(b[16:]) != frameCRC(b[:size]) {
		return 0, nil, 0, false
	}
	return binary.BigEndian.Uint64(b[8:]), b[frameHeader:size], size, true
}

// laterFrame says whether a valid frame with a sequence above the given one stands anywhere in b.
func laterFrame(b []byte, sequence uint64) bool {
	for len(b) >= frameHeader {
		if b[0] == frameMagic>>24 {
			if found, _, _, ok := openFrame(b); ok && found > sequence {
				return true
			}
		}
		b = b[1:]
	}
	return false
}

// replay is the content of a log while its frames are read one after another.
type replay struct {
	id      uint64 // of the voter, from the first record
	number  uint64 // of the file being read
	hard    hardState
	entries []*pb.Entry // contiguous, the first at base+1
	base    uint64      // known once started: from a base record or from the first entry there is
	term    uint64      // of base; 0 where it is not known
	started bool
	guessed bool   // base is from the first entry there is: earlier files are gone
	highest uint64 // highest index in the file being read
}

// frame adds the records of one frame. first says that it is the first one of a file.
func (r *replay) frame(body []byte, first bool) error {
	for at := 0; len(body) > 0; at++ {
		kind := body[0]
		n, w := binary.Uvarint(body[1:])
		if w <= 0 || n > uint64(len(body)-1-w) {
			return fmt.Errorf("%w: record is cut short", ErrCorrupt)
		}
		data := body[1+w : 1+w+int(n)]
		body = body[1+w+int(n):]
		if (at == 0 && first) != (kind == recordSegment) {
			return fmt.Errorf("%w: a file does not begin with its name", ErrCorrupt)
		}
		if err := r.record(kind, data); err != nil {
			return err
		}
	}
	return nil
}

// record adds one record.
func (r *replay) record(kind byte, data []byte) error {
	var n [3]uint64
	count := 3
	if kind == recordBase {
		count = 2
	}
	for i := range count {
		v, w := binary.Uvarint(data)
		if w <= 0 {
			return fmt.Errorf("%w: number is cut short", ErrCorrupt)
		}
		n[i], data = v, data[w:]
	}
	if kind != recordEntry && len(data) > 0 {
		return fmt.Errorf("%w: record is too long", ErrCorrupt)
	}
	switch kind {
	case recordSegment:
		if n[0] != segmentVersion {
			return fmt.Errorf("%w: log of version %d", ErrCorrupt, n[0])
		}
		if r.id != 0 && r.id != n[1] || n[2] != r.number {
			return fmt.Errorf("%w: file of voter %x, number %d", ErrCorrupt, n[1], n[2])
		}
		r.id = n[1]
	case recordHardState:
		if n[0] < r.hard.term || n[0] == r.hard.term && r.hard.vote != 0 && n[1] != r.hard.vote {
			return fmt.Errorf("%w: term %d vote %x after term %d vote %x", ErrCorrupt, n[0], n[1], r.hard.term, r.hard.vote)
		}
		r.hard = hardState{term: n[0], vote: n[1], commit: max(r.hard.commit, n[2])}
	case recordEntry:
		return r.entry(&pb.Entry{Index: new(n[0]), Term: new(n[1]), Type: pb.EntryType(n[2]).Enum(), Data: append([]byte(nil), data...)}, n[2])
	case recordBase:
		r.entries, r.base, r.term, r.started, r.guessed = nil, n[0], n[1], true, false
		r.highest = max(r.highest, n[0])
	default:
		return fmt.Errorf("%w: record of kind %d", ErrCorrupt, kind)
	}
	return nil
}

func (r *replay) entry(e *pb.Entry, entryType uint64) error {
	index := e.GetIndex()
	if _, known := pb.EntryType_name[int32(entryType)]; !known || entryType > 1<<30 {
		return fmt.Errorf("%w: entry %d is of type %d", ErrCorrupt, index, entryType)
	}
	if index == 0 {
		return fmt.Errorf("%w: entry without index", ErrCorrupt)
	}
	if !r.started || r.guessed && index <= r.base { // an earlier one may take the place of entries whose beginning is in a file that is gone
		r.entries, r.base, r.started, r.guessed = nil, index-1, true, true
	}
	if index <= r.base || index > r.base+uint64(len(r.entries))+1 {
		return fmt.Errorf("%w: entry %d in a log from %d to %d", ErrCorrupt, index, r.base+1, r.base+uint64(len(r.entries)))
	}
	r.entries = append(r.entries[:index-r.base-1], e)
	r.highest = max(r.highest, index)
	return nil
}
