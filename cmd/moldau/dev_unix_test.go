//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long whatever is waited for may take on a machine that is busy with other things.
const patience = 2 * time.Minute

// devCluster is a "moldau dev" that runs.
type devCluster struct {
	t       *testing.T
	cmd     *exec.Cmd
	notes   notes
	input   io.Closer
	ended   chan struct{}
	Brokers []struct {
		ID                             int
		Address, Controller, Directory string
		PID                            int
	}
	Bootstrap string
}

// notes is what it prints beside.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// moldau is this program, run by the test binary in its place.
func moldau(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "MOLDAU_TEST_MAIN=1", "TMPDIR="+t.TempDir())
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func startDev(t *testing.T, args ...string) *devCluster {
	t.Helper()
	c := &devCluster{t: t, cmd: moldau(t, append([]string{"dev", "--port", "0", "--format", "json"}, args...)...), ended: make(chan struct{})}
	c.cmd.Stderr = &c.notes
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	err = json.NewDecoder(out).Decode(c)
	if !kill.Stop() || err != nil {
		_ = c.cmd.Process.Kill()
		t.Fatalf("moldau %s does not say that it serves: %v\n%s", strings.Join(args, " "), err, c.notes.String())
	}
	go func() {
		defer close(c.ended)
		_, _ = io.Copy(io.Discard, out)
		_ = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

func (c *devCluster) signal(pid int, s syscall.Signal) {
	c.t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		c.t.Fatalf("%v to %d: %v", s, pid, err)
	}
}

// until waits until something is so.
func (c *devCluster) until(what string, is func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("waited for %s\n%s", what, c.notes.String())
		}
	}
}

// states are those of the brokers, as "moldau cluster" shows them.
func (c *devCluster) states() string {
	out, err := moldau(c.t, "cluster", "--bootstrap", c.Bootstrap, "--format", "json").Output()
	var seen struct {
		Controller int
		Brokers    []struct{ State string }
		Quorum     struct{ Voters []struct{ Lag int } }
	}
	if err != nil || json.Unmarshal(out, &seen) != nil || len(seen.Quorum.Voters) != len(c.Brokers) {
		return ""
	}
	var states []string
	for _, b := range seen.Brokers {
		states = append(states, b.State)
	}
	return strings.Join(states, " ")
}

// gone says that nothing listens at the address any more.
func gone(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func (c *devCluster) awaitEnd(status int) {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatalf("waited for the end of moldau dev\n%s", c.notes.String())
	}
	if got := c.cmd.ProcessState.ExitCode(); got != status {
		c.t.Errorf("status %d\n%s", got, c.notes.String())
	}
}

// TestDev kills one of three brokers, which is started again, freezes another, and stops all.
func TestDev(t *testing.T) {
	data := filepath.Join(t.TempDir(), "cluster")
	c := startDev(t, "--brokers", "3", "--data", data, "--restart-after", "1s")
	if len(c.Brokers) != 3 || strings.Count(c.Bootstrap, ",") != 2 || c.Brokers[1].Directory != filepath.Join(data, "broker-2") {
		t.Fatalf("%+v", c)
	}
	c.until("three brokers that serve", func() bool { return c.states() == "serving serving serving" })
	c.signal(c.Brokers[1].PID, syscall.SIGKILL)
	c.until("word of the broker that was killed", func() bool {
		return strings.Contains(c.notes.String(), "has ended: signal: killed; it is started again in 1s")
	})
	c.until("word of the broker that was started again", func() bool { return strings.Contains(c.notes.String(), "moldau: broker 2 is started again, pid ") })
	c.until("three brokers that serve again", func() bool { return c.states() == "serving serving serving" })
	c.signal(c.Brokers[2].PID, syscall.SIGSTOP)
	c.until("the frozen broker to be fenced", func() bool { return c.states() == "serving serving fenced" })
	c.signal(c.cmd.Process.Pid, syscall.SIGTERM)
	c.awaitEnd(0)
	for _, b := range c.Brokers {
		if !gone(b.Address) {
			t.Errorf("broker %d still runs", b.ID)
		}
	}
	again := startDev(t, "--data", data, "--until-input-ends")
	if len(again.Brokers) != 3 {
		t.Errorf("the cluster comes back with %d brokers", len(again.Brokers))
	}
	if err := again.input.Close(); err != nil {
		t.Fatal(err)
	}
	again.awaitEnd(0)
}

// TestDevEnds: brokers do not outlive the process that started them, nor does that process wait for none.
func TestDevEnds(t *testing.T) {
	c := startDev(t)
	if len(c.Brokers) != 1 {
		t.Fatalf("%+v", c)
	}
	c.signal(c.cmd.Process.Pid, syscall.SIGKILL)
	c.until("the end of the broker", func() bool { return gone(c.Brokers[0].Address) })

	c = startDev(t)
	c.signal(c.cmd.Process.Pid, syscall.SIGINT)
	c.awaitEnd(0)

	c = startDev(t)
	c.signal(c.Brokers[0].PID, syscall.SIGKILL)
	c.awaitEnd(1)
	if !strings.Contains(c.notes.String(), "moldau: no broker is left") {
		t.Error(c.notes.String())
	}
	if _, err := os.Stat(c.Brokers[0].Directory); !os.IsNotExist(err) {
		t.Errorf("temporary data is still there: %v", err)
	}
}

// TestDevSaysWhy: a broker that does not start is the end, with what it said.
func TestDevSaysWhy(t *testing.T) {
	out, err := moldau(t, "dev", "--port", "0", "--brokers", "3", "--set", "num.partitions=0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "did not start: exit status 1; the end of ") || !strings.Contains(string(out), "Value must be at least 1") {
		t.Errorf("%v: %s", err, out)
	}
}
