package producer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// Sizes of the snapshot format. Frozen: they are Kafka's.
const (
	snapshotVersion = 1
	crcEnd          = 6  // the checksum covers everything behind it
	headSize        = 10 // version, checksum, count
	entrySize       = 46
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the content of a snapshot file.
//
// # File format: <offset, 20 digits>.snapshot
//
//	byte 0, 2 bytes: version, 1
//	byte 2, 4 bytes: CRC-32C of everything from byte 6
//	byte 6, 4 bytes: number of entries, and for each
//	  byte  0, 8 bytes: producer id
//	  byte  8, 2 bytes: producer epoch
//	  byte 10, 4 bytes: last sequence, or -1
//	  byte 14, 8 bytes: last offset, or -1
//	  byte 22, 4 bytes: last offset minus first offset of the last batch
//	  byte 26, 8 bytes: timestamp of the last batch or marker
//	  byte 34, 4 bytes: epoch of the last transaction coordinator that sent a marker, or -1
//	  byte 38, 8 bytes: first offset of the open transaction, or -1
//
// Big-endian. The state is that before the offset in the name. Only the last batch of each producer is kept; see Recall. Entries are ordered by
// producer id, which Kafka does not ask for, so that equal states give equal files.
func (s *State) Encode() []byte {
	ids := make([]int64, 0, len(s.entries))
	for id := range s.entries {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	b := make([]byte, crcEnd, headSize+len(ids)*entrySize)
	binary.BigEndian.PutUint16(b, snapshotVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(ids)))
	for _, id := range ids {
		e := s.entries[id]
		last, ok := e.last()
		if !ok {
			last = batch{lastSeq: None, lastOffset: None}
		}
		b = binary.BigEndian.AppendUint64(b, uint64(id))
		b = binary.BigEndian.AppendUint16(b, uint16(e.epoch))
		b = binary.BigEndian.AppendUint32(b, uint32(last.lastSeq))
		b = binary.BigEndian.AppendUint64(b, uint64(last.lastOffset))
		b = binary.BigEndian.AppendUint32(b, uint32(last.delta))
		b = binary.BigEndian.AppendUint64(b, uint64(e.timestamp))
		b = binary.BigEndian.AppendUint32(b, uint32(e.coordinatorEpoch))
		b = binary.BigEndian.AppendUint64(b, uint64(e.txnFirst))
	}
	binary.BigEndian.PutUint32(b[2:], crc32.Checksum(b[crcEnd:], castagnoli))
	return b
}

// Decode reads a snapshot file.
func Decode(b []byte) (*State, error) {
	if len(b) < headSize {
		return nil, fmt.Errorf("producer snapshot has %d bytes", len(b))
	}
	if v := binary.BigEndian.Uint16(b); v != snapshotVersion {
		return nil, fmt.Errorf("producer snapshot has version %d", v)
	}
	if got, want := crc32.Checksum(b[crcEnd:], castagnoli), binary.BigEndian.Uint32(b[2:]); got != want {
		return nil, fmt.Errorf("producer snapshot has checksum %08x, its content %08x", want, got)
	}
	n := binary.BigEndian.Uint32(b[crcEnd:])
	if int64(n)*entrySize != int64(len(b)-headSize) {
		return nil, fmt.Errorf("producer snapshot of %d bytes claims %d entries", len(b), n)
	}
	s := &State{}
	for b = b[headSize:]; len(b) > 0; b = b[entrySize:] {
		s.decodeEntry(b)
	}
	return s, nil
}

func (s *State) decodeEntry(b []byte) {
	u32 := func(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
	u64 := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
	id := u64(0)
	e := s.entry(id)
	e.setEpoch(int16(binary.BigEndian.Uint16(b[8:])))
	e.timestamp, e.coordinatorEpoch, e.txnFirst = u64(26), u32(34), u64(38)
	if lastOffset := u64(14); lastOffset >= 0 {
		e.add(batch{lastSeq: u32(10), delta: u32(22), lastOffset: lastOffset, timestamp: e.timestamp})
		e.abridged = true
	}
	if e.txnFirst >= 0 {
		insert(&s.open, txn{producerID: id, first: e.txnFirst})
	} else {
		e.txnFirst = None
	}
}
