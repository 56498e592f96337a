package main

import (
	"fmt"
	"slices"
	"strings"
)

// scenario is a load. Those of loadgen have its mode and flags; the others are named by their driver.
type scenario struct {
	name   string
	driver string   // franz for all of loadgen's
	args   string   // loadgen's mode and flags
	fill   int64    // bytes that must be there to read; -1: as many as the race says
	unit   string   // of its rate: MB/s, k req/s or k rec/s; "us" where only latency counts
	nulls  []string // the null brokers that it is compared with, in the tables
	tool   *tool    // of the other drivers
}

const everything = -1

// runBytes is the most that a run writes, in each replica: memory that the host must find first would be measured otherwise.
const runBytes = 1_500_000_000

var scenarios = []scenario{
	{name: "raw-produce-1M", args: "rawproduce -size 1024 -batch 1000000 -inflight 4", unit: "MB/s", nulls: []string{"file", "null"}},
	{name: "raw-produce-16K", args: "rawproduce -size 1024 -batch 16384 -inflight 16", unit: "MB/s", nulls: []string{"file"}},
	{name: "raw-produce-1rec", args: "rawproduce -size 100 -batch 100 -inflight 16 -clients 4", unit: "k req/s", nulls: []string{"file"}},
	{name: "raw-fetch", args: "rawfetch -clients 4 -size 1024 -batch 1000000", fill: everything, unit: "MB/s", nulls: []string{"file"}},
	{name: "raw-fetch-tail", args: "rawfetch -clients 4 -size 1024 -batch 1000000", fill: 32_000_000, unit: "MB/s", nulls: []string{"file", "mem"}},
	{name: "raw-e2e-100B-1k/s", args: "rawe2e -size 100 -batch 100 -rate 1000", unit: "us", nulls: []string{"file"}},
	{name: "raw-e2e-16K-2k/s", args: "rawe2e -size 16384 -batch 16384 -rate 2000", unit: "us", nulls: []string{"file"}},
	{name: "produce-1K", args: "produce -size 1024", unit: "MB/s", nulls: []string{"file", "null"}},
	{name: "produce-1K-lz4", args: "produce -size 1024 -compression lz4", unit: "MB/s"},
	{name: "produce-1K-zstd", args: "produce -size 1024 -compression zstd", unit: "MB/s"},
	{name: "produce-100B", args: "produce -size 100", unit: "k rec/s", nulls: []string{"null"}},
	{name: "produce-1K-keyed-12p", args: "produce -size 1024 -keyed -partitions 12", unit: "MB/s", nulls: []string{"file"}},
	{name: "consume-1K", args: "consume -size 1024 -batch 1000000", fill: everything, unit: "MB/s", nulls: []string{"file", "null"}},
	{name: "consume-100B", args: "consume -size 100 -batch 1000000", fill: everything, unit: "k rec/s"},
	{name: "e2e-100B-1k/s", args: "e2e -size 100 -rate 1000", unit: "us"},
	{name: "e2e-1K-20k/s", args: "e2e -size 1024 -rate 20000", unit: "us", nulls: []string{"file"}},
	{name: "e2e-all-1K-20k/s", args: "e2e -size 1024 -rate 20000 -acks all -idempotent", unit: "us"},
	{name: "group-commit-1", args: "rawproduce -size 1000 -batch 100 -inflight 1 -clients 1", unit: "k req/s"},
	{name: "group-commit-64", args: "rawproduce -size 1000 -batch 100 -inflight 1 -clients 64", unit: "k req/s"},

	{name: "rdkafka-produce-1K", driver: "rdkafka", unit: "MB/s", tool: &tool{size: 1024, records: 1_200_000}},
	{name: "rdkafka-produce-1K-lz4", driver: "rdkafka", unit: "MB/s", tool: &tool{size: 1024, records: 1_200_000, codec: "lz4"}},
	{name: "rdkafka-produce-100B", driver: "rdkafka", unit: "k rec/s", tool: &tool{size: 100, records: 4_000_000}},
	{name: "rdkafka-ack-1K-5k/s", driver: "rdkafka", unit: "us", tool: &tool{size: 1024, records: 15_000, rate: 5000}},
	{name: "rdkafka-consume-1K", driver: "rdkafka", fill: everything, unit: "MB/s", tool: &tool{size: 1024, consume: true}},
	{name: "rdkafka-consume-100B", driver: "rdkafka", fill: everything, unit: "k rec/s", tool: &tool{size: 100, consume: true}},

	{name: "java-produce-1K", driver: "java", unit: "MB/s", tool: &tool{size: 1024, records: 600_000}},
	{name: "java-produce-100B", driver: "java", unit: "k rec/s", tool: &tool{size: 100, records: 3_000_000}},
	{name: "java-ack-1K-5k/s", driver: "java", unit: "us", tool: &tool{size: 1024, records: 15_000, rate: 5000}},
	{name: "java-consume-1K", driver: "java", fill: everything, unit: "MB/s", tool: &tool{size: 1024, consume: true}},
	{name: "java-consume-100B", driver: "java", fill: everything, unit: "k rec/s", tool: &tool{size: 100, consume: true}},
	{name: "java-e2e-100B", driver: "java", unit: "us", tool: &tool{size: 100, records: 2_000, endToEnd: true}},
}

func init() {
	for i := range scenarios {
		if scenarios[i].driver == "" {
			scenarios[i].driver = "franz"
		}
	}
}

func find(name string) (scenario, error) {
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if i < 0 {
		var names []string
		for _, s := range scenarios {
			names = append(names, s.name)
		}
		return scenario{}, fmt.Errorf("no scenario %q; there are %s", name, strings.Join(names, " "))
	}
	return scenarios[i], nil
}

// figure is what a row shows of a broker: its rate in the scenario's unit, or its latencies.
func (s scenario) figure(runs map[int]run) string {
	if len(runs) == 0 {
		return "-"
	}
	n := median(values(runs, rate))
	switch s.unit {
	case "us":
		if s.driver == "java" { // Kafka's tools give whole milliseconds for all but the mean
			return latency(median(values(runs, p50))) + " mean"
		}
		return latency(median(values(runs, p50))) + " / " + latency(median(values(runs, p99)))
	case "MB/s":
		v := []float64{}
		for _, x := range runs {
			v = append(v, x.MBPerSec)
		}
		return fmt.Sprintf("%s MB/s", grouped(median(v)))
	case "k req/s":
		return fmt.Sprintf("%.1f k req/s", n/1e3)
	}
	if n >= 1e6 {
		return fmt.Sprintf("%.2f M rec/s", n/1e6)
	}
	return fmt.Sprintf("%.0f k rec/s", n/1e3)
}

// grouped writes a whole number with commas.
func grouped(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func latency(us float64) string {
	if us < 1000 {
		return fmt.Sprintf("%.0f us", us)
	}
	return fmt.Sprintf("%.3g ms", us/1e3)
}
