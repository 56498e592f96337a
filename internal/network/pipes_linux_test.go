package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/vfs"
)

func inUse() int {
	pipes.mu.Lock()
	defer pipes.mu.Unlock()
	return pipes.mu.inUse
}

// drawn returns n random bytes, a multiple of 8, and a file of them.
func drawn(t *testing.T, n int) ([]byte, vfs.File) {
	g := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		binary.NativeEndian.PutUint64(b[i:], g.Uint64())
	}
	return b, write(t, vfs.OS, filepath.Join(t.TempDir(), "f"), b)
}

// expect writes a span of the file and compares what arrives.
func expect(t *testing.T, content []byte, file vfs.File, off, n int64) {
	t.Helper()
	client, server := connect(t, OS)
	got := make(chan []byte, 1)
	go func() {
		b := make([]byte, 4+n)
		_, _ = io.ReadFull(client, b)
		got <- b
	}()
	if k, err := writeSpans(server, vfs.MemSpan([]byte("head")), vfs.Span{File: file, Off: off, N: n}); err != nil || k != 4+n {
		t.Fatalf("wrote %d of %d: %v", k, 4+n, err)
	}
	if !bytes.Equal(<-got, append([]byte("head"), content[off:off+n]...)) {
		t.Fatalf("wrong bytes of %d at %d", n, off)
	}
}

// What a receiver who does not read leaves in a pipe must reach nobody else.
func TestPipeWithARestIsNotUsedAgain(t *testing.T) {
	content, file := drawn(t, 24<<20)
	for range keptPipes + 2 {
		_, server := connect(t, OS)
		if err := server.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := writeSpans(server, vfs.Span{File: file, N: int64(len(content))}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("error is %v", err)
		}
		expect(t, content, file, 777, 3<<20)
	}
	if n := inUse(); n != 0 {
		t.Fatalf("%d pipes were not given back", n)
	}
}

func TestPipesAreBounded(t *testing.T) {
	content, file := drawn(t, 5<<20)
	var held []*pipe
	defer func() {
		for _, p := range held {
			pipes.put(p)
		}
		if n := inUse(); n != 0 {
			t.Errorf("%d pipes were not given back", n)
		}
		pipes.mu.Lock()
		defer pipes.mu.Unlock()
		if n := len(pipes.mu.unused); n > keptPipes {
			t.Errorf("%d pipes are kept", n)
		}
	}()
	for p := pipes.get(); p != nil; p = pipes.get() {
		if held = append(held, p); len(held) > maxPipes {
			t.Fatalf("%d pipes", len(held))
		}
	}
	expect(t, content, file, 1, int64(len(content)-1)) // by sendfile
}

// A file that is cut while it is sent ends the connection; what was sent before is right.
func TestFileCutWhileItIsSent(t *testing.T) {
	content, file := drawn(t, 32<<20)
	client, server := connect(t, OS)
	done := make(chan error, 1)
	go func() {
		_, err := writeSpans(server, vfs.Span{File: file, N: int64(len(content))})
		server.Close()
		done <- err
	}()
	got := make([]byte, 100_000)
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(16 << 20); err != nil { // the sockets hold less than that
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(client)
	if err := <-done; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("error is %v", err)
	}
	if got = append(got, rest...); len(got) > 16<<20 || !bytes.Equal(got, content[:len(got)]) {
		t.Fatalf("%d bytes, some of them wrong", len(got))
	}
	expect(t, content, file, 5, 2<<20)
	if n := inUse(); n != 0 {
		t.Fatalf("%d pipes were not given back", n)
	}
}
