package commitlog

import (
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// The committer is told of the first append after a recovery that synced nothing: what was replayed, of which it took no notice, must not
// count as told.
func TestAppendAfterTrustedReplayIsAnnounced(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{Durable: true, SegmentBytes: 1 << 20}, Recovery{Missing: true})
	replayed := batchSpec{n: 3, ts: 1}.build()
	if err := l.Replay(replayed); err != nil {
		t.Fatal(err)
	}
	if !l.TrustReplayed() || l.SyncedEnd() != 3 || l.UnsyncedBytes() != 0 {
		t.Fatalf("synced to %d of %d, %d bytes are not", l.SyncedEnd(), l.LogEnd(), l.UnsyncedBytes())
	}
	before := len(w.committer.dirty)
	if _, err := l.Append(batchSpec{n: 1, ts: 2}.build(), 0); err != nil {
		t.Fatal(err)
	}
	if told := len(w.committer.dirty) - before; told != 1 {
		t.Fatalf("the committer was told %d times of an append", told)
	}
}

// A replay that cut something is not trusted: the files are synced before anything is appended behind it.
func TestReplayThatCutIsNotTrusted(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{Durable: true, SegmentBytes: 1 << 20}, Recovery{Missing: true})
	for range 2 {
		if _, err := l.Append(batchSpec{n: 2, ts: 1}.build(), 0); err != nil {
			t.Fatal(err)
		}
	}
	replayed := batchSpec{n: 3, ts: 2}.build() // by a later leader
	replayed.SetLeaderEpoch(1)
	if err := l.Replay(replayed); err != nil {
		t.Fatal(err)
	}
	if l.LogEnd() != 3 {
		t.Fatalf("the log ends at %d", l.LogEnd())
	}
	if l.TrustReplayed() || l.SyncedEnd() != 0 {
		t.Errorf("it counts as synced to %d", l.SyncedEnd())
	}
}
