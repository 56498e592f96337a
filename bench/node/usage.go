package node

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process takes of the machine, as Linux counts it.
type Usage struct {
	CPU         time.Duration // of all threads that there are; what ended ones took is not in it
	RSS         int64         // bytes in RAM
	Threads     int
	Descriptors int
}

// Use reads what the broker takes at the moment.
func (b *Broker) Use() (Usage, error) { return use(b.PID) }

// Use reads what the process of a broker takes at the moment.
func (c *Cluster) Use(i int) (Usage, error) { return use(c.pids[i]) }

func use(pid int) (Usage, error) {
	root := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(root, "status"))
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			u.RSS = n << 10
		}
	}
	threads, err := os.ReadDir(filepath.Join(root, "task"))
	if err != nil {
		return Usage{}, err
	}
	u.Threads = len(threads)
	for _, t := range threads {
		line, err := os.ReadFile(filepath.Join(root, "task", t.Name(), "schedstat"))
		if err != nil {
			continue // the thread has just ended
		}
		var ran int64
		if _, err := fmt.Sscan(string(line), &ran); err != nil {
			return Usage{}, fmt.Errorf("read schedstat: %w", err)
		}
		u.CPU += time.Duration(ran)
	}
	files, err := os.ReadDir(filepath.Join(root, "fd"))
	if err != nil {
		return Usage{}, err
	}
	u.Descriptors = len(files)
	return u, nil
}

// Metrics asks the broker for its metrics and returns the sums of each over its labels.
func (b *Broker) Metrics(ctx context.Context) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.Admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for metrics: %s", resp.Status)
	}
	sums := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		if end < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[end+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("read metric %q: %w", line, err)
		}
		name, _, _ := strings.Cut(line[:end], "{")
		sums[name] += v
	}
	return sums, lines.Err()
}

// DiskRead returns how many bytes the broker has read from disks so far: what was not in the page cache.
func (b *Broker) DiskRead() (n int64, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(b.PID), "io"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "read_bytes: "); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("process %d does not tell what it reads", b.PID)
}
