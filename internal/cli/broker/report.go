package broker

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moldau/moldau/internal/cli/output"
)

// report is what a broker does, from two scrapes of it.
type report struct {
	Broker        string      `json:"broker"`
	Ready         bool        `json:"ready"`
	Checks        []string    `json:"checks"` // of /readyz, one a line
	UpSeconds     float64     `json:"upSeconds"`
	Connections   int64       `json:"connections"`
	InFlight      int64       `json:"inFlight"` // requests without an answer yet, those that wait for records included
	MemoryBytes   int64       `json:"memoryBytes"`
	Groups        int64       `json:"groups"`
	Directories   []directory `json:"directories"`
	Seconds       float64     `json:"seconds"` // between the scrapes; what follows is for each second of it
	ReceivedBytes float64     `json:"receivedBytes"`
	SentBytes     float64     `json:"sentBytes"`
	CPUs          float64     `json:"cpus"` // processors in use
	Requests      []requests  `json:"requests"`
	Topics        []traffic   `json:"topics"`
	Refused       []refused   `json:"refused"` // since the start
}

type directory struct {
	Path      string `json:"path"`
	State     string `json:"state"`
	FreeBytes int64  `json:"freeBytes"`
	SizeBytes int64  `json:"sizeBytes"`
}

type requests struct {
	API         string  `json:"api"`
	PerSecond   float64 `json:"perSecond"`
	MeanSeconds float64 `json:"meanSeconds"`
	Errors      float64 `json:"errors"`
}

type traffic struct {
	Topic        string  `json:"topic"`
	Records      float64 `json:"records"`
	BytesIn      float64 `json:"bytesIn"`
	BytesFetched float64 `json:"bytesFetched"`
}

type refused struct {
	API      string `json:"api"`
	Error    string `json:"error"`
	Requests int64  `json:"requests"`
}

// everyday are the codes that are no refusals: clients meet them in the course of things, and go on.
var everyday = map[string]bool{
	"NONE": true, "NOT_LEADER_OR_FOLLOWER": true, "FENCED_LEADER_EPOCH": true, "UNKNOWN_LEADER_EPOCH": true, "NOT_COORDINATOR": true,
	"COORDINATOR_LOAD_IN_PROGRESS": true, "COORDINATOR_NOT_AVAILABLE": true, "REBALANCE_IN_PROGRESS": true, "MEMBER_ID_REQUIRED": true,
	"UNKNOWN_MEMBER_ID": true, "ILLEGAL_GENERATION": true, "FETCH_SESSION_ID_NOT_FOUND": true, "INVALID_FETCH_SESSION_EPOCH": true,
}

// newReport compares two scrapes. A counter that has become smaller is of a broker that was started anew, and counts as nothing.
func newReport(before, after scrape) *report {
	seconds := max(after.at.Sub(before.at).Seconds(), 0.001)
	r := &report{Seconds: seconds, Checks: []string{}, Directories: []directory{}, Requests: []requests{}, Topics: []traffic{}, Refused: []refused{}}
	rate := func(name string, labels ...string) map[string]float64 {
		was, rates := before.by(name, labels...), map[string]float64{}
		for key, now := range after.by(name, labels...) {
			rates[key] = max(now-was[key], 0) / seconds
		}
		return rates
	}
	gauge := func(name string) int64 { v, _ := after.value(name); return int64(v) }
	if v, ok := after.value("moldau_start_time_seconds"); ok {
		r.UpSeconds = max(float64(after.at.UnixMilli())/1000-v, 0)
	}
	r.Connections, r.InFlight, r.Groups = gauge("moldau_connections"), gauge("moldau_requests_in_flight"), gauge("moldau_groups")
	if r.MemoryBytes = gauge("process_resident_memory_bytes"); r.MemoryBytes == 0 { // Linux alone has it
		r.MemoryBytes = gauge("go_memory_bytes")
	}
	free, size := after.by("moldau_directory_free_bytes", "directory"), after.by("moldau_directory_size_bytes", "directory")
	for key, on := range after.by("moldau_directory_state", "directory", "state") {
		if path, state, _ := strings.Cut(key, "\t"); on == 1 {
			r.Directories = append(r.Directories, directory{path, state, int64(free[path]), int64(size[path])})
		}
	}
	slices.SortFunc(r.Directories, func(a, b directory) int { return cmp.Compare(a.Path, b.Path) })
	r.ReceivedBytes, r.SentBytes = rate("moldau_received_bytes_total")[""], rate("moldau_sent_bytes_total")[""]
	r.CPUs = rate("process_cpu_seconds_total")[""]
	r.requests(rate, after)
	r.topics(rate)
	return r
}

func (r *report) requests(rate func(name string, labels ...string) map[string]float64, after scrape) {
	answered, took := rate("moldau_request_duration_seconds_count", "api"), rate("moldau_request_duration_seconds_sum", "api")
	errors := map[string]float64{}
	for key, n := range rate("moldau_requests_total", "api", "error") {
		if api, code, _ := strings.Cut(key, "\t"); !everyday[code] {
			errors[api] += n
		}
	}
	for api, n := range answered {
		if n > 0 {
			r.Requests = append(r.Requests, requests{api, n, took[api] / n, errors[api]})
		}
	}
	slices.SortFunc(r.Requests, func(a, b requests) int {
		return cmp.Or(cmp.Compare(b.PerSecond, a.PerSecond), cmp.Compare(a.API, b.API))
	})
	for key, n := range after.by("moldau_requests_total", "api", "error") {
		if api, code, _ := strings.Cut(key, "\t"); !everyday[code] && n > 0 {
			r.Refused = append(r.Refused, refused{api, code, int64(n)})
		}
	}
	slices.SortFunc(r.Refused, func(a, b refused) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.API, b.API), cmp.Compare(a.Error, b.Error))
	})
}

func (r *report) topics(rate func(name string, labels ...string) map[string]float64) {
	records, in := rate("moldau_topic_produced_records_total", "topic"), rate("moldau_topic_produced_bytes_total", "topic")
	out := rate("moldau_topic_fetched_bytes_total", "topic")
	for _, topic := range slices.Sorted(maps.Keys(in)) {
		if in[topic] > 0 || out[topic] > 0 {
			r.Topics = append(r.Topics, traffic{topic, records[topic], in[topic], out[topic]})
		}
	}
	slices.SortStableFunc(r.Topics, func(a, b traffic) int { return cmp.Compare(b.BytesIn+b.BytesFetched, a.BytesIn+a.BytesFetched) })
}

// print prints the report; of the topics the busiest ones.
func (r *report) print(w io.Writer, format output.Format, top int) error {
	if format == output.JSON {
		return output.Document(w, r)
	}
	head := output.List{Heading: []string{"BROKER", "STATE", "UP", "CONNECTIONS", "IN FLIGHT", "GROUPS", "MEMORY", "CPUS", "RECEIVED/S", "SENT/S"},
		Styles: map[int]func(string) output.Style{1: stateStyle}}
	head.Rows = [][]string{{r.Broker, r.state(), r.up(), fmt.Sprint(r.Connections), fmt.Sprint(r.InFlight), fmt.Sprint(r.Groups), output.Bytes(r.MemoryBytes),
		number(r.CPUs), output.Bytes(int64(r.ReceivedBytes)), output.Bytes(int64(r.SentBytes))}}
	disks := output.List{Heading: []string{"DIRECTORY", "STATE", "FREE", "SIZE"}, Styles: map[int]func(string) output.Style{1: stateStyle}}
	for _, d := range r.Directories {
		disks.Rows = append(disks.Rows, []string{d.Path, d.State, output.Bytes(d.FreeBytes), output.Bytes(d.SizeBytes)})
	}
	calls := output.List{Heading: []string{"REQUEST", "A SECOND", "MEAN TIME", "ERRORS/S"}}
	for _, q := range r.Requests {
		calls.Rows = append(calls.Rows, []string{q.API, number(q.PerSecond), duration(q.MeanSeconds), number(q.Errors)})
	}
	topics := output.List{Heading: []string{"TOPIC", "RECORDS IN/S", "IN/S", "FETCHED/S"}}
	for _, t := range r.Topics[:min(top, len(r.Topics))] {
		topics.Rows = append(topics.Rows, []string{t.Topic, number(t.Records), output.Bytes(int64(t.BytesIn)), output.Bytes(int64(t.BytesFetched))})
	}
	errors := output.List{Heading: []string{"REFUSED SINCE THE START", "ERROR", "REQUESTS"}}
	for _, x := range r.Refused {
		errors.Rows = append(errors.Rows, []string{x.API, x.Error, fmt.Sprint(x.Requests)})
	}
	first := true
	for word, list := range [...]output.List{head, disks, calls, topics, errors} {
		if len(list.Rows) == 0 {
			continue
		}
		if format == output.Plain { // every line says what it is
			for i := range list.Rows {
				list.Rows[i] = append([]string{[...]string{"broker", "directory", "request", "topic", "refused"}[word]}, list.Rows[i]...)
			}
		} else if !first {
			fmt.Fprintln(w)
		}
		first = false
		if err := list.Print(w, format); err != nil {
			return err
		}
		if format == output.Table && word == 0 && !r.Ready {
			fmt.Fprintln(w, strings.Join(r.Checks, "\n"))
		}
	}
	return nil
}

func (r *report) state() string {
	if r.Ready {
		return "ready"
	}
	return "not ready"
}

func (r *report) up() string {
	return (time.Duration(r.UpSeconds) * time.Second).String()
}

// number is a rate for people: whole from ten on.
func number(f float64) string {
	if f >= 10 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.1f", f)
}

// duration is a mean time for people, with three digits at most.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 10).String()
		}
	}
	return d.String()
}

func stateStyle(state string) output.Style {
	if state == "ready" || state == "online" {
		return output.Good
	}
	return output.Bad
}
