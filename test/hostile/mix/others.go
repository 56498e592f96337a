package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// The attackers are a process of their own, with one processor: they stand for hosts elsewhere, which take none of the broker's. What
// they do take is told, so that a mix that hurts by it is noticed.

const (
	prepared = "prepared" // what the process says before anything is sent
	ended    = "ended"
)

// attackers is that process, from outside.
type attackers struct {
	cmd    *exec.Cmd
	names  string
	in     io.WriteCloser
	out    *bufio.Reader
	report []string // what each attack did
}

// summon starts the process and lets it prepare what it will send.
func summon(ctx context.Context, addr, names string) (*attackers, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a := &attackers{names: names, cmd: exec.CommandContext(ctx, exe, "-attack", "-broker", addr, "-only", names)}
	a.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	a.cmd.Stderr = os.Stderr
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.out = bufio.NewReader(out)
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := a.out.ReadString('\n')
	if strings.TrimSpace(line) != prepared {
		_ = a.in.Close()
		return nil, fmt.Errorf("the attackers said %q: %w", line, errors.Join(err, a.cmd.Wait()))
	}
	return a, nil
}

func (a *attackers) pid() int { return a.cmd.Process.Pid }

// begin lets them attack.
func (a *attackers) begin() error {
	_, err := io.WriteString(a.in, "go\n")
	return err
}

// end waits until they have closed all their connections.
func (a *attackers) end() error {
	err := a.in.Close()
	for {
		line, err := a.out.ReadString('\n')
		if line = strings.TrimSuffix(line, "\n"); err != nil || line == ended {
			break
		}
		a.report = append(a.report, line)
	}
	return errors.Join(err, a.cmd.Wait())
}

// attack is what the process of the attackers runs.
func attackAll(ctx context.Context) error {
	attacks, err := chosen(*only)
	if err != nil {
		return err
	}
	for _, a := range attacks {
		if a.prepare != nil {
			a.prepared = a.prepare()
		}
	}
	debug.FreeOSMemory()
	fmt.Println(prepared)
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	began := time.Now()
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, a := range attacks {
		a.start(ctx, &running, *address)
	}
	_, _ = io.Copy(io.Discard, in) // until it is to end
	took := time.Since(began)
	stop()
	running.Wait()
	for _, a := range attacks {
		fmt.Println(a.told(took))
	}
	fmt.Println(ended)
	return nil
}
