package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// broker is one that is started, ended and looked at.
type broker interface {
	name() string
	addr() string
	start() error // returns before it answers
	end(kill bool) error
	pid() int
	remove() error
}

const (
	moldauName = "Moldau"
	kafkaName  = "Apache Kafka"
)

type moldau struct {
	options
	work string
	cmd  *exec.Cmd
	log  *os.File
}

func newMoldau(o options) (*moldau, error) {
	work, err := os.MkdirTemp(o.dir, "many-")
	if err != nil {
		return nil, err
	}
	m := &moldau{options: o, work: work}
	if m.binary == "" {
		m.binary = filepath.Join(work, "moldau")
		if out, err := exec.Command("go", "build", "-o", m.binary, "./cmd/moldau").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build: %w: %s", err, out)
		}
	}
	m.log, err = os.Create(filepath.Join(work, "output"))
	return m, err
}

func (m *moldau) name() string { return moldauName }
func (m *moldau) addr() string { return fmt.Sprintf("127.0.0.1:%d", m.port) }
func (m *moldau) pid() int     { return m.cmd.Process.Pid }

func (m *moldau) start() error {
	args := []string{"serve", "--data", filepath.Join(m.work, "data"), "--listen", m.addr()}
	if m.config != "" {
		args = append(args, "--config", m.config)
	}
	m.cmd = exec.Command(m.binary, args...)
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	return m.cmd.Start()
}

func (m *moldau) end(kill bool) error {
	sig := os.Signal(syscall.SIGTERM)
	if kill {
		sig = syscall.SIGKILL
	}
	if err := m.cmd.Process.Signal(sig); err != nil {
		return err
	}
	err := m.cmd.Wait()
	if kill {
		return nil
	}
	return err
}

func (m *moldau) remove() error {
	if m.cmd != nil && m.cmd.ProcessState == nil {
		_ = m.end(true)
	}
	m.log.Close()
	return os.RemoveAll(m.work)
}

// kafka is Apache Kafka, by bench/kafka.sh.
type kafka struct {
	port  int
	began bool
}

func newKafka(o options) *kafka { return &kafka{port: o.port + 2} }

func (k *kafka) name() string { return kafkaName }
func (k *kafka) addr() string { return fmt.Sprintf("127.0.0.1:%d", k.port) }

func (k *kafka) script(args ...string) (string, error) {
	cmd := exec.Command("bench/kafka.sh", args...)
	cmd.WaitDelay = time.Second // the broker keeps the pipe
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return strings.TrimSpace(out.String()), err
}

func (k *kafka) start() error {
	if !k.began {
		k.began = true
		_, err := k.script("start", strconv.Itoa(k.port))
		return err
	}
	_, err := k.script("run", strconv.Itoa(k.port), "1")
	return err
}

func (k *kafka) end(kill bool) error {
	if kill {
		_, err := k.script("kill", strconv.Itoa(k.port), "1")
		return err
	}
	_, err := k.script("term", strconv.Itoa(k.port), "1")
	return err
}

func (k *kafka) pid() int {
	out, _ := k.script("pids", strconv.Itoa(k.port))
	n, _ := strconv.Atoi(out)
	return n
}

func (k *kafka) remove() error {
	_, err := k.script("stop", strconv.Itoa(k.port))
	return err
}

// look notes what the process uses.
func (b *bench) look(ctx context.Context, when string) error {
	pid := b.broker.pid()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	began := time.Now()
	before, err := cpu(pid)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.idle):
	}
	after, err := cpu(pid)
	if err != nil {
		return err
	}
	percent := 100 * float64(after-before) / float64(time.Since(began))
	rss := 0
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			rss, _ = strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return err
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	b.note(when+": RSS, MB", "%.0f", float64(rss)*1024/1e6)
	b.note(when+": open files, maps", "%d, %d", len(files), bytes.Count(maps, []byte("\n")))
	b.note(when+": CPU while idle, % of a core", "%.2f", percent)
	return nil
}

// cpu is the time that a process has had a processor.
func cpu(pid int) (time.Duration, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, nil // clock ticks of 10 ms on every Linux there is
}
