package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"testing"
)

func mustCreate(t *testing.T, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.OpenFile(name, ReadWrite|Create, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustWrite(t *testing.T, f File, data []byte, off int64) {
	t.Helper()
	if _, err := f.WriteAt(data, off); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(fsys FS, name string) bool {
	_, err := fsys.Stat(name)
	return err == nil
}

func TestCrashLosesUnsyncedContent(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "/f")
	mustWrite(t, f, []byte("synced"), 0)
	check(t, f.Datasync())
	check(t, m.SyncDir("/"))
	mustWrite(t, f, []byte("SYN and more"), 0)
	after := m.Crash(LoseUnsynced, 1)
	if got, err := ReadFile(after, "/f"); err != nil || string(got) != "synced" {
		t.Fatalf("after the crash: %q %v", got, err)
	}
	for _, err := range []error{second(f.WriteAt([]byte("x"), 0)), second(f.ReadAt(make([]byte, 1), 0)), f.Sync(), f.Close(),
		m.SyncDir("/"), m.MkdirAll("/x", 0o755), m.Remove("/f"), second(m.OpenFile("/f", ReadOnly, 0)), second(m.Lock("/l"))} {
		if !errors.Is(err, ErrCrashed) {
			t.Errorf("operation on the crashed file system: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestCrashLosesUnsyncedNames(t *testing.T) {
	m := NewMem()
	check(t, MkdirAllSynced(m, "/d", 0o755))
	for _, name := range []string{"/d/old", "/d/gone", "/d/victim"} {
		f := mustCreate(t, m, name)
		mustWrite(t, f, []byte(name), 0)
		check(t, f.Sync())
	}
	check(t, m.SyncDir("/d"))
	fresh := mustCreate(t, m, "/d/fresh")
	mustWrite(t, fresh, []byte("fresh"), 0)
	check(t, fresh.Sync()) // its content is safe, its name is not
	check(t, m.Rename("/d/old", "/d/new"))
	check(t, m.Remove("/d/gone"))
	check(t, m.Rename("/d/fresh", "/d/victim"))

	lost := m.Peek(LoseUnsynced, 0)
	for name, want := range map[string]bool{"/d/old": true, "/d/new": false, "/d/gone": true, "/d/fresh": false} {
		if exists(lost, name) != want {
			t.Errorf("unsynced: %s exists is %v, want %v", name, !want, want)
		}
	}
	if got, _ := ReadFile(lost, "/d/victim"); string(got) != "/d/victim" {
		t.Errorf("unsynced replacement: %q", got)
	}
	check(t, m.SyncDir("/d"))
	kept := m.Crash(LoseUnsynced, 0)
	for name, want := range map[string]bool{"/d/old": false, "/d/new": true, "/d/gone": false, "/d/fresh": false} {
		if exists(kept, name) != want {
			t.Errorf("synced: %s exists is %v, want %v", name, !want, want)
		}
	}
	if got, _ := ReadFile(kept, "/d/victim"); string(got) != "fresh" {
		t.Errorf("synced replacement: %q", got)
	}
}

func TestCrashLosesUnsyncedDirectories(t *testing.T) {
	m := NewMem()
	check(t, m.MkdirAll("/a/b", 0o755))
	f := mustCreate(t, m, "/a/b/f")
	check(t, f.Sync())
	check(t, m.SyncDir("/a/b")) // useless: nothing leads to it
	if exists(m.Peek(LoseUnsynced, 0), "/a") {
		t.Error("a directory survived that its parent was not synced for")
	}
	check(t, m.SyncDir("/"))
	check(t, m.SyncDir("/a"))
	if !exists(m.Crash(LoseUnsynced, 0), "/a/b/f") {
		t.Error("a file vanished though every directory above it was synced")
	}
}

func TestSyncFSMakesAllDurable(t *testing.T) {
	m := NewMem()
	check(t, m.MkdirAll("/a/b", 0o755))
	f := mustCreate(t, m, "/a/b/f")
	mustWrite(t, f, []byte("x"), 0)
	l, err := m.Lock("/lock")
	check(t, err)
	check(t, l.SyncFS())
	if got, err := ReadFile(m.Crash(LoseUnsynced, 0), "/a/b/f"); string(got) != "x" {
		t.Fatal(got, err)
	}
}

// TestTornWrites looks at many power losses during one large overwrite and append: every sector is old, new or zero as
// a whole, and over the seeds each of them is seen.
func TestTornWrites(t *testing.T) {
	const size = 8 * sectorSize
	old, fresh, zero := bytes.Repeat([]byte{1}, sectorSize), bytes.Repeat([]byte{2}, sectorSize), make([]byte, sectorSize)
	m := NewMem()
	f := mustCreate(t, m, "/f")
	mustWrite(t, f, bytes.Repeat([]byte{1}, size), 0)
	check(t, f.Sync())
	check(t, m.SyncDir("/"))
	mustWrite(t, f, bytes.Repeat([]byte{2}, size), size/2) // half over the old bytes, half behind them
	seen := map[string]int{}
	for seed := range uint64(200) {
		got, err := ReadFile(m.Peek(TearSectors, seed), "/f")
		check(t, err)
		seen[fmt.Sprint("size ", len(got))]++
		for at := 0; at < len(got); at += sectorSize {
			sector, kind := got[at:at+sectorSize], ""
			switch {
			case bytes.Equal(sector, old) && at < size:
				kind = "old"
			case bytes.Equal(sector, fresh) && at >= size/2:
				kind = "new"
			case bytes.Equal(sector, zero) && at >= size:
				kind = "zero"
			default:
				t.Fatalf("seed %d: sector at %d starts with %d", seed, at, sector[0])
			}
			seen[kind]++
		}
		again, _ := ReadFile(m.Peek(TearSectors, seed), "/f")
		if !bytes.Equal(got, again) {
			t.Fatalf("seed %d gives two disks", seed)
		}
	}
	for _, kind := range []string{"old", "new", "zero", fmt.Sprint("size ", size), fmt.Sprint("size ", size*3/2)} {
		if seen[kind] == 0 {
			t.Errorf("never seen: %s in %v", kind, seen)
		}
	}
}

// TestTruncateThenWrite: a file emptied and written again may come back with its old bytes, its new ones, or zeros.
func TestTruncateThenWrite(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "/f")
	mustWrite(t, f, bytes.Repeat([]byte{1}, sectorSize), 0)
	check(t, f.Sync())
	check(t, m.SyncDir("/"))
	check(t, f.Truncate(0))
	mustWrite(t, f, bytes.Repeat([]byte{2}, sectorSize), 0)
	seen := map[byte]bool{}
	for seed := range uint64(100) {
		got, err := ReadFile(m.Peek(TearSectors, seed), "/f")
		check(t, err)
		if len(got) != sectorSize {
			t.Fatal(len(got))
		}
		seen[got[0]] = true
	}
	if len(seen) != 3 {
		t.Fatalf("seen %v, want old, new and zero", seen)
	}
	check(t, f.Truncate(3))
	check(t, f.Sync())
	if got, _ := ReadFile(m.Crash(TearSectors, 1), "/f"); !bytes.Equal(got, []byte{2, 2, 2}) {
		t.Fatal(got)
	}
}

func TestReorderLosesTheBeginning(t *testing.T) {
	const sectors = 64
	m := NewMem()
	f := mustCreate(t, m, "/f")
	check(t, f.Sync())
	for i := range int64(sectors) {
		mustWrite(t, f, bytes.Repeat([]byte{1}, sectorSize), i*sectorSize)
	}
	holes, whole := 0, 0
	for seed := range uint64(100) {
		got, err := ReadFile(m.Peek(Reorder, seed), "/f")
		check(t, err) // the name survives without SyncDir
		if len(got) != sectors*sectorSize {
			t.Fatalf("seed %d: size %d", seed, len(got))
		}
		switch first := bytes.IndexByte(got, 1); {
		case first == 0:
			whole++
		case first > 0 && bytes.IndexByte(got[first:], 0) < 0:
			holes++
		}
	}
	if holes == 0 || whole == 0 {
		t.Fatalf("%d with a hole in front, %d whole", holes, whole)
	}
}

func TestSyncedSurvivesEveryModel(t *testing.T) {
	for _, model := range AllSurvivors {
		t.Run(model.String(), func(t *testing.T) {
			m := NewMem()
			check(t, MkdirAllSynced(m, "/d", 0o755))
			f := mustCreate(t, m, "/d/f")
			check(t, m.SyncDir("/d"))
			var want []byte
			for i := range 50 {
				part := bytes.Repeat([]byte{byte(i + 1)}, 100+i*7)
				mustWrite(t, f, part, int64(len(want)))
				want = append(want, part...)
				check(t, f.Datasync())
				mustWrite(t, f, []byte("unsynced tail"), int64(len(want)))
				got, err := ReadFile(m.Peek(model, uint64(i)), "/d/f")
				check(t, err)
				if !bytes.HasPrefix(got, want) {
					t.Fatalf("step %d: synced bytes are lost", i)
				}
			}
		})
	}
}

func TestKillProcessKeepsAllAndFreesLocks(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "/f")
	mustWrite(t, f, []byte("x"), 0)
	_, err := m.Lock("/lock")
	check(t, err)
	after := m.KillProcess()
	if got, err := ReadFile(after, "/f"); string(got) != "x" {
		t.Fatal(got, err)
	}
	l, err := after.Lock("/lock")
	check(t, err)
	check(t, l.Close())
	if err := l.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Fatal("second close of a lock:", err)
	}
}

// TestAtomicReplaceSurvivesEveryCrash crashes WriteFileAtomic at each of its steps under each model: old or new, whole.
func TestAtomicReplaceSurvivesEveryCrash(t *testing.T) {
	old, fresh := bytes.Repeat([]byte{1}, 2000), bytes.Repeat([]byte{2}, 3000)
	for _, model := range AllSurvivors {
		for at := int64(1); ; at++ {
			m := NewMem()
			check(t, WriteFileAtomic(m, "/f", old))
			var after *Mem
			fsys := NewFault(m, func(op Op) error {
				if op.Change == at {
					after = m.Crash(model, uint64(at))
				}
				return nil
			})
			err := WriteFileAtomic(fsys, "/f", fresh)
			if after == nil { // past the last step
				check(t, err)
				after = m.Crash(model, 0)
				if got, _ := ReadFile(after, "/f"); !bytes.Equal(got, fresh) {
					t.Fatalf("%s: replaced, and then lost", model)
				}
				if at < 4 {
					t.Fatalf("only %d steps", at)
				}
				break
			}
			if !errors.Is(err, ErrCrashed) {
				t.Fatalf("%s at %d: %v", model, at, err)
			}
			got, err := ReadFile(after, "/f")
			check(t, err)
			if !bytes.Equal(got, old) && !bytes.Equal(got, fresh) {
				t.Fatalf("%s at %d: %d bytes, neither old nor new", model, at, len(got))
			}
		}
	}
}

// TestAtomicReplaceThatIsNotDurable: for what the sync of the directory fails that is no lack of space, after which the file would be taken for durable.
func TestAtomicReplaceThatIsNotDurable(t *testing.T) {
	for at, passes := range map[OpKind]bool{OpWrite: true, OpSync: true, OpRename: true, OpSyncDir: false} {
		fsys := NewFault(NewMem(), func(op Op) error {
			if op.Kind == at {
				return syscall.ENOSPC
			}
			return nil
		})
		if err := WriteFileAtomic(fsys, "/f", []byte("new")); err == nil || errors.Is(err, syscall.ENOSPC) != passes {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "/f")
	m.SetCapacity(1000)
	n, err := f.WriteAt(make([]byte, 1500), 0)
	if n != 1000 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(n, err)
	}
	if free, _ := m.Free("/"); free != 0 {
		t.Fatal(free)
	}
	if total, _ := m.Total("/"); total != 1000 {
		t.Fatal(total)
	}
	check(t, f.Truncate(100))
	check(t, f.Preallocate(0, 600))
	if used := m.Used(); used != 600 {
		t.Fatal(used)
	}
	g := mustCreate(t, m, "/g")
	if n, err := g.WritevAt([][]byte{make([]byte, 300), make([]byte, 300)}, 0); n != 400 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(n, err)
	}
	if _, err := f.WriteAt(make([]byte, 600), 0); err != nil {
		t.Fatal("reserved space was refused:", err)
	}
	if err := f.Preallocate(0, 601); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	check(t, m.Remove("/f"))
	if used := m.Used(); used != 1000 {
		t.Fatal("space of an open file was given back:", used)
	}
	check(t, f.Close())
	if used := m.Used(); used != 400 {
		t.Fatal(used)
	}
	if after := m.Crash(KeepAll, 0); after.Used() != 400 {
		t.Fatal(after.Used())
	}
}

func TestMemConcurrent(t *testing.T) {
	m := NewMem()
	f := mustCreate(t, m, "/f")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			part := bytes.Repeat([]byte{byte(i + 1)}, 64)
			for k := range 100 {
				f.WriteAt(part, int64(k*8+i)*64)
				f.ReadAt(make([]byte, 64), int64(i)*64)
				if k%10 == 0 {
					f.Datasync()
				}
			}
		})
	}
	wg.Wait()
	data, err := ReadFile(m, "/f")
	check(t, err)
	for at := 0; at < len(data); at += 64 {
		if data[at] != byte(at/64%8+1) {
			t.Fatalf("at %d: %d", at, data[at])
		}
	}
}

func TestFault(t *testing.T) {
	boom := errors.New("boom")
	var ops []Op
	failAt := int64(0)
	m := NewMem()
	fsys := NewFault(m, func(op Op) error {
		ops = append(ops, op)
		if op.Kind == OpWrite && op.Off == 100 {
			return &Partial{N: 3, Err: syscall.ENOSPC}
		}
		if op.Seq == failAt {
			return boom
		}
		return nil
	})
	f := mustCreate(t, fsys, "/f")
	mustWrite(t, f, []byte("abc"), 0)
	failAt = 3
	err := f.Datasync()
	var pathErr *fs.PathError
	if !errors.Is(err, boom) || !errors.As(err, &pathErr) || pathErr.Path != "/f" {
		t.Fatal(err)
	}
	if n, err := f.WritevAt([][]byte{[]byte("12"), []byte("345")}, 100); n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(n, err)
	}
	if size, _ := f.Size(); size != 103 {
		t.Fatal(size)
	}
	want := []Op{{Kind: OpCreate, Name: "/f", Seq: 1, Change: 1}, {Kind: OpWrite, Name: "/f", N: 3, Seq: 2, Change: 2},
		{Kind: OpDatasync, Name: "/f", Seq: 3, Change: 3}, {Kind: OpWrite, Name: "/f", Off: 100, N: 5, Seq: 4, Change: 4},
		{Kind: OpSize, Name: "/f", Seq: 5}}
	for i := range want {
		if ops[i] != want[i] {
			t.Errorf("operation %d: %+v, want %+v", i, ops[i], want[i])
		}
	}
	if fsys.Changes() != 4 {
		t.Error(fsys.Changes())
	}
}

// TestFaultAsksBeforeEverything fails each operation in turn: it must not happen.
func TestFaultAsksBeforeEverything(t *testing.T) {
	boom := errors.New("boom")
	m := NewMem()
	check(t, MkdirAllSynced(m, "/d", 0o755))
	check(t, WriteFileAtomic(m, "/d/f", []byte("abc")))
	fail := false
	fsys := NewFault(m, func(op Op) error {
		if fail {
			return boom
		}
		return nil
	})
	f := mustCreate(t, fsys, "/d/f")
	lock, err := fsys.Lock("/d/held")
	check(t, err)
	fail = true
	for name, do := range map[string]func() error{
		"open":        func() error { return second(fsys.OpenFile("/d/g", ReadWrite|Create, 0o644)) },
		"remove":      func() error { return fsys.Remove("/d/f") },
		"removeall":   func() error { return fsys.RemoveAll("/d") },
		"rename":      func() error { return fsys.Rename("/d/f", "/d/g") },
		"mkdir":       func() error { return fsys.MkdirAll("/e", 0o755) },
		"readdir":     func() error { return second(fsys.ReadDir("/d")) },
		"stat":        func() error { return second(fsys.Stat("/d")) },
		"syncdir":     func() error { return fsys.SyncDir("/d") },
		"syncfs":      lock.SyncFS,
		"lock":        func() error { return second(fsys.Lock("/d/l")) },
		"free":        func() error { return second(fsys.Free("/d")) },
		"total":       func() error { return second(fsys.Total("/d")) },
		"read":        func() error { return second(f.ReadAt(make([]byte, 1), 0)) },
		"write":       func() error { return second(f.WriteAt([]byte("x"), 0)) },
		"truncate":    func() error { return f.Truncate(0) },
		"sync":        func() error { return f.Sync() },
		"datasync":    func() error { return f.Datasync() },
		"preallocate": func() error { return f.Preallocate(0, 10) },
		"writeback":   func() error { return f.WriteBack(0, 10) },
		"size":        func() error { return second(f.Size()) },
	} {
		if err := do(); !errors.Is(err, boom) {
			t.Errorf("%s: %v", name, err)
		}
	}
	entries, err := m.ReadDir("/")
	check(t, err)
	data, err := ReadFile(m, "/d/f")
	check(t, err)
	if len(entries) != 1 || string(data) != "abc" {
		t.Errorf("a failed operation happened: %d entries, content %q", len(entries), data)
	}
}

// TestRemovedDirectoriesAreForgotten: a file system that lives long does not remember every directory that ever was.
func TestRemovedDirectoriesAreForgotten(t *testing.T) {
	m := NewMem()
	check(t, MkdirAllSynced(m, "/logs", 0o755))
	for range 3 {
		check(t, m.MkdirAll("/logs/topic-0/sub", 0o755))
		check(t, mustCreate(t, m, "/logs/topic-0/f").Close())
		check(t, mustCreate(t, m, "/logs/topic-0/sub/g").Close())
		check(t, m.RemoveAll("/logs/topic-0"))
		if !exists(m.Peek(KeepAll, 0), "/logs") || exists(m.Peek(KeepAll, 0), "/logs/topic-0") {
			t.Fatal("the wrong directory is gone")
		}
		check(t, m.SyncDir("/logs"))
	}
	if len(m.dirOps) != 0 || m.Used() != 0 {
		t.Errorf("%d changes and %d bytes are remembered", len(m.dirOps), m.Used())
	}
}
