package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

var faultConfig = Config{SegmentBytes: 1500, IndexIntervalBytes: 150, Durable: true, Delete: true, RetentionAge: -1, RetentionBytes: 5000}

// faultRun is a log whose n-th change of the disk fails.
type faultRun struct {
	modelRun
	err    error
	fired  vfs.Op
	before []byte
	synced int64
}

// script is a fixed sequence of operations that reaches every kind of change. It ends with the first error.
func (r *faultRun) script() error {
	do := func(step func() error) bool {
		r.before = join(r.m.visible())
		if r.err == nil {
			r.err = step()
		}
		return r.err == nil
	}
	for i := range 60 {
		b := r.spec().build()
		b.SetLeaderEpoch(int32(i / 15))
		if !do(func() error {
			_, err := r.l.Append(b, LeaderEpoch(i/15))
			if err == nil {
				r.m.add(b)
			}
			return err
		}) {
			return r.err
		}
		ok := true
		switch {
		case i%12 == 7:
			ok = do(func() error {
				end, err := r.l.SyncFiles()
				if err == nil {
					r.w.point, r.synced = end, end
				}
				return err
			})
		case i%20 == 13:
			ok = do(func() error {
				err := r.l.TruncateTo(r.m.end - 4)
				r.synced = min(r.synced, r.m.end-10)
				if err == nil {
					return r.m.truncate(r.m.end-4, r.l.LogEnd())
				}
				return err
			})
		case i%10 == 9:
			ok = do(func() error {
				_, err := r.l.DeleteOld(r.w.clock.Now(), r.m.end)
				r.m.start = r.l.LogStart()
				return err
			})
		}
		if !ok {
			return r.err
		}
	}
	do(func() error { return r.l.Close(true) })
	return r.err
}

func newFaultRun(t *testing.T, n int64, fault error) *faultRun {
	return newFaultRunOf(t, n, 1, fault, func(op vfs.Op) bool { return op.Kind.Changes() })
}

// newFaultRunOf lets fail the operations from the n-th on, so many, of those that count.
func newFaultRunOf(t *testing.T, n, many int64, fault error, counts func(vfs.Op) bool) *faultRun {
	r := &faultRun{modelRun: modelRun{t: t, rng: rand.New(rand.NewPCG(5, 5)), mem: vfs.NewMem(), cfg: faultConfig, now: 1000}}
	r.m.lastSeq = map[int64]int32{}
	armed := false
	count := int64(0)
	fsys := vfs.NewFault(r.mem, func(op vfs.Op) error {
		if armed && counts(op) {
			if count++; count >= n && count < n+many {
				r.fired = op
				return fault
			}
		}
		return nil
	})
	r.w = newWorld(t, fsys)
	armed = true
	r.l = r.w.open(t, faultConfig, Recovery{Missing: true})
	return r
}

// TestFailedChange fails every change of the disk once. After a failed write, sync, rename or truncation the directory takes nothing
// any more and says so once; what was acknowledged is still read, and is there after a restart.
func TestFailedChange(t *testing.T) {
	broken := errors.New("I/O error")
	for n := int64(1); ; n = next(n) {
		r := newFaultRun(t, n, broken)
		err := r.script()
		if r.fired.Kind == "" {
			if err != nil {
				t.Fatal(err)
			}
			through(t, n-1)
			return
		}
		where := fmt.Sprintf("change %d, %s %s, answer %v", n, r.fired.Kind, r.fired.Name, err)
		if r.fired.Kind == vfs.OpRemove {
			if r.w.env.Err() != nil && err == nil {
				t.Fatalf("%s: offline without an error", where)
			}
			continue
		}
		if !errors.Is(r.w.env.Err(), ErrOffline) || !errors.Is(r.w.env.Err(), broken) || len(r.w.failures) != 1 {
			t.Fatalf("%s: directory is %v, told %v", where, r.w.env.Err(), r.w.failures)
		}
		if err != nil && !errors.Is(err, ErrOffline) {
			t.Fatalf("%s: answer is not ErrOffline", where)
		}
		if _, err := r.l.Append(batchSpec{}.build(), 100); !errors.Is(err, ErrOffline) && !errors.Is(err, ErrClosed) {
			t.Fatalf("%s: append afterwards: %v", where, err)
		}
		if _, err := r.l.SyncFiles(); !errors.Is(err, ErrOffline) && !errors.Is(err, ErrClosed) {
			t.Fatalf("%s: sync afterwards: %v", where, err)
		}
		if r.l.ended() {
			if _, err := r.l.Read(r.l.LogStart(), 1<<20, all, true); err != nil && !errors.Is(err, ErrClosed) {
				t.Fatalf("%s: read a closed log: %v", where, err)
			}
			r.restart(where)
			continue
		}
		got := join(readAll(t, r.l, r.l.LogStart()))
		if now := join(r.m.visible()); !bytes.HasSuffix(now, got) && !bytes.HasSuffix(r.before, got) && !bytes.HasPrefix(r.before, got) {
			t.Fatalf("%s: log has %d bytes, want %d or %d", where, len(got), len(now), len(r.before))
		}
		r.restart(where)
	}
}

// restart opens what a killed process left.
func (r *faultRun) restart(where string) {
	w := newWorld(r.t, r.mem.KillProcess())
	l, err := New(testID, Options{Env: w.env, Config: &faultConfig, Recovery: Recovery{Point: r.w.point, LogStart: r.m.start}})
	if err != nil {
		r.t.Fatalf("%s: restart: %v", where, err)
	}
	if l.LogEnd() < r.synced || l.Recovered().Lost {
		r.t.Fatalf("%s: after the restart the log ends at %d, %d was synced; %+v", where, l.LogEnd(), r.synced, l.Recovered())
	}
	readAll(r.t, l, l.LogStart())
}

// TestFullDisk fails every write, creation and rename once for lack of space. That is no failure of the disk: the append is refused, and
// once there is space everything goes on.
func TestFullDisk(t *testing.T) {
	for n := int64(1); ; n++ {
		r := newFaultRun(t, n, &vfs.Partial{N: 7, Err: syscall.ENOSPC})
		err := r.script()
		if r.fired.Kind == "" {
			return
		}
		where := fmt.Sprintf("change %d, %s %s, answer %v", n, r.fired.Kind, r.fired.Name, err)
		switch r.fired.Kind {
		case vfs.OpWrite, vfs.OpCreate, vfs.OpMkdirAll, vfs.OpRename:
		default:
			continue // not for lack of space
		}
		if err == nil { // a derived file in the background
			continue
		}
		if errors.Is(err, ErrOffline) || len(r.w.failures) > 0 {
			t.Fatalf("%s: offline", where)
		}
		if !errors.Is(err, ErrReadOnly) {
			t.Fatalf("%s: want ErrReadOnly", where)
		}
		if r.l.ended() {
			r.restart(where)
			continue
		}
		b := batchSpec{n: 2, size: 50}.build()
		if _, err := r.l.Append(b, 50); err != nil {
			t.Fatalf("%s: append when there is space: %v", where, err)
		}
		if _, err := r.l.SyncFiles(); err != nil {
			t.Fatalf("%s: sync when there is space: %v", where, err)
		}
		got := readAll(t, r.l, r.l.LogStart())
		if text, want := offsets(got), offsets(append(r.m.visible(), b)); text != want && !strings.HasSuffix(want, text) {
			t.Fatalf("%s: log has %s, want %s", where, text, want)
		}
		if err := r.l.Close(true); err != nil {
			t.Fatalf("%s: close: %v", where, err)
		}
		w := newWorld(t, r.mem.KillProcess())
		l := w.open(t, faultConfig, Recovery{Clean: true, LogStart: r.l.LogStart()})
		if again := readAll(t, l, l.LogStart()); offsets(again) != offsets(got) {
			t.Fatalf("%s: reopened log has %s, want %s", where, offsets(again), offsets(got))
		}
	}
}

// opensFile says of an operation that it takes a file descriptor.
func opensFile(op vfs.Op) bool {
	switch op.Kind {
	case vfs.OpOpen, vfs.OpCreate, vfs.OpSyncDir, vfs.OpReadDir:
		return true
	}
	return false
}

// TestNoDescriptors lets each operation that opens a file, and some after it, find no descriptor. That is no failure of the disk: at most
// that call is refused, and once there are descriptors everything goes on, and is durable. Only a truncation must not stop halfway.
func TestNoDescriptors(t *testing.T) {
	for _, many := range []int64{1, 2, 5} {
		refused := 0
		for n := int64(1); ; n = next(n) {
			lack := []error{syscall.EMFILE, syscall.ENFILE}[n%2]
			r := newFaultRunOf(t, n, many, lack, opensFile)
			r.w.env.Files = NewFileCache(1, 0) // so that there is little to close instead
			err := r.script()
			if r.fired.Kind == "" {
				t.Logf("%d operations, %d calls were refused", n-1, refused)
				break
			}
			where := fmt.Sprintf("%d of operation %d on, last %s %s, answer %v", many, n, r.fired.Kind, r.fired.Name, err)
			if errors.Is(err, ErrOffline) && strings.Contains(err.Error(), "truncate") {
				continue
			}
			if err := r.w.env.Err(); err != nil || len(r.w.failures) > 0 {
				t.Fatalf("%s: directory is %v", where, err)
			}
			if err != nil && !vfs.NoDescriptors(err) {
				t.Fatalf("%s: want the lack of descriptors", where)
			}
			if err != nil {
				refused++
			}
			if r.l.ended() {
				r.restart(where)
				continue
			}
			b := batchSpec{n: 2, size: 50}.build()
			for range many { // the rest of the lack
				if _, err = r.l.Append(b, 50); err == nil {
					break
				}
			}
			if err != nil {
				t.Fatalf("%s: append when there are descriptors: %v", where, err)
			}
			for range many {
				if _, err = r.l.SyncFiles(); err == nil {
					break
				}
			}
			if err != nil || r.l.SyncedEnd() != r.l.LogEnd() {
				t.Fatalf("%s: sync when there are descriptors: %v", where, err)
			}
			got := readAll(t, r.l, r.l.LogStart())
			if text, want := offsets(got), offsets(append(r.m.visible(), b)); text != want && !strings.HasSuffix(want, text) {
				t.Fatalf("%s: log has %s, want %s", where, text, want)
			}
			w := newWorld(t, r.mem.Peek(vfs.LoseUnsynced, 1))
			l := w.open(t, faultConfig, Recovery{LogStart: r.l.LogStart(), Point: r.w.point})
			if again := readAll(t, l, l.LogStart()); offsets(again) != offsets(got) {
				t.Fatalf("%s: after a power loss the log has %s, want %s", where, offsets(again), offsets(got))
			}
		}
		if refused == 0 {
			t.Error("no call met the lack")
		}
	}
}

// TestFullAtStart opens a log on a disk that takes nothing.
func TestFullAtStart(t *testing.T) {
	r := newFaultRun(t, -1, nil)
	if err := r.script(); err != nil {
		t.Fatal(err)
	}
	disk := r.mem.KillProcess()
	full := true
	w := newWorld(t, vfs.NewFault(disk, func(op vfs.Op) error {
		if full && (op.Kind == vfs.OpWrite || op.Kind == vfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}))
	for _, name := range []string{"partition.metadata", "leader-epoch-checkpoint"} {
		if err := disk.Remove(testDir + "/" + testID.DirName() + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	l := w.open(t, faultConfig, Recovery{LogStart: r.m.start})
	if got := readAll(t, l, l.LogStart()); offsets(got) != offsets(r.m.visible()) {
		t.Fatalf("log has %s, want %s", offsets(got), offsets(r.m.visible()))
	}
	full = false
	if _, err := l.Append(batchSpec{}.build(), 100); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	if id, err := ReadTopicID(disk, testDir+"/"+testID.DirName()); err != nil || id != testID.TopicID {
		t.Fatal(id, err)
	}
}

// TestFullDiskShowsWhatIsThere starts, after a kill, on a disk without room for the leader epochs: readers must see the records.
func TestFullDiskShowsWhatIsThere(t *testing.T) {
	r := newFaultRun(t, -1, nil)
	if err := r.script(); err != nil {
		t.Fatal(err)
	}
	disk := r.mem.KillProcess()
	if err := disk.Remove(testDir + "/" + testID.DirName() + "/leader-epoch-checkpoint"); err != nil {
		t.Fatal(err)
	}
	full := true
	w := newWorld(t, vfs.NewFault(disk, func(op vfs.Op) error {
		if full && (op.Kind == vfs.OpWrite || op.Kind == vfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}))
	l := w.open(t, faultConfig, Recovery{LogStart: r.m.start})
	if _, err := l.SyncFiles(); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("sync on a full disk: %v", err)
	}
	if l.SyncedEnd() != l.LogEnd() || l.RecoveryPoint() == l.LogEnd() {
		t.Errorf("synced end %d, recovery point %d, log end %d", l.SyncedEnd(), l.RecoveryPoint(), l.LogEnd())
	}
	// A power loss now takes nothing of it.
	after := newWorld(t, disk.Peek(vfs.LoseUnsynced, 1)).open(t, faultConfig, Recovery{LogStart: r.m.start})
	if got := readAll(t, after, after.LogStart()); offsets(got) != offsets(r.m.visible()) {
		t.Errorf("after a power loss the log has %s, want %s", offsets(got), offsets(r.m.visible()))
	}
	full = false
	if _, err := l.SyncFiles(); err != nil || l.RecoveryPoint() != l.LogEnd() {
		t.Errorf("sync with space: %v, recovery point %d", err, l.RecoveryPoint())
	}
}
