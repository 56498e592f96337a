package commitlog

import (
	"fmt"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// TestLostRecoveryPointKeepsCompactedLog opens a compacted log whose recovery point nobody knows, as where the checkpoint file is gone or the
// folder was brought here: a gap between segments is what compaction left, and nothing behind it may be cut off.
func TestLostRecoveryPointKeepsCompactedLog(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, compactCfg(), Recovery{Missing: true})
	for i := range 60 {
		put(t, l, fmt.Sprint("old", i%2), fmt.Sprint(i), int64(i))
	}
	for i := range 10 {
		put(t, l, fmt.Sprint("new", i), fmt.Sprint(i), int64(100+i))
	}
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	w.clean(t, l, CleanOptions{})
	put(t, l, "last", "1", 200)
	if _, err := l.SyncFiles(); err != nil {
		t.Fatal(err)
	}
	want, end := contents(t, l), l.LogEnd()
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	l = w.open(t, compactCfg(), Recovery{})
	if got := contents(t, l); got != want || l.LogEnd() != end {
		t.Errorf("opened without a recovery point the log holds %s up to %d, want %s up to %d", got, l.LogEnd(), want, end)
	}
}
