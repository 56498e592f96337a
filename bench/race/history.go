package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// A scenario with another log.durability than memory, or of three nodes, has that behind its name: it is compared with its own past alone.
const separator = ", "

// The history is a table of text with a line for each scenario of each race: date, commit, machine, scenario, rounds, the
// ratio of Moldau's rate (of its p50 where latency counts) to Kafka's, the ratio of their CPU per GB, and the seed.
const historyHead = "date\tcommit\tmachine\tscenario\trounds\tratio\tcpu ratio\tseed\n"

// remembered is a line of the history.
type remembered struct {
	date, commit, machine, scenario string
	rounds                          int
	ratio, cpuRatio                 float64
	seed                            string
}

const (
	memory    = 7   // so many last races are looked at
	leastPast = 3   // fewer say nothing: their median is chance
	worse     = 1.1 // a ratio so much worse than the median of the last is named
)

func (l remembered) String() string {
	return strings.Join([]string{l.date, l.commit, l.machine, l.scenario, strconv.Itoa(l.rounds), fmt.Sprintf("%.3f", l.ratio), fmt.Sprintf("%.3f", l.cpuRatio), l.seed}, "\t")
}

func parseHistory(text string) (lines []remembered, err error) {
	if text == "" {
		return nil, nil
	}
	body, ok := strings.CutPrefix(text, historyHead)
	if !ok {
		return nil, errors.New("the first line is not that of a history")
	}
	for line := range strings.Lines(body) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 8 {
			return nil, fmt.Errorf("a line with %d columns: %q", len(f), line)
		}
		l := remembered{date: f[0], commit: f[1], machine: f[2], scenario: f[3], seed: f[7]}
		var bad [3]error
		l.rounds, bad[0] = strconv.Atoi(f[4])
		l.ratio, bad[1] = strconv.ParseFloat(f[5], 64)
		l.cpuRatio, bad[2] = strconv.ParseFloat(f[6], 64)
		if err := errors.Join(bad[:]...); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// remember makes the lines of a race.
func (r *results) remember() (lines []remembered) {
	h := r.headers[0]
	for _, name := range r.scenarios() {
		s, err := find(name)
		if err != nil {
			continue
		}
		m := rate
		if s.unit == "us" {
			m = p50
		}
		q, c := r.compare(name, "moldau", "kafka", m), r.compare(name, "moldau", "kafka", cpu)
		if q.rounds > 0 {
			date, _, _ := strings.Cut(h.Date, " ")
			if d := h.Settings["log.durability"]; d != "" && d != "memory" {
				name += separator + d
			}
			if t, ok := findTable(h.Table); ok && t.cluster {
				name += separator + "three nodes"
			}
			lines = append(lines, remembered{date, h.Commit, h.Machine, name, q.rounds, q.value, c.value, strconv.FormatUint(h.Seed, 10)})
		}
	}
	return lines
}

// regressions compares the lines of a race with those before it on the same kind of machine, and says what got worse.
func regressions(past, now []remembered) (worseNow, unjudged []string) {
	for _, l := range now {
		var ratios, cpus []float64
		for i := len(past) - 1; i >= 0 && len(ratios) < memory; i-- {
			if past[i].scenario == l.scenario && past[i].machine == l.machine {
				ratios, cpus = append(ratios, past[i].ratio), append(cpus, past[i].cpuRatio)
			}
		}
		if len(ratios) < leastPast {
			unjudged = append(unjudged, fmt.Sprintf("%s (%d earlier races)", l.scenario, len(ratios)))
			continue
		}
		name, _, _ := strings.Cut(l.scenario, separator)
		s, err := find(name)
		smallerIsBetter := err == nil && s.unit == "us"
		before := median(ratios)
		if smallerIsBetter && l.ratio > before*worse || !smallerIsBetter && l.ratio < before/worse {
			worseNow = append(worseNow, fmt.Sprintf("%s: ratio to Kafka %s, median of the last %d races %s", l.scenario, two(l.ratio), len(ratios), two(before)))
		}
		if before := median(cpus); before > 0 && l.cpuRatio > before*worse {
			worseNow = append(worseNow, fmt.Sprintf("%s: ratio of CPU to Kafka's %s, median of the last %d races %s", l.scenario, two(l.cpuRatio), len(cpus), two(before)))
		}
	}
	return worseNow, unjudged
}

// historyCommand adds a race to the history and fails where it is worse than those before.
func historyCommand(w io.Writer, path string, r *results) error {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	past, err := parseHistory(string(text))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	now := r.remember()
	if len(now) == 0 {
		return errors.New("the results compare nothing with Kafka")
	}
	bad, unjudged := regressions(past, now)
	out := string(text)
	if out == "" {
		out = historyHead
	}
	for _, l := range now {
		out += l.String() + "\n"
	}
	if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
		return err
	}
	p := &printer{w: w}
	if len(unjudged) > 0 {
		p.line("too little history to judge: %s", strings.Join(unjudged, ", "))
	}
	for _, line := range bad {
		p.line("worse: %s", line)
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d ratios got a tenth worse", len(bad))
	}
	return p.err
}
