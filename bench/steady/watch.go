package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/bench/node"
)

// watch prints a line a minute of what a broker under load takes, and judges the whole.
type watch struct {
	broker *node.Broker
	cold   *coldReader
	before map[string]float64
	read   int64 // from the disk by the broker, before
	now    atomic.Pointer[hist]
	rss    atomic.Int64 // the most
	stop   context.CancelFunc
	done   sync.WaitGroup
}

func newWatch(ctx context.Context, b *node.Broker, cold *coldReader) (*watch, error) {
	w := &watch{broker: b, cold: cold}
	var err error
	if w.before, err = b.Metrics(ctx); err != nil {
		return nil, err
	}
	if w.read, err = b.DiskRead(); err != nil {
		return nil, err
	}
	w.now.Store(new(hist))
	ctx, w.stop = context.WithCancel(ctx)
	w.done.Go(func() { w.loop(ctx) })
	return w, nil
}

// request is told how long one took.
func (w *watch) request(d time.Duration) { w.now.Load().add(d) }

func (w *watch) loop(ctx context.Context) {
	begin := time.Now()
	for i := 1; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(begin.Add(time.Duration(i) * time.Second))):
		}
		u, err := w.broker.Use()
		if err != nil {
			continue // it has ended, which others tell
		}
		w.rss.Store(max(w.rss.Load(), u.RSS))
		if i%60 == 0 {
			h := w.now.Swap(new(hist))
			fmt.Printf("  minute %2d: %v; RSS %.0f MB; cold %.0f MB so far\n", i/60, h, float64(u.RSS)/1e6, float64(w.cold.bytes.Load())/1e6)
		}
	}
}

// end stops watching, prints what went on, and says what is not as it should be.
func (w *watch) end() (verdict, err error) {
	w.stop()
	w.done.Wait()
	after, err := w.broker.Metrics(context.Background())
	if err != nil {
		return nil, err
	}
	read, err := w.broker.DiskRead()
	if err != nil {
		return nil, err
	}
	grown := func(name string) float64 { return after[name] - w.before[name] }
	gc := grown("go_gc_cpu_seconds_total") / grown("process_cpu_seconds_total")
	deleted, passes := grown("moldau_retention_deleted_segments_total"), grown("moldau_cleaner_passes_total")
	fmt.Printf("beside it: %.0f segments deleted by retention, %.0f passes of compaction over %.0f MB, %.0f MB of cold data read in %d passes, %.0f MB of it from the disk\n",
		deleted, passes, grown("moldau_cleaner_read_bytes_total")/1e6, float64(w.cold.bytes.Load())/1e6, w.cold.passes.Load(), float64(read-w.read)/1e6)
	fmt.Printf("syncs beside it: %s\n", syncs(w.before, after))
	fmt.Printf("broker: collector %.2f %% of its CPU (%.0f %% at most), RSS %.0f MB at most\n", 100*gc, 100*gcShare, float64(w.rss.Load())/1e6)
	if gc > gcShare {
		verdict = errors.Join(verdict, fmt.Errorf("the collector takes %.1f %% of the broker's CPU", 100*gc))
	}
	for what, none := range map[string]bool{"retention has deleted nothing": deleted == 0, "compaction has not run": passes == 0,
		"cold data was not read from the disk": read-w.read < w.cold.bytes.Load()/2} {
		if none {
			verdict = errors.Join(verdict, errors.New(what))
		}
	}
	return verdict, nil
}

// syncs says how many syncs the broker waited for between two looks at its metrics, and how long one took.
func syncs(before, after map[string]float64) string {
	of := func(name string) string {
		n := after[name+"_count"] - before[name+"_count"]
		mean := 0.0
		if n > 0 {
			mean = 1e3 * (after[name+"_sum"] - before[name+"_sum"]) / n
		}
		return fmt.Sprintf("%.0f of %.2f ms", n, mean)
	}
	return "commits of the journal: " + of("moldau_journal_commit_duration_seconds") + ", syncs of segments: " + of("moldau_segment_sync_duration_seconds")
}

const (
	restBytes = 64 << 20 // that wait to be written
	restMax   = 30 * time.Second
)

// atRest waits until hardly anything waits to be written to any disk of this machine, or says that others do not let it come to that.
func atRest(ctx context.Context) error {
	for end := time.Now().Add(restMax); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
		dirty, err := dirtyBytes()
		if err != nil {
			return err
		}
		if dirty < restBytes {
			return nil
		}
	}
	if ctx.Err() == nil {
		fmt.Printf("the disk does not come to rest within %v: something else writes, and what follows is to be read with care\n", restMax)
	}
	return ctx.Err()
}

func dirtyBytes() (n int64, err error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if name == "Dirty" || name == "Writeback" {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read /proc/meminfo: %w", err)
			}
			n += kb << 10
		}
	}
	return n, lines.Err()
}
