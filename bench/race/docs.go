package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A block of docs/performance.md between these lines is written from a results file; NAME is the file's name without ".jsonl".
const (
	blockBegin = "<!-- race NAME: written by `go run ./bench/race docs` from bench/results/NAME.jsonl -->"
	blockEnd   = "<!-- end of race NAME -->"
)

// races are those that the page shows.
var races = []struct{ file, command string }{
	{"memory", "bench/run --table memory"},
	{"disk", "bench/run --table disk"},
	{"cluster", "bench/run --table cluster"},
	{"cluster-memory", "bench/run --table cluster --durability memory"},
	{"rdkafka", "bench/run --driver rdkafka"},
	{"java", "bench/run --driver java"},
}

// pages makes the documents that follow from the results under root, by path: docs/performance.md and the charts.
func pages(root string) (map[string]string, error) {
	path := filepath.Join(root, "docs/performance.md")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	page, out := string(text), map[string]string{}
	var all []*results
	for _, name := range races {
		file := filepath.Join(root, "bench/results", name.file+".jsonl")
		text := fmt.Sprintf("Not measured yet: `%s --out bench/results/%s.jsonl`.\n\n", name.command, name.file)
		if _, missing := os.Stat(file); missing == nil {
			r, err := readAll([]string{file})
			if err != nil {
				return nil, err
			}
			all, text = append(all, r), block(name.file, r)
			out[filepath.Join(root, "docs", "race-"+name.file+".svg")] = chart(r)
		}
		if page, err = replaceBlock(page, name.file, text); err != nil {
			return nil, err
		}
	}
	out[filepath.Join(root, "docs", "race-latency.svg")] = latencies(all)
	out[path] = page
	return out, nil
}

func writeDocs(root string) error {
	out, err := pages(root)
	if err != nil {
		return err
	}
	for path, text := range out {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func replaceBlock(page, name, text string) (string, error) {
	begin, end := strings.ReplaceAll(blockBegin, "NAME", name), strings.ReplaceAll(blockEnd, "NAME", name)
	before, rest, ok := strings.Cut(page, begin+"\n")
	if !ok {
		return "", fmt.Errorf("docs/performance.md has no line %s", begin)
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("docs/performance.md has no line %s", end)
	}
	return before + begin + "\n" + text + end + after, nil
}

// block is all that is written of one race.
func block(name string, r *results) string {
	w := &strings.Builder{}
	for _, h := range r.headers {
		fmt.Fprintf(w, "Commit %s, %s UTC, %s; %s. `%s`: %s; rounds: %s, seed %d.\n", h.Commit, h.Date, h.Machine, pairs(h.Versions), h.Command, pairs(h.Settings), rounds(r), h.Seed)
	}
	fmt.Fprintf(w, "Others took at most %.0f %% of the processor in a run (median %.0f %%).\n\n![%s](race-%s.svg)\n\n", worst(r), others(r), title(r), name)
	raceTable(w, r)
	if len(targets[r.headers[0].Table]) > 0 {
		targetTable(w, r)
	}
	if s := sentence(r); s != "" {
		fmt.Fprintf(w, "%s\n\n", s)
	}
	startTable(w, r)
	return w.String()
}

func title(r *results) string {
	if t, ok := findTable(r.headers[0].Table); ok {
		return t.title
	}
	h := r.headers[0]
	return fmt.Sprintf("%s, acks=%s, log.durability=%s", h.Driver, h.Settings["acks"], h.Settings["log.durability"])
}

// rounds says how often each scenario was measured: a race that was stopped has one round less of some.
func rounds(r *results) string {
	var least, most int
	for _, name := range r.scenarios() {
		for _, label := range r.labels(name) {
			n := len(r.of(name, label))
			if least == 0 || n < least {
				least = n
			}
			most = max(most, n)
		}
	}
	if least == most {
		return fmt.Sprint(most)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

func others(r *results) float64 {
	var v []float64
	for _, x := range r.runs {
		v = append(v, x.OthersCPU)
	}
	return median(v)
}

func worst(r *results) (v float64) {
	for _, x := range r.runs {
		v = max(v, x.OthersCPU)
	}
	return v
}

var names = map[string]string{"kafka": "Kafka", "kafka-synced": "Kafka, synced", "moldau": "Moldau", "fsync": "null broker, synced", "file": "null broker, file", "null": "null broker, drops", "mem": "null broker, memory"}

// raceTable has a row a scenario and a column a broker; a ratio is that of medians, with the least and greatest of a round.
func raceTable(w *strings.Builder, r *results) {
	t, _ := findTable(r.headers[0].Table)
	labels := r.labels("")
	fmt.Fprint(w, "| scenario |")
	for _, l := range labels {
		fmt.Fprintf(w, " %s |", names[l])
	}
	fmt.Fprint(w, " Moldau / Kafka |")
	if slices.Contains(labels, "kafka-synced") {
		fmt.Fprint(w, " Moldau / Kafka, synced |")
	}
	fmt.Fprint(w, " broker CPU s/GB: Kafka | Moldau | ratio |")
	if len(t.bars) > 0 {
		fmt.Fprint(w, " asked | |")
	}
	fmt.Fprintf(w, "\n|%s\n", strings.Repeat(" --- |", strings.Count(lastLine(w.String()), "|")-1))
	for _, name := range r.scenarios() {
		s, err := find(name)
		if err != nil {
			continue
		}
		fmt.Fprintf(w, "| %s |", name)
		for _, l := range labels {
			fmt.Fprintf(w, " %s |", s.figure(r.of(name, l)))
		}
		fmt.Fprintf(w, " %s |", s.ratios(r, "kafka"))
		if slices.Contains(labels, "kafka-synced") {
			fmt.Fprintf(w, " %s |", s.ratios(r, "kafka-synced"))
		}
		fmt.Fprintf(w, " %s | %s | %s |", cost(median(values(r.of(name, "kafka"), cpu))), cost(median(values(r.of(name, "moldau"), cpu))), r.compare(name, "moldau", "kafka", cpu))
		if len(t.bars) > 0 {
			asked, word := bars(r, t, name)
			fmt.Fprintf(w, " %s | %s |", asked, word)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
}

// cost is seconds of CPU for a GB.
func cost(v float64) string {
	if v >= 100 {
		return grouped(v)
	}
	return fmt.Sprintf("%.3g", v)
}

func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

func (s scenario) ratios(r *results, base string) string {
	if s.unit != "us" {
		return r.compare(s.name, "moldau", base, rate).String()
	}
	a, b := r.compare(s.name, "moldau", base, p50), r.compare(s.name, "moldau", base, p99)
	if a.rounds == 0 || s.driver == "java" {
		return a.String()
	}
	return "p50 " + a.String() + ", p99 " + b.String()
}

// bars is what a table asks of a scenario, and whether all of it is met, or what is not.
func bars(r *results, t table, name string) (asked, word string) {
	var all, missed []string
	known := true
	for _, b := range t.bars {
		if b.scenario != name {
			continue
		}
		v := r.judge(b)
		text := strings.TrimSuffix(v.bar, " x kafka")
		all = append(all, text)
		known = known && v.known
		if v.known && !v.met {
			missed = append(missed, string(b.metric))
		}
	}
	switch {
	case len(all) == 0:
		return "", ""
	case len(missed) > 0:
		word = "**NOT met: " + strings.Join(missed, ", ") + "**"
	case !known:
		word = "not measured"
	default:
		word = "met"
	}
	return strings.Join(all, "; "), word
}

func targetTable(w *strings.Builder, r *results) {
	fmt.Fprint(w, "What the null brokers set as targets (they do nothing but receive and drop, keep, write, or write and sync):\n\n| target | scenario | asked | measured | |\n| --- | --- | --- | --- | --- |\n")
	for _, of := range targets[r.headers[0].Table] {
		v := r.judgeTarget(of)
		word := v.word()
		if v.known && !v.met {
			word = "**" + word + "**"
		}
		fmt.Fprintf(w, "| %d | %s | %s | %s | %s |\n", v.number, v.scenario, v.bar, v.measured, word)
	}
	fmt.Fprintln(w)
}

func startTable(w *strings.Builder, r *results) {
	if len(r.starts) == 0 {
		return
	}
	fmt.Fprint(w, "| | start on an empty directory | start again after a clean stop | idle RSS | idle CPU | threads | RSS under this load, at most |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, label := range r.labels("") {
		if s, ok := r.start(label); ok {
			fmt.Fprintf(w, "| %s | %s ms | %s ms | %.1f MB | %.2f %% of a core in %.0f s | %d | %.0f MB |\n", names[label], spread(s.EmptyMS), spread(s.AgainMS), s.IdleRSSMB, s.IdleCPU, s.IdleSecs, s.Threads, r.peakRSS(label))
		}
	}
	fmt.Fprintln(w)
}

// chart draws the scenarios in which a rate counts.
func chart(r *results) string {
	t, _ := findTable(r.headers[0].Table)
	synced := slices.Contains(r.labels(""), "kafka-synced")
	var rates, cpus []ratioRow
	for _, name := range r.scenarios() {
		s, err := find(name)
		if err != nil || s.unit == "us" {
			continue
		}
		row, spent := ratioRow{name: name}, ratioRow{name: name}
		row.marks = []mark{{r.compare(name, "moldau", "kafka", rate), dark}}
		spent.marks = []mark{{r.compare(name, "moldau", "kafka", cpu), dark}}
		if synced {
			row.marks = append(row.marks, mark{r.compare(name, "kafka-synced", "kafka", rate), hatched})
			spent.marks = append(spent.marks, mark{r.compare(name, "kafka-synced", "kafka", cpu), hatched})
		}
		for _, b := range t.bars {
			if b.scenario == name && b.against == "kafka" {
				switch b.metric {
				case rate:
					row.asked = b.times
				case cpu:
					spent.asked = b.times
				}
			}
		}
		rates, cpus = append(rates, row), append(cpus, spent)
	}
	legend := "grey: Moldau; dashed: Kafka; thin line: least and greatest of a round"
	if synced {
		legend = "grey: Moldau; hatched: Kafka that syncs; dashed: Kafka that never does; thin line: least and greatest of a round"
	}
	if len(t.bars) > 0 {
		legend += "; thick mark: asked"
	}
	return ratioChart(title(r), legend, rates, cpus)
}

// latencies draws what counts in latency, from all races.
func latencies(all []*results) string {
	var rows []latencyRow
	for _, r := range all {
		h, where := r.headers[0], ""
		if t, ok := findTable(h.Table); ok && t.cluster {
			where = ", three nodes"
		}
		for _, name := range r.scenarios() {
			if s, err := find(name); err != nil || s.unit != "us" || s.driver == "java" {
				continue
			}
			for _, label := range r.labels(name) {
				if fill := map[string]string{"kafka": "white", "kafka-synced": hatched, "moldau": dark}[label]; fill != "" {
					runs := r.of(name, label)
					rows = append(rows, latencyRow{name + ", " + h.Settings["log.durability"] + where, names[label], median(values(runs, p50)), median(values(runs, p99)), fill})
				}
			}
		}
	}
	if len(rows) == 0 {
		return latencyChart("no latency was measured", []latencyRow{{p50: 1, p99: 10, fill: "white"}})
	}
	return latencyChart("Latency from when a record was due until it was consumed", rows)
}
