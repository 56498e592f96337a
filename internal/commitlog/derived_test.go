package commitlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/vfs"
)

// TestDerivedFiles deletes, cuts and corrupts each derived file in turn and starts again, after a clean stop and after a kill: the log and
// everything derived from it are the same.
func TestDerivedFiles(t *testing.T) {
	for _, clean := range []bool{true, false} {
		for seed := uint64(1); seed <= uint64(fewer(2)); seed++ {
			t.Run(fmt.Sprintf("clean=%v/%d", clean, seed), func(t *testing.T) { derivedFiles(t, seed, clean) })
		}
	}
}

func derivedFiles(t *testing.T, seed uint64, clean bool) {
	r := &modelRun{t: t, rng: rand.New(rand.NewPCG(seed, 9)), mem: vfs.NewMem(), now: 1000,
		cfg: Config{SegmentBytes: 2000, IndexIntervalBytes: 150, Durable: true, RetentionAge: -1, RetentionBytes: -1}}
	r.m.lastSeq = map[int64]int32{}
	r.w = newWorld(t, r.mem)
	r.l = r.w.open(t, r.cfg, Recovery{Missing: true})
	for i := range 60 {
		r.append()
		if i%9 == 0 {
			end, err := r.l.SyncFiles()
			r.must(err)
			r.w.point = end
		}
	}
	if clean {
		r.must(r.l.Close(true))
		r.w.point = r.m.end
	}
	disk := r.mem.KillProcess()
	dir := testDir + "/" + testID.DirName()
	entries, err := disk.ReadDir(dir)
	r.must(err)
	damaged := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segment.LogSuffix) || strings.HasSuffix(e.Name(), segment.AbortedSuffix) {
			continue
		}
		info, err := e.Info()
		r.must(err)
		for _, damage := range []string{"delete", "empty", "cut", "zero", "garbage", "flip", "flip", "flip"} {
			if damage == "flip" && (clean && e.Name() == epoch.Name || e.Name() == metadataName) {
				continue // text without a checksum: after a clean stop its last line alone is held against the batches; a topic id is believed
			}
			mem := disk.Peek(vfs.KeepAll, 0)
			r.damage(mem, dir+"/"+e.Name(), damage, info.Size())
			damaged++
			r.w = newWorld(t, mem)
			r.w.point = r.m.end
			l, err := New(testID, Options{Env: r.w.env, Config: &r.cfg, Recovery: Recovery{Clean: clean, Point: min(r.m.end, r.point(clean))}})
			if err != nil {
				t.Fatalf("%s %s: %v", damage, e.Name(), err)
			}
			r.l = l
			func() {
				defer func() {
					if t.Failed() {
						t.Logf("%s %s", damage, e.Name())
					}
				}()
				if text, want := offsets(readAll(t, l, 0)), offsets(r.m.batches); text != want {
					t.Fatalf("log has %s, want %s", text, want)
				}
				r.m.epochs.TruncateEnd(r.m.end)
				for range 3 {
					r.compare()
				}
				r.searchAll()
			}()
		}
	}
	through(t, int64(damaged))
}

func (r *modelRun) point(clean bool) int64 {
	if clean {
		return all
	}
	return r.l.RecoveryPoint()
}

func (r *modelRun) damage(mem *vfs.Mem, path, how string, size int64) {
	if how == "delete" {
		r.must(mem.Remove(path))
		return
	}
	f, err := mem.OpenFile(path, vfs.ReadWrite, 0)
	r.must(err)
	defer f.Close()
	b := make([]byte, size)
	_, _ = f.ReadAt(b, 0)
	switch how {
	case "empty":
		b = nil
	case "cut":
		b = b[:r.rng.Int64N(size+1)]
	case "zero":
		b = append(b, make([]byte, 1000)...)
		if size > 0 {
			at := r.rng.Int64N(size)
			clear(b[at:])
		}
	case "garbage":
		for i := range b {
			b[i] = byte(r.rng.IntN(256))
		}
	case "flip":
		if size > 0 {
			b[r.rng.Int64N(size)] ^= 1 << r.rng.IntN(8)
		}
	}
	r.must(f.Truncate(0))
	if len(b) > 0 {
		_, err = f.WriteAt(b, 0)
		r.must(err)
	}
}

// searchAll reads from every offset and for every timestamp.
func (r *modelRun) searchAll() {
	for _, b := range r.m.batches {
		for _, at := range []int64{b.BaseOffset(), b.LastOffset()} {
			s, err := r.l.Read(at, int64(len(b)), r.m.end, true)
			r.must(err)
			got, err := s.Span.AppendTo(nil)
			r.must(err)
			s.Release()
			if !bytes.Equal(got, b) {
				r.t.Fatalf("read at %d: %d bytes, want %d", at, len(got), len(b))
			}
		}
		want := int64(-1)
		for _, x := range r.m.batches {
			if x.MaxTimestamp() >= b.MaxTimestamp() {
				want = x.BaseOffset()
				for rec, err := range x.Records(1 << 20) {
					r.must(err)
					if rec.Timestamp >= b.MaxTimestamp() {
						want = rec.Offset
						break
					}
				}
				break
			}
		}
		if at, _, _, _, err := r.l.OffsetForTimestamp(b.MaxTimestamp(), all); err != nil || at != want {
			r.t.Fatalf("timestamp %d: offset %d, %v, want %d", b.MaxTimestamp(), at, err, want)
		}
	}
}
