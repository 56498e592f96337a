package logdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// opened counts the segment files that were opened on a disk.
type opened struct {
	mu    sync.Mutex
	names []string
}

func (o *opened) watch(fsys vfs.FS) vfs.FS {
	return vfs.NewFault(fsys, func(op vfs.Op) error {
		if op.Kind == vfs.OpOpen && strings.HasSuffix(op.Name, ".log") {
			o.mu.Lock()
			o.names = append(o.names, op.Name)
			o.mu.Unlock()
		}
		return nil
	})
}

// resting says which of the logs rest, by number.
func (w *world) resting(t *testing.T) (all []int) {
	t.Helper()
	for n := range len(w.models) {
		l, err := w.log(n, true)
		must(t, err)
		if l.Rests() {
			all = append(all, n)
		}
	}
	return all
}

// compareAll reads everything.
func (w *world) compareAll(t *testing.T) {
	t.Helper()
	for n, m := range w.models {
		l, err := w.log(n, true)
		must(t, err)
		if err := m.compare(l); err != nil {
			t.Fatalf("log %d: %v", n, err)
		}
	}
}

// syncFiles does to a log what the committer does in time.
func (w *world) syncFiles(n int) {
	st := w.d.lookup(logID(n))
	w.d.committer.acquire(st)
	w.d.committer.syncFiles(st)
	w.d.committer.release(st)
}

// TestStartOpensNothing: after a clean stop no segment file is opened before somebody reads, and all of it is there then.
func TestStartOpensNothing(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.firstLife(options(mem)))
	var files opened
	must(t, w.open(options(files.watch(mem))))
	if got := w.resting(t); len(got) != 4 { // 3 was never written to, and 5 was removed
		t.Fatalf("logs %v rest", got)
	}
	for _, n := range w.resting(t) {
		if l := w.logs[n]; l.LogEnd() != int64(len(w.models[n].keys)) || l.Size() == 0 || l.Segments() == 0 {
			t.Fatalf("log %d ends at %d with %d bytes in %d segments, want %d records", n, l.LogEnd(), l.Size(), l.Segments(), len(w.models[n].keys))
		}
	}
	if len(files.names) > 0 {
		t.Fatalf("opened %v", files.names)
	}
	w.compareAll(t)
	if len(files.names) == 0 {
		t.Fatal("nothing was opened to be read")
	}
	must(t, w.append(0, 100, 4, true, true))
	must(t, w.d.Close())
	must(t, w.open(options(mem)))
	w.compareAll(t)
	must(t, w.d.Abort())
}

// TestKillOpensWhatIsUnsynced: after a kill the logs rest whose files were synced and looked at; others are recovered. The journal still has
// entries of all of them.
func TestKillOpensWhatIsUnsynced(t *testing.T) {
	for _, model := range vfs.AllSurvivors {
		t.Run(model.String(), func(t *testing.T) {
			mem := vfs.NewMem()
			w := newWorld()
			must(t, w.open(options(mem)))
			for i := range 12 {
				must(t, w.append(i%4, 500, 1, true, true))
			}
			for n := range 4 {
				w.syncFiles(n)
			}
			must(t, w.d.Checkpoint())
			must(t, w.append(1, 300, 1, true, true)) // in the journal
			must(t, w.append(2, 300, 1, true, true))
			w.syncFiles(2) // in the files, and described no more
			left := mem.Crash(model, 5)
			w.d.Abort()
			must(t, w.open(options(left)))
			got := fmt.Sprint(w.resting(t))
			if want := "[0 3]"; got != want && model == vfs.KeepAll {
				t.Fatalf("logs %s rest, want %s", got, want)
			}
			if strings.ContainsAny(got, "12") {
				t.Fatalf("logs %s rest, 1 and 2 were written to", got)
			}
			w.compareAll(t)
			must(t, w.d.Abort())
		})
	}
}

// TestKillBeforeTheFirstUse: logs that rest and were not used rest again after a kill, and those that were are recovered.
func TestKillBeforeTheFirstUse(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.firstLife(options(mem)))
	must(t, w.open(options(mem)))
	w.resting(t)
	must(t, w.append(2, 200, 5, true, true))
	left := mem.KillProcess()
	w.d.Abort()
	must(t, w.open(options(left)))
	if got := fmt.Sprint(w.resting(t)); got != "[0 1 4]" {
		t.Fatalf("logs %s rest", got)
	}
	left = left.KillProcess()
	w.d.Abort()
	must(t, w.open(options(left)))
	w.compareAll(t)
	must(t, w.d.Close())
}

// TestRestFileDamaged cuts the file at every length and turns a bit in every byte: logs are opened then, and nothing else happens.
func TestRestFileDamaged(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.firstLife(options(mem)))
	path := filepath.Join(root, restFile)
	whole := []byte(readFile(t, mem, path))
	try := func(what string, b []byte) {
		disk := mem.Peek(vfs.KeepAll, 0)
		must(t, vfs.WriteFileAtomic(disk, path, b))
		if err := w.check(options(disk)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for n := 0; n < len(whole); n = int(next(int64(n))) {
		try(fmt.Sprintf("cut to %d bytes", n), whole[:n])
		flipped := append([]byte(nil), whole...)
		flipped[n] ^= 1 << (n % 8)
		try(fmt.Sprintf("a bit of byte %d", n), flipped)
	}
	try("of another directory", append(appendRestHeader(nil, uuid.UUID{4}), whole[restHeader:]...))
	entries, err := entriesOf(whole, w.d.meta.directory)
	must(t, err)
	for _, change := range []func(*commitlog.Rest){
		func(r *commitlog.Rest) { r.End++ }, func(r *commitlog.Rest) { r.End--; r.FirstEnd = min(r.FirstEnd, r.End) },
		func(r *commitlog.Rest) { r.Bytes--; r.FirstBytes = 0 }, func(r *commitlog.Rest) { r.Written++ }, func(r *commitlog.Rest) { r.Changed++ },
	} {
		b := appendRestHeader(nil, w.d.meta.directory)
		for _, e := range entries {
			change(&e.rest)
			b = appendRestEntry(b, e.id(), &e.rest)
		}
		try("wrong", b)
	}
}

// TestRestFileIsOld: the file of an earlier stop says nothing of logs that were changed since, cut back among them.
func TestRestFileIsOld(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.firstLife(options(mem)))
	path := filepath.Join(root, restFile)
	old := []byte(readFile(t, mem, path))
	must(t, w.open(options(mem)))
	must(t, w.append(0, 100, 6, true, true))
	end := len(w.models[1].keys)
	must(t, w.truncate(1, end-1))
	must(t, w.append(1, 1500, 6, true, true)) // as long as what was cut, and ends where that did
	must(t, w.d.Close())
	must(t, vfs.WriteFileAtomic(mem, path, old))
	must(t, w.check(options(mem)))
}

// TestChangedBehind changes files between a stop and the next start: the logs are opened by the start, as they were without the file.
func TestChangedBehind(t *testing.T) {
	folder := filepath.Join(root, logID(0).DirName())
	for what, change := range map[string]func(t *testing.T, fsys vfs.FS, active string){
		"shortened": func(t *testing.T, fsys vfs.FS, active string) { resize(t, fsys, active, -7) },
		"longer":    func(t *testing.T, fsys vfs.FS, active string) { resize(t, fsys, active, 7) },
		"no file":   func(t *testing.T, fsys vfs.FS, active string) { must(t, fsys.Remove(active)) },
		"a file more": func(t *testing.T, fsys vfs.FS, _ string) {
			must(t, vfs.WriteFileAtomic(fsys, filepath.Join(folder, "00000000000000009999.index"), nil))
		},
		"another topic's": func(t *testing.T, fsys vfs.FS, _ string) {
			other := commitlog.ID{TopicID: uuid.UUID{77}}
			must(t, vfs.WriteFileAtomic(fsys, filepath.Join(folder, "partition.metadata"), []byte("version: 0\ntopic_id: "+other.TopicID.String())))
		},
	} {
		t.Run(what, func(t *testing.T) {
			mem := vfs.NewMem()
			w := newWorld()
			must(t, w.firstLife(options(mem)))
			change(t, mem, lastSegment(t, mem, folder))
			d, err := Open(options(mem))
			must(t, err)
			defer d.Abort()
			if st := d.lookup(logID(0)); st != nil && st.rest != nil {
				t.Fatal("the log rests")
			}
			if st := d.lookup(logID(1)); st == nil || st.rest == nil {
				t.Fatal("the log beside it does not rest")
			}
		})
	}
}

// TestChangedWhileItRests: files that change between the start and their first use are refused by every use, and recovered by the next start.
func TestChangedWhileItRests(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.firstLife(options(mem)))
	var told []error
	var mu sync.Mutex
	opts := options(mem)
	opts.Warn = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, err)
	}
	must(t, w.open(opts))
	l, err := w.log(0, true)
	must(t, err)
	resize(t, mem, lastSegment(t, mem, filepath.Join(root, logID(0).DirName())), -7)
	end := l.LogEnd()
	for range 2 {
		if _, err := l.Read(0, 1000, end, true); !errors.Is(err, commitlog.ErrCorrupt) {
			t.Fatalf("a read answers %v", err)
		}
		if _, err := l.Append(batch("x", 10), 9); !errors.Is(err, commitlog.ErrCorrupt) {
			t.Fatalf("an append answers %v", err)
		}
	}
	if mu.Lock(); len(told) != 1 || l.LogEnd() != end {
		t.Fatalf("told %v; the log ends at %d", told, l.LogEnd())
	}
	mu.Unlock()
	must(t, w.d.Close())
	must(t, w.open(options(mem)))
	defer w.d.Abort()
	l, err = w.log(0, true)
	must(t, err)
	got, err := contents(l)
	if err != nil || len(got) == 0 || int64(len(got)) >= end {
		t.Fatalf("%d records of %d after the next start: %v", len(got), end, err)
	}
}

// TestRefusedRestsNoMore: a log that was refused is recovered by the next start, also after a kill, though its files look as the entry says.
func TestRefusedRestsNoMore(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.firstLife(options(mem)))
	must(t, w.open(options(mem)))
	l, err := w.log(0, true)
	must(t, err)
	w.d.woken(l, commitlog.ErrCorrupt)
	must(t, w.d.Checkpoint())
	left := mem.KillProcess()
	w.d.Abort()
	must(t, w.open(options(left)))
	if got := fmt.Sprint(w.resting(t)); got != "[1 2 4]" {
		t.Fatalf("logs %s rest", got)
	}
	w.compareAll(t)
	must(t, w.d.Abort())
}

// TestTopicIDDamagedWhileItRests flips a bit of each byte of partition.metadata: who noted that the log rests knows its topic, and the file is
// written anew.
func TestTopicIDDamagedWhileItRests(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.firstLife(options(mem)))
	path := filepath.Join(root, logID(0).DirName(), "partition.metadata")
	whole := readFile(t, mem, path)
	for n := range len(whole) {
		disk := mem.KillProcess()
		f, err := disk.OpenFile(path, vfs.ReadWrite, 0)
		must(t, err)
		_, err = f.WriteAt([]byte{whole[n] ^ 1<<(n%8)}, int64(n))
		must(t, errors.Join(err, f.Close()))
		must(t, w.open(options(disk)))
		if got := len(w.resting(t)); got != 4 {
			t.Fatalf("byte %d: %d logs rest", n, got)
		}
		w.compareAll(t)
		must(t, w.d.Close())
		if id, err := commitlog.ReadTopicID(disk, filepath.Dir(path)); err != nil || id != logID(0).TopicID {
			t.Fatalf("byte %d: the topic id is %s, %v", n, id, err)
		}
	}
}

// TestOldFilesGoBeforeALogRests: a stop comes before files of deleted segments are removed. The next start opens the log and removes them.
func TestOldFilesGoBeforeALogRests(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(options(mem)))
	for range 8 {
		must(t, w.append(0, 10<<10, 1, true, true))
	}
	l, err := w.log(0, true)
	must(t, err)
	cfg := config(true)
	cfg.RetentionBytes, cfg.RetentionAge, cfg.FileDeleteDelay = 1, -1, time.Minute
	l.Configure(cfg)
	if gone, err := l.DeleteOld(frozen{}.Now(), l.LogEnd()); err != nil || gone.Segments() == 0 {
		t.Fatalf("%d segments went, %v", gone.Segments(), err)
	}
	must(t, w.d.Close())
	folder := filepath.Join(root, logID(0).DirName())
	left := func() bool { return strings.Contains(strings.Join(names(t, mem, folder), " "), ".deleted") }
	if !left() {
		t.Fatal("no file waits for its removal")
	}
	must(t, w.open(options(mem)))
	if got := w.resting(t); len(got) > 0 && got[0] == 0 {
		t.Fatal("the log rests, and its old files stay")
	}
	for deadline := time.Now().Add(20 * time.Second); left(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited for old files to go: %v", names(t, mem, folder))
		}
	}
	must(t, w.d.Close())
	must(t, w.open(options(mem)))
	if got := w.resting(t); len(got) == 0 || got[0] != 0 {
		t.Fatalf("logs %v rest", got)
	}
	must(t, w.d.Abort())
}

// TestRemoveWhileItRests: a log that was never opened is removed, or set aside for another topic of its name, and stays so.
func TestRemoveWhileItRests(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.firstLife(options(mem)))
	must(t, w.open(options(mem)))
	must(t, w.remove(0))
	again := logID(1)
	again.TopicID = uuid.UUID{55}
	l, err := w.d.Log(again, config(true), nil)
	must(t, err)
	if l.LogEnd() != 0 {
		t.Fatalf("another topic of the name begins at %d", l.LogEnd())
	}
	if _, err := w.log(2, true); err != nil {
		t.Fatal(err)
	}
	must(t, w.remove(2)) // handed out
	left := mem.KillProcess()
	w.d.Abort()
	d, err := Open(options(left))
	must(t, err)
	defer d.Abort()
	for n := range 3 {
		if st := d.lookup(logID(n)); st != nil {
			t.Fatalf("log %d is back", n)
		}
	}
}

// TestBrought: a directory of Kafka's has no such file, and gets one by the first clean stop.
func TestBrought(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.firstLife(options(mem)))
	must(t, mem.Remove(filepath.Join(root, restFile)))
	must(t, w.open(options(mem)))
	if got := w.resting(t); len(got) > 0 {
		t.Fatalf("logs %v rest", got)
	}
	w.compareAll(t)
	must(t, w.d.Close())
	must(t, w.open(options(mem)))
	if got := w.resting(t); len(got) != 4 {
		t.Fatalf("logs %v rest", got)
	}
	w.compareAll(t)
	must(t, w.d.Abort())
}

// TestRestFileStaysSmall: logs that come to rest again and again do not let the file grow.
func TestRestFileStaysSmall(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(options(mem)))
	defer w.d.Abort()
	for i := range 30_000 {
		if i < 3 {
			must(t, w.append(0, 10, 1, true, true))
		}
		w.syncFiles(0)
		must(t, w.d.noteRests())
	}
	if n := len(readFile(t, mem, filepath.Join(root, restFile))); n > 2*restSpare {
		t.Fatalf("the file has %d bytes", n)
	}
}

func lastSegment(t *testing.T, fsys vfs.FS, folder string) string {
	t.Helper()
	last := ""
	for _, name := range names(t, fsys, folder) {
		if strings.HasSuffix(name, ".log") {
			last = name
		}
	}
	return filepath.Join(folder, last)
}

// resize cuts a file, or adds zeros to it.
func resize(t *testing.T, fsys vfs.FS, path string, by int64) {
	t.Helper()
	f, err := fsys.OpenFile(path, vfs.ReadWrite, 0)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	must(t, f.Truncate(size+by))
	must(t, f.Close())
}

func entriesOf(b []byte, directory uuid.UUID) (all []restEntry, err error) {
	err = decodeRests(b, directory, func(e *restEntry) { all = append(all, *e) })
	return all, err
}

func (e *restEntry) id() commitlog.ID {
	return commitlog.ID{Topic: string(e.topic), TopicID: e.topicID, Partition: e.partition}
}

// FuzzRests: whatever the file says, entries are sound, and survive being written again.
func FuzzRests(f *testing.F) {
	dir := uuid.UUID{1, 2}
	f.Add(appendRestEntry(appendRestHeader(nil, dir), logID(3), &commitlog.Rest{End: 9, Base: 4, Bytes: 100, Size: 300, Segments: 2, FirstEnd: 4, Epoch: 1}))
	f.Add(appendRestHeader(nil, dir))
	f.Add([]byte(restMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= restHeader {
			b = append(appendRestHeader(nil, dir), b[restHeader:]...)
		}
		entries, err := entriesOf(b, dir)
		again := appendRestHeader(nil, dir)
		for _, e := range entries {
			again = appendRestEntry(again, e.id(), &e.rest)
		}
		second, secondErr := entriesOf(again, dir)
		if secondErr != nil && len(b) >= restHeader || len(second) != len(entries) {
			t.Fatalf("%d entries (%v) became %d: %v", len(entries), err, len(second), secondErr)
		}
		for i, e := range entries {
			if !reflect.DeepEqual(second[i], e) {
				t.Fatalf("%+v became %+v", e, second[i])
			}
		}
	})
}

// TestRestsAgain: a log that was written rests again when nobody has used it for a while, and not before it is synced and described. It answers, takes appends
// and survives kills as any other.
func TestRestsAgain(t *testing.T) {
	roomy := func(fsys vfs.FS) Options { // no file of the journal is left, which would have logs synced whose entries it has
		o := options(fsys)
		o.journal = journal.Options{Files: 3, FirstFile: 1 << 20, MaxFile: 1 << 20}
		return o
	}
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(roomy(mem)))
	w.resting(t) // makes all of them
	minute := func() {
		must(t, w.d.Checkpoint())
		for range int(restAfter/sweepInterval) + 1 {
			w.d.sweeper.sweep(w.d.opts.Clock.Now())
		}
	}
	for i := range 12 {
		must(t, w.append(i%4, 500, 1, true, true))
		l, err := w.log(i%4, true)
		must(t, err)
		cfg := config(true)
		cfg.Delete = false // retention would have something to do
		l.Configure(cfg)
	}
	minute()
	if got := w.resting(t); len(got) > 0 {
		t.Fatalf("logs %v rest, and the files of none are synced", got)
	}
	for n := range 4 {
		w.syncFiles(n)
	}
	minute()
	if got := fmt.Sprint(w.resting(t)); got != "[0 1 2 3]" {
		t.Fatalf("logs %s rest", got)
	}
	must(t, w.same(1)) // reads it
	must(t, w.append(2, 300, 2, true, true))
	if got := fmt.Sprint(w.resting(t)); got != "[0 3]" {
		t.Fatalf("logs %s rest", got)
	}
	minute()
	if got := fmt.Sprint(w.resting(t)); got != "[0 1 3]" { // 2 is in the journal
		t.Fatalf("logs %s rest", got)
	}
	left := mem.KillProcess()
	w.d.Abort()
	must(t, w.open(roomy(left)))
	if got := fmt.Sprint(w.resting(t)); got != "[0 1 3]" {
		t.Fatalf("logs %s rest after a kill", got)
	}
	w.compareAll(t)
	minute()
	must(t, w.d.Close())
	must(t, w.check(options(left)))
}
