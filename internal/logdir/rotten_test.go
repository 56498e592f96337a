package logdir

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// TestDamageAboveTheRecoveryPoint kills a directory without a checkpoint and flips a bit of each of its batches. Where the journal shows that
// the file was synced behind the batch, only that one is refused; what the journal has itself comes back.
func TestDamageAboveTheRecoveryPoint(t *testing.T) {
	const before, all = 5, 12 // the sixth is too large for the journal
	for k := range all {
		for _, at := range []int{8, 16, 70} { // length, magic, records
			t.Run(fmt.Sprintf("offset %d byte %d", k, at), func(t *testing.T) { testRotten(t, k, at, before, all) })
		}
	}
}

func testRotten(t *testing.T, k, at, before, all int) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(options(mem)))
	for i := range all {
		size := 300
		if i == before {
			size = 9 << 10
		}
		must(t, w.append(0, size, 1, true, true))
	}
	must(t, w.d.Abort())
	scan, err := journal.Open(mem, filepath.Join(root, journalDir), w.d.meta.directory)
	must(t, err)
	synced := int(syncedFiles(scan.Entries))
	if synced <= before { // the large batch is in the files, and others may be, as workers come and go
		t.Fatalf("the journal tells of %d batches in the files", synced)
	}
	end := all
	if k >= synced {
		end = max(k, int(scan.Entries[len(scan.Entries)-1].End)) // what a worker synced behind that is not known to be synced
	}
	path := filepath.Join(root, logID(0).DirName(), "00000000000000000000.log")
	b, err := vfs.ReadFile(mem, path)
	must(t, err)
	b = bytes.Clone(b)
	rest, pos := b, 0
	for range k {
		one, behind, err := record.Next(rest)
		must(t, err)
		pos, rest = pos+len(one), behind
	}
	b[pos+at] ^= 2
	f, err := mem.OpenFile(path, vfs.ReadWrite, 0)
	must(t, err)
	_, err = f.WriteAt(b, 0)
	must(t, errors.Join(err, f.Close()))

	opts := options(mem)
	var said []string
	opts.Warn = func(err error) { said = append(said, err.Error()) }
	named := 0
	opts.Files.OnDamage(func(*segment.DamageError) { named++ })
	d := mustOpen(t, opts)
	defer d.Abort()
	l, err := d.Log(logID(0), config(true), nil)
	must(t, err)
	if l.LogEnd() != int64(end) {
		t.Fatalf("the log ends at %d, not %d: %q", l.LogEnd(), end, said)
	}
	for i := range end {
		s, err := l.Read(int64(i), 1, l.LogEnd(), true)
		s.Release()
		switch lost := i == k && k < synced; {
		case lost && !errors.Is(err, commitlog.ErrCorrupt):
			t.Errorf("offset %d is damaged: %v", i, err)
		case !lost && err != nil:
			t.Errorf("offset %d: %v", i, err)
		}
	}
	cut := strings.Contains(strings.Join(said, "\n"), "torn")
	if k < synced && (named == 0 || cut) || k >= synced && (named > 0 || !cut) {
		t.Errorf("%d places named, and said: %q", named, said)
	}
	if r := d.Recovery(); len(r.Lost) > 0 || r.Failed > 0 {
		t.Errorf("report: %+v", r)
	}
}
