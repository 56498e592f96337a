package commitlog

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// transactional is a log of transactions of three producers, which overlap.
type transactional struct {
	t   *testing.T
	l   *Log
	seq [4]int32
}

func (x *transactional) put(what string) {
	x.t.Helper()
	pid := int64(what[0]-'a') + 1
	b := batchSpec{ts: 1_700_000_000_000, pid: pid, txn: true, size: 20}
	switch what[1:] {
	case "":
		b.seq = x.seq[pid]
		x.seq[pid]++
	case " plain":
		b.txn, b.seq = false, x.seq[pid]
		x.seq[pid]++
	case " commits":
		b.control, b.commit = true, true
	case " aborts":
		b.control = true
	}
	if _, err := x.l.AppendReplica(x.at(b.build())); err != nil {
		x.t.Fatal(err)
	}
}

func (x *transactional) at(b record.Batch) record.Batch {
	b.SetBaseOffset(x.l.LogEnd())
	b.SetLeaderEpoch(1)
	return b
}

// producersOf is what a log knows of its producers and of their transactions.
func producersOf(t *testing.T, l *Log) string {
	t.Helper()
	var aborted []segment.Aborted
	for _, s := range l.segments() {
		all, err := s.AllAborted()
		if err != nil {
			t.Fatal(err)
		}
		aborted = append(aborted, all...)
	}
	return fmt.Sprintf("aborted %v, stable to %d, producers %+v", aborted, l.LastStable(l.LogEnd()), l.ActiveProducers())
}

// unseenLog is a log whose start walks over all of it, and over damage in one batch, with the one to repair it from.
func unseenLog(t *testing.T, cfg Config, damaged int64, script []string, fail func(vfs.Op) error) (x, other *transactional, disk *vfs.Mem, base int64) {
	t.Helper()
	mem := vfs.NewMem()
	x = &transactional{t: t, l: newWorld(t, mem).open(t, cfg, Recovery{Missing: true})}
	for _, what := range script {
		x.put(what)
	}
	end := x.l.LogEnd()
	if _, err := x.l.SyncFiles(); err != nil {
		t.Fatal(err)
	}
	other = &transactional{t: t, l: newWorld(t, mem.Peek(vfs.KeepAll, 0)).open(t, cfg, Recovery{Point: end}), seq: x.seq}
	s := x.l.segments()[x.l.view.Load().floor(damaged)]
	pos, _, err := s.Find(damaged)
	if err != nil {
		t.Fatal(err)
	}
	disk = mem.KillProcess()
	flip(t, disk, s.Path(), pos+10, 3) // of the length, which a walk over headers meets
	x.l = newWorld(t, vfs.NewFault(disk, fail)).open(t, cfg, Recovery{Synced: end})
	if x.l.mu.unseen == nil {
		t.Fatal("the start saw no damage")
	}
	return x, other, disk, s.Base()
}

// TestRepairOfTransactions: a start that walks over damage does not see whose transactions began and ended there. With the repair the log knows it, whatever
// happened in between, and so does the next start.
func TestRepairOfTransactions(t *testing.T) {
	script := []string{"a", "b", "a aborts", "a", "b commits", "c", "a commits", "b", "c aborts", "a", "b", "b aborts", "c", "c", "a aborts", "b", "c commits", "b aborts", "a", "c"}
	const more = 4 // of them come during or after the repair
	for _, big := range []bool{true, false} {
		for _, meanwhile := range []string{"nothing", "a stop", "a kill", "a truncation", "a roll and a kill", "appends"} {
			for damaged := range len(script) - more {
				where := fmt.Sprintf("one segment %v, batch %d (%s), %s", big, damaged, script[damaged], meanwhile)
				cfg := Config{SegmentBytes: 400, IndexIntervalBytes: 300}
				if big {
					cfg.SegmentBytes = 1 << 20
				}
				x, other, disk, _ := unseenLog(t, cfg, int64(damaged), script[:len(script)-more], func(vfs.Op) error { return nil })
				end := x.l.LogEnd()
				open := func(r Recovery) {
					t.Helper()
					var err error
					if x.l, err = New(testID, Options{Env: newWorld(t, disk).env, Config: &cfg, Recovery: r}); err != nil {
						t.Fatalf("%s: %v", where, err)
					}
				}
				last := len(script) - more
				appends := func(n int) {
					for _, what := range script[last : last+n] {
						x.put(what)
						other.put(what)
					}
					last += n
				}
				fetch := from(other.l, 1)
				switch meanwhile {
				case "a stop":
					if err := x.l.Close(true); err != nil {
						t.Fatal(err)
					}
					open(Recovery{Clean: true, Point: end})
				case "a kill":
					if _, err := x.l.SyncFiles(); err != nil {
						t.Fatal(err)
					}
					disk = disk.KillProcess()
					open(Recovery{Point: end})
				case "a roll and a kill":
					if err := x.l.Roll(); err != nil {
						t.Fatal(err)
					}
					appends(2)
					if _, err := x.l.SyncFiles(); err != nil {
						t.Fatal(err)
					}
					if _, err := x.l.derive(); err != nil {
						t.Fatal(err)
					}
					disk = disk.KillProcess()
					open(Recovery{Point: x.l.RecoveryPoint()})
				case "a truncation":
					appends(2)
					for _, x := range []*transactional{x, other} {
						if err := x.l.TruncateTo(end + 1); err != nil {
							t.Fatal(err)
						}
					}
					last--
					x.seq, other.seq = [4]int32{}, [4]int32{}
					for _, what := range script[:last] {
						if len(what) == 1 {
							x.seq[what[0]-'a'+1]++
							other.seq[what[0]-'a'+1]++
						}
					}
				case "appends":
					fetch = func(offset int64) ([]byte, int64, error) {
						if last+2 <= len(script) {
							appends(2)
						}
						return from(other.l, 1)(offset)
					}
				}
				for _, base := range damagedSegments(t, x.l) {
					if _, err := x.l.Repair(base, RepairOptions{HighWatermark: end, Fetch: fetch}); err != nil {
						t.Fatalf("%s: %v", where, err)
					}
				}
				check := func(when string) {
					t.Helper()
					if got, want := producersOf(t, x.l), producersOf(t, other.l); got != want {
						t.Errorf("%s, %s:\n%s, want\n%s", where, when, got, want)
					}
				}
				check("repaired")
				if _, err := x.l.SyncFiles(); err != nil {
					t.Fatal(err)
				}
				live := x.l
				disk = disk.Peek(vfs.LoseUnsynced, 1)
				open(Recovery{Point: live.RecoveryPoint()})
				check("killed")
				appends(len(script) - last)
				if err := x.l.Close(true); err != nil {
					t.Fatal(err)
				}
				open(Recovery{Clean: true, Point: x.l.LogEnd()})
				check("stopped")
			}
		}
	}
}

// TestUnseenAgain: where the batches cannot be read again after a repair, the next call of Repair does it, though nothing is damaged any more.
func TestUnseenAgain(t *testing.T) {
	var l *Log
	failed := false
	x, other, _, base := unseenLog(t, Config{}, 0, []string{"a", "b plain", "a aborts", "b plain", "c"}, func(op vfs.Op) error {
		if l == nil || l.Repairs() == 0 || failed || op.Kind != vfs.OpRead {
			return nil
		}
		failed = true
		return syscall.EIO
	})
	l = x.l
	opts := RepairOptions{HighWatermark: 5, Fetch: from(other.l, 1)}
	if _, err := l.Repair(base, opts); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the batches were read again: %v", err)
	}
	if done, err := l.Repair(base, opts); err != nil || len(done.Places) > 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got, want := producersOf(t, l), producersOf(t, other.l); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestUnseenAndRetention: producers whose batches retention takes before a repair are not forgotten by it, nor by the next start.
func TestUnseenAndRetention(t *testing.T) {
	cfg := Config{SegmentBytes: 400, Delete: true, RetentionBytes: 600, RetentionAge: -1}
	x, other, disk, base := unseenLog(t, cfg, 8, []string{"a plain", "b", "b commits", "c", "c", "c", "c", "c", "c", "c", "c", "c commits"}, func(vfs.Op) error { return nil })
	for _, x := range []*transactional{x, other} {
		if old, err := x.l.DeleteOld(time.UnixMilli(1_700_000_000_000), 12); err != nil || old.BySize == 0 || x.l.LogStart() < 3 {
			t.Fatalf("%+v, %v, log start %d", old, err, x.l.LogStart())
		}
	}
	if x.l.LogStart() > base {
		t.Fatal("the damage went, too")
	}
	if done, err := x.l.Repair(base, RepairOptions{HighWatermark: 12, Fetch: from(other.l, 1)}); err != nil || len(done.Places) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	want := producersOf(t, other.l)
	if got := producersOf(t, x.l); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := x.l.SyncFiles(); err != nil {
		t.Fatal(err)
	}
	again := newWorld(t, disk.Peek(vfs.LoseUnsynced, 1)).open(t, cfg, Recovery{Point: x.l.RecoveryPoint()})
	if got := producersOf(t, again); got != want {
		t.Errorf("killed: %s, want %s", got, want)
	}
}

// TestUnseenIsBounded: a log that nobody can repair has snapshots of its producers all the same, so that no start walks more than derivedEvery bytes of it.
func TestUnseenIsBounded(t *testing.T) {
	x, _, disk, _ := unseenLog(t, Config{}, 0, []string{"a plain", "b plain"}, func(vfs.Op) error { return nil })
	for i := range 3 {
		x.l.mu.Lock()
		walks := x.l.mu.sinceDerived
		x.l.mu.Unlock()
		if walks != x.l.Size() {
			t.Errorf("start %d: the next one walks %d bytes of %d", i, walks, x.l.Size())
		}
		if err := x.l.Close(true); err != nil {
			t.Fatal(err)
		}
		if len(x.l.mu.snapshots) > 0 {
			t.Errorf("stop %d left snapshots at %v", i, x.l.mu.snapshots)
		}
		x.l = newWorld(t, disk).open(t, Config{}, Recovery{Clean: true, Point: x.l.LogEnd()})
	}
	x.l.mu.sinceDerived = derivedEvery
	if err := x.l.Close(true); err != nil || len(x.l.mu.snapshots) != 1 {
		t.Errorf("snapshots at %v, %v", x.l.mu.snapshots, err)
	}
}
