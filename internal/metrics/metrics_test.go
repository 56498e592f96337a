package metrics

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/metrics/metricstest"
)

func TestPageIsFresh(t *testing.T) {
	const path = "../../docs/metrics.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Page() {
		t.Errorf("%s is stale: run go generate ./internal/docgen", path)
	}
}

// The rules are those of "promtool check metrics", and of Prometheus' page on names.
func TestTableKeepsTheRules(t *testing.T) {
	name := regexp.MustCompile(`^(moldau|go|process)_[a-z]+(_[a-z]+)*$`)
	label := regexp.MustCompile(`^[a-z]+$`)
	units := regexp.MustCompile(`_(milliseconds|microseconds|minutes|hours|kilobytes|kb|mb|ms|percent|bits)(_|$)`)
	words := regexp.MustCompile(`_(counter|gauge|histogram|count|sum|bucket)(_|$)`)
	seen := map[string]bool{}
	for i, m := range Table {
		complain := func(why string) { t.Errorf("%s %s", m.Name, why) }
		if m.place != i || seen[m.Name] {
			complain("is not in its place, or there twice")
		}
		seen[m.Name] = true
		if !name.MatchString(m.Name) {
			complain("is not a name of ours")
		}
		if units.MatchString(m.Name) {
			complain("is not in a base unit")
		}
		if words.MatchString(m.Name) {
			complain("has its kind in its name, or a suffix that histograms use")
		}
		if strings.HasSuffix(m.Name, "_total") != (m.Kind == CounterKind) {
			complain("ends in _total and is no counter, or the other way round")
		}
		if m.Kind == HistogramKind && !strings.HasSuffix(m.Name, "_seconds") {
			complain("is a histogram, which are all of seconds")
		}
		if strings.HasSuffix(m.Name, "_info") && m.Kind != GaugeKind {
			complain("is an info and no gauge")
		}
		if m.Help == "" || !strings.HasSuffix(m.Help, ".") || strings.Contains(m.Help, "\n") {
			complain("has no sentence of help")
		}
		for _, l := range m.Labels {
			if !label.MatchString(l) || l == "le" || l == "quantile" || l == "instance" || l == "job" {
				complain("has a label that Prometheus uses itself, or none of ours: " + l)
			}
		}
	}
}

func TestTextOfHostileLabels(t *testing.T) {
	s := NewScrape()
	for i, topic := range []string{"a\"b", `back\slash`, "line\nfeed", "bad\xffutf8", "", `"} 1`} {
		s.Count(TopicSize, int64(i), topic)
	}
	samples, err := metricstest.Parse(string(s.Text()))
	if err != nil {
		t.Fatal(err)
	}
	for _, series := range []string{`{topic="a\"b"}`, `{topic="back\\slash"}`, `{topic="line\nfeed"}`, "{topic=\"bad\uFFFDutf8\"}", `{topic=""}`, `{topic="\"} 1"}`} {
		if _, ok := samples["moldau_topic_size_bytes"+series]; !ok {
			t.Errorf("no series %s in %v", series, samples)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", -3: "-3", 0.5: "0.5", 1 << 40: "1099511627776", 1e30: "1e+30", 0.0001: "0.0001"} {
		if got := format(v); got != want {
			t.Errorf("%v is printed %s, want %s", v, got, want)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{-time.Second, 0, 100 * time.Microsecond, 100*time.Microsecond + 1, time.Second, time.Hour} {
		h.Observe(d)
	}
	s := NewScrape()
	s.Histogram(RequestDuration, &h, "Produce")
	samples, err := metricstest.Parse(string(s.Text()))
	if err != nil {
		t.Fatal(err)
	}
	for series, want := range map[string]float64{
		`_bucket{api="Produce",le="0.0001"}`:  3,
		`_bucket{api="Produce",le="0.00025"}`: 4,
		`_bucket{api="Produce",le="0.5"}`:     4,
		`_bucket{api="Produce",le="1"}`:       5,
		`_bucket{api="Produce",le="30"}`:      5,
		`_bucket{api="Produce",le="+Inf"}`:    6,
		`_count{api="Produce"}`:               6,
		`_sum{api="Produce"}`:                 3601.000200001,
	} {
		if got := samples["moldau_request_duration_seconds"+series]; got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
}

// Whatever number a client puts into a header counts somewhere, and nothing is made for it beyond the bounds.
func TestRequestsTakeAnyNumbers(t *testing.T) {
	var r Requests
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for _, key := range []int16{-32768, -1, 0, 1, 127, 128, 32767} {
				for _, version := range []int16{-32768, -1, 0, 30, 31, 32767} {
					for _, code := range []int16{-32768, -2, -1, 0, 133, Closed, 32767} {
						r.Observe(key, version, code, time.Millisecond)
					}
				}
			}
		})
	}
	wait.Wait()
	n, series := int64(0), 0
	r.Counts(func(key, version, code int16, count int64) {
		n += count
		series++
		if key != 0 && key != 1 && key != 127 || version != 0 && version != 30 && version != OtherVersion {
			t.Errorf("key %d version %d", key, version)
		}
	})
	if n != 4*3*6*7 || series != 3*3*5 {
		t.Errorf("%d requests in %d series", n, series)
	}
	r.Durations(func(key int16, h *Histogram) {
		if h.Count() != 4*6*7 {
			t.Errorf("key %d: %d durations", key, h.Count())
		}
	})
}

func TestObserveAllocatesNothing(t *testing.T) {
	var r Requests
	r.Observe(0, 9, 0, time.Millisecond)
	if n := testing.AllocsPerRun(100, func() { r.Observe(0, 9, 0, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestProcessReadsWhatLinuxTells(t *testing.T) {
	files := map[string]string{
		"/proc/self/stat":   "7 (a) b (c)) S 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 8 0 1200 1 2 3\n",
		"/proc/self/status": "Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t8\n",
		"/proc/stat":        "cpu 1 2 3\nbtime 1700000000\nprocesses 5\n",
	}
	s := NewScrape()
	s.Process(Files{Count: func(string) (int, error) { return 12, nil }, Read: func(name string) ([]byte, error) { return []byte(files[name]), nil }})
	samples, err := metricstest.Parse(string(s.Text()))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"process_cpu_seconds_total": 3, "process_resident_memory_bytes": 2 << 20, "process_open_fds": 12, "process_start_time_seconds": 1700000012} {
		if samples[name] != want {
			t.Errorf("%s is %v, want %v", name, samples[name], want)
		}
	}
	none := NewScrape() // no Linux
	gone := errors.New("no such file")
	none.Process(Files{Count: func(string) (int, error) { return 0, gone }, Read: func(string) ([]byte, error) { return nil, gone }})
	if text := none.Text(); len(text) > 0 {
		t.Errorf("%s", text)
	}
	odd := NewScrape() // a kernel that tells otherwise
	odd.Process(Files{Count: func(string) (int, error) { return 0, gone }, Read: func(string) ([]byte, error) { return []byte("x\nbtime \n\nVmRSS:"), nil }})
	if _, err := metricstest.Parse(string(odd.Text())); err != nil {
		t.Error(err)
	}
}

func TestRuntime(t *testing.T) {
	s := NewScrape()
	s.Runtime()
	samples, err := metricstest.Parse(string(s.Text()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go_goroutines", "go_heap_objects_bytes", "go_memory_bytes", "go_memory_limit_bytes", "go_allocated_bytes_total", "go_processors"} {
		if samples[name] <= 0 {
			t.Errorf("%s is %v", name, samples[name])
		}
	}
	if !samples.Has("moldau_build_info") || !samples.Has("go_gc_pause_seconds_total") {
		t.Errorf("incomplete: %v", samples)
	}
}

// What the parser of these tests lets pass is worth little if it lets everything pass.
func TestParserRefuses(t *testing.T) {
	const head = "# HELP a b.\n# TYPE a counter\n"
	for _, text := range []string{
		"", "a 1", "a 1\n", head + "b 1\n", head + "a 1\na 2\n", head + "a x\n", head + "a{b=c} 1\n", head + "a{b=\"c} 1\n", head + "a  1\n",
		"# TYPE a counter\na 1\n", head + "a 1\n" + head + "a{x=\"y\"} 1\n",
		"# HELP h b.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
		"# HELP h b.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
		"# HELP h b.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n",
	} {
		if s, err := metricstest.Parse(text); err == nil {
			t.Errorf("%q passes as %v", text, s)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	var r Requests
	b.ReportAllocs()
	for b.Loop() {
		r.Observe(0, 9, 0, 300*time.Microsecond)
	}
}
