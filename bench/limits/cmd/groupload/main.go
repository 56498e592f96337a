// groupload loads the group coordinator of a Kafka-protocol broker and prints one JSON object a run.
//
//	groupload rebalance    a group of -members on a topic of -partitions: time until all are stable after the start, a join, a leave, a kill
//	groupload heartbeats   -groups of one member each, which heartbeat: CPU and memory of the broker
//	groupload commits      -rate commits a second over -groups, one partition each: latency from when each was due
//	groupload summary      read such objects from standard input, print medians and ratios to the first label
//
// The members speak the protocol over connections of their own and do nothing else, so that their cost is small and the same for
// every broker. A member notices a rebalance by a heartbeat, so the interval of heartbeats bounds how fast a group can be.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

var (
	fs         = flag.NewFlagSet("groupload", flag.ExitOnError)
	bootstrap  = fs.String("bootstrap", "127.0.0.1:9092", "broker address")
	members    = fs.Int("members", 100, "rebalance: members of the group")
	partitions = fs.Int("partitions", 1000, "rebalance: partitions of the topic")
	groups     = fs.Int("groups", 2000, "heartbeats, commits: groups")
	conns      = fs.Int("conns", 100, "heartbeats, commits: connections they share")
	interval   = fs.Duration("interval", 3*time.Second, "heartbeats: of each member")
	rate       = fs.Float64("rate", 1000, "commits a second")
	secs       = fs.Duration("t", 10*time.Second, "heartbeats, commits: length of the measured time")
	brokerPIDs = fs.String("broker-pid", "", "processes whose CPU and memory are the broker's, comma-separated")
	label      = fs.String("label", "", "label of the result: which broker")
)

// result is what a run measured. Smaller is better for every metric.
type result struct {
	Label    string             `json:"label"`
	Scenario string             `json:"scenario"`
	Metrics  map[string]float64 `json:"metrics"`
	Order    []string           `json:"order"`
}

func (r *result) add(metric string, value float64) {
	r.Metrics[metric] = value
	r.Order = append(r.Order, metric)
}

func main() {
	modes := map[string]func(*result){"rebalance": rebalance, "heartbeats": heartbeats, "commits": commits}
	if len(os.Args) < 2 {
		die("groupload rebalance|heartbeats|commits|summary [flags]")
	}
	mode := os.Args[1]
	if mode == "summary" {
		summary(os.Stdin)
		return
	}
	run, ok := modes[mode]
	if !ok {
		die("no mode " + mode)
	}
	_ = fs.Parse(os.Args[2:]) // exits by itself
	r := &result{Label: *label, Scenario: mode, Metrics: map[string]float64{}}
	run(r)
	_ = json.NewEncoder(os.Stdout).Encode(r)
}

func die(a ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"groupload:"}, a...)...)
	os.Exit(1)
}

func check(what string, err error) {
	if err != nil {
		die(what+":", err)
	}
}

// usage is what the broker's processes have used so far: CPU in seconds, memory in MB.
func usage() (cpu, rss float64) {
	for _, pid := range strings.Split(*brokerPIDs, ",") {
		if pid == "" {
			continue
		}
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		check("read the broker's CPU time", err)
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		var user, system float64
		fmt.Sscan(fields[11], &user)
		fmt.Sscan(fields[12], &system)
		cpu += (user + system) / 100
		status, err := os.ReadFile("/proc/" + pid + "/status")
		check("read the broker's memory", err)
		for _, line := range strings.Split(string(status), "\n") {
			var kb float64
			if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kb); n == 1 {
				rss += kb / 1024
			}
		}
	}
	return cpu, rss
}
