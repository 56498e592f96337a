package diff

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
)

// batchHeader is the size of everything of a record batch that comes before its records.
const batchHeader = 61

// longPayload is the size from which records are kept as length and checksum, so that recordings stay readable.
const longPayload = 96

// batches renders the bytes of a records field, batch by batch, byte by byte.
func (w *walker) batches(path string, data []byte) {
	for i := 0; len(data) > 0; i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		size := int64(0)
		if len(data) >= 17 {
			size = 12 + int64(int32(binary.BigEndian.Uint32(data[8:])))
		}
		if w.norm.isResponse && (len(data) < 17 || size > int64(len(data))) {
			// Kafka cuts what it returns at a byte limit. How much of a batch was left carries no meaning for a client.
			w.leaf(at, "Cut", "true")
			return
		}
		if size < batchHeader || size > int64(len(data)) || data[16] != 2 {
			w.leaf(at, "Bytes", payload(data))
			return
		}
		w.batch(at, data[:size])
		data = data[size:]
	}
}

func (w *walker) batch(at string, b []byte) {
	be := binary.BigEndian
	attributes := int16(be.Uint16(b[21:]))
	records := b[batchHeader:]
	valid := be.Uint32(b[17:]) == crc32.Checksum(b[21:], castagnoli)
	number := func(name string, value int64) { w.leaf(at, name, strconv.FormatInt(value, 10)) }

	number("BaseOffset", int64(be.Uint64(b)))
	if w.norm.recompressed && attributes&7 != 0 {
		// Two implementations of a codec write different bytes for the same records, so these are compared unpacked.
		plain, err := decompress(attributes&7, records)
		if err != nil {
			w.leaf(at, "Unreadable", strconv.Quote(err.Error()))
		}
		records = plain
	} else {
		number("Length", int64(len(b)-12))
	}
	w.leaf(at, "LeaderEpoch", w.norm.leaderEpoch(int32(be.Uint32(b[12:]))))
	if !valid {
		w.leaf(at, "CRC", "invalid")
	}
	if attributes != 0 {
		number("Attributes", int64(attributes))
	}
	number("LastOffsetDelta", int64(int32(be.Uint32(b[23:]))))
	w.leaf(at, "BaseTimestamp", w.norm.time(int64(be.Uint64(b[27:]))))
	w.leaf(at, "MaxTimestamp", w.norm.time(int64(be.Uint64(b[35:]))))
	if id := int64(be.Uint64(b[43:])); id != -1 {
		w.leaf(at, "ProducerID", w.norm.producerID(id))
	}
	if e := int16(be.Uint16(b[51:])); e != -1 {
		number("ProducerEpoch", int64(e))
	}
	if q := int32(be.Uint32(b[53:])); q != -1 {
		number("BaseSequence", int64(q))
	}
	number("Count", int64(int32(be.Uint32(b[57:]))))
	w.leaf(at, "Records", payload(records))
}

// payload renders bytes in full, or by length and checksum where they are many.
func payload(b []byte) string {
	if len(b) > longPayload {
		return fmt.Sprintf("%d-bytes-%08x", len(b), crc32.Checksum(b, castagnoli))
	}
	return "0x" + hex.EncodeToString(b)
}
