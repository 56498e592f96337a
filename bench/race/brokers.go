package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// broker is one that a race compares, or a cluster of them. Those that were running before have no folder, and nothing to stop them with.
type broker struct {
	label, address string   // addresses of a cluster, comma-separated
	pids           string   // comma-separated, as loadgen wants them
	data           []string // where its log lies, or those of its nodes
	stop           func()
}

// The brokers of a race wait this long before they remove the files of a deleted topic: in the default minute a race
// would leave tens of gigabytes on the disk, which the system writes back under the next broker's run.
const deleteDelay = "log.segment.delete.delay.ms=200"

// launch runs a start command under loadgen, which prints the time to the first answer and the process.
func (r *race) launch(ctx context.Context, address string, command ...string) (ms float64, pid int, err error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, r.loadgen, append([]string{"start", "-bootstrap", address, "--"}, command...)...)
	log, err := os.CreateTemp(r.tmp, "start-*.log") // a file: the broker keeps what it inherits after loadgen has ended
	if err != nil {
		return 0, 0, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = &out, log
	if cmd.Env = os.Environ(); r.kafkaProperties != "" {
		cmd.Env = append(cmd.Env, "EXTRA_PROPERTIES="+r.kafkaProperties)
	}
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		said.Write(text)
		return 0, 0, fmt.Errorf("start %s: %w\n%s", command[0], err, said.String())
	}
	if _, err := fmt.Sscan(out.String(), &ms, &pid); err != nil {
		return 0, 0, fmt.Errorf("read what loadgen start printed, %q: %w", out.String(), err)
	}
	return ms, pid, nil
}

func alive(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := state[bytes.LastIndexByte(state, ')')+1:]
	return len(rest) < 2 || rest[1] != 'Z'
}

// end asks a process to end and waits for it.
func end(pid int) {
	if syscall.Kill(pid, syscall.SIGTERM) != nil {
		return
	}
	for until := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// startMoldau starts it several times on an empty directory and on one that was stopped cleanly, and leaves it running.
func (r *race) startMoldau(ctx context.Context) (*broker, start, error) {
	address := fmt.Sprintf("127.0.0.1:%d", r.port)
	config, data := filepath.Join(r.tmp, "moldau.properties"), filepath.Join(r.tmp, "moldau")
	s := start{Label: "moldau"}
	if err := os.WriteFile(config, []byte("log.durability="+r.durability+"\n"+deleteDelay+"\n"), 0o644); err != nil {
		return nil, s, err
	}
	pid := 0
	launch := func() (ms float64, err error) {
		ms, pid, err = r.launch(ctx, address, filepath.Join(r.tmp, "moldau.exe"), "serve", "--config", config, "--data", data, "--listen", address)
		return ms, err
	}
	for range r.starts {
		if err := os.RemoveAll(data); err != nil {
			return nil, s, err
		}
		for _, times := range []*[]float64{&s.EmptyMS, &s.AgainMS} {
			if pid != 0 {
				end(pid)
			}
			ms, err := launch()
			if err != nil {
				return nil, s, err
			}
			*times = append(*times, ms)
		}
		end(pid)
		pid = 0
	}
	if _, err := launch(); err != nil {
		return nil, s, err
	}
	return &broker{"moldau", address, strconv.Itoa(pid), []string{data}, func() { end(pid) }}, s, nil
}

// startKafka starts Kafka on a directory that is formatted first, and once more after a clean stop.
func (r *race) startKafka(ctx context.Context, label string, port int, properties string) (*broker, start, error) {
	script, address, text := filepath.Join(r.root, "bench/kafka.sh"), fmt.Sprintf("127.0.0.1:%d", port), strconv.Itoa(port)
	s := start{Label: label}
	r.kafkaProperties = strings.TrimSpace(deleteDelay + "\n" + properties)
	stop := func() { _ = exec.Command(script, "stop", text).Run() }
	ms, _, err := r.launch(ctx, address, script, "start", text)
	if err == nil {
		s.EmptyMS = []float64{ms}
		if _, err = output(ctx, script, "term", text, "1"); err == nil {
			ms, _, err = r.launch(ctx, address, script, "run", text, "1")
		}
	}
	if err != nil {
		stop()
		return nil, s, err
	}
	s.AgainMS = []float64{ms}
	pids, err := output(ctx, script, "pids", text)
	if err != nil {
		stop()
		return nil, s, err
	}
	home, err := output(ctx, script, "home", text)
	return &broker{label, address, pids, []string{filepath.Join(home, "data-1")}, stop}, s, err
}

// startNull starts a null broker.
func (r *race) startNull(label string, port int) (*broker, error) {
	flags := map[string][]string{"null": {"-mode", "null"}, "file": {"-mode", "file"}, "mem": {"-mode", "mem"}, "fsync": {"-mode", "file", "-fsync"}}[label]
	dir := filepath.Join(r.tmp, label)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(r.tmp, "nullbroker.exe"), append(flags, "-dir", dir, "-port", strconv.Itoa(port))...)
	cmd.Stderr = os.Stderr
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if n, err := said.Read(make([]byte, 100)); err != nil || n == 0 {
		return nil, errors.Join(fmt.Errorf("null broker %s said nothing: %w", label, err), cmd.Wait())
	}
	return &broker{label, fmt.Sprintf("127.0.0.1:%d", port), strconv.Itoa(cmd.Process.Pid), []string{dir}, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}}, nil
}

// idle measures what brokers that nobody asks for anything take, all at the same time.
func (r *race) idle(ctx context.Context, brokers []*broker, starts []start, length time.Duration) error {
	if err := wait(ctx, 2*time.Second); err != nil {
		return err
	}
	before := make([]float64, len(brokers))
	for i, b := range brokers {
		before[i] = cpuOf(b.pids)
	}
	began := time.Now()
	if err := wait(ctx, length); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	for i, b := range brokers {
		s := &starts[i]
		s.Kind, s.IdleSecs, s.IdleCPU = "start", digits(took), digits(100*(cpuOf(b.pids)-before[i])/took)
		for _, pid := range strings.Split(b.pids, ",") {
			s.IdleRSSMB += memoryOf(pid, "VmRSS:")
			tasks, err := os.ReadDir("/proc/" + pid + "/task")
			if err != nil {
				return err
			}
			s.Threads += len(tasks)
		}
		s.IdleRSSMB = digits(s.IdleRSSMB)
	}
	return nil
}

// settled waits until a broker has removed the files of its deleted topics, for some seconds at most, and has what is
// still to be written to the disk written: it would be written under the next run.
func settled(ctx context.Context, b *broker) error {
	left := func() (n int64) {
		for _, dir := range b.data {
			n += size(dir)
		}
		return n
	}
	for until := time.Now().Add(4 * time.Second); left() > int64(len(b.data))*100<<20 && time.Now().Before(until); {
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	syscall.Sync()
	return ctx.Err()
}

// size is what the files under a folder take on the disk.
func size(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go meanwhile
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				n += st.Blocks * 512
			}
		}
		return nil
	})
	return n
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// output runs a command and returns what it printed, without the line's end.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(string(text)), nil
}
