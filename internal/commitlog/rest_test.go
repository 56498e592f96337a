package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// restedDisk holds a log of several segments, epochs and producers that was closed cleanly, and what it said of itself.
func restedDisk(t *testing.T, cfg Config) (*vfs.Mem, Rest) {
	t.Helper()
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	l := w.open(t, cfg, Recovery{})
	for i := range 20 {
		spec := batchSpec{n: 2, ts: 1_699_000_000_000 + int64(i)*60_000, size: 40, fill: byte(i)}
		if i%3 == 0 {
			spec.pid, spec.seq = 7, int32(i/3*2)
		}
		if _, err := l.Append(spec.build(), LeaderEpoch(1+i/8)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.AdvanceLogStart(3); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	r, ok := l.Rest()
	if !ok || r.Segments < 3 || r.Epoch != 3 || r.FirstNewest < 0 || r.End != 40 {
		t.Fatalf("a closed log is described as %+v, %v", r, ok)
	}
	return mem, r
}

// TestRestingLogAnswersAlike calls every method on a log that rests and on one that was opened: nobody can tell the difference, but by the files.
func TestRestingLogAnswersAlike(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	tail := batchSpec{n: 1, ts: 1_699_900_000_000, size: 10}
	calls := map[string]func(l *Log) any{
		"Append": func(l *Log) any { info, err := l.Append(tail.build(), 3); return []any{info, err} },
		"AppendReplica": func(l *Log) any {
			b := tail.build()
			b.SetBaseOffset(l.LogEnd())
			b.SetLeaderEpoch(4)
			info, err := l.AppendReplica(b)
			return []any{info, err}
		},
		"ActiveProducers": func(l *Log) any { return l.ActiveProducers() },
		"AdvanceLogStart": func(l *Log) any { return l.AdvanceLogStart(17) },
		"BeginClose": func(l *Log) any {
			e, err := l.BeginClose()
			if e != nil {
				err = errors.Join(err, e.Describe(), e.Complete())
				e.End(nil)
			}
			return []any{err, l.Close(true)}
		},
		"CheckAppend": func(l *Log) any { return l.CheckAppend() },
		"Clean": func(l *Log) any {
			d, err := l.Clean(CleanOptions{Now: now, HighWatermark: 40})
			return []any{d.From, d.To, err != nil}
		},
		"Cleaned":   func(l *Log) any { return l.Cleaned() },
		"Close":     func(l *Log) any { return []any{l.Close(true), l.Close(true)} },
		"Config":    func(l *Log) any { return *l.Config() },
		"Configure": func(l *Log) any { l.Configure(&Config{RetentionBytes: 3}); return l.Config().RetentionBytes },
		"Continues": func(l *Log) any { ok, err := l.Continues(l); return []any{ok, err} },
		"Copying":   func(l *Log) any { return []any{l.Copying(true), l.Copying(false)} },
		"Cuts":      func(l *Log) any { return l.Cuts() },
		"Delete":    func(l *Log) any { return []any{l.Delete(), l.Delete()} },
		"DeleteOld": func(l *Log) any { d, err := l.DeleteOld(now, 40); return []any{d, err, l.LogStart()} },
		"Dirt":      func(l *Log) any { d, err := l.Dirt(now, 40); return []any{d, err} },
		"EndOffsetFor": func(l *Log) any {
			latest, _ := l.LatestEpoch()
			var all []any
			for _, e := range []LeaderEpoch{latest, latest - 1, latest + 1, -1} {
				e, end := l.EndOffsetFor(e)
				all = append(all, e, end)
			}
			return all
		},
		"EpochAt":         func(l *Log) any { e, ok := l.EpochAt(20); return []any{e, ok} },
		"Epochs":          func(l *Log) any { return l.Epochs() },
		"ExpireProducers": func(l *Log) any { l.ExpireProducers(time.UnixMilli(0), time.UnixMilli(1)); return l.Producers() },
		"FlushDue":        func(l *Log) any { return l.FlushDue(now) },
		"ID":              func(l *Log) any { return l.ID() },
		"KnowsProducer": func(l *Log) any {
			var knows []bool
			for id := range int64(200) {
				knows = append(knows, l.KnowsProducer(id))
			}
			return knows
		},
		"LastStable":   func(l *Log) any { return []any{l.LastStable(40), l.LastStable(12)} },
		"LatestEpoch":  func(l *Log) any { e, ok := l.LatestEpoch(); return []any{e, ok} },
		"LetRest":      nil,
		"Learn":        func(l *Log) any { return l.Learn(l) },
		"LogEnd":       func(l *Log) any { return l.LogEnd() },
		"LogStart":     func(l *Log) any { return l.LogStart() },
		"MakeFiles":    func(l *Log) any { return l.MakeFiles() },
		"MaxTimestamp": func(l *Log) any { o, ts, e, ok, err := l.MaxTimestamp(40); return []any{o, ts, e, ok, err} },
		"OffsetForTimestamp": func(l *Log) any {
			o, ts, e, ok, err := l.OffsetForTimestamp(1_699_000_300_000, 40)
			return []any{o, ts, e, ok, err}
		},
		"Producers": func(l *Log) any { return l.Producers() },
		"Read": func(l *Log) any {
			s, err := l.Read(l.LogStart(), 1<<20, 40, true)
			defer s.Release()
			b, readErr := s.Span.AppendTo(nil)
			return []any{b, s.More, err, readErr}
		},
		"ReadCommitted": func(l *Log) any {
			s, aborted, err := l.ReadCommitted(l.LogStart(), 1<<20, 40, true)
			defer s.Release()
			return []any{s.Bytes, s.More, aborted, err}
		},
		"ReadUnsynced":    func(l *Log) any { b, from, end, err := l.ReadUnsynced(nil); return []any{len(b), from, end, err} },
		"Recovered":       func(l *Log) any { return l.Recovered() },
		"RecoveryPoint":   func(l *Log) any { return l.RecoveryPoint() },
		"Rename":          func(l *Log) any { return []any{l.Rename("other-0"), len(readAllSoft(l))} },
		"Repair":          func(l *Log) any { done, err := l.Repair(0, RepairOptions{}); return []any{done, err} },
		"Repairs":         func(l *Log) any { return l.Repairs() },
		"Replay":          func(l *Log) any { b := tail.build(); b.SetBaseOffset(40); return []any{l.Replay(b), l.LogEnd()} },
		"Rest":            func(l *Log) any { r, ok := l.Rest(); return []any{r, ok} },
		"Roll":            func(l *Log) any { return []any{l.Roll(), l.Segments()} },
		"Segments":        func(l *Log) any { return l.Segments() },
		"SetSynced":       func(l *Log) any { l.SetSynced(40); return l.SyncedEnd() },
		"Size":            func(l *Log) any { return l.Size() },
		"SyncFiles":       func(l *Log) any { end, err := l.SyncFiles(); return []any{end, err} },
		"SyncedEnd":       func(l *Log) any { return l.SyncedEnd() },
		"TakeOver":        func(l *Log) any { return l.TakeOver(l) },
		"TruncateFullyAt": func(l *Log) any { return []any{l.TruncateFullyAt(90), l.LogEnd()} },
		"TruncateTo":      func(l *Log) any { return []any{l.TruncateTo(11), l.LogEnd(), len(readAllSoft(l))} },
		"TrustReplayed":   func(l *Log) any { return l.TrustReplayed() },
		"UnflushedBytes":  func(l *Log) any { return l.UnflushedBytes() },
		"UnsyncedBytes":   func(l *Log) any { return l.UnsyncedBytes() },
		"CopyFrom":        func(l *Log) any { n, done, _, err := l.CopyFrom(l, 100, nil); return []any{n, done, err} },
		"Rests":           nil, // tells them apart
		"Uses":            nil,
		"Wake":            nil,
	}
	kinds := reflect.TypeFor[*Log]()
	for i := range kinds.NumMethod() {
		if _, ok := calls[kinds.Method(i).Name]; !ok {
			t.Errorf("nobody looked what %s does to a log that rests", kinds.Method(i).Name)
		}
	}
	returned := false
	for _, cfg := range []Config{
		{SegmentBytes: 700, Delete: true, RetentionBytes: -1, RetentionAge: 1000 * time.Hour},
		{SegmentBytes: 700, Delete: true, RetentionBytes: 900, RetentionAge: -1},
		{SegmentBytes: 700, Delete: true, RetentionBytes: -1, RetentionAge: time.Hour},
		{SegmentBytes: 700, Compact: true, MinCleanableRatio: 0.1},
	} {
		disk, rest := restedDisk(t, cfg)
		for name, call := range calls {
			if call == nil {
				continue
			}
			for _, clean := range []bool{true, false} {
				found := Recovery{Clean: clean, Point: 40, LogStart: 3}
				said := map[string]string{}
				for _, is := range []string{"open", "rests", "rests again"} {
					opts := Options{Env: newWorld(t, disk.Peek(vfs.KeepAll, 0)).env, Config: &cfg, Recovery: found}
					if is == "rests" {
						opts.Rest = &rest
					}
					l, err := New(testID, opts)
					if err != nil {
						t.Fatal(err)
					}
					if is == "rests again" && !letRest(l, &rest) {
						continue // it would be woken soon
					}
					if l.Rests() != (is != "open") {
						t.Fatalf("the log rests: %v", l.Rests())
					}
					said[is] = fmt.Sprintf("%+v; start %d, end %d, synced %d, size %d", call(l), l.LogStart(), l.LogEnd(), l.SyncedEnd(), l.Size())
				}
				for is, says := range said {
					if says != said["open"] && name != "Recovered" && !(name == "Rest" && !clean) {
						t.Errorf("%s, clean %v, %+v: a log that %s says\n%s\nan open one\n%s", name, clean, cfg, is, says, said["open"])
					}
				}
				returned = returned || said["rests again"] != ""
			}
		}
	}
	if !returned {
		t.Fatal("no log returned to rest")
	}
}

// letRest lets a log rest that nobody uses now.
func letRest(l *Log, r *Rest) bool {
	l.Rest() // looks for what LetRest compares
	return l.LetRest(r, l.Uses())
}

// readAllSoft reads what there is, and stops at the first error.
func readAllSoft(l *Log) []byte {
	s, err := l.Read(l.LogStart(), 1<<20, l.LogEnd(), true)
	if err != nil {
		return nil
	}
	defer s.Release()
	b, _ := s.Span.AppendTo(nil)
	return b
}

// TestWakeOnce: many who need a log that rests at once open it once, and lose nothing.
func TestWakeOnce(t *testing.T) {
	cfg := Config{SegmentBytes: 700}
	disk, rest := restedDisk(t, cfg)
	w := newWorld(t, disk)
	l, err := New(testID, Options{Env: w.env, Config: &cfg, Recovery: Recovery{Point: 40, LogStart: 3}, Rest: &rest})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			switch i % 4 {
			case 0:
				if _, err := l.Append(batchSpec{n: 1, ts: 5, size: 10}.build(), 3); err != nil {
					t.Error(err)
				}
			case 1:
				if len(readAllSoft(l)) == 0 {
					t.Error("nothing to read")
				}
			case 2:
				if _, ok := l.EpochAt(20); !ok {
					t.Error("no epoch")
				}
			case 3:
				if _, err := l.SyncFiles(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if l.LogEnd() != 42 || l.Rests() || len(readAll(t, l, 40)) != 2 {
		t.Fatalf("the log ends at %d, rests %v", l.LogEnd(), l.Rests())
	}
}

// TestWakeFails: where the disk does not let a log be opened, the next who needs it tries again; and one that was closed or deleted stays so.
func TestWakeFails(t *testing.T) {
	cfg := Config{SegmentBytes: 700}
	disk, rest := restedDisk(t, cfg)
	broken := true
	var mu sync.Mutex
	cause := errors.New("no luck")
	w := newWorld(t, vfs.NewFault(disk, func(op vfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if broken && op.Kind == vfs.OpReadDir {
			return cause
		}
		return nil
	}))
	l, err := New(testID, Options{Env: w.env, Config: &cfg, Recovery: Recovery{Point: 40, LogStart: 3}, Rest: &rest})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(5, 100, 40, true); !errors.Is(err, cause) || !l.Rests() {
		t.Fatalf("read: %v", err)
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	if len(readAllSoft(l)) == 0 || l.Rests() {
		t.Fatal("it is not tried again")
	}
	if l, err = New(testID, Options{Env: w.env, Config: &cfg, Recovery: Recovery{Point: 40, LogStart: 3}, Rest: &rest}); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(batchSpec{}.build(), 3); !errors.Is(err, ErrClosed) {
		t.Fatalf("an append to a deleted log: %v", err)
	}
	if _, exists, err := l.list(); exists || err != nil {
		t.Fatalf("the directory is there: %v, %v", exists, err)
	}
}

// TestRestsWhileItIsUsed: a log that returns to rest again and again, while others append, sync and read, loses nothing and never answers wrongly.
func TestRestsWhileItIsUsed(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{SegmentBytes: 2000, Durable: true}, Recovery{Missing: true})
	var wait sync.WaitGroup
	var done atomic.Bool
	var rested atomic.Int64
	always := func(what string, f func() error) {
		wait.Go(func() {
			for !done.Load() {
				if err := f(); err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
				runtime.Gosched()
			}
		})
	}
	always("rest", func() error {
		if r, ok := l.Rest(); ok && letRest(l, &r) {
			rested.Add(1)
		}
		return nil
	})
	always("sync", func() error { _, err := l.SyncFiles(); return err })
	always("epoch", func() error {
		if e, ok := l.LatestEpoch(); l.LogEnd() > 0 && (!ok || e != 3) {
			return fmt.Errorf("it is %d, %v", e, ok)
		}
		return nil
	})
	always("read", func() error {
		end := l.SyncedEnd()
		at := end / 2
		s, err := l.Read(at, 300, end, true)
		if err != nil || at == end {
			return err
		}
		b, err := s.Span.AppendTo(nil)
		s.Release()
		if err == nil && (len(b) == 0 || record.Batch(b).BaseOffset() != at) {
			err = fmt.Errorf("%d bytes at %d, which are not those of there", len(b), at)
		}
		return err
	})
	const batches = 400
	for i := range batches {
		info, err := l.Append(batchSpec{ts: int64(i), size: 100, pid: 5, seq: int32(i)}.build(), 3)
		if err != nil || info.First != int64(i) || info.Duplicate {
			t.Errorf("append %d: %+v, %v", i, info, err)
			break
		}
		for before := rested.Load(); i%10 == 0 && rested.Load() < before+2 && !t.Failed(); {
			runtime.Gosched()
		}
	}
	done.Store(true)
	wait.Wait()
	if got := readAll(t, l, 0); len(got) != batches {
		t.Fatalf("%d batches of %d", len(got), batches)
	}
}

// TestRestKeepsTransactions: whether a log may rest is asked of it at any time, and changes nothing in what readers see of transactions: what is decided above the
// high watermark holds the last stable offset back.
func TestRestKeepsTransactions(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{Durable: true}, Recovery{Missing: true})
	for _, spec := range []batchSpec{{ts: 1}, {ts: 2, pid: 5, txn: true}, {ts: 3, pid: 5, control: true, commit: true}} {
		if _, err := l.Append(spec.build(), 3); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.SyncFiles(); err != nil {
		t.Fatal(err)
	}
	if r, ok := l.Rest(); ok || l.LastStable(2) != 1 {
		t.Fatalf("it is described as %+v, %v; the last stable offset is %d, the transaction began at 1", r, ok, l.LastStable(2))
	}
	if r, ok := l.Rest(); l.LastStable(3) != 3 {
		t.Fatalf("%+v, %v", r, ok)
	}
	if r, ok := l.Rest(); !ok || !letRest(l, &r) || l.LastStable(3) != 3 {
		t.Fatalf("a log whose transactions are over does not rest: %+v, %v", r, ok)
	}
	if err := l.Wake(); err != nil {
		t.Fatal(err)
	}
	if r, ok := l.Rest(); !ok || !letRest(l, &r) {
		t.Fatalf("they are not over any more, as nobody asks for the last stable offset: %+v, %v", r, ok)
	}
}

// TestStaysAwake: what LetRest refuses.
func TestStaysAwake(t *testing.T) {
	cfg := Config{SegmentBytes: 700, Delete: true, RetentionBytes: -1, RetentionAge: 1000 * time.Hour}
	disk, rest := restedDisk(t, cfg)
	for what, f := range map[string]func(t *testing.T, l *Log) (rest Rest, uses uint64){
		"used since": func(t *testing.T, l *Log) (Rest, uint64) {
			uses := l.Uses()
			readAllSoft(l)
			return rest, uses
		},
		"another end": func(t *testing.T, l *Log) (Rest, uint64) {
			other := rest
			other.End--
			return other, l.Uses()
		},
		"not synced": func(t *testing.T, l *Log) (Rest, uint64) {
			if _, err := l.Append(batchSpec{ts: 5}.build(), 3); err != nil {
				t.Fatal(err)
			}
			return rest, l.Uses()
		},
		"read": func(t *testing.T, l *Log) (Rest, uint64) {
			s, err := l.Read(20, 100, 40, true)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Release)
			return rest, l.Uses()
		},
		"closed": func(t *testing.T, l *Log) (Rest, uint64) {
			if err := l.Close(true); err != nil {
				t.Fatal(err)
			}
			return rest, l.Uses()
		},
		"retention is due": func(t *testing.T, l *Log) (Rest, uint64) {
			due := cfg
			due.RetentionBytes = 1
			l.Configure(&due)
			return rest, l.Uses()
		},
		"compaction is due": func(t *testing.T, l *Log) (Rest, uint64) {
			due := cfg
			due.Compact = true
			l.Configure(&due)
			return rest, l.Uses()
		},
	} {
		t.Run(what, func(t *testing.T) {
			l := newWorld(t, disk.Peek(vfs.KeepAll, 0)).open(t, cfg, Recovery{Point: 40, LogStart: 3})
			l.Rest()
			if r, uses := f(t, l); l.LetRest(&r, uses) || l.Rests() {
				t.Fatal("it rests")
			}
		})
	}
	if l := newWorld(t, disk).open(t, cfg, Recovery{Point: 40, LogStart: 3}); !letRest(l, &rest) {
		t.Fatal("nothing of that keeps it awake, and it does not rest")
	}
}

// TestStaysAwakeForWhatWasWalked: what nobody took a snapshot of is walked whenever the log wakes, be it appended before or since.
func TestStaysAwakeForWhatWasWalked(t *testing.T) {
	l := newWorld(t, vfs.NewMem()).open(t, Config{Durable: true}, Recovery{Missing: true})
	for i := range 3 {
		if _, err := l.Append(batchSpec{ts: int64(i), size: walkedMax * 2 / 3}.build(), 3); err != nil {
			t.Fatal(err)
		}
		if _, err := l.SyncFiles(); err != nil {
			t.Fatal(err)
		}
		if r, ok := l.Rest(); !ok || letRest(l, &r) != (i == 0) {
			t.Fatalf("%d bytes without a snapshot: the log is described %v, and rests %v", l.Size(), ok, l.Rests())
		}
	}
	if err := l.snapshotNow(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // opened behind the snapshot the second time
		if r, ok := l.Rest(); !ok || !letRest(l, &r) {
			t.Fatalf("all of it is in a snapshot: the log is described %v, and rests %v", ok, l.Rests())
		}
		if err := l.Wake(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRestProlongsNoProducer: producers are forgotten when they were silent for long, however often the log rested meanwhile, and do not come back with it.
func TestRestProlongsNoProducer(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{Durable: true}, Recovery{Missing: true})
	for i := range 12 {
		if _, err := l.Append(batchSpec{ts: w.clock.Now().UnixMilli(), pid: int64(5 + i)}.build(), 3); err != nil {
			t.Fatal(err)
		}
		if _, err := l.SyncFiles(); err != nil {
			t.Fatal(err)
		}
		if r, ok := l.Rest(); !ok || !letRest(l, &r) {
			t.Fatalf("it does not rest: %+v, %v", r, ok)
		}
		w.clock.advance(time.Hour)
		if err := l.Wake(); err != nil {
			t.Fatal(err)
		}
		l.ExpireProducers(w.clock.Now().Add(-3*time.Hour), w.clock.Now())
		if got, want := l.Producers(), min(i+1, 2); got != want {
			t.Fatalf("%d producers are known, want %d", got, want)
		}
	}
}

// TestCleanStopFinishesWhatRests: a clean stop leaves the files of a log that had returned to rest as those of any other, for Kafka too.
func TestCleanStopFinishesWhatRests(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{Durable: true}, Recovery{Missing: true})
	for _, spec := range []batchSpec{{ts: 1, pid: 5, txn: true}, {ts: 2, pid: 5, control: true}, {ts: 3}} {
		if _, err := l.Append(spec.build(), 3); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.SyncFiles(); err != nil {
		t.Fatal(err)
	}
	l.LastStable(3)
	if r, ok := l.Rest(); !ok || !letRest(l, &r) {
		t.Fatalf("it does not rest: %+v, %v", r, ok)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{segment.Name(0, segment.AbortedSuffix), segment.Name(0, segment.TimeSuffix), segment.Name(3, segment.SnapshotSuffix)} {
		if info, err := w.fs.Stat(filepath.Join(l.dir(), name)); err != nil || info.Size() == 0 {
			t.Errorf("the stop has left no %s: %v", name, err)
		}
	}
	if r, ok := l.Rest(); !ok || r.End != 3 {
		t.Errorf("a closed log is described as %+v, %v", r, ok)
	}
}

// TestRestKeepsTheLeadersEpoch: an epoch that begins where the log ends, and has no record yet, stands in the file of a leader of Kafka's; a log that was at rest
// meanwhile knows it as before.
func TestRestKeepsTheLeadersEpoch(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l, add := w.openToAdd(t)
	add()
	l.mu.Lock()
	l.assignEpochLocked(9, 1)
	l.mu.Unlock()
	if _, err := l.SyncFiles(); err != nil {
		t.Fatal(err)
	}
	before := l.Epochs()
	r, ok := l.Rest()
	if !ok || !letRest(l, &r) {
		t.Fatal("the log does not rest")
	}
	if err := l.Wake(); err != nil {
		t.Fatal(err)
	}
	if got := l.Epochs(); len(got) != 2 || !slices.Equal(got, before) {
		t.Errorf("epochs %v, were %v", got, before)
	}
}
