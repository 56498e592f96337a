package logdir

import (
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/vfs"
)

// fillDisk appends to all logs until the disk takes nothing more, and returns how many logs there are.
func (w *world) fillDisk(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	for n := range w.models {
		must(t, w.append(n, 3000, 1, true, true))
	}
	mem.SetCapacity(mem.Used() + 30<<10)
	for refused, i := 0, 0; refused < len(w.models); i++ { // each has used up what was preallocated for it
		if i > 10_000 {
			t.Fatal("the disk does not fill")
		}
		err := w.append(i%len(w.models), 3000, 1, true, false)
		switch {
		case err == nil:
			refused = 0
		case errors.Is(err, commitlog.ErrReadOnly):
			refused++
		default:
			t.Fatal(err)
		}
	}
}

// TestRemovalMakesRoom: on a full disk logs are removed, at once as far as the journal has room to note it, and one after another as
// that makes room. No crash brings one back, and appends go on without a restart. It is the same where the journal would have to begin another file.
func TestRemovalMakesRoom(t *testing.T) {
	for _, sizes := range []journal.Options{
		{Files: 3, FirstFile: 4 << 20, MaxFile: 4 << 20}, // which grow until the disk is full
		{Files: 99, FirstFile: 64 << 10, MaxFile: 64 << 10},
	} {
		removalMakesRoom(t, sizes)
	}
}

func removalMakesRoom(t *testing.T, sizes journal.Options) {
	t.Helper()
	mem := vfs.NewMem()
	w := newWorld()
	for n := range 40 {
		w.models[n] = newModel()
	}
	opts := options(mem)
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	opts.Clock, opts.FreeMin, opts.journal = manual, 20<<10, sizes
	must(t, w.open(opts))
	w.fillDisk(t, mem)
	for n := range 39 {
		must(t, w.d.Remove(logID(n)))
		delete(w.models, n)
	}
	folders := func(disk *vfs.Mem) (left []string) {
		for _, name := range names(t, disk, root) {
			if strings.HasPrefix(name, "topic-") && !strings.HasSuffix(name, deleteSuffix) {
				left = append(left, name)
			}
		}
		return left
	}
	deadline := time.Now().Add(20 * time.Second)
	for len(folders(mem)) > 1 || w.d.Condition() != Online {
		if time.Now().After(deadline) {
			t.Fatalf("%d folders are left, the directory is %v", len(folders(mem)), w.d.Err())
		}
		manual.Advance(time.Second)
		runtime.Gosched()
	}
	m := w.models[39]
	m.mu.Lock()
	m.failed = false
	m.mu.Unlock()
	must(t, w.append(39, 1000, 1, true, true))
	disk := mem.Crash(vfs.LoseUnsynced, 1)
	disk.SetCapacity(0) // what was unlinked is there again, and takes room
	w.d.Abort()
	must(t, w.check(options(disk)))
	if left := folders(disk); len(left) != 1 {
		t.Errorf("after a crash there are %v", left)
	}
}

// TestUnfinishedRemoval: a log that cannot be removed for lack of space is removed as soon as it can be, and is not there after a clean stop.
func TestUnfinishedRemoval(t *testing.T) {
	var full atomic.Bool
	mem := vfs.NewMem()
	w := newWorld()
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
		if full.Load() && op.Kind == vfs.OpWrite && strings.Contains(op.Name, journalDir) {
			return syscall.ENOSPC
		}
		return nil
	}))
	opts.Clock = manual
	must(t, w.open(opts))
	for n := range w.models {
		must(t, w.append(n, 100, 1, true, true))
	}
	must(t, w.append(0, 100, 1, true, true)) // the file of the journal that this is in is not free yet
	full.Store(true)
	must(t, w.d.Remove(logID(0)))
	if w.d.lookup(logID(0)) == nil {
		t.Fatal("the removal was not held up")
	}
	if l, err := w.d.Log(logID(0), new(commitlog.Config), nil); err == nil || !Passes(err) {
		t.Fatalf("a partition that came back got the log that is to be removed: %v, %v", l, err)
	}
	full.Store(false)
	deadline := time.Now().Add(20 * time.Second)
	for w.d.lookup(logID(0)) != nil || w.d.Err() != nil {
		if time.Now().After(deadline) {
			t.Fatalf("the log is still there, the directory is %v", w.d.Err())
		}
		manual.Advance(time.Second)
		runtime.Gosched()
	}
	if l, err := w.d.Log(logID(0), new(commitlog.Config), nil); err != nil || l.LogEnd() != 0 {
		t.Fatalf("a partition that comes back when it is removed: %v", err)
	}
	must(t, w.d.Remove(logID(0)))
	full.Store(true)
	must(t, w.d.Remove(logID(1)))
	full.Store(false)
	w.d.probe()
	must(t, w.d.Close())
	d := mustOpen(t, options(mem))
	defer d.Abort()
	if logs := d.Logs(); len(logs) != len(w.models)-2 {
		t.Errorf("after the next start there are %v", logs)
	}
}

// swept returns when the sweeper has looked for space as often as it was asked to.
func (w *world) swept(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	taken := func(asked chan struct{}) {
		for len(asked) > 0 {
			if time.Now().After(deadline) {
				t.Fatal("the sweeper does not do what it is asked for")
			}
			runtime.Gosched()
		}
	}
	taken(w.d.measuring)
	w.d.sweeper.kick() // which it takes when it is through with what it took before
	taken(w.d.sweeper.early)
}

// producersAndGroups are a log that is refused where little space is left and one that goes on then.
func (w *world) producersAndGroups(t *testing.T) (producers, groups *commitlog.Log) {
	t.Helper()
	log := func(n int, reserved bool) *commitlog.Log {
		c := config(true)
		c.Reserved, c.SegmentBytes = reserved, 1<<20
		l, err := w.d.Log(logID(n), c, nil)
		must(t, err)
		return l
	}
	return log(0, false), log(1, true)
}

// TestLittleSpaceIsKept: producers are refused before the disk is full, without a tick of the clock where they are fast; a broker's own
// topic goes on in what is left. There is no failed write on the way, and it ends by itself when there is space.
func TestLittleSpaceIsKept(t *testing.T) {
	const size = 16 << 20
	mem := vfs.NewMem()
	mem.SetCapacity(size)
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	opts := options(mem)
	opts.Clock, opts.FreeMin = manual, 1<<20 // so that a 16th of the disk is kept
	w := newWorld()
	must(t, w.open(opts))
	producers, groups := w.producersAndGroups(t)
	var err error
	for range 10_000 {
		if _, err = producers.Append(batch("key", 40_000), 1); err != nil {
			break
		}
		w.swept(t)
	}
	if !errors.Is(err, commitlog.ErrReadOnly) || errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("producers are answered %v", err)
	}
	if free, _, _ := w.d.Space(); free < size/32 || free > size/16 {
		t.Errorf("%d bytes of %d are left when producers are refused", free, size)
	}
	if w.d.Err() != nil || w.d.Condition() != Full {
		t.Errorf("the directory is %v, %v", w.d.Condition(), w.d.Err())
	}
	if err := producers.CheckAppend(); !errors.Is(err, commitlog.ErrReadOnly) {
		t.Errorf("an append is said to be answered %v", err)
	}
	for range 100 {
		if _, err := groups.Append(batch("key", 1000), 1); err != nil {
			t.Fatalf("groups are answered %v", err)
		}
	}
	must(t, groups.CheckAppend())
	must(t, w.d.Checkpoint())
	mem.SetCapacity(2 * size)
	deadline := time.Now().Add(20 * time.Second)
	for w.d.Condition() != Online {
		if time.Now().After(deadline) {
			t.Fatal("the directory stays full")
		}
		manual.Advance(time.Second)
		runtime.Gosched()
	}
	if _, err := producers.Append(batch("key", 10_000), 1); err != nil {
		t.Fatalf("producers are answered %v when there is space", err)
	}
	must(t, w.d.Close())
}

// TestLittleSpaceIsKeptUnseen: however long the disk holds up the one who looks for space, producers do not take what is kept meanwhile.
func TestLittleSpaceIsKeptUnseen(t *testing.T) {
	const size = 16 << 20
	mem := vfs.NewMem()
	mem.SetCapacity(size)
	var held atomic.Bool
	goOn := make(chan struct{})
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
		if op.Kind == vfs.OpFree && held.Load() {
			<-goOn
		}
		return nil
	}))
	opts.Clock, opts.FreeMin = manual, 1<<20
	w := newWorld()
	must(t, w.open(opts))
	producers, groups := w.producersAndGroups(t)
	held.Store(true)
	var err error
	for range 10_000 {
		if _, err = producers.Append(batch("key", 40_000), 1); err != nil {
			break
		}
	}
	if free, _ := mem.Free("."); !errors.Is(err, commitlog.ErrReadOnly) || free < size/32 {
		t.Fatalf("producers are answered %v when %d bytes of %d are left", err, free, size)
	}
	if _, err := groups.Append(batch("key", 1000), 1); err != nil {
		t.Errorf("groups are answered %v", err)
	}
	held.Store(false)
	close(goOn)
	until(t, "it is seen that there is little space", func() bool { return w.d.Condition() == Full })
	mem.SetCapacity(2 * size)
	until(t, "producers are served again", func() bool {
		manual.Advance(time.Second)
		_, err := producers.Append(batch("key", 10_000), 1)
		return err == nil
	})
	must(t, w.d.Close())
}
