package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// chunkSize is how much gzip and zstd give at a time.
const chunkSize = 64 << 10

// decompressor gives the content of one compressed payload, chunk by chunk. What it allocates follows the bytes it was
// given or has produced, never a length that the payload claims. It is pooled: release ends its use.
type decompressor interface {
	// next returns the next chunk, never empty, valid until the next call, and at the end io.EOF. The chunk is made only
	// if it has at most limit bytes, where that is known beforehand.
	next(limit int64) ([]byte, error)
	release()
}

// errOverLimit is what next returns for a chunk that it knows to be over the limit.
var errOverLimit = errors.New("over the limit")

// newDecompressor returns a decompressor of payload. Its errors and those of next do not wrap an error of this package.
func newDecompressor(c Codec, payload []byte, limit int64) (decompressor, error) {
	switch c {
	case Gzip:
		return newGzipSource(payload)
	case Snappy:
		return newSnappySource(payload)
	case LZ4:
		return newLZ4Source(payload)
	case Zstd:
		return newZstdSource(payload, limit)
	}
	return nil, unknownCodec(c)
}

func unknownCodec(c Codec) *Error {
	return failf(ErrUnsupportedCompression, "Unknown compression type id: %d", uint8(c))
}

// decompressError turns an error of a decompressor into one of this package's.
func decompressError(c Codec, limit int64, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if err == errOverLimit {
		return failf(ErrDecompressedTooLarge, "Decompressed records exceed the configured maximum of %d bytes.", limit)
	}
	return failf(ErrCorrupt, "Failed to decompress record stream (%v): %v", c, err)
}

// decompress appends the content of payload to dst; more than limit bytes are refused. A limit of 0 or less is none.
func decompress(dst []byte, c Codec, payload []byte, limit int64) ([]byte, error) {
	if limit <= 0 {
		limit = math.MaxInt64
	}
	left := limit
	d, err := newDecompressor(c, payload, left)
	if err != nil {
		return nil, decompressError(c, limit, err)
	}
	defer d.release()
	for {
		chunk, err := d.next(left)
		if err == io.EOF {
			return dst, nil
		}
		if err == nil && int64(len(chunk)) > left {
			err = errOverLimit
		}
		if err != nil {
			return nil, decompressError(c, limit, err)
		}
		left -= int64(len(chunk))
		dst = append(dst, chunk...)
	}
}

// readChunk fills buf as far as one successful read does.
func readChunk(r io.Reader, buf []byte) ([]byte, error) {
	for range 100 {
		n, err := r.Read(buf)
		if n > 0 {
			return buf[:n], nil // an error comes again
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, io.ErrNoProgress
}

type gzipSource struct {
	src bytes.Reader
	r   gzip.Reader
	buf [chunkSize]byte
}

var gzipSources = sync.Pool{New: func() any { return new(gzipSource) }}

func newGzipSource(payload []byte) (*gzipSource, error) {
	s := gzipSources.Get().(*gzipSource)
	s.src.Reset(payload)
	if err := s.r.Reset(&s.src); err != nil {
		s.release()
		return nil, noEOF(err)
	}
	return s, nil
}

func (s *gzipSource) next(int64) ([]byte, error) { return readChunk(&s.r, s.buf[:]) }

func (s *gzipSource) release() {
	s.src.Reset(nil)
	gzipSources.Put(s)
}

// noEOF keeps the end of a payload inside its first header from looking like the end of its content.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Windows of Zstandard frames. A streaming decoder allocates the window that the frame claims, so pooled ones take only
// what every level up to 19 uses; the larger windows of the ultra levels are decoded in one piece, which allocates as the
// content grows.
const (
	maxStreamWindow = 8 << 20
	maxWindow       = 128 << 20 // as much as Kafka's decoder takes
)

type zstdSource struct {
	src bytes.Reader
	r   *zstd.Decoder
	buf [chunkSize]byte
}

var zstdSources = sync.Pool{New: func() any {
	// One goroutine's worth of concurrency decodes synchronously, so that a decoder dropped by the pool leaves nothing.
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxStreamWindow), zstd.WithDecodeBuffersBelow(0))
	if err != nil {
		panic(fmt.Sprintf("zstd options: %v", err)) // they are constants
	}
	return &zstdSource{r: r}
}}

func newZstdSource(payload []byte, limit int64) (decompressor, error) {
	if len(payload) == 0 {
		return &wholeZstd{}, nil // no frame at all is no content
	}
	var header zstd.Header
	if err := header.Decode(payload); err != nil {
		return nil, noEOF(err)
	}
	if header.WindowSize > maxStreamWindow {
		return newWholeZstd(payload, limit)
	}
	s := zstdSources.Get().(*zstdSource)
	s.src.Reset(payload)
	if err := s.r.Reset(&s.src); err != nil {
		s.release()
		return nil, noEOF(err)
	}
	return s, nil
}

func (s *zstdSource) next(int64) ([]byte, error) { return readChunk(s.r, s.buf[:]) }

func (s *zstdSource) release() {
	s.src.Reset(nil)
	s.r.Reset(nil)
	zstdSources.Put(s)
}

// wholeZstd is the content of frames with a large window.
type wholeZstd struct{ content []byte }

func newWholeZstd(payload []byte, limit int64) (*wholeZstd, error) {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(limit)))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := r.DecodeAll(payload, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = errOverLimit
	}
	return &wholeZstd{content}, err
}

func (s *wholeZstd) next(int64) ([]byte, error) {
	if len(s.content) == 0 {
		return nil, io.EOF
	}
	chunk := s.content
	s.content = nil
	return chunk, nil
}

func (s *wholeZstd) release() {}
