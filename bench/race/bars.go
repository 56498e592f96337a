package main

import "fmt"

// bar is what a table asks of Moldau in a scenario: a figure at least, or at most, so many times that of another broker.
type bar struct {
	scenario string
	metric   metric
	atLeast  bool
	times    float64
	against  string  // label of the other broker
	plus     float64 // cpu only: so many seconds a GB more
}

func (b bar) String() string {
	sign := "<="
	if b.atLeast {
		sign = ">="
	}
	if b.plus > 0 {
		return fmt.Sprintf("%s %s %s + %.2g s/GB", b.metric, sign, b.against, b.plus)
	}
	return fmt.Sprintf("%s %s %.4g x %s", b.metric, sign, b.times, b.against)
}

// atLeast and atMost are the bars of a scenario's metric.
func atLeast(s string, m metric, times float64, against string) bar {
	return bar{scenario: s, metric: m, atLeast: true, times: times, against: against}
}
func atMost(s string, m metric, times float64, against string) bar {
	return bar{scenario: s, metric: m, times: times, against: against}
}

// table is a set of scenarios with its settings and bars.
type table struct {
	name, title      string
	acks, durability string
	synced           bool // with a second Kafka, which syncs before each acknowledgement
	cluster          bool // three nodes of each broker, three replicas of each topic
	scenarios        []string
	bars             []bar
	nulls            map[string][]string // null brokers by scenario, where they differ from the scenario's own
}

// clustered are the scenarios of clusters.
var clustered = []string{"raw-produce-1M", "raw-produce-1rec", "produce-1K", "produce-1K-keyed-12p", "consume-1K", "e2e-100B-1k/s"}

// withoutNulls is for tables that no null broker is in: none copies anything.
func withoutNulls(names []string) map[string][]string {
	none := map[string][]string{}
	for _, name := range names {
		none[name] = []string{}
	}
	return none
}

var tables = []table{
	{
		name: "memory", title: "acks=1, log.durability=memory, which is Kafka's policy", acks: "1", durability: "memory",
		scenarios: []string{"raw-produce-1M", "raw-produce-16K", "raw-produce-1rec", "raw-fetch", "raw-fetch-tail", "produce-1K", "produce-1K-lz4", "produce-1K-zstd",
			"produce-100B", "produce-1K-keyed-12p", "consume-1K", "consume-100B", "e2e-100B-1k/s", "e2e-1K-20k/s", "raw-e2e-100B-1k/s"},
		bars: []bar{
			atLeast("raw-produce-1M", rate, 2.0, "kafka"), atMost("raw-produce-1M", cpu, 0.4, "kafka"),
			atLeast("raw-produce-16K", rate, 3.0, "kafka"), atMost("raw-produce-16K", cpu, 0.35, "kafka"),
			atLeast("raw-produce-1rec", rate, 4.0, "kafka"), atMost("raw-produce-1rec", cpu, 0.25, "kafka"),
			atLeast("raw-fetch", rate, 1.2, "kafka"), atMost("raw-fetch", cpu, 0.7, "kafka"),
			atLeast("raw-fetch-tail", rate, 0.95, "kafka"), atMost("raw-fetch-tail", cpu, 1.0, "kafka"),
			atLeast("produce-1K", rate, 1.2, "kafka"), atMost("produce-1K", cpu, 0.55, "kafka"),
			atLeast("produce-1K-lz4", rate, 1.0, "kafka"),
			atLeast("produce-1K-zstd", rate, 1.0, "kafka"),
			atLeast("produce-100B", rate, 0.95, "kafka"), atMost("produce-100B", cpu, 0.55, "kafka"),
			atLeast("produce-1K-keyed-12p", rate, 1.15, "kafka"), atMost("produce-1K-keyed-12p", cpu, 0.55, "kafka"),
			atLeast("consume-1K", rate, 1.05, "kafka"), atMost("consume-1K", cpu, 0.6, "kafka"),
			atLeast("consume-100B", rate, 1.0, "kafka"), atMost("consume-100B", cpu, 0.4, "kafka"),
			atMost("e2e-100B-1k/s", p50, 0.8, "kafka"), atMost("e2e-100B-1k/s", p99, 0.9, "kafka"), atMost("e2e-100B-1k/s", cpu, 0.55, "kafka"),
			atMost("e2e-1K-20k/s", p50, 0.5, "kafka"), atMost("e2e-1K-20k/s", p99, 1.1, "kafka"),
		},
	},
	{
		name: "disk", title: "acks=all, log.durability=disk, Moldau's default: on disk before the acknowledgement", acks: "all", durability: "disk", synced: true,
		scenarios: []string{"raw-produce-1M", "raw-produce-16K", "raw-produce-1rec", "produce-1K", "produce-1K-keyed-12p", "e2e-100B-1k/s", "e2e-all-1K-20k/s", "group-commit-1", "group-commit-64"},
		bars: []bar{
			atLeast("raw-produce-1M", rate, 1.4, "kafka"),
			atLeast("raw-produce-16K", rate, 0.7, "kafka"), atLeast("raw-produce-16K", rate, 8, "kafka-synced"),
			atLeast("raw-produce-1rec", rate, 0.8, "kafka"), atLeast("raw-produce-1rec", rate, 8, "kafka-synced"),
			atLeast("produce-1K", rate, 1.0, "kafka"),
			atLeast("produce-1K-keyed-12p", rate, 1.0, "kafka"),
			atMost("e2e-100B-1k/s", p50, 1.3, "kafka"), atMost("e2e-100B-1k/s", p99, 1.0, "kafka"),
			atMost("e2e-all-1K-20k/s", p50, 2, "kafka"), atMost("e2e-all-1K-20k/s", p99, 1.2, "kafka"),
		},
		nulls: map[string][]string{"raw-produce-1M": {"fsync"}, "raw-produce-16K": {"fsync"}, "raw-produce-1rec": {"fsync"}, "produce-1K": {"fsync"},
			"produce-1K-keyed-12p": {"fsync"}, "e2e-100B-1k/s": {"fsync"}, "e2e-all-1K-20k/s": {"fsync"}, "group-commit-1": {}, "group-commit-64": {}},
	},
	{
		name: "cluster", title: "three nodes, three replicas, acks=all; Moldau synced on every replica that counts, Kafka never", acks: "all", durability: "disk", cluster: true,
		scenarios: clustered,
		bars: []bar{
			atLeast("produce-1K", rate, 1.0, "kafka"), atMost("produce-1K", cpu, 0.6, "kafka"),
			atLeast("raw-produce-1rec", rate, 1.0, "kafka"),
			atMost("e2e-100B-1k/s", p50, 1.5, "kafka"),
		},
		nulls: withoutNulls(clustered),
	},
	{
		name: "cluster-memory", title: "three nodes, three replicas, acks=all; log.durability=memory, which is Kafka's policy", acks: "all", durability: "memory", cluster: true,
		scenarios: clustered,
		bars: []bar{
			atLeast("produce-1K", rate, 1.5, "kafka"), atMost("produce-1K", cpu, 0.4, "kafka"),
			atLeast("raw-produce-1rec", rate, 3.0, "kafka"),
			atMost("e2e-100B-1k/s", p50, 0.7, "kafka"),
		},
		nulls: withoutNulls(clustered),
	},
}

// target is one of the aims that the null brokers set: what a broker of this kind could reach on the machine at hand.
type target struct {
	number int
	bar    bar
	limit  float64 // of the figure itself, where against is empty: microseconds of CPU a request, or seconds a GB
	what   string  // how a figure without a bar is called
}

var targets = map[string][]target{
	"memory": {
		{1, atLeast("raw-produce-1M", rate, 0.85, "file"), 0, ""},
		{1, atLeast("raw-produce-1M", rate, 0.45, "null"), 0, ""},
		{1, bar{scenario: "raw-produce-1M", metric: cpu, against: "file", plus: 0.10}, 0, ""},
		{2, atLeast("raw-produce-16K", rate, 1.0, "file"), 0, ""},
		{3, atLeast("raw-produce-1rec", rate, 0.75, "file"), 0, ""},
		{3, bar{scenario: "raw-produce-1rec"}, 20, "us of broker CPU a request"},
		{4, atLeast("raw-fetch", rate, 0.95, "file"), 0, ""},
		{4, bar{scenario: "raw-fetch"}, 0.45, "s of broker CPU a GB"},
		{4, atLeast("raw-fetch-tail", rate, 1.2, "file"), 0, ""},
		{4, bar{scenario: "raw-fetch-tail"}, 0.30, "s of broker CPU a GB"},
		{5, atLeast("produce-1K", rate, 0.70, "null"), 0, ""},
		{5, atLeast("produce-1K", rate, 0.90, "file"), 0, ""},
		{5, atLeast("produce-100B", rate, 0.90, "null"), 0, ""},
		{6, atLeast("produce-1K-keyed-12p", rate, 0.90, "file"), 0, ""},
		{7, atLeast("consume-1K", rate, 0.65, "null"), 0, ""},
		{7, atLeast("consume-1K", rate, 0.95, "file"), 0, ""},
		{8, atMost("raw-e2e-100B-1k/s", p50, 1.2, "file"), 0, ""},
		{8, atMost("raw-e2e-100B-1k/s", p99, 2, "file"), 0, ""},
		{9, atMost("e2e-1K-20k/s", p50, 1.2, "file"), 0, ""},
		{9, atMost("e2e-1K-20k/s", p99, 1.5, "file"), 0, ""},
	},
	"disk": {
		{9, atMost("e2e-all-1K-20k/s", p50, 0.8, "fsync"), 0, ""},
		{10, atLeast("raw-produce-16K", rate, 4, "fsync"), 0, ""},
		{10, bar{scenario: "group-commit-64", metric: rate, atLeast: true, times: 10, against: "group-commit-1"}, 0, "rate >= 10 x one writer's"},
	},
}

func findTable(name string) (table, bool) {
	for _, t := range tables {
		if t.name == name {
			return t, true
		}
	}
	return table{}, false
}

// verdict is a bar or a target with what was measured.
type verdict struct {
	scenario, bar, measured string
	number                  int // of a target
	known, met              bool
}

func (v verdict) word() string {
	switch {
	case !v.known:
		return "not measured"
	case v.met:
		return "met"
	}
	return "NOT met"
}

// judge compares Moldau's figures with a bar.
func (r *results) judge(b bar) verdict {
	v := verdict{scenario: b.scenario, bar: b.String()}
	if b.plus > 0 {
		own, base := median(values(r.of(b.scenario, "moldau"), b.metric)), median(values(r.of(b.scenario, b.against), b.metric))
		v.known, v.met, v.measured = own > 0 && base > 0, own <= base+b.plus, fmt.Sprintf("%s + %.2f s/GB", b.against, own-base)
		return v
	}
	q := r.compare(b.scenario, "moldau", b.against, b.metric)
	v.known, v.measured = q.rounds > 0 && q.value > 0, q.String()
	v.met = q.value <= b.times
	if b.atLeast {
		v.met = q.value >= b.times
	}
	return v
}

// judgeTarget does the same with a target.
func (r *results) judgeTarget(t target) verdict {
	v := verdict{}
	own := r.of(t.bar.scenario, "moldau")
	switch {
	case t.limit > 0:
		figure := median(values(own, cpu))
		if t.number == 3 {
			var us []float64
			for _, x := range own {
				us = append(us, x.BrokerCPUPerM)
			}
			figure = median(us)
		}
		v = verdict{scenario: t.bar.scenario, bar: fmt.Sprintf("<= %.4g %s", t.limit, t.what), measured: fmt.Sprintf("%.3g", figure), known: figure > 0, met: figure <= t.limit}
		if !v.known {
			v.measured = "-"
		}
	case t.what != "":
		base := median(values(r.of(t.bar.against, "moldau"), rate))
		v = verdict{scenario: t.bar.scenario, bar: t.what, known: base > 0 && len(own) > 0}
		if v.known {
			times := median(values(own, rate)) / base
			v.measured, v.met = two(times), times >= t.bar.times
		}
	default:
		v = r.judge(t.bar)
	}
	v.number = t.number
	return v
}
