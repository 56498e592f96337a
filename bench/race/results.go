package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
)

// A results file has one JSON object a line: a header, what each broker took to start and when idle, then the runs. Several
// such files one after another read as one race of more rounds.

// header says how a race was run; "kind" is "race".
type header struct {
	Kind     string            `json:"kind"`
	Date     string            `json:"date"`
	Commit   string            `json:"commit"`
	Command  string            `json:"command"`
	Machine  string            `json:"machine"`
	Versions map[string]string `json:"versions"`
	Settings map[string]string `json:"settings"`
	Table    string            `json:"table,omitempty"`
	Driver   string            `json:"driver"`
	Seed     uint64            `json:"seed"`
}

// start is what a broker showed before any load; "kind" is "start".
type start struct {
	Kind      string    `json:"kind"`
	Label     string    `json:"label"`
	EmptyMS   []float64 `json:"empty_ms,omitempty"` // from exec to the first answer on an empty directory; Kafka: formatting it is part of it
	AgainMS   []float64 `json:"again_ms"`           // the same on a directory that was stopped cleanly
	IdleRSSMB float64   `json:"idle_rss_mb"`
	IdleCPU   float64   `json:"idle_cpu_percent"` // of one core
	IdleSecs  float64   `json:"idle_s"`           // over which that was measured
	Threads   int       `json:"threads"`
}

// run is one measured run in the words of loadgen, with its round; "kind" is "run". What a driver's tool says is put into the same words.
type run struct {
	Kind            string             `json:"kind"`
	Round           int                `json:"round"`
	Label           string             `json:"label"`
	Scenario        string             `json:"scenario"`
	Seconds         float64            `json:"seconds"`
	Records         int64              `json:"records"`
	RecordsPerSec   float64            `json:"records_per_s"`
	MBPerSec        float64            `json:"mb_per_s"`
	Errors          int64              `json:"errors"`
	LatencyUS       map[string]float64 `json:"latency_us,omitempty"`
	ClientCPUPerGB  float64            `json:"client_cpu_s_per_gb"`
	BrokerCPUPerGB  float64            `json:"broker_cpu_s_per_gb"`
	BrokerCPUPerM   float64            `json:"broker_cpu_s_per_million_records"` // which is microseconds a record
	BrokerRSSMB     float64            `json:"broker_rss_mb"`
	BrokerPeakRSSMB float64            `json:"broker_peak_rss_mb"`
	OthersCPU       float64            `json:"others_cpu_percent"`
}

// rounded keeps five digits, so that a file of results stays small.
func (r run) rounded() run {
	for _, p := range []*float64{&r.Seconds, &r.RecordsPerSec, &r.MBPerSec, &r.ClientCPUPerGB, &r.BrokerCPUPerGB, &r.BrokerCPUPerM, &r.BrokerRSSMB, &r.BrokerPeakRSSMB, &r.OthersCPU} {
		*p = digits(*p)
	}
	short := map[string]float64{}
	for q, v := range r.LatencyUS {
		short[q] = digits(v)
	}
	if r.LatencyUS = short; len(short) == 0 {
		r.LatencyUS = nil
	}
	return r
}

func digits(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	scale := math.Pow(10, 4-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// results is a race as far as it was run.
type results struct {
	headers []header
	starts  []start
	runs    []run
}

// add takes a line of a results file. Rounds after a second header follow those before it.
func (r *results) add(line []byte) error {
	var kind struct{ Kind string }
	if err := json.Unmarshal(line, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "race":
		var h header
		if err := json.Unmarshal(line, &h); err != nil {
			return err
		}
		r.headers = append(r.headers, h)
	case "start":
		var s start
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		r.starts = append(r.starts, s)
	case "run":
		var x run
		if err := json.Unmarshal(line, &x); err != nil {
			return err
		}
		x.Round += 1000 * len(r.headers) // so that rounds of different races stay apart
		r.runs = append(r.runs, x)
	default:
		return fmt.Errorf("a line of kind %q", kind.Kind)
	}
	return nil
}

func readResults(in io.Reader) (*results, error) {
	r := &results{}
	sc := bufio.NewScanner(in)
	for sc.Buffer(nil, 1<<20); sc.Scan(); {
		if err := r.add(sc.Bytes()); err != nil {
			return nil, err
		}
	}
	if len(r.headers) == 0 {
		return nil, fmt.Errorf("no header of a race")
	}
	return r, sc.Err()
}

// of returns the runs of a scenario on a broker by round.
func (r *results) of(scenario, label string) map[int]run {
	out := map[int]run{}
	for _, x := range r.runs {
		if x.Scenario == scenario && x.Label == label {
			out[x.Round] = x
		}
	}
	return out
}

// scenarios are those that ran, in the order of the table of scenarios.
func (r *results) scenarios() (out []string) {
	for _, s := range scenarios {
		if slices.ContainsFunc(r.runs, func(x run) bool { return x.Scenario == s.name }) {
			out = append(out, s.name)
		}
	}
	return out
}

// labels are the brokers that ran a scenario, Kafka first.
func (r *results) labels(scenario string) (out []string) {
	for _, x := range r.runs {
		if (scenario == "" || x.Scenario == scenario) && !slices.Contains(out, x.Label) {
			out = append(out, x.Label)
		}
	}
	rank := func(l string) int {
		if i := slices.Index([]string{"kafka", "kafka-synced", "moldau"}, l); i >= 0 {
			return i
		}
		return 3
	}
	slices.SortStableFunc(out, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 || rank(a) < 3 {
			return d
		}
		if a < b {
			return -1
		}
		return 1
	})
	return out
}

func (r *results) start(label string) (start, bool) {
	for _, s := range r.starts {
		if s.Label == label {
			return s, true
		}
	}
	return start{}, false
}

// peakRSS is the most memory that a broker had in any run.
func (r *results) peakRSS(label string) (mb float64) {
	for _, x := range r.runs {
		if x.Label == label {
			mb = max(mb, x.BrokerPeakRSSMB)
		}
	}
	return mb
}
