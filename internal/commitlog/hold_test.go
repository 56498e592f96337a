package commitlog

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/vfs"
)

// TestCutNeedsASync: the owner of a log that is being cut may have to sync it before it can answer, whether the sync began before the cut or
// comes when the cut has changed the epochs.
func TestCutNeedsASync(t *testing.T) { synctest.Test(t, cutNeedsASync) }

func cutNeedsASync(t *testing.T) {
	var l *Log
	before := make(chan error, 1)
	begun := false
	fsys := vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if (op.Kind == vfs.OpSync || op.Kind == vfs.OpDatasync) && strings.HasSuffix(op.Name, ".log") && !begun { // the log is held, and its epochs are not written
			begun = true
			go func() {
				_, err := l.SyncFiles()
				before <- err
			}()
			if synctest.Wait(); len(before) > 0 {
				t.Error("a sync does not wait for who holds the log")
			}
		}
		return nil
	})
	w := newWorld(t, fsys)
	l = w.open(t, Config{}, Recovery{Missing: true})
	for e := range LeaderEpoch(4) {
		if _, err := l.Append(batchSpec{size: 9}.build(), e); err != nil {
			t.Fatal(err)
		}
	}
	calls := 0
	w.onTruncated = func(l *Log) {
		if calls++; calls == 1 {
			if err := <-before; err != nil {
				t.Error(err)
			}
		}
		if _, err := l.SyncFiles(); err != nil {
			t.Error(err)
		}
		if at := l.RecoveryPoint(); at > 2 { // which the owner notes next: nothing that goes may be known to be whole
			t.Errorf("asked the %d. time, the recovery point is %d", calls, at)
		}
	}
	if err := l.TruncateTo(2); err != nil || calls != 2 {
		t.Fatalf("%v, asked %d times", err, calls)
	}
	if _, err := l.SyncFiles(); err != nil || l.RecoveryPoint() != 2 {
		t.Fatalf("%v, recovery point %d", err, l.RecoveryPoint())
	}
	if got := l.Epochs(); !slices.Equal(got, []epoch.Entry{{Epoch: 0, Start: 0}, {Epoch: 1, Start: 1}}) {
		t.Errorf("epochs %v", got)
	}
	if l.mu.newEpochs || l.mu.hold != nil {
		t.Errorf("epochs unwritten %v, held %v", l.mu.newEpochs, l.mu.hold != nil)
	}
}

// TestNoSnapshotOfWhatIsCut: who comes for a snapshot of the producers while a log is being cut, and knows of those that go, waits until it does not.
func TestNoSnapshotOfWhatIsCut(t *testing.T) {
	for name, take := range map[string]func(*Log) error{
		"for what was appended": func(l *Log) error {
			_, err := l.checkpointDerived()
			return err
		},
		"after a repair": (*Log).snapshotNow,
		"of a roll":      (*Log).Roll,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { noSnapshotOfWhatIsCut(t, take) })
		})
	}
}

func noSnapshotOfWhatIsCut(t *testing.T, take func(*Log) error) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{}, Recovery{Missing: true})
	for n := range int64(4) {
		if _, err := l.Append(batchSpec{size: 9, pid: 1 + n}.build(), 0); err != nil {
			t.Fatal(err)
		}
	}
	taken := make(chan error, 1)
	w.onTruncated = func(l *Log) {
		if l.LogEnd() == 2 {
			l.mu.sinceDerived = derivedEvery
			go func() { taken <- take(l) }()
			if synctest.Wait(); len(taken) > 0 {
				t.Error("it does not wait for who holds the log")
			}
		}
	}
	if err := l.TruncateTo(2); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	state, err := l.readSnapshot(2)
	if err != nil {
		t.Fatal(err)
	}
	if n := state.Len(); n != 2 || l.Producers() != 2 {
		t.Errorf("the snapshot knows %d producers, and the log %d", n, l.Producers())
	}
}
