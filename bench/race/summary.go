package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// summarize prints what was measured, and what follows from it.
func summarize(w io.Writer, r *results) error {
	p := &printer{w: w}
	for _, h := range r.headers {
		p.line("%s", h.Command)
		p.line("commit %s, %s UTC, %s, seed %d", h.Commit, h.Date, h.Machine, h.Seed)
		p.line("%s; %s", pairs(h.Versions), pairs(h.Settings))
	}
	p.starts(r)
	base := "kafka"
	if labels := r.labels(""); !slices.Contains(labels, base) {
		base = labels[0]
	}
	p.line("\n%-24s %-13s %4s  %-22s %-22s %-22s %9s %-22s %9s %7s %6s %7s", "scenario", "broker", "runs", "figure", "ratio (rate or p50)", "ratio of p99", "CPU s/GB", "ratio", "RSS max", "cli CPU", "errors", "others%")
	for _, name := range r.scenarios() {
		s, err := find(name)
		if err != nil {
			return err
		}
		for _, label := range r.labels(name) {
			p.row(r, s, label, base)
		}
	}
	p.verdicts(r)
	return p.err
}

func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+" "+m[k])
	}
	return strings.Join(out, ", ")
}

// printer keeps the first error of its writer.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format+"\n", args...); p.err == nil {
		p.err = err
	}
}

func (p *printer) starts(r *results) {
	if len(r.starts) == 0 {
		return
	}
	p.line("\n%-13s %22s %22s %14s %22s %10s %22s", "broker", "start, empty dir, ms", "start, again, ms", "idle RSS, MB", "idle CPU, % of a core", "threads", "RSS max under load, MB")
	for _, label := range r.labels("") {
		if s, ok := r.start(label); ok {
			p.line("%-13s %22s %22s %14.1f %22s %10d %22.0f", label, spread(s.EmptyMS), spread(s.AgainMS), s.IdleRSSMB, fmt.Sprintf("%.2f in %.0f s", s.IdleCPU, s.IdleSecs), s.Threads, r.peakRSS(label))
		}
	}
}

// spread is a median with the least and the greatest.
func spread(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	if len(v) == 1 {
		return fmt.Sprintf("%.4g", v[0])
	}
	return fmt.Sprintf("%.4g (%.4g..%.4g)", median(v), slices.Min(v), slices.Max(v))
}

func (p *printer) row(r *results, s scenario, label, base string) {
	runs := r.of(s.name, label)
	var errors int64
	var others, rss float64
	var client []float64
	for _, x := range runs {
		errors, others, rss, client = errors+x.Errors, max(others, x.OthersCPU), max(rss, x.BrokerPeakRSSMB), append(client, x.ClientCPUPerGB)
	}
	main := rate
	if s.unit == "us" {
		main = p50
	}
	ratios := [3]string{}
	if label != base {
		ratios = [3]string{r.compare(s.name, label, base, main).String(), "", r.compare(s.name, label, base, cpu).String()}
		if s.unit == "us" {
			ratios[1] = r.compare(s.name, label, base, p99).String()
		}
	}
	p.line("%-24s %-13s %4d  %-22s %-22s %-22s %9.3g %-22s %9.0f %7.3g %6d %7.1f", s.name, label, len(runs), s.figure(runs), ratios[0], ratios[1], median(values(runs, cpu)), ratios[2], rss, median(client), errors, others)
}

// verdicts prints the bars of the race's table, a row each, and the targets of the null brokers.
func (p *printer) verdicts(r *results) {
	t, ok := findTable(r.headers[0].Table)
	if !ok {
		return
	}
	p.line("\n%-24s %-28s %-28s %s", "bar", "asked", "measured (runs from..to)", "")
	missed := 0
	for _, b := range t.bars {
		v := r.judge(b)
		p.line("%-24s %-28s %-28s %s", v.scenario, v.bar, v.measured, v.word())
		if v.known && !v.met {
			missed++
		}
	}
	if len(targets[t.name]) > 0 {
		p.line("\n%-24s %-28s %-28s", "target", "asked", "measured (runs from..to)")
	}
	for _, of := range targets[t.name] {
		v := r.judgeTarget(of)
		p.line("%2d %-21s %-28s %-28s %s", v.number, v.scenario, v.bar, v.measured, v.word())
	}
	if s := sentence(r); s != "" {
		p.line("\n%s", s)
	}
	p.line("\n%d bars of table %s NOT met", missed, t.name)
}

// sentence is what may be said of Moldau's default durability beside Kafka's, with the rows for which it is true: those
// where its figure is not worse than that of a Kafka which never syncs.
func sentence(r *results) string {
	if r.headers[0].Table != "disk" {
		return ""
	}
	var rows []string
	for _, name := range r.scenarios() {
		s, err := find(name)
		if err != nil || strings.HasPrefix(name, "group-commit") {
			continue
		}
		if s.unit == "us" {
			a, b := r.compare(name, "moldau", "kafka", p50), r.compare(name, "moldau", "kafka", p99)
			if a.rounds > 0 && a.value <= 1 && b.value <= 1 {
				rows = append(rows, fmt.Sprintf("%s (p50 %s x, p99 %s x)", name, two(a.value), two(b.value)))
			}
		} else if q := r.compare(name, "moldau", "kafka", rate); q.value >= 1 {
			rows = append(rows, fmt.Sprintf("%s (%s x)", name, two(q.value)))
		}
	}
	if len(rows) == 0 {
		return "On disk before the acknowledgement, and not slower than Kafka without: no row."
	}
	return "On disk before the acknowledgement, and not slower than Kafka without: " + strings.Join(rows, ", ") + "."
}
