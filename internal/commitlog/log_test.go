package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

func names(t *testing.T, fsys vfs.FS, dir string) []string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestNoFileBeforeTheFirstAppend also bounds what a log without records costs: there are a hundred thousand of them.
func TestNoFileBeforeTheFirstAppend(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	l := w.open(t, Config{Durable: true}, Recovery{})
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.SyncFiles(); err != nil {
		t.Fatal(err)
	}
	if n, err := l.DeleteOld(w.clock.Now(), 0); n != (Deleted{}) || err != nil {
		t.Fatal(n, err)
	}
	if s, err := l.Read(0, 100, 100, true); err != nil || s.Bytes != 0 {
		t.Fatal(s, err)
	}
	if got := names(t, mem, testDir); len(got) != 0 || w.env.Files.Unused() != 0 {
		t.Fatal(got)
	}
	if size := unsafe.Sizeof(Log{}); size > 640-8 { // the runtime gives one that large another eight, and rounds up
		t.Fatalf("a Log takes %d bytes", size)
	}
	if _, err := l.Append(batchSpec{}.build(), 3); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	want := "[00000000000000000000.index 00000000000000000000.log 00000000000000000000.timeindex 00000000000000000001.snapshot leader-epoch-checkpoint partition.metadata]"
	if got := fmt.Sprint(names(t, mem, testDir+"/orders-3")); got != want {
		t.Fatal(got)
	}
}

func TestAnswers(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{SegmentBytes: 500}, Recovery{Missing: true})
	is := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	add := func(s batchSpec, epoch LeaderEpoch) error {
		_, err := l.Append(s.build(), epoch)
		return err
	}
	is(add(batchSpec{size: 600}, 1), ErrTooLargeForSegment)
	is(add(batchSpec{pid: 1, epoch: 1}, 1), nil)
	is(add(batchSpec{pid: 1, epoch: 1, seq: 2}, 1), ErrOutOfOrderSequence)
	is(add(batchSpec{pid: 1, epoch: 0, seq: 1}, 1), ErrInvalidProducerEpoch)
	is(add(batchSpec{}, 0), ErrStaleLeaderEpoch)
	is(add(batchSpec{pid: 1, epoch: 1, seq: 1, txn: true}, 1), nil)
	is(add(batchSpec{pid: 1, epoch: 1, seq: 2}, 1), ErrInvalidTxnState)
	if got := l.LastStable(2); got != 1 {
		t.Fatalf("last stable offset %d", got)
	}
	is(l.AdvanceLogStart(3), ErrOffsetOutOfRange)
	is(l.AdvanceLogStart(1), nil)
	for offset, want := range map[int64]error{0: ErrOffsetOutOfRange, 1: nil, 2: nil, 3: ErrOffsetOutOfRange} {
		s, err := l.Read(offset, 1000, 99, true)
		is(err, want)
		s.Release()
	}
	below := batchSpec{n: 2}.build()
	below.SetBaseOffset(1)
	_, err := l.AppendReplica(below)
	is(err, ErrUnexpectedOffset)
	bad := batchSpec{n: 2}.build()
	bad.SetBaseOffset(2)
	good := append(record.Batch(nil), bad...)
	next := batchSpec{size: 10}.build()
	next.SetBaseOffset(4)
	next[len(next)-1] ^= 1
	info, err := l.AppendReplica(append(good, next...))
	is(err, ErrCorrupt)
	if info.First != 2 || info.Last != 3 || l.LogEnd() != 4 {
		t.Fatalf("%+v, end %d", info, l.LogEnd())
	}
	is(l.Close(false), nil)
	is(add(batchSpec{}, 9), ErrClosed)
	is(l.TruncateTo(0), ErrClosed)
}

// TestFollowerBeginsInsideABatch: the leader's log start may lie inside a batch, and that batch is the first a follower gets.
func TestFollowerBeginsInsideABatch(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	l := w.open(t, Config{}, Recovery{Missing: true})
	if err := l.TruncateFullyAt(105); err != nil {
		t.Fatal(err)
	}
	b := batchSpec{n: 10, size: 5}.build()
	b.SetBaseOffset(100)
	b.SetLeaderEpoch(4)
	for range 2 {
		if info, err := l.AppendReplica(b); err != nil || info.First != 100 || l.LogStart() != 105 || l.LogEnd() != 110 {
			t.Fatal(info, err, l.LogStart(), l.LogEnd())
		}
		if got := offsets(readAll(t, l, 105)); got != "100-109@4 " {
			t.Fatal(got)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		l = w.open(t, Config{}, Recovery{Clean: true, LogStart: 105, Point: 110})
		if got := offsets(readAll(t, l, 105)); got != "100-109@4 " || l.LogEnd() != 110 {
			t.Fatal(got, l.LogEnd())
		}
		if err := l.TruncateTo(107); err != nil { // the batch goes whole
			t.Fatal(err)
		}
		if l.LogStart() != 105 || l.LogEnd() != 105 {
			t.Fatal(l.LogStart(), l.LogEnd())
		}
	}
}

// openToAdd opens a durable log, and returns what appends a record to it.
func (w *world) openToAdd(t *testing.T) (l *Log, add func()) {
	t.Helper()
	l = w.open(t, Config{Durable: true}, Recovery{Missing: true})
	return l, func() {
		t.Helper()
		if _, err := l.Append(batchSpec{size: 9}.build(), 3); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTruncateOnAFullDisk: where the checkpoints that a cut needs find no room the log stays as it is, and in service; it is cut when there is room.
func TestTruncateOnAFullDisk(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l, add := w.openToAdd(t)
	for range 5 {
		add()
	}
	before, calls := w.env.OnTruncated, 0
	w.env.OnTruncated = func(l *Log) error {
		calls++
		return &fs.PathError{Op: "write", Path: "checkpoint", Err: syscall.ENOSPC}
	}
	if err := l.TruncateTo(2); !errors.Is(err, ErrReadOnly) || errors.Is(err, ErrOffline) || calls != 1 {
		t.Fatalf("%v after %d calls", err, calls)
	}
	if got := offsets(readAll(t, l, 0)); got != "0-0@3 1-1@3 2-2@3 3-3@3 4-4@3 " || l.LogEnd() != 5 || len(w.failures) > 0 {
		t.Fatalf("%s, end %d, failures %v", got, l.LogEnd(), w.failures)
	}
	add()
	if l.RecoveryPoint() != 5 {
		t.Errorf("a cut that was refused leaves the recovery point at %d", l.RecoveryPoint())
	}
	later := []error{&fs.PathError{Op: "write", Path: "checkpoint", Err: syscall.ENOSPC}, fmt.Errorf("%w: journal full", ErrReadOnly), syscall.EMFILE}
	for i, err := range later {
		calls = 0
		w.env.OnTruncated = func(l *Log) error { // there is room the first time, for what is as low as it must be
			if calls++; calls == 1 {
				return before(l)
			}
			return err
		}
		end := int64(4 - i)
		if err := l.TruncateTo(end); err != nil || len(w.failures) > 0 {
			t.Fatal(err, w.failures)
		}
		if l.RecoveryPoint() != end || w.point > end || l.UnflushedBytes() != 0 {
			t.Errorf("after the cut the recovery point is %d, %d in the checkpoint, with %d bytes to flush", l.RecoveryPoint(), w.point, l.UnflushedBytes())
		}
	}
	add()
	if got := offsets(readAll(t, l, 0)); got != "0-0@3 1-1@3 2-2@3 " || l.UnflushedBytes() <= 0 {
		t.Fatalf("%s, %d bytes to flush", got, l.UnflushedBytes())
	}
	if _, err := l.SyncFiles(); err != nil || l.RecoveryPoint() != 3 || l.UnflushedBytes() != 0 {
		t.Fatalf("%v, recovery point %d, %d bytes to flush", err, l.RecoveryPoint(), l.UnflushedBytes())
	}
}

// TestBeginAnewOnAFullDisk: the same when nothing of the log stays, as of a follower whose leader has deleted all that it has.
func TestBeginAnewOnAFullDisk(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l, add := w.openToAdd(t)
	for range 3 {
		add()
	}
	before, calls, room := w.env.OnTruncated, 0, 0
	lack := error(&fs.PathError{Op: "write", Path: "checkpoint", Err: syscall.ENOSPC})
	w.env.OnTruncated = func(l *Log) error {
		if calls++; calls <= room {
			return before(l)
		}
		return lack
	}
	for _, begin := range []func() error{func() error { return l.TruncateFullyAt(9) }, func() error { return l.TruncateFullyAt(0) }} {
		if err := begin(); !errors.Is(err, ErrReadOnly) || errors.Is(err, ErrOffline) || len(w.failures) > 0 {
			t.Fatal(err, w.failures)
		}
	}
	add()
	if got := offsets(readAll(t, l, 0)); got != "0-0@3 1-1@3 2-2@3 3-3@3 " || l.LogStart() != 0 || l.RecoveryPoint() != 3 {
		t.Fatalf("%s, start %d, recovery point %d", got, l.LogStart(), l.RecoveryPoint())
	}
	calls, room = 0, 1
	if err := l.TruncateFullyAt(9); err != nil || len(w.failures) > 0 || l.LogStart() != 9 || l.LogEnd() != 9 || w.point > 0 {
		t.Fatalf("%v, %v, from %d to %d, recovery point %d in the checkpoint", err, w.failures, l.LogStart(), l.LogEnd(), w.point)
	}
	add()
	if got := offsets(readAll(t, l, 9)); got != "9-9@3 " {
		t.Fatal(got)
	}
	// Below its start it cannot begin while the checkpoints say that it starts there, and what was in memory is gone by then.
	calls, lack = 0, fmt.Errorf("%w: journal full", ErrReadOnly)
	if err := l.TruncateFullyAt(0); !errors.Is(err, ErrOffline) || len(w.failures) != 1 {
		t.Fatal(err, w.failures)
	}
}

// TestDiscardWithoutRoomForNames: files that cannot be renamed for lack of space go at once. By then the log has forgotten what was in them, so that what asked for it could
// not wait. All is as on a disk with room, also after a crash.
func TestDiscardWithoutRoomForNames(t *testing.T) {
	for what, do := range map[string]func(*world, *Log) error{
		"cut":        func(_ *world, l *Log) error { return l.TruncateTo(2) },
		"begin anew": func(_ *world, l *Log) error { return l.TruncateFullyAt(9) },
		"retention": func(w *world, l *Log) error {
			if err := l.AdvanceLogStart(3); err != nil {
				return err
			}
			_, err := l.DeleteOld(w.clock.Now(), 5)
			return err
		},
	} {
		run := func(full bool) (left string) {
			mem, refused := vfs.NewMem(), 0
			w := newWorld(t, vfs.NewFault(mem, func(op vfs.Op) error {
				if full && op.Kind == vfs.OpRename && strings.HasSuffix(op.To, segment.DeletedSuffix) {
					refused++
					return syscall.ENOSPC
				}
				return nil
			}))
			l, add := w.openToAdd(t)
			for range 5 {
				add()
				if err := l.Roll(); err != nil {
					t.Fatal(err)
				}
			}
			if err := do(w, l); err != nil || len(w.failures) > 0 || full && refused == 0 {
				t.Fatalf("%s, full %v: %v after %d renames were refused, failures %v", what, full, err, refused, w.failures)
			}
			add()
			if _, err := l.SyncFiles(); err != nil {
				t.Fatal(err)
			}
			after := newWorld(t, mem.Peek(vfs.LoseUnsynced, 1)).open(t, Config{}, Recovery{LogStart: l.LogStart()})
			return fmt.Sprint(offsets(readAll(t, l, l.LogStart())), offsets(readAll(t, after, l.LogStart())), names(t, mem, l.dir()))
		}
		if with, without := run(false), run(true); with != without {
			t.Errorf("%s: with room %s, without %s", what, with, without)
		}
	}
}

// TestCommitter: an append is announced once after each capture, and memory topics never are.
func TestCommitter(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{Durable: true}, Recovery{Missing: true})
	var synced []int64
	l.onSynced = func(end int64) { synced = append(synced, end) }
	add := func() {
		t.Helper()
		if _, err := l.Append(batchSpec{size: 9}.build(), 0); err != nil {
			t.Fatal(err)
		}
	}
	calls := func(want int) {
		t.Helper()
		if len(w.committer.dirty) != want {
			t.Fatalf("announced %d times, want %d", len(w.committer.dirty), want)
		}
	}
	add()
	add()
	calls(1)
	_, from, end, err := l.ReadUnsynced(nil)
	if from != 0 || end != 2 || err != nil {
		t.Fatal(from, end, err)
	}
	add() // after the capture: it is announced, and SetSynced does not reach it
	calls(2)
	l.SetSynced(3) // nobody returned that
	l.SetSynced(end)
	l.SetSynced(1)
	if l.SyncedEnd() != 2 || l.RecoveryPoint() != 0 || l.UnsyncedBytes() >= l.UnflushedBytes() || fmt.Sprint(synced) != "[2]" {
		t.Fatal(l.SyncedEnd(), l.RecoveryPoint(), synced)
	}
	_, _, end, _ = l.ReadUnsynced(nil)
	if err := l.TruncateTo(2); err != nil {
		t.Fatal(err)
	}
	add() // another batch at the same offset
	l.SetSynced(end)
	if l.SyncedEnd() != 2 {
		t.Fatal("the journal holds the batch that was cut, not this one")
	}
	if _, err := l.SyncFiles(); err != nil || l.SyncedEnd() != 3 || l.RecoveryPoint() != 3 || l.UnflushedBytes() != 0 {
		t.Fatal(err)
	}

	calls(3)
	l.Configure(&Config{FlushInterval: time.Second})
	add()
	calls(3) // a memory topic is not given to the committer
	if l.FlushDue(w.clock.Now()) || !l.FlushDue(w.clock.Now().Add(time.Second)) {
		t.Fatal("flush.ms")
	}
	l.Configure(&Config{FlushMessages: 3})
	add()
	if l.RecoveryPoint() != 3 {
		t.Fatal("flush.messages came too early")
	}
	add()
	if l.RecoveryPoint() != 6 {
		t.Fatal("flush.messages")
	}
}

// TestSyncOfAClosedLog: who syncs a log that was closed before its files were synced is told so, and nothing counts as synced for it.
func TestSyncOfAClosedLog(t *testing.T) {
	for what, end := range map[string]func(*Log) error{
		"closed":  func(l *Log) error { return l.Close(false) },
		"deleted": (*Log).Delete,
	} {
		w := newWorld(t, vfs.NewMem())
		l := w.open(t, Config{Durable: true}, Recovery{Missing: true})
		if _, err := l.Append(batchSpec{}.build(), 1); err != nil {
			t.Fatal(err)
		}
		if err := end(l); err != nil {
			t.Fatal(err)
		}
		if _, err := l.SyncFiles(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: sync: %v", what, err)
		}
		if l.RecoveryPoint() != 0 || l.SyncedEnd() != 0 {
			t.Errorf("%s: recovery point %d, synced to %d", what, l.RecoveryPoint(), l.SyncedEnd())
		}
	}
}

func TestRoll(t *testing.T) {
	day := 24 * time.Hour.Milliseconds()
	for name, c := range map[string]struct {
		cfg   Config
		batch []batchSpec
		want  string
	}{
		"size":          {Config{SegmentBytes: 400}, []batchSpec{{size: 100}, {size: 100}, {size: 100}}, "[0 2]"},
		"age":           {Config{SegmentAge: 24 * time.Hour}, []batchSpec{{ts: day}, {ts: 2 * day}, {ts: 2*day + 1}, {ts: 3 * day}}, "[0 2]"},
		"index":         {Config{IndexIntervalBytes: -1, SegmentIndexBytes: 24}, []batchSpec{{ts: -1}, {ts: -1}, {ts: -1}, {ts: -1}, {ts: -1}, {ts: -1}}, "[0 4]"},
		"time index":    {Config{IndexIntervalBytes: -1, SegmentIndexBytes: 36}, []batchSpec{{ts: 1}, {ts: 2}, {ts: 3}, {ts: 4}, {ts: 5}}, "[0 3]"},
		"no timestamps": {Config{SegmentAge: time.Hour}, []batchSpec{{ts: -1}, {ts: -1}}, "[0]"},
	} {
		w := newWorld(t, vfs.NewMem())
		l := w.open(t, c.cfg, Recovery{Missing: true})
		for _, s := range c.batch {
			if _, err := l.Append(s.build(), 0); err != nil {
				t.Fatal(err)
			}
		}
		bases := []int64{}
		for _, s := range l.segments() {
			bases = append(bases, s.Base())
		}
		if got := fmt.Sprint(bases); got != c.want {
			t.Errorf("%s: segments %s, want %s", name, got, c.want)
		}
		if name == "no timestamps" {
			w.clock.advance(time.Hour + 1)
			if _, err := l.Append(batchSpec{ts: -1}.build(), 0); err != nil || len(l.segments()) != 2 {
				t.Error("a segment without timestamps rolls by its own age", err)
			}
		}
	}
}

// TestOffsetsBeyond31Bits: an offset that its segment cannot index begins a new one.
func TestOffsetsBeyond31Bits(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{}, Recovery{Missing: true})
	var run []byte
	for _, at := range []int64{0, math.MaxInt32, math.MaxInt32 + 1, 3 << 32} {
		b := batchSpec{size: 9}.build()
		b.SetBaseOffset(at)
		run = append(run, b...)
	}
	if _, err := l.AppendReplica(run); err != nil {
		t.Fatal(err)
	}
	want := offsets(readAll(t, l, 0))
	if len(l.segments()) != 3 || strings.Count(want, " ") != 4 {
		t.Fatal(len(l.segments()), want)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	l = w.open(t, Config{}, Recovery{Clean: true})
	if got := offsets(readAll(t, l, 0)); got != want {
		t.Fatal(got)
	}
}

func TestDelete(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	var steps []func() (bool, error)
	var delay time.Duration
	w.env.Background = func(d time.Duration, step func() (bool, error)) { delay, steps = d, append(steps, step) }
	l := w.open(t, Config{SegmentBytes: 300, FileDeleteDelay: 7 * time.Second}, Recovery{Missing: true})
	for range 5 {
		if _, err := l.Append(batchSpec{size: 100}.build(), 0); err != nil {
			t.Fatal(err)
		}
	}
	s, err := l.Read(0, 1000, 10, true)
	if err != nil {
		t.Fatal(err)
	}
	steps = nil
	if err := l.Delete(); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(); err != nil {
		t.Fatal(err)
	}
	if delay != 7*time.Second {
		t.Errorf("its files go after %v", delay)
	}
	got := names(t, mem, testDir)
	if len(got) != 1 || !strings.HasPrefix(got[0], "orders-3.") || !strings.HasSuffix(got[0], "-delete") || len(got[0]) != len("orders-3.")+32+len("-delete") {
		t.Fatal(got)
	}
	if got := names(t, mem.Peek(vfs.LoseUnsynced, 1), testDir); len(got) != 1 || !strings.HasSuffix(got[0], "-delete") {
		t.Fatalf("after a crash: %v", got)
	}
	if b, err := s.Span.AppendTo(nil); err != nil || int64(len(b)) != s.Bytes {
		t.Fatalf("a reader loses the file under its hands: %v", err)
	}
	s.Release()
	for _, step := range steps {
		for again := true; again; {
			if again, err = step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := names(t, mem, testDir); len(got) != 0 {
		t.Fatal(got)
	}
	long := ID{Topic: strings.Repeat("x", 249), Partition: 12}
	if name := long.AsideName(DeleteSuffix, w.env.Random); len(name) != 255 || !strings.HasPrefix(name[len(name)-len("-12.")-32-len(DeleteSuffix):], "-12.") {
		t.Fatal(name)
	}
}

func TestLargeFilesGoInPieces(t *testing.T) {
	mem := vfs.NewMem()
	f, err := mem.OpenFile("/big", vfs.ReadWrite|vfs.Create, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(3*pieceBytes + 1); err != nil {
		t.Fatal(err)
	}
	step := remover(mem, []doomedFile{{path: "/big"}, {path: "/gone"}})
	n := 0
	for again := true; again; n++ {
		if again, err = step(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mem.Stat("/big"); !errors.Is(err, fs.ErrNotExist) || n != 5 {
		t.Fatal(n, err)
	}
}

func TestTopicID(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	l := w.open(t, Config{}, Recovery{Missing: true})
	if _, err := l.Append(batchSpec{}.build(), 0); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	other := testID
	other.TopicID = uuid.UUID{9}
	if _, err := New(other, Options{Env: w.env}); !errors.Is(err, ErrTopicID) {
		t.Fatal(err)
	}
	b, err := vfs.ReadFile(mem, testDir+"/orders-3/partition.metadata")
	if err != nil || string(b) != "version: 0\ntopic_id: AQIDAAAAAAAAAAAAAAAAAA" {
		t.Fatalf("%q %v", b, err)
	}
}

// TestFileCache: many logs share few descriptors.
func TestFileCache(t *testing.T) {
	mem := vfs.NewMem()
	open := map[string]int{}
	most := 0
	counting := countingFS{FS: mem, opened: func(name string, n int) {
		if strings.HasSuffix(name, ".log") {
			open[name] += n
			sum := 0
			for _, n := range open {
				sum += n
			}
			most = max(most, sum)
		}
	}}
	if err := mem.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	env, err := NewEnv(EnvOptions{FS: counting, Clock: clock.Real, Random: random.Seeded(1), Dir: testDir, Files: NewFileCache(5, 0)})
	if err != nil {
		t.Fatal(err)
	}
	var logs []*Log
	for i := range 40 {
		l, err := New(ID{Topic: "t", Partition: int32(i)}, Options{Env: env, Recovery: Recovery{Missing: true}})
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	for round := range 3 {
		for i, l := range logs {
			if _, err := l.Append(batchSpec{size: i}.build(), 0); err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, l, 0); len(got) != round+1 {
				t.Fatal(offsets(got))
			}
		}
	}
	if most > 6 || env.Files.Unused() > 5 {
		t.Fatalf("%d files were open at once, %d are", most, env.Files.Unused())
	}
	if err := env.Files.Close(); err != nil || env.Files.Unused() != 0 {
		t.Fatal(err)
	}
}

// countingFS tells when files are opened and closed.
type countingFS struct {
	vfs.FS
	opened func(name string, n int)
}

func (c countingFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err == nil {
		c.opened(name, 1)
		f = countingFile{f, c.opened}
	}
	return f, err
}

type countingFile struct {
	vfs.File
	opened func(name string, n int)
}

func (f countingFile) Close() error {
	f.opened(f.Name(), -1)
	return f.File.Close()
}

// TestConcurrent runs an appender, a committer, retention and readers together; it is for the race detector, and every read must be whole
// batches within the bounds.
func TestConcurrent(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	cfg := Config{SegmentBytes: 3000, IndexIntervalBytes: 200, Durable: true, Delete: true, RetentionBytes: 20000, RetentionAge: -1}
	w.env.Files = NewFileCache(3, 500)
	l := w.open(t, cfg, Recovery{Missing: true})
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			offset := int64(0)
			for {
				select {
				case <-done:
					return
				default:
				}
				end := l.SyncedEnd()
				s, err := l.Read(offset, 700, end, true)
				if errors.Is(err, ErrOffsetOutOfRange) {
					offset = l.LogStart()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				b, err := s.Span.AppendTo(nil)
				s.Release()
				if err != nil {
					t.Error(err)
					return
				}
				for len(b) > 0 {
					next, rest, err := record.Next(b)
					if err != nil || next.CheckCRC() != nil || next.LastOffset() >= end {
						t.Errorf("read at %d below %d: %v %v", offset, end, next, err)
						return
					}
					offset, b = next.NextOffset(), rest
				}
				l.EndOffsetFor(1)
				if _, _, _, _, err := l.OffsetForTimestamp(offset, end); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			var err error
			switch i % 3 {
			case 0:
				_, err = l.SyncFiles()
			case 1:
				var end int64
				if _, _, end, err = l.ReadUnsynced(nil); err == nil {
					l.SetSynced(end)
				}
			case 2:
				_, err = l.DeleteOld(w.clock.Now(), l.SyncedEnd())
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 2000 {
		if _, err := l.Append(batchSpec{n: 1 + i%3, ts: int64(i), size: i % 200, pid: 1 + int64(i%2), seq: seqOf(i)}.build(), LeaderEpoch(i/500)); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
}

// seqOf is the first sequence of the i-th batch of TestConcurrent.
func seqOf(i int) (seq int32) {
	for k := i % 2; k < i; k += 2 {
		seq += int32(1 + k%3)
	}
	return seq
}

// TestJitter: logs with the same age to roll at roll at different times, each earlier by no more than the jitter.
func TestJitter(t *testing.T) {
	const age, jitter = time.Hour, 20 * time.Minute
	rolled := map[int64]bool{}
	for seed := range uint64(12) {
		w := newWorld(t, vfs.NewMem())
		w.env.Random = random.Seeded(seed)
		l := w.open(t, Config{SegmentAge: age, SegmentJitter: jitter}, Recovery{Missing: true})
		at := int64(1)
		for ; len(l.segments()) < 2; at += time.Minute.Milliseconds() {
			if _, err := l.Append(batchSpec{ts: at}.build(), 0); err != nil {
				t.Fatal(err)
			}
			if at > 2*age.Milliseconds() {
				t.Fatal("it does not roll")
			}
		}
		span := at - time.Minute.Milliseconds() // of the batch that began the second segment
		if span <= (age-jitter).Milliseconds() || span > (age+2*time.Minute).Milliseconds() {
			t.Errorf("it rolls after %v", time.Duration(span)*time.Millisecond)
		}
		rolled[span] = true
	}
	if len(rolled) < 3 {
		t.Errorf("twelve logs roll at %d different times", len(rolled))
	}
}

// TestPreallocate: the space of a whole segment is taken by its first append, and given back by its roll.
func TestPreallocate(t *testing.T) {
	const size = 8 << 20
	for _, preallocate := range []bool{true, false} {
		for name, end := range map[string]func(*Log) error{"rolled": (*Log).Roll, "closed": func(l *Log) error { return l.Close(true) }} {
			mem := vfs.NewMem()
			w := newWorld(t, mem)
			l := w.open(t, Config{SegmentBytes: size, Preallocate: preallocate}, Recovery{Missing: true})
			if _, err := l.Append(batchSpec{size: 10}.build(), 0); err != nil {
				t.Fatal(err)
			}
			if n := mem.Used(); preallocate != (n >= size) {
				t.Errorf("preallocate=%v: a segment with one record takes %d bytes of %d", preallocate, n, size)
			}
			if err := end(l); err != nil {
				t.Fatal(err)
			}
			if n := mem.Used(); n >= size/8 {
				t.Errorf("preallocate=%v: %s, a segment with one record takes %d bytes", preallocate, name, n)
			}
		}
	}
}

// TestOwnBatchesAreNeverTooLarge: a batch that a broker writes itself goes into a segment of its own where it is larger than one, and
// is there after a restart; a producer's is refused.
func TestOwnBatchesAreNeverTooLarge(t *testing.T) {
	for _, reserved := range []bool{true, false} {
		mem := vfs.NewMem()
		cfg := Config{SegmentBytes: 200, Reserved: reserved}
		l := newWorld(t, mem).open(t, cfg, Recovery{Missing: true})
		for _, size := range []int{10, 1000, 10, 1000, 1000} {
			_, err := l.Append(batchSpec{size: size}.build(), 1)
			if want := !reserved && size == 1000; errors.Is(err, ErrTooLargeForSegment) != want || !want && err != nil {
				t.Fatalf("own: %v: a batch of %d bytes is answered %v", reserved, size, err)
			}
		}
		if !reserved {
			continue
		}
		if n := len(l.segments()); n != 5 {
			t.Errorf("there are %d segments", n)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		l = newWorld(t, mem).open(t, cfg, Recovery{Clean: true, Point: 5})
		if got := readAll(t, l, 0); len(got) != 5 {
			t.Errorf("after a restart there are %d batches", len(got))
		}
	}
}
