package logdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// resets is a follower's log that begins anew at an offset, because its leader has nothing that it could go on from, and goes on there.
type resets struct {
	start, to int64  // where the log began to be served, and begins anew
	empty     bool   // it held nothing, and has no folder
	old       []byte // what it held
	synced    int64  // of the old log, before
	next      []byte // what it holds afterwards
	begun     bool
	done      bool
	acked     int64 // of what came afterwards
	failed    chan struct{}
}

// replicated is a batch as a leader would send it.
func replicated(at int64, size int) record.Batch {
	b := batch(fmt.Sprint(at), size)
	b.SetBaseOffset(at)
	b.SetLeaderEpoch(int32(at / 50))
	return b
}

func (r *resets) live(opts Options) error {
	opts.OnFailure = func(error) { close(r.failed) }
	d, err := Open(opts)
	if err != nil {
		return err
	}
	if err := r.work(d); err != nil {
		return errors.Join(err, d.Abort())
	}
	return d.Close()
}

func (r *resets) work(d *Dir) error {
	synced := make(chan struct{}, 100)
	l, err := d.Log(logID(0), config(true), func(int64) { synced <- struct{}{} })
	if err != nil {
		return err
	}
	wait := func() error {
		for l.SyncedEnd() < l.LogEnd() {
			select {
			case <-synced:
			case <-r.failed:
				return errors.New("the directory is offline")
			}
		}
		return nil
	}
	for at := range int64(12) {
		if r.empty {
			break
		}
		b := replicated(at, 9<<10)
		if at > 9 {
			b = replicated(at, 300) // into the journal
		}
		if _, err := l.AppendReplica(b); err != nil {
			return err
		}
		r.old = append(r.old, b...)
		if err := wait(); err != nil {
			return err
		}
		r.synced = l.SyncedEnd()
	}
	if err := l.AdvanceLogStart(r.start); err != nil {
		return err
	}
	if err := d.Checkpoint(); err != nil {
		return err
	}
	r.begun = true
	if err := l.TruncateFullyAt(r.to); err != nil {
		return err
	}
	r.done = true
	for at := r.to; at < r.to+3; at++ {
		b := replicated(at, 500)
		r.next = append(r.next, b...)
		if _, err := l.AppendReplica(b); err != nil {
			return err
		}
		if err := wait(); err != nil {
			return err
		}
		r.acked = l.SyncedEnd()
	}
	return nil
}

// check looks at what a crash left: the old log, whole or its end, or none, while it begins anew; what came afterwards once it had.
func (r *resets) check(opts Options) error {
	d, err := Open(opts)
	if err != nil {
		return err
	}
	defer d.Abort()
	if lost := d.Recovery().Lost; len(lost) > 0 {
		return fmt.Errorf("%v lost records", lost)
	}
	l, err := d.Log(logID(0), config(true), nil)
	if err != nil {
		return err
	}
	got, err := bytesOf(l)
	if err != nil {
		return err
	}
	has := fmt.Sprintf("%d to %d, %d bytes; begun %v, done %v, acked %d", l.LogStart(), l.LogEnd(), len(got), r.begun, r.done, r.acked)
	anew := r.begun && l.LogStart() == r.to && len(got) <= len(r.next) && slices.Equal(got, r.next[:len(got)]) && (!r.done || l.LogEnd() >= r.acked)
	from, ok := find(r.old, l.LogStart())
	if r.empty && r.acked == 0 && len(got) == 0 {
		return nil // nobody was told of anything
	}
	old := !r.done && (ok && len(got) <= len(from) && slices.Equal(got, from[:len(got)]) || len(got) == 0) && (r.begun || l.LogEnd() >= r.synced)
	if anew && len(got) > 0 && fmt.Sprint(l.Epochs()) != fmt.Sprintf("[{%d %d}]", r.to/50, r.to) {
		return fmt.Errorf("the new log has epochs %v", l.Epochs())
	}
	if !anew && !old {
		return fmt.Errorf("the log has %s", has)
	}
	return nil
}

// find returns the batches from the one with an offset on.
func find(batches []byte, offset int64) ([]byte, bool) {
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			return nil, false
		}
		if b.LastOffset() >= offset {
			return batches, true
		}
		batches = rest
	}
	return nil, false
}

func bytesOf(l *commitlog.Log) (all []byte, err error) {
	for at := l.LogStart(); at < l.LogEnd(); {
		s, err := l.Read(at, 1<<20, l.LogEnd(), true)
		if err != nil {
			return nil, err
		}
		b, err := s.Span.AppendTo(nil)
		s.Release()
		if err != nil {
			return nil, err
		}
		if len(b) == 0 {
			return nil, fmt.Errorf("nothing to read at %d of %d", at, l.LogEnd())
		}
		for rest := b; len(rest) > 0; {
			one, behind, err := record.Next(rest)
			if err != nil {
				return nil, err
			}
			if err := one.CheckCRC(); err != nil {
				return nil, err
			}
			at, rest = one.NextOffset(), behind
		}
		all = append(all, b...)
	}
	return all, nil
}

// TestCrashInReset stops the machine at every change of the disk while a log begins anew, ahead of its end, behind its start and within, or
// where there was none; and once more, at once, when it has started on what was left.
func TestCrashInReset(t *testing.T) {
	for _, c := range []struct {
		start, to int64
		empty     bool
	}{{0, 200, false}, {11, 200, false}, {7, 3, false}, {0, 200, true}} {
		t.Run(fmt.Sprintf("from %d at %d, empty %v", c.start, c.to, c.empty), func(t *testing.T) {
			for at := int64(1); ; at = next(at) {
				r := &resets{start: c.start, to: c.to, empty: c.empty, failed: make(chan struct{})}
				var left []*vfs.Mem
				fault := crashAt(at, &left)
				if err := r.live(options(fault)); left == nil {
					if err != nil {
						t.Fatalf("without a crash: %v", err)
					}
					through(t, at-1)
					break
				}
				for i, disk := range left {
					for _, again := range []string{"", ", opened again", ", opened after another crash"} {
						if err := r.check(options(disk)); err != nil {
							t.Fatalf("crash at change %d, %s%s: %v", at, vfs.AllSurvivors[i], again, err)
						}
						if again != "" {
							disk = disk.Crash(vfs.AllSurvivors[i], uint64(at))
						}
					}
				}
			}
		})
	}
}

// TestLossBelowTheJournal: that a log begins where its journal does when nothing else is left does not hide that what was synced below is gone.
func TestLossBelowTheJournal(t *testing.T) {
	for _, what := range []string{"segments", "folder"} {
		t.Run(what, func(t *testing.T) {
			mem := vfs.NewMem()
			w := newWorld()
			must(t, w.open(options(mem)))
			for range 3 {
				must(t, w.append(0, 12<<10, 1, true, true))
			}
			must(t, w.d.Close())
			must(t, w.open(options(mem)))
			must(t, w.append(0, 300, 1, true, true)) // into the journal
			left := mem.Peek(vfs.LoseUnsynced, 1)
			must(t, w.d.Abort())
			folder := filepath.Join(root, logID(0).DirName())
			if what == "folder" {
				must(t, left.RemoveAll(folder))
			} else {
				names, err := left.ReadDir(folder)
				must(t, err)
				for _, name := range names {
					if filepath.Ext(name.Name()) == ".log" {
						must(t, left.Remove(filepath.Join(folder, name.Name())))
					}
				}
			}
			d := mustOpen(t, options(left))
			defer d.Abort()
			if lost := d.Recovery().Lost; len(lost) != 1 || lost[0] != logID(0) {
				t.Errorf("lost are %v", lost)
			}
		})
	}
}
