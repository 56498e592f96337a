package broker

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a broker started by a suite, whose data directory outlives it.
type Process struct {
	Addr       string
	Controller string        // of the listener for controllers, where there is one
	Data       string        // where its topics' directories lie
	Log        func() string // what Moldau has told of itself, once it has ended
	stop       func() error
}

// Stop ends the broker cleanly and waits for it.
func (p *Process) Stop() error { return p.stop() }

// Moldau starts a Moldau of its own for the test.
func Moldau(t testing.TB) *Process {
	t.Helper()
	return MoldauIn(t, t.TempDir())
}

// MoldauIn starts a Moldau for the test in a folder, where one may have run before.
func MoldauIn(t testing.TB, dir string) *Process {
	t.Helper()
	p, err := startMoldau(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	return p
}

// MoldauWithController starts a Moldau of its own for the test that has a listener for controllers as well.
func MoldauWithController(t testing.TB) *Process {
	t.Helper()
	p, err := Start(t.TempDir(), []string{"KAFKA_LISTENERS=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0", controllerNames + "=CONTROLLER"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	return p
}

// controllerNames is the setting with which Moldau has a listener for controllers.
const controllerNames = "KAFKA_CONTROLLER_LISTENER_NAMES"

// built is Moldau's binary where a suite has built it already. It lies in a folder that Main removes.
var built struct {
	sync.Mutex
	dir, exe string
}

// Command returns Moldau's binary, built from this tree, in a folder unless it was built before.
func Command(dir string) (string, error) {
	built.Lock()
	defer built.Unlock()
	if built.exe != "" {
		return built.exe, nil
	}
	exe := filepath.Join(cmp.Or(built.dir, dir), "moldau")
	build := exec.Command("go", "build", "-o", exe, "./cmd/moldau")
	build.Dir = Root()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build moldau: %w\n%s", err, out)
	}
	if built.dir != "" {
		built.exe = exe
	}
	return exe, nil
}

var address = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)

func startMoldau(dir string) (*Process, error) {
	return Start(dir, nil, "--listen", "127.0.0.1:0")
}

// Start starts a Moldau in a folder, with settings as KAFKA_NAME=VALUE and with flags. Who starts it stops it.
func Start(dir string, settings []string, flags ...string) (*Process, error) {
	exe, err := Command(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	var stderr bytes.Buffer
	cmd := exec.Command(exe, append([]string{"serve", "--data", data}, flags...)...)
	cmd.Env = append(os.Environ(), settings...)
	cmd.Stderr = &stderr
	endWithUs(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start moldau: %w", err)
	}
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	addr := address.FindString(first)
	if err != nil || addr == "" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("moldau did not say its address: %q\n%s", first, stderr.String())
	}
	controller := ""
	if strings.Contains(strings.Join(settings, " "), controllerNames) {
		second, err := lines.ReadString('\n')
		if controller = address.FindString(second); err != nil || controller == "" {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return nil, fmt.Errorf("moldau did not say the address of its controller: %q\n%s", second, stderr.String())
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with the process
	stopped := false
	return &Process{Addr: addr, Controller: controller, Data: data, Log: stderr.String, stop: func() error {
		if stopped {
			return nil
		}
		stopped = true
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("stop moldau: %w\n%s", err, stderr.String())
		}
		kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("moldau ended: %w\n%s", err, stderr.String())
		}
		return nil
	}}, nil
}

// Kafka starts an Apache Kafka of its own for the test, on a port and the ports from 50 above it.
func Kafka(t testing.TB, port string) *Process {
	t.Helper()
	script := filepath.Join(Root(), "bench/kafka.sh")
	out, err := exec.Command(script, "start", port).Output()
	if err != nil {
		t.Fatalf("start Kafka: %v", withStderr(err))
	}
	t.Cleanup(func() { _ = exec.Command(script, "stop", port).Run() })
	home, err := exec.Command(script, "home", port).Output()
	if err != nil {
		t.Fatal(withStderr(err))
	}
	first, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return &Process{
		Addr:       strings.TrimSpace(string(out)),
		Controller: fmt.Sprintf("127.0.0.1:%d", first+51),
		Data:       filepath.Join(strings.TrimSpace(string(home)), "data-1"),
		stop:       func() error { return withStderr(exec.Command(script, "term", port, "1").Run()) },
	}
}

// Tool runs one of Apache Kafka's command-line tools, by class, and returns what it prints.
func Tool(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	out, err := TryTool(stdin, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TryTool is Tool for a call that may fail.
func TryTool(stdin string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(Root(), "bench/kafka.sh"), append([]string{"tool"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	return string(out), withStderr(err)
}

// Run runs a command with input and returns what it prints.
func Run(t testing.TB, stdin string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), withStderr(err), out)
	}
	return string(out)
}

func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return err
}

// Cache returns a folder that is kept between runs, for what a suite installs.
func Cache(t testing.TB, name string) string {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base, "moldau-compat", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
