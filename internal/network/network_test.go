package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/vfs"
)

// connect returns both ends of a connection and what closes them.
func connect(t testing.TB, n Network) (client, server Conn) {
	t.Helper()
	l, err := n.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	if client, err = n.Dial(context.Background(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server = <-accepted; server == nil {
		t.Fatal("not accepted")
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func networks() map[string]Network { return map[string]Network{"os": OS, "mem": NewMem()} }

func write(t testing.TB, fs vfs.FS, name string, b []byte) vfs.File {
	t.Helper()
	f, err := fs.OpenFile(name, vfs.ReadWrite|vfs.Create, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

// hidden is a file without a descriptor, as a memory file system's.
type hidden struct{ vfs.File }

func TestWriterSendsSpansInOrder(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 9<<20)
	for i := range content {
		content[i] = byte(g.Uint32())
	}
	file := write(t, vfs.OS, filepath.Join(t.TempDir(), "f"), content)
	for name, n := range networks() {
		t.Run(name, func(t *testing.T) {
			client, server := connect(t, n)
			w := NewWriter(server)
			progress := 0
			w.OnProgress = func() { progress++ }
			for round := range 60 {
				var spans []vfs.Span
				var want []byte
				for range g.IntN(9) + 1 {
					size := []int{0, 1, 40, 4000, smallFile, smallFile + 1, chunk + 3, 300_000}[g.IntN(8)]
					if round == 0 {
						size = 5 << 20
					}
					off := g.IntN(len(content) - size)
					want = append(want, content[off:off+size]...)
					switch g.IntN(3) {
					case 0:
						spans = append(spans, vfs.MemSpan(content[off:off+size]))
					case 1:
						spans = append(spans, vfs.Span{File: file, Off: int64(off), N: int64(size)})
					case 2:
						spans = append(spans, vfs.Span{File: hidden{file}, Off: int64(off), N: int64(size)})
					}
				}
				got := make(chan []byte)
				go func() {
					b := make([]byte, len(want))
					_, _ = io.ReadFull(client, b)
					got <- b
				}()
				if n, err := w.Write(spans); err != nil || n != int64(len(want)) {
					t.Fatalf("round %d: wrote %d of %d: %v", round, n, len(want), err)
				}
				if !bytes.Equal(<-got, want) {
					t.Fatalf("round %d: wrong bytes", round)
				}
			}
			if progress < 60 {
				t.Errorf("progress was told %d times", progress)
			}
		})
	}
}

func writeSpans(conn Conn, spans ...vfs.Span) (int64, error) { return NewWriter(conn).Write(spans) }

func TestWriterFileTooShort(t *testing.T) {
	file := write(t, vfs.OS, filepath.Join(t.TempDir(), "f"), make([]byte, 100_000))
	for name, n := range networks() {
		for _, off := range []int64{99_000, 50_000} { // read behind the header, and sent by itself
			t.Run(fmt.Sprint(name, off), func(t *testing.T) {
				client, server := connect(t, n)
				go func() { _, _ = io.Copy(io.Discard, client) }()
				_, err := writeSpans(server, vfs.MemSpan([]byte("head")), vfs.Span{File: file, Off: off, N: 100_000 - off + 1})
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("error is %v", err)
				}
			})
		}
	}
}

// A receiver that does not read makes the writer fail at its deadline, in whatever call it is.
func TestWriterDeadline(t *testing.T) {
	file := write(t, vfs.OS, filepath.Join(t.TempDir(), "f"), make([]byte, 32<<20))
	for name, n := range networks() {
		for what, spans := range map[string][]vfs.Span{
			"memory": {vfs.MemSpan(make([]byte, 32<<20))},
			"gather": {vfs.MemSpan(make([]byte, 16<<20)), vfs.MemSpan(make([]byte, 16<<20))},
			"file":   {vfs.MemSpan([]byte("head")), {File: file, N: 32 << 20}},
		} {
			t.Run(name+what, func(t *testing.T) {
				_, server := connect(t, n)
				if err := server.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				if _, err := NewWriter(server).Write(spans); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("error is %v", err)
				}
			})
		}
	}
}

func TestReaderHoldsNoBufferWhileWaiting(t *testing.T) {
	for name, n := range networks() {
		t.Run(name, func(t *testing.T) {
			client, server := connect(t, n)
			var buf []byte
			waiting := make(chan struct{}, 100)
			r := NewReader(server, func() []byte { buf = make([]byte, 8); return buf }, func() { buf = nil; waiting <- struct{}{} })
			type result struct {
				s   string
				err error
			}
			results := make(chan result, 10)
			go func() {
				for {
					n, err := r.Read()
					if err != nil {
						results <- result{err: err}
						return
					}
					results <- result{s: string(buf[:n])}
				}
			}()
			<-waiting
			for _, s := range []string{"hello", "again"} {
				if _, err := io.WriteString(client, s); err != nil {
					t.Fatal(err)
				}
				if got := <-results; got.s != s || got.err != nil {
					t.Fatalf("got %q, %v", got.s, got.err)
				}
			}
			client.Close()
			if got := <-results; got.err != io.EOF {
				t.Fatalf("after close: %v", got.err)
			}
		})
	}
}

// What is there to be read is found before the end, and nothing is taken by looking.
func TestReaderEnded(t *testing.T) {
	for name, n := range networks() {
		t.Run(name, func(t *testing.T) {
			client, server := connect(t, n)
			b := make([]byte, 8)
			r := NewReader(server, func() []byte { return b }, func() {})
			becomes := func(want bool) {
				t.Helper()
				if name == "os" && !r.sys.able() {
					want = false
				}
				for end := time.Now().Add(10 * time.Second); r.Ended() != want; time.Sleep(time.Millisecond) { // loopback takes its time
					if time.Now().After(end) {
						t.Fatalf("ended %v, want %v", !want, want)
					}
				}
			}
			becomes(false)
			if _, err := io.WriteString(client, "ab"); err != nil {
				t.Fatal(err)
			}
			client.Close()
			for range 3 {
				becomes(false)
			}
			if n, err := r.Read(); string(b[:n]) != "ab" || err != nil {
				t.Fatalf("read %q, %v", b[:n], err)
			}
			becomes(true)
			if _, err := r.Read(); err != io.EOF {
				t.Fatalf("after the end: %v", err)
			}

			client, server = connect(t, n)
			r = NewReader(server, func() []byte { return b }, func() {})
			if err := server.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			becomes(true)
			server.Close()
			becomes(true)
			client.Close()
		})
	}
}

func TestReaderDeadlineAndClose(t *testing.T) {
	for name, n := range networks() {
		t.Run(name, func(t *testing.T) {
			_, server := connect(t, n)
			b := make([]byte, 8)
			r := NewReader(server, func() []byte { return b }, func() {})
			failed := make(chan error, 1)
			go func() { _, err := r.Read(); failed <- err }()
			if err := server.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("past deadline: %v", err)
			}
			if err := server.SetReadDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			go func() { _, err := r.Read(); failed <- err }()
			server.Close()
			if err := <-failed; !errors.Is(err, net.ErrClosed) {
				t.Fatalf("closed: %v", err)
			}
		})
	}
}

func TestMemAddresses(t *testing.T) {
	m, ctx := NewMem(), context.Background()
	if _, err := m.Dial(ctx, "a:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("nobody listens: %v", err)
	}
	l, err := m.Listen(ctx, "a:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Listen(ctx, "a:1"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("port in use: %v", err)
	}
	c, err := m.Dial(ctx, "a:1") // not accepted, so it ends with the listener
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("accept after close: %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read of an orphan: %v", err)
	}
	if _, err := m.Dial(ctx, "a:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("closed listener: %v", err)
	}
	if Host(memAddr("a:1")) != "a" || Host(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 5}) != "10.0.0.1" {
		t.Error("host of an address")
	}
}

func TestMemHalfClose(t *testing.T) {
	client, server := connect(t, NewMem())
	_, _ = io.WriteString(client, "question")
	_ = client.(interface{ CloseWrite() error }).CloseWrite()
	if b, err := io.ReadAll(server); err != nil || string(b) != "question" {
		t.Fatalf("%q %v", b, err)
	}
	if _, err := io.WriteString(server, "answer"); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if b, err := io.ReadAll(client); err != nil || string(b) != "answer" {
		t.Fatalf("%q %v", b, err)
	}
	if _, err := io.WriteString(server, "late"); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("write after close: %v", err)
	}
}

// In a bubble, time passes only when everything waits: a deadline an hour away costs nothing, which shows that nothing of Mem waits
// in a way that the bubble does not understand.
func TestMemInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, NewMem())
		start := time.Now()
		_ = server.SetReadDeadline(start.Add(time.Hour))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read: %v", err)
		}
		_ = server.SetWriteDeadline(start.Add(2 * time.Hour))
		if n, err := server.Write(make([]byte, memBuffer+1)); !errors.Is(err, os.ErrDeadlineExceeded) || n != memBuffer {
			t.Fatalf("write: %d %v", n, err)
		}
		if d := time.Since(start); d != 2*time.Hour {
			t.Fatalf("took %v", d)
		}
		client.Close()
	})
}

func BenchmarkWriter(b *testing.B) {
	const size = 1 << 20
	file := write(b, vfs.OS, filepath.Join(b.TempDir(), "f"), make([]byte, size))
	var pieces []vfs.Span
	for i := range int64(50) {
		pieces = append(pieces, vfs.MemSpan(make([]byte, 100)), vfs.Span{File: file, Off: i << 10, N: 1 << 10})
	}
	for what, spans := range map[string][]vfs.Span{
		"file":   {vfs.MemSpan(make([]byte, 100)), {File: file, N: size}},
		"memory": {vfs.MemSpan(make([]byte, 100)), vfs.MemSpan(make([]byte, size))},
		"small":  {vfs.MemSpan(make([]byte, 100)), {File: file, N: 1 << 10}},
		"pieces": pieces,
	} {
		b.Run(what, func(b *testing.B) {
			client, server := connect(b, OS)
			bytes := int64(0)
			go func() {
				buf := make([]byte, 1<<20)
				for {
					if _, err := client.Read(buf); err != nil {
						return
					}
				}
			}()
			w := NewWriter(server)
			for i := range spans {
				bytes += spans[i].N
			}
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Write(spans); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
