package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tool is a load of a driver that is a program of its own: librdkafka's rdkafka_performance, or the tools that Kafka
// publishes. Such a tool counts its own time; the CPU of the broker is read around it.
type tool struct {
	size, records int
	rate          int    // records a second, for the time until they are acknowledged; as fast as possible when 0
	codec         string // none when empty
	consume       bool   // what the topic was filled with
	endToEnd      bool   // one record after another, from the producer to the consumer
}

// command is the program of a scenario, how its output is read, and a file that it writes latencies to.
func (r *race) command(s scenario, b *broker, topic string, records int) (args []string, latencies string) {
	t, n := s.tool, strconv.Itoa(records)
	if s.driver == "rdkafka" {
		args = []string{r.rdkafka, "-t", topic, "-b", b.address, "-c", n, "-p", "0"}
		if t.consume {
			return append(args, "-C", "-o", "beginning", "-X", "fetch.message.max.bytes=1048576"), ""
		}
		acks := map[string]string{"all": "-1"}[r.acks]
		if acks == "" {
			acks = r.acks
		}
		args = append(args, "-P", "-s", strconv.Itoa(t.size), "-a", acks)
		if t.codec != "" {
			args = append(args, "-z", t.codec)
		}
		if t.rate > 0 {
			latencies = filepath.Join(r.tmp, "latencies")
			return append(args, "-r", strconv.Itoa(t.rate), "-X", "linger.ms=0", "-l", "-A", latencies), latencies
		}
		return append(args, "-X", "queue.buffering.max.messages=2000000", "-X", "queue.buffering.max.kbytes=1000000", "-X", "linger.ms=5", "-X", "batch.num.messages=100000", "-X", "batch.size=1000000"), ""
	}
	class := "org.apache.kafka.tools."
	args = []string{filepath.Join(r.root, "bench/kafka.sh"), "tool"}
	switch {
	case t.endToEnd:
		acks := r.acks
		return append(args, class+"EndToEndLatency", b.address, topic, n, acks, strconv.Itoa(t.size)), ""
	case t.consume:
		return append(args, class+"ConsumerPerformance", "--bootstrap-server", b.address, "--topic", topic, "--num-records", n, "--timeout", "30000", "--hide-header"), ""
	}
	limit := "-1"
	if t.rate > 0 {
		limit = strconv.Itoa(t.rate)
	}
	args = append(args, class+"ProducerPerformance", "--bootstrap-server", b.address, "--topic", topic, "--num-records", n, "--record-size", strconv.Itoa(t.size), "--throughput", limit,
		"--warmup-records", strconv.Itoa(records/3), "--command-property", "acks="+r.acks)
	if t.codec != "" {
		args = append(args, "compression.type="+t.codec)
	}
	return args, ""
}

func (r *race) runTool(ctx context.Context, s scenario, b *broker, topic string, common []string, fill int64) (x run, err error) {
	records := s.tool.records
	if r.smoke {
		records /= 20
	}
	if s.tool.consume {
		records = int(fill / int64(s.tool.size) / 10 * 9)
	} else if _, err := output(ctx, r.loadgen, append([]string{"create", "-delete"}, common...)...); err != nil {
		return x, err
	}
	if r.touch > 0 {
		if _, err := output(ctx, r.loadgen, "touch", "-touch", strconv.Itoa(r.ready())); err != nil {
			return x, err
		}
	}
	args, latencies := r.command(s, b, topic, records)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cpu0, busy0, began := cpuOf(b.pids), busy(), time.Now()
	text, err := cmd.CombinedOutput()
	if err != nil {
		return x, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, text)
	}
	took := time.Since(began).Seconds()
	own, spent := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), cpuOf(b.pids)-cpu0
	if x, err = parseTool(s, string(text)); err != nil {
		return x, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, text)
	}
	if latencies != "" {
		if x.LatencyUS, err = readLatencies(latencies); err != nil {
			return x, err
		}
	}
	gb := float64(records) * float64(s.tool.size) / 1e9
	x.Records, x.MBPerSec = int64(records), x.RecordsPerSec*float64(s.tool.size)/1e6
	x.Seconds = took
	x.ClientCPUPerGB, x.BrokerCPUPerGB, x.BrokerCPUPerM = own/gb, spent/gb, spent/float64(records)*1e6
	x.OthersCPU = max(0, 100*(busy()-busy0-own-spent)/(took*float64(runtime.NumCPU())))
	for _, pid := range strings.Split(b.pids, ",") {
		x.BrokerRSSMB += memoryOf(pid, "VmRSS:")
		x.BrokerPeakRSSMB += memoryOf(pid, "VmHWM:")
	}
	return x, nil
}

var (
	rdkafkaProduced = regexp.MustCompile(`(\d+) delivered \(offset -?\d+, (\d+) failed\) in \d+ms: (\d+) msgs/s`)
	rdkafkaConsumed = regexp.MustCompile(`(\d+) messages \(\d+ bytes\) consumed in \d+ms: (\d+) msgs/s`)
	javaProduced    = regexp.MustCompile(`(?m)^(\d+) (?:steady state )?records sent, ([\d.]+) records/sec \(.*? ([\d.]+) ms avg latency, ([\d.]+) ms max latency, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th`)
	javaMean        = regexp.MustCompile(`Avg latency: ([\d.]+) ms`)
	javaPercentiles = regexp.MustCompile(`50th = (\d+), 99th = (\d+)`)
)

// parseTool reads the last result that a tool printed: it may print some on the way.
func parseTool(s scenario, text string) (x run, err error) {
	last := func(re *regexp.Regexp) []string {
		all := re.FindAllStringSubmatch(text, -1)
		if len(all) == 0 {
			return nil
		}
		return all[len(all)-1]
	}
	number := func(t string) float64 {
		v, bad := strconv.ParseFloat(t, 64)
		if bad != nil && err == nil {
			err = bad
		}
		return v
	}
	nothing := fmt.Errorf("no result in what it printed")
	switch {
	case s.driver == "rdkafka" && s.tool.consume:
		m := last(rdkafkaConsumed)
		if m == nil {
			return x, nothing
		}
		x.RecordsPerSec = number(m[2])
	case s.driver == "rdkafka":
		m := last(rdkafkaProduced)
		if m == nil {
			return x, nothing
		}
		x.RecordsPerSec, x.Errors = number(m[3]), int64(number(m[2]))
	case s.tool.endToEnd:
		mean, of := last(javaMean), last(javaPercentiles)
		if mean == nil || of == nil {
			return x, nothing
		}
		// the percentiles are whole milliseconds: the mean says more, and stands where others have their median, here and below
		x.LatencyUS = map[string]float64{"p50": number(mean[1]) * 1e3, "p99": number(of[2]) * 1e3}
		x.RecordsPerSec = 1e3 / number(mean[1])
	case s.tool.consume:
		// start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
		lines := strings.Split(strings.TrimSpace(text), "\n")
		f := strings.Split(lines[len(lines)-1], ",")
		if len(f) != 10 {
			return x, nothing
		}
		x.RecordsPerSec = number(strings.TrimSpace(f[9])) // the time without what joining the group took
	default:
		m := last(javaProduced)
		if m == nil {
			return x, nothing
		}
		x.RecordsPerSec = number(m[2])
		x.LatencyUS = map[string]float64{"p50": number(m[3]) * 1e3, "p99": number(m[7]) * 1e3}
	}
	return x, err
}

// readLatencies reads a file with microseconds a line. The first fifth, in which the client connects, does not count.
func readLatencies(path string) (map[string]float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var v []float64
	for _, line := range strings.Fields(string(text)) {
		n, err := strconv.ParseFloat(line, 64)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		v = append(v, n)
	}
	v = v[len(v)/5:]
	if len(v) == 0 {
		return nil, fmt.Errorf("no latencies in %s", path)
	}
	slices.Sort(v)
	at := func(q float64) float64 { return v[min(int(q*float64(len(v))), len(v)-1)] }
	return map[string]float64{"p50": at(.5), "p99": at(.99), "p99.9": at(.999)}, nil
}
