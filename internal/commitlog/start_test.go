package commitlog

import (
	"fmt"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// TestCrashTakesBackALogStart: the log start was raised, of which the epochs' file knows and the checkpoint of log starts does not. The epochs
// are those of the batches that are there again.
func TestCrashTakesBackALogStart(t *testing.T) {
	for _, to := range []int64{0, 1, 4, 7, 11, 12} {
		mem := vfs.NewMem()
		w := newWorld(t, mem)
		l := w.open(t, Config{SegmentBytes: 700}, Recovery{Missing: true})
		for i := range 6 {
			if _, err := l.Append(batchSpec{n: 2, ts: 1, size: 200}.build(), LeaderEpoch(i/2*3)); err != nil {
				t.Fatal(err)
			}
		}
		want := fmt.Sprint(l.Epochs())
		if err := l.AdvanceLogStart(to); err != nil {
			t.Fatal(err)
		}
		if _, err := l.SyncFiles(); err != nil {
			t.Fatal(err)
		}
		for _, start := range []int64{0, to} {
			l := newWorld(t, mem.Peek(vfs.LoseUnsynced, 1)).open(t, Config{SegmentBytes: 700}, Recovery{Point: 12, LogStart: start})
			if got := fmt.Sprint(l.Epochs()); start == 0 && got != want {
				t.Errorf("from 0 again after %d: epochs %s, want %s", to, got, want)
			} else if entries := l.Epochs(); start > 0 && len(entries) > 0 && entries[0].Start < to {
				t.Errorf("from %d on: epochs %s", to, got)
			}
			if latest, ok := l.LatestEpoch(); start < 12 && (!ok || latest != 6) {
				t.Errorf("from %d after %d: latest epoch %d", start, to, latest)
			}
		}
	}
}
