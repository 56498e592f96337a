//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the process that TestSignals sends signals to, and the program itself for the tests of moldau dev.
func TestMain(m *testing.M) {
	if os.Getenv("MOLDAU_TEST_MAIN") != "" {
		main()
	}
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
		first syscall.Signal
		same  string
		clean bool
	}{{syscall.SIGTERM, "1h", true}, {syscall.SIGINT, "1h", true}, {syscall.SIGHUP, "1h", true}, {syscall.SIGTERM, "0s", false}} {
		if signal.Ignored(c.first) {
			continue // under nohup(1), as it should be
		}
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
			send(t, cmd, c.first)
		}
		if lines.Text() != "stopping" {
			t.Fatalf("the process says %q", lines.Text())
		}
		if c.clean {
			send(t, cmd, c.first)
			in.Close()
		}
		ended := make(chan error)
		go func() { ended <- cmd.Wait() }()
		for done := false; !done; {
			select {
			case err := <-ended:
				if done = true; (err == nil) != c.clean {
					t.Errorf("%s and then another within %s: %v", c.first, c.same, err)
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

func send(t *testing.T, cmd *exec.Cmd, what syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(what); err != nil {
		t.Fatal(err)
	}
}
