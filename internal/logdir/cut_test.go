package logdir

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/vfs"
)

// TestWhatAStartCutStaysAway: a crash tears a batch that the journal has, and leaves intact what was appended behind it and never acknowledged. The
// start cuts that off and replays what was torn; one more batch is acknowledged in its place, and the power is cut. What was acknowledged
// is there then, and what was cut does not come back behind it.
func TestWhatAStartCutStaysAway(t *testing.T) {
	const sector = 512
	size := 0 // of a record whose batch is a sector
	for len(batch("0/1/1", size)) < sector {
		size++
	}
	if n := len(batch("0/1/1", size)); n != sector {
		t.Fatalf("no batch is %d bytes, one is %d", sector, n)
	}
	var stuck atomic.Bool
	reached, goOn := make(chan struct{}, 1), make(chan struct{})
	mem := vfs.NewMem()
	w := newWorld()
	roomy := func(fsys vfs.FS) Options { // nothing of the journal must be freed, so nothing else syncs the log
		opts := options(fsys)
		opts.journal.Files = 64
		return opts
	}
	must(t, w.open(roomy(vfs.NewFault(mem, func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite && stuck.Load() && strings.HasPrefix(op.Name, filepath.Join(root, journalDir)) {
			select {
			case reached <- struct{}{}:
			default:
			}
			<-goOn
		}
		return nil
	}))))
	for range 4 {
		must(t, w.append(0, size, 1, true, true))
	}
	stuck.Store(true)
	for range 4 {
		must(t, w.append(0, size, 1, true, false))
	}
	select {
	case <-reached:
	case <-time.After(20 * time.Second):
		t.Fatal("the journal is never written")
	}
	disk := mem.Peek(vfs.KeepAll, 0)
	close(goOn)
	must(t, w.d.Abort())

	f, err := disk.OpenFile(filepath.Join(root, logID(0).DirName(), "00000000000000000000.log"), vfs.ReadWrite, 0)
	must(t, err)
	if n, err := f.Size(); err != nil || n != 8*sector {
		t.Fatalf("the file has %d bytes, %v", n, err)
	}
	_, err = f.WriteAt(make([]byte, sector), 2*sector)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())

	w.models[0].acked = 4
	must(t, w.resume(roomy(disk)))
	if found := w.d.Recovery(); found.TruncatedBytes != 6*sector || w.logs[0].LogEnd() != 4 {
		t.Fatalf("the log ends at %d; the start found %+v", w.logs[0].LogEnd(), found)
	}
	must(t, w.append(0, size, 1, true, true))
	if at := w.logs[0].RecoveryPoint(); at > 4 {
		t.Fatalf("the log's files were synced to %d, the test shows nothing", at)
	}
	for seed := uint64(0); seed < 256; seed = uint64(next(int64(seed))) {
		for _, model := range vfs.AllSurvivors {
			if err := w.check(roomy(disk.Peek(model, seed))); err != nil {
				t.Fatalf("a power cut, %s, seed %d: %v", model, seed, err)
			}
		}
	}
	must(t, w.d.Abort())
}
