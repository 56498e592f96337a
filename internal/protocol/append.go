package protocol

import (
	"encoding/binary"
	"math/bits"

	"github.com/moldau/moldau/internal/uuid"
)

func AppendInt8(dst []byte, v int8) []byte   { return append(dst, byte(v)) }
func AppendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func AppendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func AppendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func AppendUUID(dst []byte, u uuid.UUID) []byte { return append(dst, u[:]...) }

// AppendUvarint appends an unsigned varint.
func AppendUvarint(dst []byte, v uint32) []byte {
	if v < 0x80 {
		return append(dst, byte(v))
	}
	return binary.AppendUvarint(dst, uint64(v))
}

func uvarintLen(v uint32) int { return (bits.Len32(v|1) + 6) / 7 }

// AppendString appends a string that is not null.
func AppendString(dst []byte, s string, flexible bool) []byte {
	if flexible {
		dst = AppendUvarint(dst, uint32(len(s))+1)
	} else {
		dst = AppendInt16(dst, int16(len(s)))
	}
	return append(dst, s...)
}

// AppendNullableString appends a string, or null for nil.
func AppendNullableString(dst []byte, s *string, flexible bool) []byte {
	switch {
	case s != nil:
		return AppendString(dst, *s, flexible)
	case flexible:
		return append(dst, 0)
	}
	return AppendInt16(dst, -1)
}

// AppendArrayLen appends the length of an array or of bytes; -1 is null.
func AppendArrayLen(dst []byte, n int, flexible bool) []byte {
	if flexible {
		return AppendUvarint(dst, uint32(n+1))
	}
	return AppendInt32(dst, int32(n))
}
