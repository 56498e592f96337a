//go:build linux

package vfs

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// exhausted is set in the process that TestSpareDescriptors runs itself in, whose limit it may lower.
const exhausted = "MOLDAU_TEST_EXHAUSTED"

// TestSpareDescriptors: when connections have taken every descriptor, files are opened, written and synced all the same, one after another and
// as many at once as there are spare ones, and no more connections are made.
func TestSpareDescriptors(t *testing.T) {
	if os.Getenv(exhausted) == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestSpareDescriptors$", "-test.v")
		c.Env = append(os.Environ(), exhausted+"="+t.TempDir())
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "the limit was met") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	dir := os.Getenv(exhausted)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 128, Max: 128}); err != nil {
		t.Fatal(err)
	}
	KeepSpare(4)
	var taken []io.Closer
	take := func() {
		for {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if errors.Is(err, syscall.EMFILE) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, c)
		}
	}
	take()
	for range 20 {
		if err := WriteFileAtomic(OS, filepath.Join(dir, "file"), []byte("content")); err != nil {
			t.Fatal(err)
		}
		if _, err := OS.ReadDir(dir); err != nil {
			t.Fatal(err)
		}
		before := len(taken)
		if take(); len(taken) != before {
			t.Fatalf("connections took %d spare descriptors", len(taken)-before)
		}
	}
	var files []File
	for {
		f, err := OS.OpenFile(filepath.Join(dir, "file"), ReadOnly, 0)
		if err != nil {
			if !NoDescriptors(err) {
				t.Fatal(err)
			}
			break
		}
		files = append(files, f)
	}
	if len(files) != 4 {
		t.Fatalf("%d files were opened in place of 4 spare descriptors", len(files))
	}
	for _, f := range files {
		f.Close()
	}
	if err := WriteFileAtomic(OS, filepath.Join(dir, "file"), []byte("more")); err != nil {
		t.Fatal(err)
	}
	t.Log("the limit was met")
}
