package crash

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
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
	home   string
	dirs   []string // of data
	config string   // file of settings
	log    *os.File
	cmd    *exec.Cmd
	runs   int
	random *rand.Rand

	cut   bool    // a kill cuts the power
	disks []*disk // of the directories, then
}

// newProcess makes a broker that is alone, with so many data directories, each on a disk of its own where the power is to be cut.
func newProcess(t *testing.T, dirs int) *process {
	t.Helper()
	if *bootstrap != "" {
		return &process{addr: *bootstrap}
	}
	return newNode(t, built(t), "127.0.0.1:0", dirs)
}

// built is moldau's program, built from this tree.
func built(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "moldau")
	build := exec.Command("go", "build", "-o", exe, "../../cmd/moldau")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build moldau: %v\n%s", err, out)
	}
	return exe
}

// newNode makes a broker that listens on an address, or, where that is empty, where its settings say.
func newNode(t *testing.T, exe, addr string, dirs int) *process {
	t.Helper()
	p := &process{exe: exe, home: t.TempDir(), addr: addr, random: rand.New(rand.NewSource(*seed)), cut: *power}
	for i := range dirs {
		dir := filepath.Join(p.home, fmt.Sprintf("disk-%d", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if p.cut {
			p.disks = append(p.disks, newDisk(t, dir))
		}
		p.dirs = append(p.dirs, filepath.Join(dir, "data"))
	}
	p.config = filepath.Join(p.home, "server.properties")
	p.configure(t, "")
	var err error
	if p.log, err = os.OpenFile(filepath.Join(p.home, "moldau.log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.end()
		}
		if t.Failed() {
			p.warnings(t)
		}
		p.log.Close()
	})
	return p
}

// configure gives the broker settings, from its next start on.
func (p *process) configure(t *testing.T, properties string) {
	t.Helper()
	if p.exe == "" {
		return
	}
	properties += "log.dirs=" + strings.Join(p.dirs, ",") + "\n"
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
		p.cmd = p.command()
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
	took := time.Since(began)
	if *bound > 0 && took > *bound {
		t.Errorf("the start took %v, more than %v", took, *bound)
	}
	return took
}

func (p *process) command() *exec.Cmd {
	cmd := exec.Command(p.exe, "serve", "--config", p.config)
	if p.addr != "" {
		cmd.Args = append(cmd.Args, "--listen", p.addr)
	}
	cmd.Stderr = p.log
	return cmd
}

// warnings prints what the broker complained of last.
func (p *process) warnings(t *testing.T) {
	b, err := os.ReadFile(p.log.Name())
	if err != nil {
		t.Log(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(b), "\n"), func(line string) bool { return strings.Contains(line, " level=INFO ") })
	t.Logf("the broker said last:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

// kill ends the broker as nothing can prevent.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if p.exe == "" {
		shell(t, *killCommand)
		return
	}
	// Half the cuts find the broker stopped: all its disks lose power before it does anything more. The others let it run on for a
	// moment on disks that fail one by one.
	if p.cut && p.random.Intn(2) == 0 {
		if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatalf("stop: %v", err)
		}
	}
	for _, d := range p.disks {
		if err := d.cut(); err != nil {
			t.Fatal(err)
		}
	}
	p.end()
	for _, d := range p.disks {
		d.replug(t)
	}
}

func (p *process) end() {
	_ = p.cmd.Process.Kill() // it may have ended by itself, when its disks failed
	_ = p.cmd.Wait()         // says that it was killed
}

// startAndKill kills the broker while it starts.
func (p *process) startAndKill(t *testing.T, after time.Duration) {
	t.Helper()
	if p.exe == "" {
		return
	}
	p.cmd = p.command()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start moldau: %v", err)
	}
	<-time.After(after)
	p.kill(t)
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
