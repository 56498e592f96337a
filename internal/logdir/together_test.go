package logdir

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/vfs"
)

// TestManyAreClosedTogether closes logs with records that only the journal has made durable. The stop is clean, although it synced no file of a log,
// and nothing of it is lost with the power.
func TestManyAreClosedTogether(t *testing.T) {
	for name, c := range map[string]struct {
		unsupported bool
		whole, each bool // syncs that are made: of all, of one
	}{
		"by a sync of all":                         {whole: true},
		"where the system does not tell of errors": {unsupported: true, each: true},
	} {
		t.Run(name, func(t *testing.T) {
			var closing atomic.Bool
			var whole, each atomic.Int64
			mem := vfs.NewMem()
			opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
				switch {
				case op.Kind == vfs.OpSyncFS && c.unsupported:
					return errors.ErrUnsupported
				case op.Kind == vfs.OpSyncFS:
					whole.Add(1)
				case closing.Load() && (op.Kind == vfs.OpSync || op.Kind == vfs.OpDatasync || op.Kind == vfs.OpSyncDir):
					each.Add(1)
				}
				return nil
			}))
			opts.manyUnsynced, opts.journal = 4, journal.Options{}
			w := newWorld()
			must(t, w.open(opts))
			for n := range w.models {
				for range 3 {
					must(t, w.append(n, 300, 1, true, true))
				}
			}
			closing.Store(true)
			must(t, w.d.Close())
			if got := whole.Load(); (got == 4) != c.whole {
				t.Errorf("the file system was synced %d times", got)
			}
			// The checkpoints, the list of logs at rest and the mark of a clean stop are written by themselves, whatever the logs are.
			if got := each.Load(); (got >= 6*int64(len(w.models))) != c.each {
				t.Errorf("%d files and directories were synced", got)
			}
			left := options(mem.Crash(vfs.LoseUnsynced, 0))
			d := mustOpen(t, left)
			if clean, _ := d.Clean(); !clean {
				t.Error("the stop was not clean")
			}
			if found := d.Recovery(); found.Recovered != 0 || found.ScannedBytes != 0 {
				t.Errorf("the next start recovered: %+v", found)
			}
			for n, m := range w.models {
				l, err := d.Log(logID(n), config(true), nil)
				must(t, err)
				must(t, l.Wake())
				must(t, m.compare(l))
				if found := l.Recovered(); found.Rebuilt != 0 || found.ScannedBytes != 0 {
					t.Errorf("log %d: %+v", n, found)
				}
			}
			must(t, d.Close())
		})
	}
}

// TestStopDoesNotFreeFiles closes a directory while the logs of the journal's old files are synced, a few at a time, to free those. Those whose turn
// has not come are left to the stop, which syncs all together.
func TestStopDoesNotFreeFiles(t *testing.T) {
	mem, w := vfs.NewMem(), newWorld()
	var syncs atomic.Int64
	var holds atomic.Bool
	goOn := make(chan struct{})
	opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
		if holds.Load() && op.Kind == vfs.OpDatasync && strings.HasSuffix(op.Name, segment.LogSuffix) {
			syncs.Add(1)
			<-goOn
		}
		return nil
	}))
	opts.manyUnsynced, opts.journal.Files = 1, 64 // so that none becomes free yet
	must(t, w.open(opts))
	for i := range 4 * len(w.models) {
		must(t, w.append(i%len(w.models), 300, 1, true, true))
	}
	must(t, w.d.Abort())
	opts.journal.Files = 3
	must(t, w.open(opts))
	holds.Store(true)
	signal(w.d.committer.reclaim)
	until(t, "files are synced", func() bool { return syncs.Load() == reclaimers })
	closed := make(chan error)
	go func() { closed <- w.d.Close() }()
	until(t, "the stop has begun", w.d.committer.stopping)
	close(goOn)
	must(t, <-closed)
	if n := syncs.Load(); n != reclaimers {
		t.Errorf("%d logs of %d were synced one by one", n, len(w.models))
	}
	for _, model := range vfs.AllSurvivors {
		must(t, w.check(options(mem.Peek(model, 1))))
	}
}

// TestCloseTogetherHearsOfErrors fails each sync of all in turn, and once a step of one log: the stop is not clean, and the next start finds everything.
func TestCloseTogetherHearsOfErrors(t *testing.T) {
	broken := errors.New("broken disk")
	for fail := range 6 {
		var syncs, renames atomic.Int64
		var closing atomic.Bool
		mem := vfs.NewMem()
		opts := options(vfs.NewFault(mem, func(op vfs.Op) error {
			if op.Kind == vfs.OpSyncFS && syncs.Add(1) == int64(fail+1) {
				return broken
			}
			if closing.Load() && op.Kind == vfs.OpRename && renames.Add(1) == 3 && fail >= 4 {
				return broken
			}
			return nil
		}))
		opts.manyUnsynced, opts.journal = 1, journal.Options{}
		var mu sync.Mutex
		var told []error
		w := newWorld()
		opts.OnFailure = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err)
		}
		d, err := Open(opts)
		must(t, err)
		w.d, w.logs = d, map[int]*commitlog.Log{}
		for n := range w.models {
			must(t, w.append(n, 300, 1, true, true))
		}
		closing.Store(true)
		if err := w.d.Close(); !errors.Is(err, broken) {
			t.Errorf("failure %d: closed with %v", fail, err)
		}
		mu.Lock()
		if len(told) != 1 || !errors.Is(told[0], broken) {
			t.Errorf("failure %d: told of %v", fail, told)
		}
		mu.Unlock()
		if slices.Contains(names(t, mem, root), cleanFile) {
			t.Errorf("failure %d: the stop counts as clean", fail)
		}
		for _, model := range vfs.AllSurvivors {
			must(t, w.check(options(mem.Peek(model, 1))))
		}
	}
}
