package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// systems are the file systems that must behave the same; each starts empty below the directory returned.
func systems(t *testing.T) map[string]func() (FS, string) {
	return map[string]func() (FS, string){
		"os":    func() (FS, string) { return OS, t.TempDir() },
		"mem":   func() (FS, string) { m := NewMem(); return m, "/" },
		"fault": func() (FS, string) { return NewFault(NewMem(), func(Op) error { return nil }), "/" },
	}
}

// TestSameOperations runs one table of operations on every file system and demands the same answer of each.
func TestSameOperations(t *testing.T) {
	type env struct {
		FS
		dir   string
		files map[string]File
	}
	type op struct {
		name string
		do   func(e *env) string
		want string
	}
	at := func(e *env, name string) string { return filepath.Join(e.dir, name) }
	open := func(name string, flag int) func(*env) string {
		return func(e *env) string {
			f, err := e.OpenFile(at(e, name), flag, 0o644)
			if err == nil {
				if old := e.files[name]; old != nil {
					old.Close()
				}
				e.files[name] = f
			}
			return class(err)
		}
	}
	write := func(name, data string, off int64) func(*env) string {
		return func(e *env) string {
			n, err := e.files[name].WriteAt([]byte(data), off)
			return fmt.Sprint(n, " ", class(err))
		}
	}
	read := func(name string, n int, off int64) func(*env) string {
		return func(e *env) string {
			b := make([]byte, n)
			n, err := e.files[name].ReadAt(b, off)
			return fmt.Sprintf("%q %s", b[:n], class(err))
		}
	}
	onFile := func(name string, f func(File) error) func(*env) string {
		return func(e *env) string { return class(f(e.files[name])) }
	}
	onFS := func(f func(e *env) error) func(*env) string {
		return func(e *env) string { return class(f(e)) }
	}
	list := func(name string) func(*env) string {
		return func(e *env) string {
			entries, err := e.ReadDir(at(e, name))
			s := class(err)
			for _, entry := range entries {
				s += fmt.Sprintf(" %s:%v", entry.Name(), entry.IsDir())
			}
			return s
		}
	}
	ops := []op{
		{"open what is not there", open("a", ReadOnly), "not exist"},
		{"open without directory", open("x/a", ReadWrite|Create), "not exist"},
		{"create", open("a", ReadWrite|Create), "ok"},
		{"create again", open("a", ReadWrite|Create), "ok"},
		{"create exclusively", open("a", ReadWrite|Create|Exclusive), "exist"},
		{"write", write("a", "hello", 0), "5 ok"},
		{"write past the end", write("a", "world", 8), "5 ok"},
		{"write nothing", write("a", "", 100), "0 ok"},
		{"read all", read("a", 13, 0), `"hello\x00\x00\x00world" ok`},
		{"read short", read("a", 10, 10), `"rld" EOF`},
		{"read at the end", read("a", 1, 13), `"" EOF`},
		{"read nothing", read("a", 0, 50), `"" ok`},
		{"size", func(e *env) string { n, err := e.files["a"].Size(); return fmt.Sprint(n, class(err)) }, "13ok"},
		{"vectored write", func(e *env) string {
			n, err := e.files["a"].WritevAt([][]byte{[]byte("ab"), nil, []byte("cde"), []byte("f")}, 4)
			return fmt.Sprint(n, class(err))
		}, "6ok"},
		{"vectored write of nothing", func(e *env) string {
			n, err := e.files["a"].WritevAt(nil, 4)
			return fmt.Sprint(n, class(err))
		}, "0ok"},
		{"read after it", read("a", 13, 0), `"hellabcdefrld" ok`},
		{"truncate", onFile("a", func(f File) error { return f.Truncate(3) }), "ok"},
		{"extend", onFile("a", func(f File) error { return f.Truncate(6) }), "ok"},
		{"read zeros", read("a", 9, 0), `"hel\x00\x00\x00" EOF`},
		{"truncate below zero", onFile("a", func(f File) error { return f.Truncate(-1) }), "other"},
		{"preallocate keeps the size", onFile("a", func(f File) error { return f.Preallocate(0, 1<<16) }), "ok"},
		{"size again", func(e *env) string { n, err := e.files["a"].Size(); return fmt.Sprint(n, class(err)) }, "6ok"},
		{"sync", onFile("a", File.Sync), "ok"},
		{"datasync", onFile("a", File.Datasync), "ok"},
		{"write back", onFile("a", func(f File) error { return f.WriteBack(0, 6) }), "ok"},
		{"read-only handle", open("a", ReadOnly), "ok"},
		{"write to it", write("a", "x", 0), "0 other"},
		{"truncate on open", open("a", ReadWrite|Truncate), "ok"},
		{"is empty", read("a", 1, 0), `"" EOF`},
		{"mkdir", onFS(func(e *env) error { return e.MkdirAll(at(e, "d/e"), 0o755) }), "ok"},
		{"mkdir again", onFS(func(e *env) error { return e.MkdirAll(at(e, "d/e"), 0o755) }), "ok"},
		{"mkdir over a file", onFS(func(e *env) error { return e.MkdirAll(at(e, "a/e"), 0o755) }), "other"},
		{"sync directory", onFS(func(e *env) error { return e.SyncDir(at(e, "d")) }), "ok"},
		{"sync no directory", onFS(func(e *env) error { return e.SyncDir(at(e, "nope")) }), "not exist"},
		{"create below", open("d/e/f", ReadWrite|Create), "ok"},
		{"write below", write("d/e/f", "12345", 0), "5 ok"},
		{"list", list(""), "ok a:false d:true"},
		{"list below", list("d/e"), "ok f:false"},
		{"list nothing", list("nope"), "not exist"},
		{"remove a full directory", onFS(func(e *env) error { return e.Remove(at(e, "d/e")) }), "exist"},
		{"rename over a directory", onFS(func(e *env) error { return e.Rename(at(e, "a"), at(e, "d")) }), "exist"},
		{"rename nothing", onFS(func(e *env) error { return e.Rename(at(e, "nope"), at(e, "x")) }), "not exist"},
		{"rename into nothing", onFS(func(e *env) error { return e.Rename(at(e, "a"), at(e, "x/y")) }), "not exist"},
		{"rename over a file", onFS(func(e *env) error { return e.Rename(at(e, "d/e/f"), at(e, "a")) }), "ok"},
		{"the handle follows", read("d/e/f", 5, 0), `"12345" ok`},
		{"rename a directory", onFS(func(e *env) error { return e.Rename(at(e, "d"), at(e, "g")) }), "ok"},
		{"rename into itself", onFS(func(e *env) error { return e.Rename(at(e, "g"), at(e, "g/e/h")) }), "other"},
		{"list after renames", list(""), "ok a:false g:true"},
		{"stat", func(e *env) string {
			info, err := e.Stat(at(e, "a"))
			if err != nil {
				return class(err)
			}
			return fmt.Sprint(info.Name(), info.Size(), info.IsDir())
		}, "a5 false"},
		{"stat nothing", onFS(func(e *env) error { _, err := e.Stat(at(e, "nope")); return err }), "not exist"},
		{"remove an open file", onFS(func(e *env) error { return e.Remove(at(e, "a")) }), "ok"},
		{"its handle reads on", read("d/e/f", 5, 0), `"12345" ok`},
		{"remove nothing", onFS(func(e *env) error { return e.Remove(at(e, "a")) }), "not exist"},
		{"close", onFile("d/e/f", File.Close), "ok"},
		{"close twice", onFile("d/e/f", File.Close), "closed"},
		{"read closed", read("d/e/f", 1, 0), `"" closed`},
		{"write closed", write("d/e/f", "x", 0), "0 closed"},
		{"sync closed", onFile("d/e/f", File.Datasync), "closed"},
		{"preallocate closed", onFile("d/e/f", func(f File) error { return f.Preallocate(0, 1) }), "closed"},
		{"remove all", onFS(func(e *env) error { return e.RemoveAll(at(e, "g")) }), "ok"},
		{"remove all of nothing", onFS(func(e *env) error { return e.RemoveAll(at(e, "g")) }), "ok"},
		{"list the end", list(""), "ok"},
		{"lock", func(e *env) string {
			l, err := e.Lock(at(e, ".lock"))
			if err != nil {
				return class(err)
			}
			_, err = e.Lock(at(e, ".lock"))
			second := errors.Is(err, ErrLocked)
			l.Close()
			l, err = e.Lock(at(e, ".lock"))
			if err == nil {
				l.Close()
			}
			return fmt.Sprint(second, " ", class(err))
		}, "true ok"},
		{"free", func(e *env) string { n, err := e.Free(e.dir); return fmt.Sprint(n > 0, class(err)) }, "trueok"},
		{"total", func(e *env) string {
			free, _ := e.Free(e.dir)
			n, err := e.Total(e.dir)
			return fmt.Sprint(n >= free, class(err))
		}, "trueok"},
		{"total of nothing", onFS(func(e *env) error { _, err := e.Total(at(e, "nope")); return err }), "not exist"},
		{"free of nothing", onFS(func(e *env) error { _, err := e.Free(at(e, "nope")); return err }), "not exist"},
		{"sync all", onFS(func(e *env) error {
			l, err := e.Lock(at(e, ".lock"))
			if err != nil {
				return err
			}
			if err = l.SyncFS(); errors.Is(err, errors.ErrUnsupported) {
				err = nil // by this system, or the file system of this machine's temporary files
			}
			return errors.Join(err, l.Close())
		}), "ok"},
	}
	for name, fresh := range systems(t) {
		t.Run(name, func(t *testing.T) {
			fsys, dir := fresh()
			e := &env{FS: fsys, dir: dir, files: map[string]File{}}
			for _, op := range ops {
				if got := op.do(e); got != op.want {
					t.Errorf("%s: got %s, want %s", op.name, got, op.want)
				}
			}
			for _, f := range e.files {
				f.Close()
			}
		})
	}
}

// class names what callers tell apart in an error. Every error of an FS must be or wrap a *fs.PathError, but for io.EOF.
func class(err error) string {
	if err == nil {
		return "ok"
	}
	if err == io.EOF {
		return "EOF"
	}
	if _, ok := errors.AsType[*fs.PathError](err); !ok {
		return fmt.Sprintf("not a PathError: %T %v", err, err)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "not exist"
	case errors.Is(err, fs.ErrExist):
		return "exist"
	case errors.Is(err, fs.ErrClosed):
		return "closed"
	}
	return "other"
}

// TestSameContent compares files of OS and Mem after random writes, vectored writes of more buffers than one call takes,
// and truncations.
func TestSameContent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var files []File
	for _, fresh := range systems(t) {
		fsys, dir := fresh()
		f, err := fsys.OpenFile(filepath.Join(dir, "f"), ReadWrite|Create, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	for i := range 300 {
		off, kind := rng.Int64N(20000), rng.IntN(10)
		var bufs [][]byte
		for range rng.IntN(2500) {
			bufs = append(bufs, bytes.Repeat([]byte{byte(i)}, rng.IntN(4)))
		}
		var first []byte
		for k, f := range files {
			var err error
			switch {
			case kind == 0:
				err = f.Truncate(off)
			case kind == 1:
				err = f.Sync()
			default:
				_, err = f.WritevAt(bufs, off)
			}
			if err != nil {
				t.Fatal(err)
			}
			size, _ := f.Size()
			data := make([]byte, size)
			if n, err := f.ReadAt(data, 0); int64(n) != size || err != nil && err != io.EOF {
				t.Fatal(n, size, err)
			}
			if k == 0 {
				first = data
			} else if !bytes.Equal(first, data) {
				t.Fatalf("step %d: files differ (%d and %d bytes)", i, len(first), len(data))
			}
		}
	}
}

func TestSpanAppendTo(t *testing.T) {
	for name, fresh := range systems(t) {
		fsys, dir := fresh()
		path := filepath.Join(dir, "f")
		if err := WriteFileAtomic(fsys, path, []byte("0123456789")); err != nil {
			t.Fatal(name, err)
		}
		f, err := fsys.OpenFile(path, ReadOnly, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Span{File: f, Off: 3, N: 4}.AppendTo([]byte("x"))
		if err != nil || string(got) != "x3456" {
			t.Errorf("%s: %q %v", name, got, err)
		}
		if _, err := (Span{File: f, Off: 8, N: 4}).AppendTo(nil); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: span past the end: %v", name, err)
		}
		f.Close()
	}
	if got, err := MemSpan([]byte("ab")).AppendTo([]byte("x")); string(got) != "xab" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestHelpers(t *testing.T) {
	for name, fresh := range systems(t) {
		fsys, dir := fresh()
		deep := filepath.Join(dir, "p/q/r")
		if err := MkdirAllSynced(fsys, deep, 0o755); err != nil {
			t.Fatal(name, err)
		}
		path := filepath.Join(deep, "f")
		for _, want := range []string{"one", "", "three and more"} {
			if err := WriteFileAtomic(fsys, path, []byte(want)); err != nil {
				t.Fatal(name, err)
			}
			got, err := ReadFile(fsys, path)
			if err != nil || string(got) != want {
				t.Errorf("%s: read %q, want %q: %v", name, got, want, err)
			}
		}
		entries, err := fsys.ReadDir(deep)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: %d entries left, want 1: %v", name, len(entries), err)
		}
		if _, err := ReadFile(fsys, filepath.Join(deep, "nope")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: read of nothing: %v", name, err)
		}
	}
}

func TestRawOfOS(t *testing.T) {
	f, err := OS.OpenFile(filepath.Join(t.TempDir(), "f"), ReadWrite|Create, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := f.(Raw).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	called := false
	if err := raw.Control(func(uintptr) { called = true }); err != nil || !called {
		t.Fatal(called, err)
	}
	f.Close()
	if err := raw.Control(func(uintptr) {}); err == nil {
		t.Fatal("the descriptor of a closed file was handed out")
	}
}
