package crash

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

var (
	bootstrap    = flag.String("bootstrap", "", "a running broker to test instead of a Moldau of this tree")
	startCommand = flag.String("start", "", "shell command, run at the top of the repository, that starts that broker again and ends when it answers")
	killCommand  = flag.String("kill", "", "shell command that kills it")
)

// process is the broker: started, killed without warning, started again on the same address and data.
type process struct {
	addr   string
	exe    string
	data   string
	dirs   [2]string // instead, where the settings name them
	config string    // file of settings; may be empty
	cmd    *exec.Cmd
	runs   int
}

func newProcess(t *testing.T) *process {
	t.Helper()
	if *bootstrap != "" {
		return &process{addr: *bootstrap}
	}
	dir := t.TempDir()
	p := &process{exe: filepath.Join(dir, "moldau"), data: filepath.Join(dir, "data"), addr: "127.0.0.1:0"}
	build := exec.Command("go", "build", "-o", p.exe, "../../cmd/moldau")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build moldau: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

// configure gives the broker settings, from its next start on.
func (p *process) configure(t *testing.T, properties string) {
	t.Helper()
	if p.exe == "" {
		return
	}
	p.config = filepath.Join(filepath.Dir(p.data), "server.properties")
	if err := os.WriteFile(p.config, []byte(properties), 0o644); err != nil {
		t.Fatal(err)
	}
}

var address = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)

// start starts the broker and returns the time until it answered a request.
func (p *process) start(t *testing.T) time.Duration {
	t.Helper()
	p.runs++
	began := time.Now()
	switch {
	case p.exe != "":
		args := []string{"serve", "--listen", p.addr}
		if p.dirs[0] == "" {
			args = append(args, "--data", p.data)
		}
		if p.config != "" {
			args = append(args, "--config", p.config)
		}
		p.cmd = exec.Command(p.exe, args...)
		p.cmd.Stderr = os.Stderr
		out, err := p.cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Start(); err != nil {
			t.Fatalf("start moldau: %v", err)
		}
		lines := bufio.NewReader(out)
		line, _ := lines.ReadString('\n')
		if p.addr = address.FindString(line); p.addr == "" {
			t.Fatalf("moldau did not say its address but %q", line)
		}
		go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with the process
	case p.runs > 1:
		shell(t, *startCommand)
	}
	if err := answers(p.addr); err != nil {
		t.Fatalf("the broker does not answer: %v", err)
	}
	return time.Since(began)
}

// kill ends the broker as nothing can prevent.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if p.exe == "" {
		shell(t, *killCommand)
		return
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatalf("kill: %v", err)
	}
	_ = p.cmd.Wait() // says that it was killed
}

func shell(t *testing.T, command string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// answers makes one ApiVersions request.
func answers(addr string) error {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	// length, ApiVersions (18) version 0, correlation id 1, client id "c"
	if _, err := c.Write([]byte{0, 0, 0, 11, 0, 18, 0, 0, 0, 0, 0, 1, 0, 1, 'c'}); err != nil {
		return err
	}
	var head [10]byte // length, correlation id, error code
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if code := binary.BigEndian.Uint16(head[8:]); code != 0 {
		return fmt.Errorf("error code %d", code)
	}
	return nil
}
