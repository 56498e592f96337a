//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the process that TestSignals sends signals to.
func TestMain(m *testing.M) {
	same, err := time.ParseDuration(os.Getenv("MOLDAU_TEST_SAME"))
	if err != nil {
		os.Exit(m.Run())
	}
	ctx := untilSignal(same)
	fmt.Println("running")
	<-ctx.Done()
	fmt.Println("stopping")
	_, _ = io.Copy(io.Discard, os.Stdin) // a stop that lasts until the parent says so
}

// TestSignals: a signal that follows at once is the same request for a clean stop, a later one ends the process.
func TestSignals(t *testing.T) {
	for _, c := range []struct {
		same  string
		clean bool
	}{{"1h", true}, {"0s", false}} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MOLDAU_TEST_SAME="+c.same)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() == "running" {
			terminate(t, cmd)
		}
		if lines.Text() != "stopping" {
			t.Fatalf("the process says %q", lines.Text())
		}
		if c.clean {
			terminate(t, cmd)
			in.Close()
		}
		ended := make(chan error)
		go func() { ended <- cmd.Wait() }()
		for done := false; !done; {
			select {
			case err := <-ended:
				if done = true; (err == nil) != c.clean {
					t.Errorf("a second signal within %s: %v", c.same, err)
				}
			default:
				if !c.clean {
					_ = cmd.Process.Signal(syscall.SIGTERM) // until one comes late enough
				}
				runtime.Gosched()
			}
		}
	}
}

func terminate(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}
