// Package java runs the command-line tools of Apache Kafka: many one after the other in one Java machine, or one in a
// process of its own. bench/kafka.sh fetches them. It holds no tests.
package java

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

// options is what every tool's machine is started with: it lives shortly, so compiling well costs more than it saves.
var options = []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"}

// classPath returns the class path of the tools.
var classPath = sync.OnceValues(func() (string, error) {
	out, err := exec.Command(filepath.Join(broker.Root(), "bench/kafka.sh"), "jars").Output()
	if err != nil {
		return "", fmt.Errorf("fetch Kafka's tools: %w", err)
	}
	lines := strings.Fields(string(out))
	return lines[len(lines)-1], nil
})

// Command returns a command that runs a class in a machine of its own.
func Command(args ...string) (*exec.Cmd, error) {
	path, err := classPath()
	if err != nil {
		return nil, err
	}
	return exec.Command("java", slices.Concat(options, []string{"-cp", path}, args)...), nil
}

// machine is a Java machine that runs tools one at a time. It ends with its standard input, so with the tests.
type machine struct {
	cmd     *exec.Cmd
	calls   io.WriteCloser
	answers *bufio.Reader
}

// machines are two at most: there may be no more cores. One that is nil has not started yet.
var machines = make(chan *machine, 2)

func init() {
	for range cap(machines) {
		machines <- nil
	}
}

func start() (*machine, error) {
	cmd, err := Command(filepath.Join(broker.Root(), "test/compat/java/Batch.java"))
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	calls, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start java: %w", err)
	}
	return &machine{cmd: cmd, calls: calls, answers: bufio.NewReaderSize(out, 1<<20)}, nil
}

// Result is what a tool printed, what it complained of, and how it ended.
type Result struct {
	Out, Err string
	Status   int
}

// Try runs a tool, by class, on what it shall read.
func Try(t testing.TB, stdin string, args ...string) Result {
	t.Helper()
	m := <-machines
	var err error
	if m == nil {
		m, err = start()
	}
	var r Result
	if err == nil {
		if r, err = m.call(stdin, args); err != nil {
			_ = m.cmd.Process.Kill()
			_ = m.cmd.Wait()
			m = nil
		}
	}
	machines <- m
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return r
}

func (m *machine) call(stdin string, args []string) (r Result, err error) {
	call := base64.StdEncoding.EncodeToString([]byte(stdin))
	for _, a := range args {
		call += "\t" + base64.StdEncoding.EncodeToString([]byte(a))
	}
	end := time.AfterFunc(90*time.Second, func() { _ = m.cmd.Process.Kill() })
	defer end.Stop()
	if _, err := io.WriteString(m.calls, call+"\n"); err != nil {
		return r, err
	}
	line, err := m.answers.ReadString('\n')
	if err != nil {
		return r, fmt.Errorf("the machine ended or had to be: %w", err)
	}
	fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
	if len(fields) != 3 {
		return r, fmt.Errorf("answer %q", line)
	}
	if r.Status, err = strconv.Atoi(fields[0]); err != nil {
		return r, fmt.Errorf("answer %q", line)
	}
	for i, to := range []*string{&r.Out, &r.Err} {
		text, err := base64.StdEncoding.DecodeString(fields[i+1])
		if err != nil {
			return r, fmt.Errorf("answer %q", line)
		}
		*to = string(text)
	}
	return r, nil
}

// Run is Try for a tool that must not fail; it returns what the tool printed.
func Run(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	r := Try(t, stdin, args...)
	if r.Status != 0 {
		t.Fatalf("%s: exit status %d\n%s%s", strings.Join(args, " "), r.Status, r.Out, r.Err)
	}
	return r.Out
}
