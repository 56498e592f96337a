package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// hit is one fault and what it did.
type hit struct {
	Kind       string    `json:"kind"` // hit
	System     string    `json:"system"`
	Commit     string    `json:"commit"`
	When       time.Time `json:"when"`
	Fault      fault     `json:"fault"`
	Victim     int       `json:"victim"`
	Quorum     bool      `json:"quorum"` // it led the quorum too
	BeforeMS   float64   `json:"before_ms"`
	GoneMS     float64   `json:"gone_ms"`     // until its process had ended
	LedMS      []float64 `json:"led_ms"`      // the longest gap of each partition that it led
	FollowedMS []float64 `json:"followed_ms"` // and that it followed
	NewMS      []float64 `json:"new_ms,omitempty"`
	InOrderMS  float64   `json:"in_order_ms"` // from its return until all is in sync, with the preferred leaders
	Worst      *worst    `json:"worst"`
	Back       *worst    `json:"back"`
}

// worst is the longest gap from a fault on, or from its end, but for those of clients that waited for the broker itself.
type worst struct {
	Partition int32   `json:"partition"`
	FromMS    float64 `json:"from_ms"`
	MS        float64 `json:"ms"`
}

func (w worst) String() string {
	return fmt.Sprintf("%.0f ms of partition %d from %.0f ms on", w.MS, w.Partition, w.FromMS)
}

func (h hit) String() string {
	text := fmt.Sprintf("broker %d %s", h.Victim, h.Fault)
	if h.Quorum {
		text += ", which led the quorum"
	}
	text += fmt.Sprintf(": gaps of those it led %s, followed %s", span(h.LedMS), span(h.FollowedMS))
	if len(h.NewMS) > 0 {
		text += ", new clients " + span(h.NewMS)
	}
	return text + fmt.Sprintf("; the longest %v; before %.0f; gone after %.0f; in order after %.0f, the longest gap meanwhile %v", h.Worst, h.BeforeMS, h.GoneMS, h.InOrderMS, h.Back)
}

func span(v []float64) string { return fmt.Sprintf("%.0f to %.0f ms", slices.Min(v), slices.Max(v)) }

// check is what was read at the end of a run.
type check struct {
	Kind         string    `json:"kind"` // check
	System       string    `json:"system"`
	Commit       string    `json:"commit"`
	When         time.Time `json:"when"`
	Seed         uint64    `json:"seed"`
	Acknowledged int       `json:"acknowledged"`
	Read         int       `json:"read"`
	wrong
}

func write(out *os.File, line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

// results are the lines of files.
type results struct {
	hits   []hit
	checks []check
}

func read(files []string) (all results, err error) {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return all, err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var c check
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				return all, fmt.Errorf("%s: %w", name, err)
			}
			if c.Kind == "check" {
				all.checks = append(all.checks, c)
				continue
			}
			var h hit
			if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
				return all, fmt.Errorf("%s: %w", name, err)
			}
			if h.Back == nil {
				return all, fmt.Errorf("%s: not a line of this command: %s", name, lines.Bytes())
			}
			all.hits = append(all.hits, h)
		}
		if err := lines.Err(); err != nil {
			return all, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

// bar is what is asked of Moldau; 0: nothing.
type bar struct{ p50, p99, most float64 }

// line is one of the table.
type line struct {
	what  string
	of    func(hit) bool
	gaps  func(hit) []float64
	asked bar
}

// table returns the lines of the table. What is asked was set before anything was measured.
func table() []line {
	led := func(h hit) []float64 { return h.LedMS }
	followed := func(h hit) []float64 { return h.FollowedMS }
	begins := func(h hit) []float64 { return h.NewMS }
	is := func(f fault) func(hit) bool { return func(h hit) bool { return h.Fault == f } }
	quorum := func(f fault, too bool) func(hit) bool {
		return func(h hit) bool { return h.Fault == f && h.Quorum == too }
	}
	killed, stopped, frozen, began := bar{p50: 300, p99: 1500}, bar{p99: 300}, bar{p99: 3000}, bar{most: 3000}
	return []line{
		{"killed: partitions that it led", is(kill), led, killed},
		{"killed: those that it followed", is(kill), followed, killed},
		{"killed, leading the quorum too: led", quorum(kill, true), led, killed},
		{"killed, leading the quorum too: followed", quorum(kill, true), followed, killed},
		{"killed, not leading the quorum: led", quorum(kill, false), led, killed},
		{"killed, not leading the quorum: followed", quorum(kill, false), followed, killed},
		{"stopped by SIGTERM: led", is(stop), led, stopped},
		{"stopped by SIGTERM: followed", is(stop), followed, stopped},
		{"frozen: followed", is(freeze), followed, frozen},
		{"frozen: led, until a new client has its acknowledgement", is(freeze), begins, began},
		{"frozen, leading the quorum too: followed", quorum(freeze, true), followed, frozen},
		{"frozen, leading the quorum too: led, a new client", quorum(freeze, true), begins, began},
		{"cut off: followed", is(cut), followed, bar{}},
		{"cut off: led, until a new client has its acknowledgement", is(cut), begins, bar{}},
		{"cut off, leading the quorum too: followed", quorum(cut, true), followed, bar{}},
		{"cut off, leading the quorum too: led, a new client", quorum(cut, true), begins, bar{}},
		{"while one comes back: the longest gap of all partitions", func(hit) bool { return true }, func(h hit) []float64 { return []float64{h.Back.MS} }, bar{}},
		{"before each fault: the longest gap of all partitions", func(hit) bool { return true }, func(h hit) []float64 { return []float64{h.BeforeMS} }, bar{}},
		{"from its return until all is in sync and led as preferred", func(hit) bool { return true }, func(h hit) []float64 { return []float64{h.InOrderMS} }, bar{}},
	}
}

// summarize prints the table of all results of the files.
func summarize(w io.Writer, files []string, strict bool) error {
	all, err := read(files)
	if err != nil {
		return err
	}
	var said strings.Builder
	systems := systemsOf(all)
	said.WriteString("| a broker is |")
	for _, s := range systems {
		fmt.Fprintf(&said, " %s: times | p50 | p99 | longest |", s)
	}
	fmt.Fprintf(&said, " asked of Moldau | |\n| --- |%s --- | --- |\n", strings.Repeat(" ---: | ---: | ---: | ---: |", len(systems)))
	missed := 0
	for _, l := range table() {
		row, verdict, some := "| "+l.what+" |", "", false
		for _, s := range systems {
			times, values := 0, []float64(nil)
			for _, h := range all.hits {
				if h.System == s && l.of(h) {
					times, values = times+1, append(values, l.gaps(h)...)
				}
			}
			if len(values) == 0 {
				row += " | | | |"
				continue
			}
			some = true
			p50, p99, most := percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)
			row += fmt.Sprintf(" %d | %s | %s | %s |", times, millis(p50), millis(p99), millis(most))
			if s == moldau {
				verdict = l.asked.verdict(p50, p99, most)
			}
		}
		if strings.HasPrefix(verdict, "**") {
			missed++
		}
		if some {
			fmt.Fprintf(&said, "%s %s | %s |\n", row, l.asked, verdict)
		}
	}
	fmt.Fprintln(&said)
	bad := false
	for _, s := range systems {
		var sum check
		runs := 0
		for _, c := range all.checks {
			if c.System != s {
				continue
			}
			runs++
			sum.Acknowledged += c.Acknowledged
			sum.Lost, sum.Twice, sum.Order, sum.Elsewhere = sum.Lost+c.Lost, sum.Twice+c.Twice, sum.Order+c.Order, sum.Elsewhere+c.Elsewhere
		}
		bad = bad || sum.any()
		fmt.Fprintf(&said, "%s: %d records acknowledged in %d runs; %d lost, %d twice, %d out of order, %d elsewhere.\n", s, sum.Acknowledged, runs, sum.Lost, sum.Twice, sum.Order, sum.Elsewhere)
	}
	if _, err := io.WriteString(w, said.String()); err != nil {
		return err
	}
	switch {
	case bad:
		return errors.New("records are not as they were acknowledged")
	case strict && missed > 0:
		return fmt.Errorf("%d bars are missed", missed)
	}
	return nil
}

// systemsOf returns whose results there are, Kafka first, as in the other tables.
func systemsOf(all results) (systems []string) {
	for _, h := range all.hits {
		if !slices.Contains(systems, h.System) {
			systems = append(systems, h.System)
		}
	}
	slices.Sort(systems)
	return systems
}

// percentile returns the least value that so many of all do not exceed.
func percentile(values []float64, q float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return v[max(0, int(math.Ceil(q*float64(len(v))))-1)]
}

func millis(v float64) string {
	if v >= 10_000 {
		return fmt.Sprintf("%.1f s", v/1e3)
	}
	return fmt.Sprintf("%.0f ms", v)
}

func (b bar) String() string {
	var all []string
	for _, part := range []struct {
		name string
		most float64
	}{{"p50", b.p50}, {"p99", b.p99}, {"longest", b.most}} {
		if part.most > 0 {
			all = append(all, fmt.Sprintf("%s <= %.0f ms", part.name, part.most))
		}
	}
	return strings.Join(all, "; ")
}

func (b bar) verdict(p50, p99, most float64) string {
	var missed []string
	for _, part := range []struct {
		name      string
		got, most float64
	}{{"p50", p50, b.p50}, {"p99", p99, b.p99}, {"longest", most, b.most}} {
		if part.most > 0 && part.got > part.most {
			missed = append(missed, part.name)
		}
	}
	switch {
	case b == bar{}:
		return ""
	case len(missed) > 0:
		return "**NOT met: " + strings.Join(missed, ", ") + "**"
	}
	return "met"
}
