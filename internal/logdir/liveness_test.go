package logdir

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/vfs"
)

// wants are what a disk may lack, to a directory that stays online for all that.
var wants = []struct {
	name string
	err  error
	of   func(op vfs.Op) bool
}{
	{"nothing", nil, func(vfs.Op) bool { return false }},
	{"space for leader epochs", syscall.ENOSPC, func(op vfs.Op) bool {
		return op.Kind == vfs.OpWrite && strings.Contains(op.Name, "leader-epoch")
	}},
	{"space for records and checkpoints", syscall.ENOSPC, func(op vfs.Op) bool {
		return op.Kind == vfs.OpWrite && (strings.HasSuffix(op.Name, ".log") || strings.Contains(op.Name, "checkpoint"))
	}},
	{"space for leader epochs and the journal", syscall.ENOSPC, func(op vfs.Op) bool {
		return op.Kind == vfs.OpWrite && (strings.HasSuffix(op.Name, ".journal") || strings.Contains(op.Name, "leader-epoch"))
	}},
	{"descriptors", syscall.EMFILE, func(op vfs.Op) bool {
		return (op.Kind == vfs.OpOpen || op.Kind == vfs.OpCreate) && (strings.HasSuffix(op.Name, ".journal") || strings.Contains(op.Name, "leader-epoch"))
	}},
}

// hand works on logs that nobody else works on.
type hand struct {
	d     *Dir
	logs  [3]int
	rng   *rand.Rand
	epoch commitlog.LeaderEpoch
}

// step makes a few calls, of which any may fail.
func (h *hand) step() {
	r := h.rng
	time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond) // so that now and then the directory believes that there is space again
	n := h.logs[r.IntN(len(h.logs))]
	c := config(r.IntN(6) > 0)
	c.Compact, c.RetentionBytes = n%3 == 0, 40<<10
	if r.IntN(4) == 0 {
		c.FlushMessages = 1
	}
	l, err := h.d.Log(logID(n), c, nil)
	if err != nil {
		return
	}
	for range 1 + r.IntN(12) {
		h.epoch += commitlog.LeaderEpoch(r.IntN(2))
		switch start, end := l.LogStart(), l.LogEnd(); r.IntN(18) {
		default:
			_, _ = l.Append(batch("key", 100+r.IntN(3000)), h.epoch)
		case 9:
			_, _ = l.Append(batch("key", 12<<10), h.epoch) // synced in its files
		case 10:
			_ = l.TruncateTo(start + r.Int64N(end-start+1))
		case 11:
			_ = l.TruncateFullyAt(end + 3)
		case 12:
			_, _ = l.DeleteOld(h.d.opts.Clock.Now(), end)
		case 13:
			_ = l.Roll()
		case 14:
			_, _ = l.SyncFiles()
		case 15:
			_, _ = l.Clean(commitlog.CleanOptions{HighWatermark: end, Now: h.d.opts.Clock.Now(), KeyBytes: 1 << 16})
		case 16:
			_ = h.d.Checkpoint()
		case 17:
			_ = h.d.Remove(l.ID())
			return
		}
	}
}

// TestNobodyWaitsForTheDisk: as long as the disk lacks something, every call returns even so, and so does the stop, whatever else is done meanwhile. Nobody would make room who waited for it.
func TestNobodyWaitsForTheDisk(t *testing.T) {
	seeds := uint64(8)
	if racing {
		seeds = 2
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { nobodyWaits(t, seed) })
	}
}

func nobodyWaits(t *testing.T, seed uint64) {
	var lack atomic.Int64
	opts := options(vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if w := wants[lack.Load()]; w.of(op) {
			return w.err
		}
		return nil
	}))
	opts.Clock, opts.FreeMin = clock.Real, 1 // the bubble's
	opts.journal = journal.Options{Files: 2 + int(seed%3), FirstFile: 32 << 10, MaxFile: 64 << 10}
	d := mustOpen(t, opts)
	rng := rand.New(rand.NewPCG(seed, 0))
	var hands []*hand
	for i := range 5 {
		hands = append(hands, &hand{d: d, logs: [3]int{i, 10 + i, 20 + i}, rng: rand.New(rand.NewPCG(seed, uint64(i)+1)), epoch: 1})
	}
	// ends says whether something ends without anybody's doing.
	ends := func(what string, all ...func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			var wait sync.WaitGroup
			for _, f := range all {
				wait.Go(f)
			}
			wait.Wait()
		}()
		select {
		case <-done:
		case <-time.After(time.Hour):
			t.Errorf("seed %d: %s does not end while the disk lacks %s", seed, what, wants[lack.Load()].name)
			lack.Store(0)
			<-done
		}
	}
	for range 8 {
		lack.Store(int64(rng.IntN(len(wants))))
		var work []func()
		for _, h := range hands {
			work = append(work, func() {
				for range 30 {
					h.step()
				}
			})
		}
		ends("work", work...)
		time.Sleep(time.Duration(1+rng.IntN(100)) * time.Second) // what the directory does by time; after a minute logs rest
	}
	if d.offline() {
		t.Errorf("seed %d: %v", seed, d.Err())
	}
	lack.Store(int64(1 + rng.IntN(len(wants)-1)))
	stop := []func(){func() { _ = d.Close() }}
	for _, h := range hands {
		stop = append(stop, h.step)
	}
	ends("the stop", stop...)
}
