package record

import (
	"bytes"
	"compress/flate"
	"fmt"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Bounds of the levels that gzip takes; -1 is its default.
const (
	minGzipLevel = flate.BestSpeed
	maxGzipLevel = flate.BestCompression
)

// compress appends content to dst, compressed.
func compress(dst []byte, c Compression, content []byte) []byte {
	switch c.Codec {
	case Gzip:
		return appendGzip(dst, content, c.Level)
	case Snappy:
		return appendSnappy(dst, content)
	case LZ4:
		return appendLZ4(dst, content, c.Level)
	case Zstd:
		return appendZstd(dst, content, c.Level)
	}
	return append(dst, content...)
}

// gzipWriters are pools by level, the default first.
var gzipWriters [maxGzipLevel + 2]sync.Pool

func appendGzip(dst, content []byte, level int) []byte {
	if level < minGzipLevel || level > maxGzipLevel {
		level = DefaultGzipLevel
	}
	pool := &gzipWriters[level+1]
	out := bytes.NewBuffer(dst)
	w, ok := pool.Get().(*gzip.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = gzip.NewWriterLevel(out, level); err != nil {
			panic(fmt.Sprintf("gzip level %d: %v", level, err)) // it was checked above
		}
	}
	w.Write(content) // a bytes.Buffer takes everything
	w.Close()
	w.Reset(nil)
	pool.Put(w)
	return out.Bytes()
}

// zstdWriters are pools by the library's own, coarser levels.
var zstdWriters [zstd.SpeedBestCompression + 1]sync.Pool

func appendZstd(dst, content []byte, level int) []byte {
	speed := zstd.EncoderLevelFromZstd(level)
	pool := &zstdWriters[speed]
	w, ok := pool.Get().(*zstd.Encoder)
	if !ok {
		var err error
		w, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(speed), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(maxStreamWindow/4), zstd.WithZeroFrames(true))
		if err != nil {
			panic(fmt.Sprintf("zstd level %d: %v", level, err)) // EncoderLevelFromZstd gives valid ones only
		}
	}
	defer pool.Put(w)
	return w.EncodeAll(content, dst)
}
