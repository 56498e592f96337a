package group

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// Process is a member that is a process of its own: a program that prints what it reads. Cutting its cable kills it.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	asked  atomic.Bool
	ended  chan struct{}
	goAway func(*Process)
}

// Start starts the command and gives each line that it prints to line. goAway asks the process to end, as its users
// would; nil closes its standard input. A process that ends without having been asked to failed.
func Start(t testing.TB, s Settings, cmd *exec.Cmd, line func(string), goAway func(*exec.Cmd)) *Process {
	t.Helper()
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	p.goAway = func(p *Process) { _ = p.stdin.Close() }
	if goAway != nil {
		p.goAway = func(p *Process) { goAway(p.cmd) }
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", strings.Join(cmd.Args, " "), err)
	}
	s.Cable.OnCut(func() {
		p.asked.Store(true)
		_ = cmd.Process.Kill()
	})
	go func() {
		defer close(p.ended)
		lines := bufio.NewReader(stdout)
		for {
			text, err := lines.ReadString('\n')
			if text != "" {
				line(strings.TrimSpace(text))
			}
			if err != nil {
				break
			}
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		switch {
		case !p.asked.Load():
			s.Failed(fmt.Errorf("%s ended by itself: %v\n%s", cmd.Args[0], err, stderr.String()))
		case errors.As(err, &exit) && exit.Exited() && exit.ExitCode() != 0 && goAway == nil:
			s.Failed(fmt.Errorf("%s ended: %w\n%s", cmd.Args[0], err, stderr.String()))
		}
	}()
	return p
}

// Close asks the process to end and waits for it.
func (p *Process) Close() {
	p.asked.Store(true)
	p.goAway(p)
	<-p.ended
}
