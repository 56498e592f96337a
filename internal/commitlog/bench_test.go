package commitlog

import (
	"fmt"
	"testing"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// benchLog returns a log on the machine's file system.
func benchLog(b *testing.B, cfg Config) (*Log, *Env) {
	env, err := NewEnv(EnvOptions{FS: vfs.OS, Clock: clock.Real, Random: random.Real, Dir: b.TempDir(), Files: NewFileCache(0, 0)})
	if err != nil {
		b.Fatal(err)
	}
	l, err := New(testID, Options{Env: env, Config: &cfg, Recovery: Recovery{Missing: true}})
	if err != nil {
		b.Fatal(err)
	}
	return l, env
}

// batchOf returns a batch of about size bytes.
func batchOf(size int) record.Batch {
	return batchSpec{n: 1, ts: 1_700_000_000_000, size: max(size-record.HeaderSize-10, 1)}.build()
}

// BenchmarkAppend deletes old segments now and then, so that a long run does not fill the disk.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, _ := benchLog(b, Config{SegmentBytes: 256 << 20, Delete: true, RetentionBytes: 512 << 20, RetentionAge: -1})
			batch := batchOf(size)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Append(batch, 1); err != nil {
					b.Fatal(err)
				}
				if l.Size() > 1<<30 {
					b.StopTimer()
					if _, err := l.DeleteOld(clock.Real.Now(), l.LogEnd()); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkAppendIdempotent(b *testing.B) {
	l, _ := benchLog(b, Config{SegmentBytes: 256 << 20, Delete: true, RetentionBytes: 512 << 20, RetentionAge: -1})
	batches := make([]record.Batch, 1000)
	for i := range batches {
		batches[i] = batchSpec{pid: 1, seq: int32(i), ts: 1, size: 100}.build()
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == len(batches) {
			i = 0
			b.StopTimer()
			l.mu.producers.Clear()
			b.StartTimer()
		}
		if _, err := l.Append(batches[i], 1); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 16 << 10} {
		l, _ := benchLog(b, Config{SegmentBytes: 1 << 30, RetentionBytes: -1, RetentionAge: -1})
		batch := batchOf(size)
		for l.Size() < 64<<20 {
			if _, err := l.Append(batch, 1); err != nil {
				b.Fatal(err)
			}
		}
		end := l.LogEnd()
		b.Run(fmt.Sprintf("%d/anywhere", size), func(b *testing.B) {
			b.ReportAllocs()
			at := int64(0)
			for b.Loop() {
				at = (at + 7919) % end
				s, err := l.Read(at, 1<<20, end, true)
				if err != nil || s.Bytes == 0 {
					b.Fatal(err)
				}
				s.Release()
			}
		})
		b.Run(fmt.Sprintf("%d/tail", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := l.Read(end-2, 1<<20, end, true)
				if err != nil || s.Bytes == 0 {
					b.Fatal(err)
				}
				s.Release()
			}
		})
	}
}

// BenchmarkRecover opens a log after a kill: with everything above the recovery point, and with nothing.
func BenchmarkRecover(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 1 << 20} {
		l, env := benchLog(b, Config{SegmentBytes: 1 << 30, RetentionBytes: -1, RetentionAge: -1})
		batch := batchOf(size)
		for l.Size() < 64<<20 {
			if _, err := l.Append(batch, 1); err != nil {
				b.Fatal(err)
			}
		}
		end, bytes := l.LogEnd(), l.Size()
		if err := l.Close(false); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d/scan", size), func(b *testing.B) {
			b.SetBytes(bytes)
			for b.Loop() {
				reopen(b, env, Recovery{}, end)
			}
		})
		l = reopen(b, env, Recovery{}, end)
		if err := l.Close(true); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d/clean", size), func(b *testing.B) {
			for b.Loop() {
				reopen(b, env, Recovery{Clean: true}, end)
			}
		})
	}
}

func reopen(b *testing.B, env *Env, r Recovery, end int64) *Log {
	l, err := New(testID, Options{Env: env, Config: &Config{}, Recovery: r})
	if err != nil {
		b.Fatal(err)
	}
	if l.LogEnd() != end {
		b.Fatalf("log ends at %d, want %d", l.LogEnd(), end)
	}
	return l
}
