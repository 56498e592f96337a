package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// process is the broker: the program of this tree with its defaults, or one that runs already.
type process struct {
	addr  string
	admin string // of its metrics; "" if it has none
	pid   int
	cmd   *exec.Cmd
	dir   string
	lines atomic.Int64 // that it has logged
	phase atomic.Value // a string: what is being done to it
}

// properties are what differs from the defaults: old segments go every few seconds, because minutes of records at full speed do not fit on
// every disk, and idle connections after a minute: of one whose requests wait for ever, and who went away with more unread, that is all that ends it.
// The memory is what docs/operations.md says of these settings: requests have the least that there is, 256 MiB, and 1.5 x 96 and 112 are added.
const (
	properties = "log.retention.check.interval.ms=5000\nconnections.max.idle.ms=60000\nstate.memory.max.bytes=100663296\n"
	budgetMiB  = 256 + 144 + 112
)

func startBroker() (_ *process, err error) {
	if *address != "" {
		return &process{addr: *address, pid: *pid}, nil
	}
	p := &process{}
	p.phase.Store("start")
	if p.dir, err = os.MkdirTemp("", "moldau-mix-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(p.dir)
		}
	}()
	exe, config := filepath.Join(p.dir, "moldau"), filepath.Join(p.dir, "server.properties")
	if out, err := exec.Command("go", "build", "-o", exe, "./cmd/moldau").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build moldau: %w\n%s", err, out)
	}
	if err := os.WriteFile(config, []byte(properties+"log.durability="+*durability+"\n"), 0o644); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.admin = l.Addr().String()
	l.Close()
	p.cmd = exec.Command(exe, "serve", "--config", config, "--data", filepath.Join(p.dir, "data"), "--listen", "127.0.0.1:0", "--admin", p.admin)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.pid = p.cmd.Process.Pid
	go func() { // what it logs is counted, and shown where that is asked for
		for lines := bufio.NewReader(said); ; p.lines.Add(1) {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if *verbose {
				fmt.Fprintf(os.Stderr, "%.300s\n", strings.TrimSuffix(line, "\n"))
			}
		}
	}()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if p.addr = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`).FindString(line); p.addr == "" {
		p.stop()
		return nil, fmt.Errorf("moldau said %q: %w", line, errors.Join(err, errors.New("no address")))
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return p, nil
}

func (p *process) stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			fmt.Fprintln(os.Stderr, "mix: the broker ended with", err)
		}
	case <-time.After(time.Minute):
		fmt.Fprintln(os.Stderr, "mix: the broker does not end")
		_ = p.cmd.Process.Kill()
		<-ended
	}
	os.RemoveAll(p.dir)
}

// holding is what the process has for itself.
type holding struct {
	files, goroutines int
	rss               int64
}

func (h holding) String() string {
	return fmt.Sprintf("%d descriptors, %d goroutines, RSS %d MiB", h.files, h.goroutines, h.rss>>20)
}

// within says that no more is held than before, but for what a few connections and files of the honest clients come and go with.
func (h holding) within(before holding) bool {
	return h.files <= before.files+40 && h.goroutines <= before.goroutines+20
}

func (p *process) holds() (h holding) {
	if p.pid == 0 {
		return h
	}
	if entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid)); err == nil {
		h.files = len(entries)
	}
	h.rss = p.resident()
	if p.admin == "" {
		return h
	}
	var text bytes.Buffer
	if err := p.get("/metrics", &text); err != nil {
		return h
	}
	h.goroutines = int(metric(text.Bytes(), "go_goroutines"))
	if *verbose {
		for line := range bytes.Lines(text.Bytes()) {
			if bytes.HasPrefix(line, []byte("moldau_request_memory")) || bytes.HasPrefix(line, []byte("go_")) || bytes.HasPrefix(line, []byte("moldau_connections")) ||
				bytes.HasPrefix(line, []byte("moldau_partitions ")) || bytes.HasPrefix(line, []byte("moldau_groups")) || bytes.HasPrefix(line, []byte("moldau_response")) {
				fmt.Printf("  %s", line)
			}
		}
	}
	return h
}

// used is the processor time that a process took since its start. The kernel counts it in hundredths of a second.
func used(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the third on
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100)
}

// profile fetches a processor profile of a while from now, a minute at most, and then one of the heap, if they are wanted. The result waits for them.
func (p *process) profile(name string, d time.Duration) (wait func() error) {
	if *keep == "" || p.admin == "" {
		return func() error { return nil }
	}
	ended := make(chan error, 1)
	go func() {
		ended <- errors.Join(p.fetch(fmt.Sprintf("profile?seconds=%d", min(60, max(1, int(d.Seconds())-2))), name+".cpu"), p.fetch("heap", name+".heap"))
	}()
	return func() error { return <-ended }
}

func (p *process) fetch(what, name string) error {
	f, err := os.Create(filepath.Join(*keep, name))
	if err != nil {
		return err
	}
	return errors.Join(p.get("/debug/pprof/"+what, f), f.Close())
}

func (p *process) resident() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0
	}
	m := regexp.MustCompile(`(?m)^VmRSS:\s+([0-9]+) kB`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10
}

// watcher looks at the memory of the process four times a second.
type watcher struct {
	highest atomic.Int64
	stop    chan struct{}
	done    sync.WaitGroup
}

func (p *process) watch() *watcher {
	w := &watcher{stop: make(chan struct{})}
	w.done.Go(func() {
		tick := time.NewTicker(time.Second / 4)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				if rss := p.resident(); rss > w.highest.Load() {
					w.highest.Store(rss)
				}
			}
		}
	})
	return w
}

func (w *watcher) reset()      { w.highest.Store(0) }
func (w *watcher) most() int64 { return w.highest.Load() }
func (w *watcher) end()        { close(w.stop); w.done.Wait() }
