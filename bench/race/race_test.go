package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// raced makes results in which Moldau's figures are Kafka's times a factor.
func raced(table string, scenario string, factor float64, rounds int) *results {
	r := &results{headers: []header{{Kind: "race", Table: table, Date: "2026-11-25 10:00", Commit: "abc", Machine: "a machine", Seed: 7}}}
	for round := 1; round <= rounds; round++ {
		for label, f := range map[string]float64{"kafka": 1, "moldau": factor} {
			x := 100 * float64(round)
			r.runs = append(r.runs, run{Round: round, Label: label, Scenario: scenario, RecordsPerSec: x * f, MBPerSec: x * f, BrokerCPUPerGB: x / f, LatencyUS: map[string]float64{"p50": x * f, "p99": x * f}})
		}
	}
	return r
}

func TestCompareHasMediansAndSpread(t *testing.T) {
	r := raced("", "produce-1K", 2, 3)
	r.runs = append(r.runs, run{Round: 4, Label: "moldau", Scenario: "produce-1K", RecordsPerSec: 1000}, run{Round: 4, Label: "kafka", Scenario: "produce-1K", RecordsPerSec: 200})
	q := r.compare("produce-1K", "moldau", "kafka", rate) // 200 400 600 1000 by 100 200 300 200
	if q.value != 2.5 || q.low != 2 || q.high != 5 || q.rounds != 4 {
		t.Errorf("ratio %v of %d rounds, want 2.50 (2.00..5.00) of 4", q, q.rounds)
	}
	if q := r.compare("produce-1K", "moldau", "null", rate); q.rounds != 0 || q.String() != "-" {
		t.Errorf("ratio to a broker that did not run is %v", q)
	}
}

func TestBarsAreMetOrNot(t *testing.T) {
	for _, c := range []struct {
		factor float64
		bar    bar
		word   string
	}{
		{2, atLeast("produce-1K", rate, 2, "kafka"), "met"},
		{1.99, atLeast("produce-1K", rate, 2, "kafka"), "NOT met"},
		{0.9, atMost("produce-1K", p99, 0.9, "kafka"), "met"},
		{0.91, atMost("produce-1K", p99, 0.9, "kafka"), "NOT met"},
		{2, atMost("produce-1K", cpu, 0.5, "kafka"), "met"},
		{1.9, atMost("produce-1K", cpu, 0.5, "kafka"), "NOT met"},
		{2, atLeast("produce-1K", rate, 2, "file"), "not measured"},
		{2, atLeast("consume-1K", rate, 2, "kafka"), "not measured"},
		{1, bar{scenario: "produce-1K", metric: cpu, against: "kafka", plus: 0.1}, "met"},
		{0.9, bar{scenario: "produce-1K", metric: cpu, against: "kafka", plus: 0.1}, "NOT met"},
	} {
		if got := raced("memory", "produce-1K", c.factor, 3).judge(c.bar).word(); got != c.word {
			t.Errorf("%s with a factor of %v is %s, want %s", c.bar, c.factor, got, c.word)
		}
	}
}

// TestMemoryIsReadyForAllReplicas: a run of a table finds as much memory ready as its topic may take on this machine.
func TestMemoryIsReadyForAllReplicas(t *testing.T) {
	for _, replicas := range []int{1, clusterNodes} {
		r := race{touch: usualTouch, replication: replicas}
		if ready := r.ready() << 20; ready < runBytes*replicas {
			t.Errorf("%d bytes are ready for %d replicas of %d", ready, replicas, runBytes)
		}
	}
}

func TestTargetsWithoutAnotherBroker(t *testing.T) {
	r := raced("disk", "group-commit-64", 10, 3)
	r.runs = append(r.runs, raced("disk", "group-commit-1", 1, 3).runs...)
	commit := targets["disk"][2]
	if v := r.judgeTarget(commit); !v.met || v.measured != "10.00" {
		t.Errorf("64 writers with ten times the rate of one: %+v", v)
	}
	r = raced("disk", "group-commit-64", 9, 3)
	r.runs = append(r.runs, raced("disk", "group-commit-1", 1, 3).runs...)
	if v := r.judgeTarget(commit); v.met || !v.known {
		t.Errorf("64 writers with nine times the rate of one: %+v", v)
	}
	requests := target{3, bar{scenario: "raw-produce-1rec"}, 20, "us of broker CPU a request"}
	for us, met := range map[float64]bool{20: true, 21: false} {
		r := &results{runs: []run{{Label: "moldau", Scenario: "raw-produce-1rec", BrokerCPUPerGB: 1, BrokerCPUPerM: us}}}
		if v := r.judgeTarget(requests); v.met != met {
			t.Errorf("%v us a request: %+v", us, v)
		}
	}
}

func TestEveryBarHasItsScenario(t *testing.T) {
	for _, table := range tables {
		of := map[string]bool{}
		for _, name := range table.scenarios {
			of[name] = true
			if _, err := find(name); err != nil {
				t.Error(err)
			}
		}
		for _, b := range table.bars {
			if !of[b.scenario] {
				t.Errorf("table %s has a bar of %s and does not run it", table.name, b.scenario)
			}
		}
		for _, x := range targets[table.name] {
			if !of[x.bar.scenario] {
				t.Errorf("table %s has a target of %s and does not run it", table.name, x.bar.scenario)
			}
		}
	}
}

// The sentence must name what is not slower, and nothing else.
func TestSentenceNamesOnlyWhatIsNotSlower(t *testing.T) {
	r := raced("disk", "raw-produce-1M", 1.5, 3)
	r.runs = append(r.runs, raced("disk", "produce-1K", 0.99, 3).runs...)
	r.runs = append(r.runs, raced("disk", "e2e-100B-1k/s", 0.9, 3).runs...)
	r.runs = append(r.runs, raced("disk", "e2e-all-1K-20k/s", 1.1, 3).runs...)
	want := "On disk before the acknowledgement, and not slower than Kafka without: raw-produce-1M (1.50 x), e2e-100B-1k/s (p50 0.90 x, p99 0.90 x)."
	if got := sentence(r); got != want {
		t.Errorf("sentence\n%s\nwant\n%s", got, want)
	}
	if got := sentence(raced("memory", "raw-produce-1M", 2, 3)); got != "" {
		t.Errorf("the other table says %q", got)
	}
}

func TestRegressions(t *testing.T) {
	past := func(scenario, machine string, ratios ...float64) (lines []remembered) {
		for _, v := range ratios {
			lines = append(lines, remembered{scenario: scenario, machine: machine, ratio: v, cpuRatio: 0.5})
		}
		return lines
	}
	now := func(scenario string, ratio, cpuRatio float64) []remembered {
		return []remembered{{scenario: scenario, machine: "a", ratio: ratio, cpuRatio: cpuRatio}}
	}
	for _, c := range []struct {
		name      string
		past, now []remembered
		worse     string // how the line of what got worse begins
		unjudged  int
	}{
		{"as before", past("produce-1K", "a", 2, 2, 2), now("produce-1K", 2, 0.5), "", 0},
		{"less than a tenth worse", past("produce-1K", "a", 2, 2, 2), now("produce-1K", 1.83, 0.54), "", 0},
		{"slower", past("produce-1K", "a", 2, 2, 2), now("produce-1K", 1.8, 0.5), "produce-1K: ratio to Kafka 1.80", 0},
		{"faster", past("produce-1K", "a", 2, 2, 2), now("produce-1K", 3, 0.5), "", 0},
		{"more CPU", past("produce-1K", "a", 2, 2, 2), now("produce-1K", 2, 0.56), "produce-1K: ratio of CPU to Kafka's 0.56", 0},
		{"a greater latency", past("e2e-1K-20k/s", "a", 0.5, 0.5, 0.5), now("e2e-1K-20k/s", 0.56, 0.5), "e2e-1K-20k/s: ratio to Kafka 0.56", 0},
		{"a smaller latency", past("e2e-1K-20k/s", "a", 0.5, 0.5, 0.5), now("e2e-1K-20k/s", 0.3, 0.5), "", 0},
		{"one bad race among the last does not count", past("produce-1K", "a", 2, 9, 2), now("produce-1K", 1.9, 0.5), "", 0},
		{"only the last seven count", past("produce-1K", "a", 9, 9, 9, 9, 9, 9, 9, 9, 2, 2, 2, 2, 2, 2, 2), now("produce-1K", 2, 0.5), "", 0},
		{"too little history", past("produce-1K", "a", 2, 2), now("produce-1K", 1, 0.5), "", 1},
		{"another machine", past("produce-1K", "b", 2, 2, 2, 2), now("produce-1K", 1, 0.5), "", 1},
		{"another scenario", past("consume-1K", "a", 2, 2, 2, 2), now("produce-1K", 1, 0.5), "", 1},
	} {
		worse, unjudged := regressions(c.past, c.now)
		if got := strings.Join(worse, "; "); (got == "") != (c.worse == "") || !strings.HasPrefix(got, c.worse) || len(unjudged) != c.unjudged {
			t.Errorf("%s: worse %q, unjudged %q", c.name, got, unjudged)
		}
	}
}

// A history that a race is added to again and again must stay readable, and fail at the race that is worse.
func TestHistoryIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "race.tsv")
	var said strings.Builder
	for i := range 3 {
		if err := historyCommand(&said, path, raced("", "produce-1K", 2, 3)); err != nil {
			t.Fatalf("race %d: %v", i, err)
		}
	}
	if err := historyCommand(&said, path, raced("", "produce-1K", 1.5, 3)); err == nil {
		t.Error("a ratio of 1.5 after three of 2 passed")
	}
	if !strings.Contains(said.String(), "worse: produce-1K: ratio to Kafka 1.50, median of the last 3 races 2.00\n") {
		t.Errorf("said %q", said.String())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := parseHistory(string(text))
	if err != nil || len(lines) != 4 || lines[3].ratio != 1.5 || lines[3].machine != "a machine" || lines[3].rounds != 3 {
		t.Errorf("history %+v, %v", lines, err)
	}
	r := raced("", "e2e-1K-20k/s", 2, 1)
	r.headers[0].Settings = map[string]string{"log.durability": "disk"}
	if now := r.remember(); len(now) != 1 || now[0].scenario != "e2e-1K-20k/s, disk" {
		t.Errorf("a race with log.durability=disk is remembered as %+v", now)
	} else if bad, _ := regressions([]remembered{now[0], now[0], now[0]}, []remembered{{scenario: now[0].scenario, machine: now[0].machine, ratio: 3}}); len(bad) != 1 {
		t.Errorf("a latency of three times Kafka's after one of twice: %q", bad)
	}
	if _, err := parseHistory("something else\n"); err == nil {
		t.Error("a file that is no history is read as one")
	}
	if _, err := parseHistory(historyHead + "2026-11-25\tabc\n"); err == nil {
		t.Error("a broken line is read")
	}
}

func TestToolsOutput(t *testing.T) {
	for _, c := range []struct {
		scenario, text string
		rate, p50, p99 float64
	}{
		{"rdkafka-produce-1K", "% 1 backpressures for 2 produce calls: 50.000% backpressure rate\n% 1200000 messages produced (1228800000 bytes), 1200000 delivered (offset 0, 0 failed) in 1500ms: 800000 msgs/s and 819.20 MB/s, 0 produce failures, 0 in queue, no compression\n", 800000, 0, 0},
		{"rdkafka-consume-1K", "% 878900 messages (899993600 bytes) consumed in 1000ms: 878900 msgs/s (899.99 MB/s)\n", 878900, 0, 0},
		{"java-produce-1K", "100 records sent, 20.0 records/sec (0.10 MB/sec), 9.00 ms avg latency, 10.00 ms max latency, 9 ms 50th, 9 ms 95th, 9 ms 99th, 9 ms 99.9th.\n" +
			"66 steady state records sent, 250000.0 records/sec (244.14 MB/sec), 1.25 ms avg latency, 30.00 ms max latency, 1 ms 50th, 3 ms 95th, 4 ms 99th, 5 ms 99.9th.\n", 250000, 1250, 4000},
		{"java-consume-1K", "2026-11-25 10:00:00:000, 2026-11-25 10:00:04:000, 858.3008, 214.5752, 878900, 219725.0000, 3200, 800, 1072.8760, 1098625.0000\n", 1098625, 0, 0},
		{"java-e2e-100B", "0\t5.1\nAvg latency: 0.5000 ms\n\nPercentiles: 50th = 0, 99th = 2, 99.9th = 5\n", 2000, 500, 2000},
	} {
		s, err := find(c.scenario)
		if err != nil {
			t.Fatal(err)
		}
		x, err := parseTool(s, c.text)
		if err != nil || x.RecordsPerSec != c.rate || x.LatencyUS["p50"] != c.p50 || x.LatencyUS["p99"] != c.p99 {
			t.Errorf("%s: %+v, %v", c.scenario, x, err)
		}
		if _, err := parseTool(s, "nothing of use\n"); err == nil {
			t.Errorf("%s: a result in nothing of use", c.scenario)
		}
	}
}

func TestResultsOfSeveralRacesStayApart(t *testing.T) {
	line := func(label string, rate float64) string {
		return fmt.Sprintf(`{"kind":"run","round":1,"label":%q,"scenario":"produce-1K","records_per_s":%v}`+"\n", label, rate)
	}
	head := `{"kind":"race","table":"memory"}` + "\n"
	r, err := readResults(strings.NewReader(head + line("kafka", 1) + line("moldau", 2) + head + line("kafka", 2) + line("moldau", 2)))
	if err != nil {
		t.Fatal(err)
	}
	if q := r.compare("produce-1K", "moldau", "kafka", rate); q.rounds != 2 || q.low != 1 || q.high != 2 {
		t.Errorf("ratio %v of %d rounds", q, q.rounds)
	}
	if _, err := readResults(strings.NewReader(line("kafka", 1))); err == nil {
		t.Error("runs without a header are read")
	}
}
