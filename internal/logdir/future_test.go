package logdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// house is two data directories and logs that move between them. A log is where at says.
type house struct {
	dirs    [2]*Dir
	models  map[int]*model
	logs    map[int]*commitlog.Log
	at      map[int]int
	futures map[int]*Future
	compact bool
	next    int
}

const houseLogs = 3

var rooms = [2]string{"a", "b"}

func newHouse() *house {
	h := &house{models: map[int]*model{}, at: map[int]int{}}
	for n := range houseLogs {
		h.models[n], h.at[n] = newModel(), n%2
	}
	return h
}

func room(opts Options, i int) Options {
	opts.Path = rooms[i]
	return opts
}

func (h *house) open(opts Options) error {
	h.logs, h.futures = map[int]*commitlog.Log{}, map[int]*Future{}
	opts.OnFailure = func(error) { h.giveUp() }
	opts.OnFull = func(full bool) {
		if full {
			h.giveUp()
		}
	}
	for i := range rooms {
		d, err := Open(room(opts, i))
		if err != nil {
			if i > 0 {
				err = errors.Join(err, h.dirs[0].Abort())
			}
			return err
		}
		h.dirs[i] = d
	}
	if err := FinishMoves(h.dirs[:]); err != nil {
		return errors.Join(err, h.abort())
	}
	return nil
}

func (h *house) giveUp() {
	for _, m := range h.models {
		m.fail()
	}
}

func (h *house) abort() error { return errors.Join(h.dirs[0].Abort(), h.dirs[1].Abort()) }
func (h *house) close() error { return errors.Join(h.dirs[0].Close(), h.dirs[1].Close()) }

func (h *house) log(n int) (*commitlog.Log, error) {
	if l := h.logs[n]; l != nil {
		return l, nil
	}
	l, err := h.dirs[h.at[n]].Log(logID(n), h.config(), h.models[n].synced)
	if err != nil {
		return nil, err
	}
	h.hand(n, l)
	return l, nil
}

func (h *house) hand(n int, l *commitlog.Log) {
	h.logs[n] = l
	m := h.models[n]
	m.mu.Lock()
	m.log = l
	m.mu.Unlock()
}

func (h *house) config() *commitlog.Config {
	c := config(true)
	if h.compact {
		c.Compact, c.SegmentBytes = true, 4<<10
	}
	return c
}

func (h *house) append(n, size int, epoch commitlog.LeaderEpoch, wait bool) error {
	if _, err := h.log(n); err != nil {
		return err
	}
	w := &world{models: h.models, logs: h.logs, next: h.next}
	err := w.append(n, size, epoch, true, wait)
	h.next = w.next
	return err
}

func (h *house) truncate(n, to int) error {
	if _, err := h.log(n); err != nil {
		return err
	}
	w := &world{models: h.models, logs: h.logs}
	return w.truncate(n, to)
}

func (h *house) begin(n int) error {
	l, err := h.log(n)
	if err != nil {
		return err
	}
	if !l.Copying(true) {
		return errors.New("a pass of compaction is under way")
	}
	h.futures[n], err = h.dirs[1-h.at[n]].Begin(logID(n), h.config(), l)
	if err != nil {
		delete(h.futures, n)
	}
	return err
}

// copy copies all that there is.
func (h *house) copy(n int) error {
	for {
		if k, err := h.futures[n].Copy(2 << 10); err != nil || k == 0 {
			return err
		}
	}
}

// finish moves log n for good. The model counts as synced what the new log says is: all.
func (h *house) finish(n int) error {
	f, from := h.futures[n], h.dirs[h.at[n]]
	if err := f.Ready(from); err != nil {
		return err
	}
	l, err := f.Finish(from, h.config(), h.models[n].synced)
	if errors.Is(err, ErrBehind) {
		return err
	}
	if err != nil { // the log is where it was, and goes on there if it can
		return errors.Join(err, h.append(n, 200, 9, true))
	}
	delete(h.futures, n)
	h.at[n] = 1 - h.at[n]
	h.hand(n, l)
	h.models[n].synced(0)
	epoch, _ := l.LatestEpoch()
	if err := h.append(n, 300, epoch, true); err != nil { // before the old one is removed
		return err
	}
	return from.Remove(logID(n))
}

// locate finds out where a start left the logs: each in one directory, or in none.
func (h *house) locate() error {
	seen := map[string]int{}
	for i, d := range h.dirs {
		for _, id := range d.Logs() {
			if at, twice := seen[id.DirName()]; twice && at != i {
				return fmt.Errorf("%s is in both directories", id)
			}
			seen[id.DirName()] = i
		}
	}
	for n := range h.models {
		if i, ok := seen[logID(n).DirName()]; ok {
			h.at[n] = i
		}
	}
	return nil
}

// check opens what a stop left and compares it with the models.
func (h *house) check(opts Options) (err error) {
	again := &house{models: h.models, at: map[int]int{0: 0, 1: 1, 2: 0}}
	if err := again.open(opts); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer again.abort()
	if err := again.locate(); err != nil {
		return err
	}
	for n, m := range again.models {
		l, err := again.dirs[again.at[n]].Log(logID(n), config(true), nil)
		if err != nil {
			return err
		}
		if err := m.compare(l); err != nil {
			return fmt.Errorf("log %d in %s: %w", n, rooms[again.at[n]], err)
		}
	}
	return nil
}

// live is the work of the crash tests: logs grow, move to and fro, are cut while they move; a copy is dropped, one is half done at a clean stop
// and goes on after it, one is half done at a kill.
func (h *house) live(opts Options) error {
	if err := h.open(opts); err != nil {
		return err
	}
	if err := h.firstWork(); err != nil {
		return errors.Join(err, h.abort())
	}
	if err := h.close(); err != nil {
		return err
	}
	if err := h.open(opts); err != nil {
		return err
	}
	if err := h.secondWork(); err != nil {
		return errors.Join(err, h.abort())
	}
	if err := h.abort(); err != nil { // killed
		return err
	}
	if err := h.open(opts); err != nil {
		return err
	}
	if err := h.thirdWork(); err != nil {
		return errors.Join(err, h.abort())
	}
	return h.close()
}

// do runs steps to the first error.
func do(steps ...func() error) error {
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func (h *house) firstWork() error {
	for i := range 12 {
		if err := h.append(i%houseLogs, 300+i*150, 1, i%2 == 0); err != nil {
			return err
		}
	}
	return do(
		func() error { return h.begin(0) },
		func() error { return h.copy(0) },
		func() error { return h.append(0, 9<<10, 1, false) },
		func() error { return h.append(1, 400, 1, true) },
		func() error { return h.finish(0) },
		func() error { return h.dirs[0].Checkpoint() },
		func() error { return h.append(0, 500, 2, true) },
		func() error { return h.begin(1) },
		func() error { return h.copy(1) },
		func() error { return h.truncate(1, 2) },
		func() error { return h.append(1, 700, 2, true) },
		func() error { return h.copy(1) },
		func() error { return h.finish(1) },
		func() error { return h.begin(2) },
		func() error { return h.copy(2) },
		func() error { return h.append(2, 20<<10, 2, true) },
		func() error { return h.futures[2].Drop() },
		func() error { return h.begin(2) },
		func() error { _, err := h.futures[2].Copy(1 << 10); return err },
		func() error { return h.append(2, 500, 2, false) },
	)
}

func (h *house) secondWork() error {
	return do(
		func() error { return h.append(2, 600, 3, true) },
		func() error { return h.begin(2) }, // goes on with what the stop left
		func() error { return h.copy(2) },
		func() error { return h.finish(2) },
		func() error { return h.append(2, 600, 3, true) },
		func() error { return h.begin(0) },
		func() error { return h.copy(0) },
		func() error { return h.append(0, 8<<10, 3, true) },
		func() error { return h.finish(0) },
		func() error { return h.begin(1) },
		func() error { _, err := h.futures[1].Copy(1 << 10); return err },
		func() error { return h.append(1, 500, 3, true) },
		func() error { return h.append(0, 500, 3, true) },
	)
}

func (h *house) thirdWork() error {
	return do(
		func() error { return h.begin(1) },
		func() error { return h.copy(1) },
		func() error { return h.append(1, 500, 4, true) },
		func() error { return h.finish(1) },
		func() error { return h.append(0, 300, 4, true) },
		func() error { return h.append(2, 300, 4, true) },
	)
}

// TestMoveCrashEverywhere stops the machine at every change of the disk while logs move, under every model of what survives: each log is in
// one directory, with all that was acknowledged, and nothing is twice.
func TestMoveCrashEverywhere(t *testing.T) {
	for at := int64(1); ; at = next(at) {
		h := newHouse()
		var left []*vfs.Mem
		fault := crashAt(at, &left)
		err := h.live(options(fault))
		if left == nil {
			if err != nil {
				t.Fatalf("without a crash: %v", err)
			}
			through(t, at-1)
			return
		}
		for i, disk := range left {
			for again := range 1 + choose(i == int(at)%4) { // one of them opened twice
				if err := h.check(options(disk)); err != nil {
					t.Fatalf("crash at change %d, %s, opened %d times: %v\n%s", at, vfs.AllSurvivors[i], again+1, err, strings.Join(folders(disk), "\n"))
				}
			}
		}
	}
}

func choose(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func folders(fsys vfs.FS) (all []string) {
	for _, room := range rooms {
		entries, _ := fsys.ReadDir(room)
		for _, e := range entries {
			all = append(all, filepath.Join(room, e.Name()))
		}
	}
	return all
}

// TestMoveCrashInRecovery stops the machine when both directories have the folder of a log, and again at every change of the start that finds them.
func TestMoveCrashInRecovery(t *testing.T) {
	for i, model := range vfs.AllSurvivors {
		h := newHouse()
		mem := vfs.NewMem()
		var disk *vfs.Mem
		var once sync.Once
		fault := vfs.NewFault(mem, func(op vfs.Op) error {
			if op.Kind == vfs.OpRename && op.Name == filepath.Join("a", logID(0).DirName()) {
				once.Do(func() { disk = mem.Crash(model, 3) }) // the old folder is to go, the new one has its name
			}
			return nil
		})
		if err := h.live(options(fault)); disk == nil {
			t.Fatalf("no folder was removed: %v", err)
		}
		for at := int64(1); ; at = next(at) {
			first := disk.Peek(vfs.KeepAll, 0)
			var left *vfs.Mem
			var once sync.Once
			fault := vfs.NewFault(first, func(op vfs.Op) error {
				if op.Change >= at {
					once.Do(func() { left = first.Crash(vfs.AllSurvivors[(int(at)+i)%4], uint64(at)) })
				}
				return nil
			})
			again := &house{models: h.models, at: map[int]int{}}
			err := again.open(options(fault))
			if err == nil {
				err = again.abort()
			}
			if left == nil {
				if err != nil {
					t.Fatal(err)
				}
				through(t, at-1)
				break
			}
			if err := h.check(options(left)); err != nil {
				t.Fatalf("%s, then a crash at change %d of the start: %v\n%s", model, at, err, strings.Join(folders(left), "\n"))
			}
		}
	}
}

// TestMoveErrorEverywhere fails operations in turn, once: every fourth with the one error, those between with the other.
func TestMoveErrorEverywhere(t *testing.T) {
	for i, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(cause.Error(), func(t *testing.T) { failInTurn(t, cause, int64(2*i+1), 4, func() survivor { return newHouse() }) })
	}
}
