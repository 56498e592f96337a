package logdir

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

func compacted() *commitlog.Config {
	return &commitlog.Config{Durable: true, SegmentBytes: 2 << 10, IndexIntervalBytes: 1024, Compact: true}
}

// cleanLife appends to a compacted log through the journal, compacts it, cuts it, and compacts it again. acked hears of what is
// synced: the number of appends, or of a cut the end.
func cleanLife(opts Options, acked func(appended, end int)) error {
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	end, failed := int64(0), false
	opts.OnFailure = func(error) {
		mu.Lock()
		failed = true
		mu.Unlock()
		cond.Broadcast()
	}
	d, err := Open(opts)
	if err != nil {
		return err
	}
	defer d.Abort()
	l, err := d.Log(logID(0), compacted(), func(e int64) {
		mu.Lock()
		end = max(end, e)
		mu.Unlock()
		cond.Broadcast()
	})
	if err != nil {
		return err
	}
	put := func(n int) error {
		if _, err := l.Append(batch(fmt.Sprintf("key-%d", n%5), 200+n), 1); err != nil {
			return err
		}
		mu.Lock()
		for end < int64(n+1) && !failed {
			cond.Wait()
		}
		mu.Unlock()
		acked(n+1, n+1)
		return d.Err()
	}
	for n := range 60 {
		if err := put(n); err != nil {
			return err
		}
		if n%20 != 19 {
			continue
		}
		if n == 39 {
			if err := d.Checkpoint(); err != nil {
				return err
			}
		}
		if _, err := l.Clean(commitlog.CleanOptions{HighWatermark: l.LogEnd(), Now: d.opts.Clock.Now(), KeyBytes: 1 << 10}); err != nil {
			return err
		}
	}
	return d.Close()
}

// newestKeys opens what is left and returns the newest offset of each key, and the end.
func newestKeys(opts Options) (map[string]int64, *commitlog.Log, *Dir, error) {
	d, err := Open(opts)
	if err != nil {
		return nil, nil, nil, err
	}
	l, err := d.Log(logID(0), compacted(), nil)
	if err != nil {
		return nil, nil, d, err
	}
	newest := map[string]int64{}
	for at := l.LogStart(); at < l.LogEnd(); {
		s, err := l.Read(at, 1<<20, l.LogEnd(), true)
		if err != nil {
			return nil, l, d, err
		}
		b, err := s.Span.AppendTo(nil)
		s.Release()
		if err != nil {
			return nil, l, d, err
		}
		if len(b) == 0 {
			break
		}
		for len(b) > 0 {
			one, rest, err := record.Next(b)
			if err == nil {
				err = one.CheckCRC()
			}
			if err != nil {
				return nil, l, d, err
			}
			for r := range one.Records(1 << 20) {
				newest[string(r.Key)] = r.Offset
			}
			at, b = one.NextOffset(), rest
		}
	}
	return newest, l, d, nil
}

// TestCrashInCompaction stops the machine at every change of the disk while a log is written through the journal and compacted: what
// was acknowledged is there, the newest record of each key is, and the journal brings back nothing else.
func TestCrashInCompaction(t *testing.T) {
	swaps := 0
	for at := int64(1); ; at = next(at) {
		var left []*vfs.Mem
		fault := crashAt(at, &left)
		acked := 0
		opts := options(fault)
		err := cleanLife(opts, func(n, _ int) {
			if opts.FS.(*vfs.Fault).Changes() < at {
				acked = n
			}
		})
		if left == nil {
			if err != nil {
				t.Fatal(err)
			}
			through(t, at-1)
			if swaps == 0 {
				t.Error("no crash fell into an exchange of segments")
			}
			return
		}
		for i, disk := range left {
			entries, _ := disk.ReadDir(root + "/" + logID(0).DirName())
			for _, e := range entries {
				if strings.HasSuffix(e.Name(), ".log.swap") {
					swaps++
				}
			}
			for again := range 2 {
				newest, l, d, err := newestKeys(options(disk))
				where := fmt.Sprintf("crash at change %d, %s, opened %d", at, vfs.AllSurvivors[i], again)
				if err != nil {
					t.Fatalf("%s: %v", where, err)
				}
				end := int(l.LogEnd())
				if end < acked {
					t.Fatalf("%s: log ends at %d, %d were acknowledged", where, end, acked)
				}
				for n := max(0, end-5); n < end; n++ {
					if got := newest[fmt.Sprintf("key-%d", n%5)]; got != int64(n) {
						t.Fatalf("%s: newest record of key-%d is at %d, want %d", where, n%5, got, n)
					}
				}
				if l.Cleaned() > l.RecoveryPoint() {
					t.Fatalf("%s: compacted up to %d, synced up to %d", where, l.Cleaned(), l.RecoveryPoint())
				}
				must(t, d.Abort())
			}
		}
	}
}

// TestCleanerCheckpoint: the file is Kafka's, outlives a stop, and falls with a truncation before anything can be appended there.
func TestCleanerCheckpoint(t *testing.T) {
	mem := vfs.NewMem()
	must(t, cleanLife(options(mem), func(int, int) {}))
	text := func(disk vfs.FS) string {
		t.Helper()
		b, err := vfs.ReadFile(disk, root+"/"+cleanerFile)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	_, l, d, err := newestKeys(options(mem))
	must(t, err)
	cleaned := l.Cleaned()
	if want := fmt.Sprintf("0\n1\ntopic-0 0 %d\n", cleaned); cleaned < 40 || text(mem) != want {
		t.Fatalf("checkpoint is %q, want %q", text(mem), want)
	}
	must(t, l.TruncateTo(cleaned-3))
	var durable int64
	if _, err := fmt.Sscanf(text(mem.Peek(vfs.LoseUnsynced, 1)), "0\n1\ntopic-0 0 %d\n", &durable); err != nil || l.Cleaned() > cleaned-3 || durable > l.Cleaned() {
		t.Fatalf("after a truncation to %d it is %q, and %d is known to be compacted: %v", cleaned-3, text(mem), l.Cleaned(), err)
	}
	must(t, d.Remove(logID(0)))
	must(t, d.Checkpoint())
	if text(mem) != "0\n0\n" {
		t.Errorf("after the log was removed: %q", text(mem))
	}
	must(t, d.Close())
}

// TestLogStartIsDurableBeforeCompaction: a pass looks at no key below the log start, so that one must not fall behind it in a crash. Else a
// record that was deleted would be back, and the tombstone above it gone.
func TestLogStartIsDurableBeforeCompaction(t *testing.T) {
	mem := vfs.NewMem()
	d, err := Open(options(mem))
	must(t, err)
	l, err := d.Log(logID(0), compacted(), nil)
	must(t, err)
	for n := range 40 {
		_, err := l.Append(batch(fmt.Sprintf("key-%d", n%5), 200), 1)
		must(t, err)
	}
	must(t, l.Roll())
	must(t, l.AdvanceLogStart(7))
	c, err := l.Clean(commitlog.CleanOptions{HighWatermark: l.LogEnd(), Now: options(mem).Clock.Now()})
	if err != nil || c.To != 40 || c.From != 7 {
		t.Fatalf("%+v, %v", c, err)
	}
	must(t, d.Abort())
	_, l, d, err = newestKeys(options(mem.Peek(vfs.LoseUnsynced, 1)))
	must(t, err)
	if l.LogStart() < 7 {
		t.Errorf("log starts at %d, what was compacted at 7", l.LogStart())
	}
	must(t, d.Abort())
}
