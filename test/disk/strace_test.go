//go:build linux

package disk

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inject makes system calls of the broker on the files of one directory fail, until the returned function is called. ok is false where the
// machine does not allow it.
func inject(t *testing.T, n *node, files []string, calls, what string) (stop func(), ok bool) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		untested(t, err.Error())
		return nil, false
	}
	args := []string{"-f", "-qq", "-o", "/dev/null", "-p", strconv.Itoa(n.cmd.Process.Pid), "-e", "trace=" + calls, "-e", "inject=" + calls + ":" + what}
	for _, f := range files {
		args = append(args, "-P", f)
	}
	var said bytes.Buffer
	cmd := exec.Command("strace", args...)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		untested(t, err.Error())
		return nil, false
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it lets go of the broker
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for !traced(n.cmd.Process.Pid) {
		select {
		case <-done:
			untested(t, "strace: "+strings.TrimSpace(said.String()))
			return nil, false
		default:
		}
		if time.Now().After(deadline) {
			stop()
			untested(t, "strace does not attach to the broker")
			return nil, false
		}
		time.Sleep(20 * time.Millisecond)
	}
	return stop, true
}

// filesIn lists the files of a directory and of those in it.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*", "*/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// TestFailingCalls lets the n-th call of a kind fail with an error of the disk in one of two directories of a running broker. What that directory
// acknowledged, before and after, is there when the broker is killed and started again.
func TestFailingCalls(t *testing.T) {
	counts := []int{1, 3}
	if *long {
		counts = []int{1, 2, 3, 4, 5, 7, 11, 20}
	}
	for _, c := range []struct {
		calls, err string
		offline    bool
	}{
		{"fdatasync,fsync", "EIO", true},
		{"pwrite64,write", "EIO", true},
		{"pwrite64,write", "ENOSPC", false},
	} {
		for _, count := range counts {
			t.Run(fmt.Sprintf("%s of call %d of %s", c.err, count, strings.ReplaceAll(c.calls, ",", " and ")), func(t *testing.T) {
				bad, good := filepath.Join(t.TempDir(), "bad"), filepath.Join(t.TempDir(), "good")
				n := newNode(t, "log.dirs="+bad+","+good+"\nmetadata.log.dir="+good+"\noffsets.topic.num.partitions=1\n")
				n.mustStart()
				onBad, onGood := pair(n, bad, good)
				lost, kept := acked{0: "first"}, acked{0: "first"}
				files := filesIn(t, bad)
				for i := range 4 {
					files = append(files, filepath.Join(bad, "journal", fmt.Sprintf("%d.journal", i))) // those that come
				}
				stop, ok := inject(t, n, files, c.calls, fmt.Sprintf("error=%s:when=%d", c.err, count))
				if !ok {
					return
				}
				defer stop()
				refused := false
				// Calls are counted of each thread, of which a busy machine has many.
				for i, more := 0, 0; i < 40 || (!refused || more < 10) && i < 600; i++ {
					if refused {
						more++
					}
					code := lost.add(n, onBad, []int{100, 300_000}[i%2])
					if code != none && code != storageError {
						t.Errorf("a producer was answered with %d", code)
					}
					if refused = refused || code == storageError; refused && c.offline && code != storageError {
						t.Errorf("a directory that failed took a record: %d", code)
					}
					if code := kept.add(n, onGood, 1000); code != none {
						t.Errorf("a producer to the other directory was answered with %d", code)
					}
				}
				stop()
				if !refused {
					t.Errorf("no producer was refused; the broker said\n%s", &n.log)
				}
				if !c.offline {
					until(t, "producers to be served again", 30*time.Second, func() bool { return lost.add(n, onBad, 100) == none })
				}
				kept.check(t, n.read(onGood), 0)
				n.alive()
				n.kill()
				n.mustStart()
				lost.check(t, n.read(onBad), 0)
				kept.check(t, n.read(onGood), 0)
				if code := lost.add(n, onBad, 1000); code != none {
					t.Errorf("after a restart a producer was answered with %d", code)
				}
				n.stop()
			})
		}
	}
}

// TestFailingReads: what cannot be read now is refused with the disk's error, and served when it can be read again, without a restart.
func TestFailingReads(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	n := newNode(t, properties(data))
	n.mustStart()
	n.create("bad", nil)
	n.create("good", nil)
	bad, good := acked{}, acked{}
	for range 30 {
		bad.add(n, "bad", 10_000)
		good.add(n, "good", 10_000)
	}
	n.stop()
	n.mustStart()
	stop, ok := inject(t, n, filesIn(t, filepath.Join(data, "bad-0")), "pread64,preadv,read,sendfile,splice", "error=EIO")
	if !ok {
		return
	}
	defer stop()
	if c := n.read("bad"); len(c.values) > 0 || c.refused[0] != storageError {
		t.Errorf("%d records were served, refused were %v", len(c.values), c.refused)
	}
	good.check(t, n.read("good"), 0)
	stop()
	bad.check(t, n.read("bad"), 0)
	if code := bad.add(n, "bad", 100); code != none {
		t.Errorf("a producer is answered with %d", code)
	}
	n.stop()
}

// TestFailingMetadata: a node whose metadata cannot be made durable ends and says why. Started again it has all that was acknowledged.
func TestFailingMetadata(t *testing.T) {
	data, metadata := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "metadata")
	n := newNode(t, "log.dirs="+data+"\nmetadata.log.dir="+metadata+"\n")
	n.mustStart()
	n.create("kept", nil)
	kept := acked{}
	for range 10 {
		kept.add(n, "kept", 1000)
	}
	stop, ok := inject(t, n, filesIn(t, metadata), "fdatasync,fsync", "error=EIO:when=1")
	if !ok {
		return
	}
	defer stop()
	_, _ = n.admin.CreateTopic(n.context(), 1, 1, nil, "new")
	select {
	case <-n.ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("the broker goes on:\n%s", &n.log)
	}
	if n.cmd.ProcessState.Success() || !strings.Contains(n.log.String(), metadata) {
		t.Errorf("it ended with %v and said\n%s", n.cmd.ProcessState, &n.log)
	}
	stop()
	n.mustStart()
	kept.check(t, n.read("kept"), 0)
	n.create("another", nil)
	n.stop()
}
