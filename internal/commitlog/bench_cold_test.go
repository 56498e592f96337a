package commitlog

import (
	"os"
	"testing"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/vfs"
)

// BenchmarkFirstRead reads a log of 256 MiB from its start to its end, 1 MiB at a time: for the first time since the start, when each batch's CRC is
// checked, and again; with the files in the page cache, and without. Without takes root, which may drop that cache.
//
//	go test ./internal/commitlog -run '^$' -bench FirstRead -benchtime 3x
func BenchmarkFirstRead(b *testing.B) {
	const total = 256 << 20
	for _, batch := range []struct {
		name string
		size int
	}{{"16 KiB", 16 << 10}, {"1 KiB", 1 << 10}} {
		dir := b.TempDir()
		env := func() *Env {
			e, err := NewEnv(EnvOptions{FS: vfs.OS, Clock: clock.Real, Random: random.Real, Dir: dir, Files: NewFileCache(0, 0)})
			if err != nil {
				b.Fatal(err)
			}
			return e
		}
		open := func(r Recovery) *Log {
			l, err := New(testID, Options{Env: env(), Config: &Config{}, Recovery: r})
			if err != nil {
				b.Fatal(err)
			}
			return l
		}
		l := open(Recovery{Missing: true})
		for l.Size() < total {
			if _, err := l.Append(batchSpec{size: batch.size}.build(), 1); err != nil {
				b.Fatal(err)
			}
		}
		end := l.LogEnd()
		if err := l.Close(true); err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name        string
			cold, again bool
		}{{"cached, first", false, false}, {"cached, again", false, true}, {"cold, first", true, false}, {"cold, again", true, true}} {
			b.Run(batch.name+" batches, "+c.name, func(b *testing.B) {
				b.SetBytes(total)
				buf := make([]byte, 0, 2<<20)
				for range b.N {
					b.StopTimer()
					l := open(Recovery{Clean: true, Point: end})
					if c.again {
						scan(b, l, buf)
					}
					if c.cold && !dropCaches() {
						b.Log("NOT MEASURED HERE: the page cache can be dropped by root on Linux alone")
						return
					}
					b.StartTimer()
					scan(b, l, buf)
					b.StopTimer()
					if err := l.Close(true); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func scan(b *testing.B, l *Log, buf []byte) {
	for at, seen := int64(0), int64(0); seen < l.Size(); {
		s, err := l.Read(at, 1<<20, all, true)
		if err != nil {
			b.Fatal(err)
		}
		if buf, err = s.Span.AppendTo(buf[:0]); err != nil {
			b.Fatal(err)
		}
		s.Release()
		seen += s.Bytes
		at = lastOffset(buf) + 1
	}
}

// lastOffset is that of the last batch in b.
func lastOffset(b []byte) (last int64) {
	for len(b) > 0 {
		n := 12 + int(b[8])<<24 + int(b[9])<<16 + int(b[10])<<8 + int(b[11])
		last = 0
		for _, x := range b[:8] {
			last = last<<8 | int64(x)
		}
		last += int64(b[23])<<24 | int64(b[24])<<16 | int64(b[25])<<8 | int64(b[26])
		b = b[n:]
	}
	return last
}

func dropCaches() bool {
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0) == nil
}
