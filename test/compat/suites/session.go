package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

// session is one run of a suite: its broker, what the suite printed, and what became of each test.
type session struct {
	name    string
	dir     string // removed when the suite has run
	mu      sync.Mutex
	said    bytes.Buffer
	results results
	again   []string // what passed only when it was run again
	broker  *broker.Process
}

// moldau starts the suite's broker on a port of the loopback address with these settings, after stopping one that it had before.
func (s *session) moldau(port int, settings ...string) error {
	s.stop()
	data, err := os.MkdirTemp(s.dir, "data-")
	if err != nil {
		return err
	}
	s.broker, err = broker.Start(data, append(settings, fmt.Sprintf("KAFKA_LISTENERS=PLAINTEXT://127.0.0.1:%d", port)))
	return err
}

func (s *session) stop() {
	if s.broker != nil {
		if err := s.broker.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "suites:", err)
		}
		s.broker = nil
	}
}

// execute runs a suite's program for at most the time given and returns what it printed. A test that fails is no error, a
// program that could not be run, or went on for too long, is.
func (s *session) execute(ctx context.Context, limit time.Duration, dir string, env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.WaitDelay = 10 * time.Second // for programs that it left
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run()
	s.mu.Lock()
	s.said.Write(text.Bytes())
	s.mu.Unlock()
	var exit *exec.ExitError
	if ctx.Err() != nil {
		return text.String(), fmt.Errorf("%s ended after %s: %w", name, limit, ctx.Err())
	}
	if errors.As(err, &exit) {
		err = nil
	}
	return text.String(), err
}

// freePort is a port of the loopback address that nothing listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
