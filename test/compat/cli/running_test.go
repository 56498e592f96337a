package cli

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// running is a command that has not ended.
type running struct {
	cmd   *exec.Cmd
	lines chan string // what it prints; closed at the end
	notes bytes.Buffer
}

// start starts a command, which the end of the test kills.
func (c command) start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(c.exe, args...), lines: make(chan string, 10_000)}
	r.cmd.Env = append(os.Environ(), "MOLDAU_BOOTSTRAP="+c.addr)
	r.cmd.Stderr = &r.notes
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
		}
	})
	return r
}

// next returns the next lines it prints.
func (r *running) next(t *testing.T, n int) []string {
	t.Helper()
	var found []string
	for end := time.After(30 * time.Second); len(found) < n; {
		select {
		case line, ok := <-r.lines:
			if !ok {
				t.Fatalf("%s has ended after %q", strings.Join(r.cmd.Args, " "), found)
			}
			found = append(found, line)
		case <-end:
			t.Fatalf("%s prints %q and then no more", strings.Join(r.cmd.Args, " "), found)
		}
	}
	return found
}

// stop sends a signal and returns what else was printed, the messages, and the exit status.
func (r *running) stop(t *testing.T, with os.Signal) (rest []string, notes string, status int) {
	t.Helper()
	if err := r.cmd.Process.Signal(with); err != nil {
		t.Fatal(err)
	}
	return r.wait(t)
}

// wait waits for its end.
func (r *running) wait(t *testing.T) (rest []string, notes string, status int) {
	t.Helper()
	kill := time.AfterFunc(30*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer kill.Stop()
	for line := range r.lines {
		rest = append(rest, line)
	}
	_ = r.cmd.Wait()
	return rest, r.notes.String(), r.cmd.ProcessState.ExitCode()
}
