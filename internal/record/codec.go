package record

import "fmt"

// Codec is how the records of a batch are compressed. Its numbers are those of the batch's attributes: they are frozen.
type Codec uint8

const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

// Known says whether the codec is one of the above; attributes have room for three more.
func (c Codec) Known() bool { return c <= Zstd }

// String returns the name that producers and compression.type use.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

// Default levels, as Kafka's.
const (
	DefaultGzipLevel = -1
	DefaultLZ4Level  = 9 // the fast compressor; every other level is the high compressor
	DefaultZstdLevel = 3
)

// DefaultLevel returns the level that a codec is used with when nothing else is said; 0 for a codec without levels.
func (c Codec) DefaultLevel() int {
	switch c {
	case Gzip:
		return DefaultGzipLevel
	case LZ4:
		return DefaultLZ4Level
	case Zstd:
		return DefaultZstdLevel
	}
	return 0
}

// Compression is a codec and its level.
type Compression struct {
	Codec Codec
	Level int
}

// CompressionOf returns the codec at its default level.
func CompressionOf(c Codec) Compression { return Compression{c, c.DefaultLevel()} }
