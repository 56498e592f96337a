package logdir

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/vfs"
)

// flipped turns a bit of a file.
func flipped(t *testing.T, fsys vfs.FS, path string, at int64, mask byte) {
	t.Helper()
	f, err := fsys.OpenFile(path, vfs.ReadWrite, 0)
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(t, err)
	b[0] ^= mask
	_, err = f.WriteAt(b, at)
	must(t, errors.Join(err, f.Close()))
}

// inOneFile is powerCut of a journal whose first file has everything.
func inOneFile(t *testing.T) (w *world, left *vfs.Mem, file string) {
	sizes := options(nil).journal
	sizes.FirstFile = 1 << 20
	w, left = powerCutOf(t, sizes)
	return w, left, filepath.Join(root, journalDir, "0.journal")
}

// TestFlippedBitOfTheJournalAndAPowerCut: two faults at once cost nothing, and are named, wherever in the journal the bit is, in what was written last
// too. What was served from a journal that was mended is in synced files.
func TestFlippedBitOfTheJournalAndAPowerCut(t *testing.T) {
	w, cut, path := inOneFile(t)
	mended := 0
	for at := range int64(14 * 4096) {
		if at%4096 >= 600 || at%37 != 0 && (at%4096 >= 70 || racing) {
			continue
		}
		disk := cut.Peek(vfs.KeepAll, 0)
		flipped(t, disk, path, at, 1<<(at%8))
		for life, model := range []vfs.Survivors{vfs.KeepAll, vfs.LoseUnsynced} {
			var mu sync.Mutex
			var told []string
			opts := options(disk)
			opts.Warn = func(err error) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, err.Error())
			}
			d, err := Open(opts)
			if err != nil {
				t.Fatalf("byte %d: %v", at, err)
			}
			disk = disk.Crash(model, uint64(at))
			must(t, d.Abort())
			if strings.Contains(strings.Join(told, "\n"), "a flipped bit of the journal") && life == 0 {
				mended++
			}
		}
		if err := w.check(options(disk)); err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
	if mended < 100 {
		t.Errorf("of %d bits it was said that they were put right", mended)
	}
}

// TestDestroyedJournal: a directory whose journal is damaged by more than a bit, before its end, is not opened, and told so with the file's name. Without
// the journal it is opened, with what the files have.
func TestDestroyedJournal(t *testing.T) {
	_, disk, path := inOneFile(t)
	for i := range int64(200) {
		flipped(t, disk, path, 4096+50+i, 0xff)
	}
	_, err := Open(options(disk))
	if !errors.Is(err, journal.ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Fatalf("opened: %v", err)
	}
	must(t, disk.Rename(filepath.Join(root, journalDir), filepath.Join(root, "aside")))
	must(t, mustOpen(t, options(disk)).Abort())
}
