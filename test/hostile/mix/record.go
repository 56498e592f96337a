package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What a broker's memory is made of shows only while it grows: so a line is noted every few seconds, and profiles of the heap and of the
// goroutines are kept every half minute, from before the first attacker to after the last one, not only at the end of a measurement.
const (
	noteEvery = 2 * time.Second
	keepEvery = 30 * time.Second
)

// The columns of memory.tsv, in MiB but for the last ones, which are numbers: what Linux says of the process, what the runtime says
// (runtime.MemStats, which stands under a heap profile of the form for people), and metrics of the broker, summed over their labels.
var (
	ofLinux   = []string{"VmRSS", "RssAnon", "RssFile", "RssShmem"}
	ofRuntime = []string{"HeapInuse", "HeapIdle", "HeapReleased", "HeapAlloc", "NextGC", "Stack", "GCSys", "OtherSys"}
	ofBroker  = []string{"go_memory_bytes", "go_memory_limit_bytes", "moldau_state_memory_bytes", "moldau_request_memory_bytes", "moldau_response_queue_bytes"}
	counted   = []string{"moldau_request_memory_waiting", "moldau_connections", "moldau_partitions", "moldau_groups", "go_goroutines", "go_gc_cycles_total"}
)

// record keeps all of that in the folder of the profiles, if there is one, until it is ended.
func (p *process) record() (end func()) {
	if *keep == "" || p.admin == "" {
		return func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.recordUntil(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "mix: record the memory:", err)
		}
	}()
	return func() { stop(); <-done }
}

func (p *process) recordUntil(ctx context.Context) error {
	f, err := os.Create(filepath.Join(*keep, "memory.tsv"))
	if err != nil {
		return err
	}
	defer f.Close()
	columns := []string{"second", "phase"}
	for _, names := range [][]string{ofLinux, ofRuntime, ofBroker, counted} {
		columns = append(columns, names...)
	}
	fmt.Fprintln(f, strings.Join(columns, "\t"))
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for began, kept := time.Now(), time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		line, err := p.noted()
		if err != nil {
			return err
		}
		at := time.Since(began)
		fmt.Fprintf(f, "%.0f\t%s\t%s\n", at.Seconds(), p.phase.Load(), line)
		if at-kept < keepEvery {
			continue
		}
		kept = at
		for what, kind := range map[string]string{"heap": "heap", "goroutine?debug=1": "goroutines"} {
			if err := p.fetch(what, fmt.Sprintf("%04.0f.%s", at.Seconds(), kind)); err != nil {
				return err
			}
		}
	}
}

// noted is a line of figures.
func (p *process) noted() (string, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return "", err
	}
	var stats, text bytes.Buffer
	if err := p.get("/debug/pprof/heap?debug=1", &stats); err != nil {
		return "", err
	}
	if err := p.get("/metrics", &text); err != nil {
		return "", err
	}
	var line []string
	add := func(value float64) { line = append(line, strconv.FormatFloat(value, 'f', 0, 64)) }
	for _, name := range ofLinux {
		add(numberAfter(status, `(?m)^`+name+`:\s+`) / 1024)
	}
	for _, name := range ofRuntime {
		add(numberAfter(stats.Bytes(), `(?m)^# `+name+` = `) / (1 << 20))
	}
	for _, name := range ofBroker {
		add(metric(text.Bytes(), name) / (1 << 20))
	}
	for _, name := range counted {
		add(metric(text.Bytes(), name))
	}
	return strings.Join(line, "\t"), nil
}

// numberAfter is the number behind what a pattern finds first, 0 without it.
func numberAfter(text []byte, pattern string) float64 {
	m := regexp.MustCompile(pattern + `([0-9]+)`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(string(m[1]), 64)
	return n
}

// metric is the sum of a metric's values over its labels.
func metric(text []byte, name string) (sum float64) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		n, _ := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		sum += n
	}
	return sum
}

// pages fetches from the broker's page for admins. A processor profile takes as long as it is asked to.
var pages = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 15 * time.Minute}

// get writes what the broker's page for admins has under a path.
func (p *process) get(path string, to io.Writer) error {
	resp, err := pages.Get("http://" + p.admin + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(to, resp.Body)
	return err
}
