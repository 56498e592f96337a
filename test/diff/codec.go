package diff

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// xerialMagic opens the framed snappy streams that Java clients write.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}

// compress encodes records with a codec by its number in the batch attributes. Unknown codecs leave the bytes as they are.
func compress(codec int16, plain []byte) []byte {
	var out bytes.Buffer
	switch codec {
	case attrGzip:
		w := gzip.NewWriter(&out)
		mustWrite(w, plain)
	case attrSnappy:
		block := snappy.Encode(nil, plain)
		out.Write(xerialMagic)
		out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(block))))
		out.Write(block)
	case attrLZ4:
		w := lz4.NewWriter(&out)
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
			panic(err)
		}
		mustWrite(w, plain)
	case attrZstd:
		w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		mustWrite(w, plain)
	default:
		return plain
	}
	return out.Bytes()
}

// mustWrite writes to a compressor over memory, which cannot fail.
func mustWrite(w io.WriteCloser, plain []byte) {
	if _, err := w.Write(plain); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
}

// decompress is the inverse of compress; it also reads what Kafka writes when it recompresses.
func decompress(codec int16, data []byte) ([]byte, error) {
	switch codec {
	case attrGzip:
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case attrSnappy:
		if !bytes.HasPrefix(data, xerialMagic[:8]) {
			return snappy.Decode(nil, data)
		}
		var out []byte
		for rest := data[16:]; len(rest) > 0; {
			if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
				return nil, fmt.Errorf("read snappy block: %w", io.ErrUnexpectedEOF)
			}
			n := binary.BigEndian.Uint32(rest)
			block, err := snappy.Decode(nil, rest[4:4+n])
			if err != nil {
				return nil, err
			}
			out, rest = append(out, block...), rest[4+n:]
		}
		return out, nil
	case attrLZ4:
		return io.ReadAll(lz4.NewReader(bytes.NewReader(data)))
	case attrZstd:
		r, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	default:
		return data, nil
	}
}
