// Package node is what the commands of bench that measure a whole broker share: it builds Moldau from the work tree, starts it as a process of
// its own on a port that is free, or several as a cluster, asks it over raw connections, and reads from /proc and /metrics what it takes. It owns the processes that
// it starts and the directories it is given; it decides nothing about what is measured.
package node

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startMax is how long a broker may take to answer, and stopMax how long to end.
const (
	startMax = 2 * time.Minute
	stopMax  = 30 * time.Second
)

// Broker is a broker that runs as a process of its own.
type Broker struct {
	Addr   string        // where clients reach it
	Admin  string        // where it answers metrics; "" if it does not
	PID    int           // of the process that serves
	Data   string        // its data directory, "" where it is not known
	Answer time.Duration // from the start of the process to its first answer
	output bytes.Buffer  // what it printed, once it has ended
	ended  chan error    // of the process, if it was started here
	stop   func() error
}

// Build builds the broker of this module into dir and returns its path; where one is built already it returns that.
func Build(dir, built string) (string, error) {
	if built != "" {
		return built, nil
	}
	exe := filepath.Join(dir, "moldau")
	if out, err := exec.Command("go", "build", "-o", exe, "github.com/moldau/moldau/cmd/moldau").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the broker: %w\n%s", err, out)
	}
	return exe, nil
}

// Start starts the broker exe on the directory data with settings (NAME=VALUE each, in a file beside data), and waits for its first
// answer. With watched it answers metrics too.
func Start(exe, data string, watched bool, settings ...string) (*Broker, error) {
	addr, err := free()
	if err != nil {
		return nil, err
	}
	b := &Broker{Addr: addr, Data: data}
	args := []string{"serve", "--data", data, "--listen", b.Addr}
	if watched {
		if b.Admin, err = free(); err != nil {
			return nil, err
		}
		args = append(args, "--admin", b.Admin)
	}
	if len(settings) > 0 {
		file := data + ".properties"
		if err := os.WriteFile(file, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--config", file)
	}
	cmd := exec.Command(exe, args...)
	cmd.Stdout, cmd.Stderr = &b.output, &b.output
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.PID, b.ended = cmd.Process.Pid, make(chan error, 1)
	go func() { b.ended <- cmd.Wait() }()
	b.stop = func() error { return b.terminate(cmd.Process) }
	for !answers(b.Addr) {
		select {
		case err := <-b.ended:
			return nil, fmt.Errorf("the broker ended: %w\n%s", err, b.output.Bytes())
		case <-time.After(200 * time.Microsecond):
		}
		if time.Since(began) > startMax {
			return nil, errors.Join(fmt.Errorf("the broker does not answer on %s", b.Addr), b.Stop())
		}
	}
	b.Answer = time.Since(began)
	return b, nil
}

// Stop ends the broker.
func (b *Broker) Stop() error { return b.stop() }

// terminate stops the process cleanly, or kills it when it does not end.
func (b *Broker) terminate(p *os.Process) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-b.ended:
		if err != nil {
			return fmt.Errorf("stop the broker: %w\n%s", err, b.output.Bytes())
		}
		return nil
	case <-time.After(stopMax):
		return errors.Join(fmt.Errorf("the broker was asked to stop and did not within %v", stopMax), p.Kill(), <-b.ended)
	}
}

// free returns an address of this machine on which nobody listens.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
