package broker

import (
	"bytes"
	"encoding/json"
	"flag"
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
	"time"
)

var (
	count     = flag.Int("brokers", fromEnvironment("COMPAT_BROKERS", 1), "how many brokers the Moldau of the suite has: of three or more each partition has three replicas, and acks=all means two of them at least")
	killEvery = flag.Duration("kill-every", 0, "kill one of the brokers, in turn, as often as this, and start it again: needs -brokers 3")
)

func fromEnvironment(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// Brokers is how many brokers the suite talks to. It is one where -bootstrap names what is tested, unless -brokers says otherwise.
func Brokers() int { return *count }

// Replicas is how many replicas the partitions of the suite's topics have.
func Replicas() int {
	if *count >= 3 {
		return 3
	}
	return 1
}

// away is for how long a broker is gone that was killed: longer than the silence after which the others take it for dead.
const away = 4 * time.Second

// Fleet is brokers of Moldau that form a cluster, each a process, that a suite has started with "moldau dev".
type Fleet struct {
	Addrs []string
	cmd   *exec.Cmd
	input io.Closer // whose end stops it
	ended chan struct{}

	mu      sync.Mutex
	pids    map[int]int // by broker
	notes   bytes.Buffer
	kills   int
	killing bool          // before any test runs
	quit    chan struct{} // of the killer
	done    sync.WaitGroup
}

// StartFleet starts brokers in a folder. Who starts them stops them.
func StartFleet(dir string, brokers int, settings ...string) (*Fleet, error) {
	exe, err := Command(dir)
	if err != nil {
		return nil, err
	}
	args := []string{"dev", "--brokers", strconv.Itoa(brokers), "--port", "0", "--data", filepath.Join(dir, "cluster"), "--restart-after", away.String(),
		"--format", "json", "--until-input-ends"}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	c := &Fleet{cmd: exec.Command(exe, args...), ended: make(chan struct{}), pids: map[int]int{}, quit: make(chan struct{})}
	c.cmd.Stderr = c
	endWithUs(c.cmd)
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		c.input, err = c.cmd.StdinPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start moldau dev: %w", err)
	}
	late := time.AfterFunc(2*time.Minute, func() { _ = c.cmd.Process.Kill() })
	var said struct {
		Brokers []struct {
			ID, PID int
			Address string
		}
	}
	err = json.NewDecoder(out).Decode(&said)
	late.Stop()
	if err != nil || len(said.Brokers) != brokers {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		return nil, fmt.Errorf("moldau dev did not say that it serves: %w\n%s", err, c.Notes())
	}
	c.mu.Lock()
	for _, b := range said.Brokers {
		c.Addrs = append(c.Addrs, b.Address)
		if c.pids[b.ID] == 0 { // what was started again since then is newer
			c.pids[b.ID] = b.PID
		}
	}
	c.mu.Unlock()
	go func() {
		defer close(c.ended)
		_, _ = io.Copy(io.Discard, out)
		_ = c.cmd.Wait()
	}()
	return c, nil
}

var startedAgain = regexp.MustCompile(`broker (\d+) is started again, pid (\d+)`)

// Write takes what "moldau dev" tells of brokers that end and come back.
func (c *Fleet) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes.Write(b)
	for _, m := range startedAgain.FindAllSubmatch(b, -1) {
		id, _ := strconv.Atoi(string(m[1]))
		c.pids[id], _ = strconv.Atoi(string(m[2]))
	}
	return len(b), nil
}

// Notes is what it has told.
func (c *Fleet) Notes() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.notes.String()
}

// Kills is how many brokers were killed so far.
func (c *Fleet) Kills() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kills
}

// Killing says whether brokers are killed.
func (c *Fleet) Killing() bool { return c.killing }

// KillEvery kills the brokers in turn, until the cluster stops.
func (c *Fleet) KillEvery(pause time.Duration) {
	c.killing = true
	c.done.Go(func() {
		for {
			select {
			case <-c.quit:
				return
			case <-time.After(pause):
			}
			c.mu.Lock()
			pid := c.pids[1+c.kills%len(c.Addrs)]
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				c.kills++
			}
			c.mu.Unlock()
		}
	})
}

// Stop ends the brokers cleanly.
func (c *Fleet) Stop() error {
	close(c.quit)
	c.done.Wait()
	_ = c.input.Close()
	select {
	case <-c.ended:
	case <-time.After(time.Minute):
		_ = c.cmd.Process.Kill()
		<-c.ended
		return fmt.Errorf("moldau dev did not end\n%s", c.Notes())
	}
	if !c.cmd.ProcessState.Success() {
		return fmt.Errorf("moldau dev ended: %s\n%s", c.cmd.ProcessState, c.Notes())
	}
	return nil
}

// shared is the fleet that Main has started, if it has.
var shared *Fleet

// TheFleet is what the suite talks to, and nil where it talks to one broker.
func TheFleet() *Fleet { return shared }

// Seeds are the addresses of all brokers of the suite, separated by commas.
func Seeds() string {
	if shared == nil {
		return Addr()
	}
	return strings.Join(shared.Addrs, ",")
}
