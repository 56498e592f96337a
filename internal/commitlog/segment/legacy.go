package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrOldFormat says that a segment holds messages in the formats from before Kafka 0.11.
var ErrOldFormat = errors.New("message format v0 or v1, from before Kafka 0.11, is not read: copy the topic with a broker that reads it")

// refuseLegacy recognises a message of format v0 or v1 at pos. It is no damage, so nothing is cut off there.
//
// # Format: message v0 and v1
//
// offset 8 bytes, length 4 bytes, CRC-32 (IEEE) of all that follows it 4 bytes, magic 1 byte (0 or 1), and then attributes, in v1 the
// time, key and value.
func (w *walker) refuseLegacy(pos int64) error {
	const crcAt, magicAt, least = 12, 16, 26
	if w.size-pos < least {
		return nil
	}
	h, err := w.bytes(pos, least)
	if err != nil {
		return nil // whoever asked has met it too
	}
	magic, n := h[magicAt], Length(h)
	if magic > 1 || n < least || n > w.size-pos {
		return nil
	}
	message, err := w.bytes(pos, n)
	if err != nil || crc32.ChecksumIEEE(message[magicAt:]) != binary.BigEndian.Uint32(message[crcAt:]) {
		return nil
	}
	return fmt.Errorf("%s at %d: magic %d: %w", w.s.Path(), pos, magic, ErrOldFormat)
}
