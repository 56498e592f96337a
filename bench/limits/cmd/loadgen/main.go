// loadgen loads a Kafka-protocol broker and prints one JSON object a run.
//
//	loadgen produce     franz-go producers at full speed (-rate 0) or at a fixed rate
//	loadgen consume     a franz-go consumer from the first offset on
//	loadgen e2e         producer and consumer in one process: latency from each record's scheduled time
//	loadgen rawproduce  ready-made produce requests, pipelined: almost no client cost, so the broker is the limit
//	loadgen rawfetch    fetch requests whose records are dropped in the kernel: likewise for reading
//	loadgen rawe2e      both on two connections at a fixed rate: the latency without a client's own
//	loadgen start       run the command after the flags; print the milliseconds until the broker's first answer and the
//	                    command's process id, and leave it running
//	loadgen create      make the topic, and nothing else; delete removes it; touch makes memory ready
//
// Latency at a fixed rate counts from the time a record was due, not from when it could be sent,
// so a stalled broker cannot hide the records it held up (no coordinated omission).
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/moldau/moldau/bench/limits/internal/hostmem"
)

var (
	fs          = flag.NewFlagSet("loadgen", flag.ExitOnError)
	bootstrap   = fs.String("bootstrap", "127.0.0.1:9092", "broker addresses")
	topic       = fs.String("topic", "loadgen", "topic; created when missing")
	partitions  = fs.Int("partitions", 1, "partitions of a created topic")
	replication = fs.Int("replication", 1, "replication factor of a created topic")
	minISR      = fs.String("min-isr", "", "min.insync.replicas of a created topic")
	remove      = fs.Bool("delete", false, "delete the topic before (and create it anew)")
	size        = fs.Int("size", 1024, "bytes of a record's value (16 at least in e2e)")
	rate        = fs.Float64("rate", 0, "records a second over all clients; 0: as fast as possible")
	clients     = fs.Int("clients", 1, "producer clients, or raw connections")
	secs        = fs.Duration("t", 5*time.Second, "length of the measured time")
	warmup      = fs.Duration("warmup", time.Second, "unmeasured time before it")
	maxBytes    = fs.Int64("bytes", 0, "end after this many bytes of values, if sooner")
	acks        = fs.String("acks", "all", "0, 1 or all")
	idempotent  = fs.Bool("idempotent", false, "idempotent producer (needs acks=all)")
	inflight    = fs.Int("inflight", 5, "produce requests in flight on a connection")
	batchBytes  = fs.Int("batch", 1000012, "greatest batch in bytes; raw: the batch sent")
	linger      = fs.Duration("linger", 0, "producer linger")
	compression = fs.String("compression", "none", "none, gzip, snappy, lz4 or zstd")
	keyed       = fs.Bool("keyed", false, "give records keys, which spreads them over the partitions one by one")
	fetchBytes  = fs.Int("fetch-bytes", 1<<20, "greatest fetch of one partition")
	minBytes    = fs.Int("fetch-min", 1, "least bytes of a fetch response")
	keepData    = fs.Bool("copy", false, "rawfetch: read the records into memory instead of dropping them in the kernel")
	brokerPIDs  = fs.String("broker-pid", "", "processes whose CPU and memory are the broker's, comma-separated")
	touch       = fs.Int("touch", 0, "MiB of free memory to make ready first (see internal/hostmem)")
	label       = fs.String("label", "", "label of the result: which broker")
	scenario    = fs.String("scenario", "", "name of the result: which load")
)

type result struct {
	Label           string             `json:"label"`
	Scenario        string             `json:"scenario"`
	Mode            string             `json:"mode"`
	Seconds         float64            `json:"seconds"`
	Records         int64              `json:"records"`
	RecordsPerSec   float64            `json:"records_per_s"`
	MBPerSec        float64            `json:"mb_per_s"`
	Errors          int64              `json:"errors"`
	LatencyUS       map[string]float64 `json:"latency_us,omitempty"`      // e2e: due to consumed; produce: due to acknowledged; raw: request to response
	AckUS           map[string]float64 `json:"ack_us,omitempty"`          // e2e, rawe2e: due to acknowledged
	SentUS          map[string]float64 `json:"sent_to_read_us,omitempty"` // e2e, rawe2e: really sent to consumed
	PacerLagUS      map[string]float64 `json:"pacer_lag_us,omitempty"`    // how late this program itself was
	ClientCPUPerGB  float64            `json:"client_cpu_s_per_gb"`
	BrokerCPUPerGB  float64            `json:"broker_cpu_s_per_gb,omitempty"`
	BrokerCPUPerM   float64            `json:"broker_cpu_s_per_million_records,omitempty"`
	BrokerCPU       float64            `json:"broker_cpu_cores,omitempty"`
	BrokerRSSMB     float64            `json:"broker_rss_mb,omitempty"`
	BrokerPeakRSSMB float64            `json:"broker_peak_rss_mb,omitempty"`
	OthersCPU       float64            `json:"others_cpu_percent"` // of the machine, by neither client nor broker
}

// meter counts what is done between its start (after the warm-up) and its end.
type meter struct {
	on             atomic.Bool
	records, bytes atomic.Int64
	errors         atomic.Int64
	lat, ack, sent hist
	lag            hist
	t0, end        time.Time
	c0, b0, m0     float64
}

func main() {
	if len(os.Args) < 2 {
		die("loadgen produce|consume|e2e|rawproduce|rawfetch|rawe2e|start|create|delete|touch [flags]")
	}
	mode := os.Args[1]
	fs.Parse(os.Args[2:])
	modes := map[string]func(*meter){"produce": produce, "consume": consume, "e2e": e2e, "rawproduce": rawProduce, "rawfetch": rawFetch, "rawe2e": rawE2E}
	switch mode {
	case "start":
		startCommand(fs.Args())
		return
	case "create":
		createTopic()
		return
	case "delete":
		cl := newClient()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		deleteTopic(ctx, cl)
		return
	case "touch":
		hostmem.Touch(*touch)
		return
	}
	run, ok := modes[mode]
	if !ok {
		die("no mode " + mode)
	}
	if mode != "consume" && mode != "rawfetch" {
		createTopic()
	}
	hostmem.Touch(*touch)
	m := &meter{}
	run(m)
	if m.bytes.Load() == 0 {
		die("nothing was done in", *secs)
	}
	s := m.end.Sub(m.t0).Seconds()
	gb := float64(m.bytes.Load()) / 1e9
	own, brk := ownCPU()-m.c0, brokerCPU()-m.b0
	r := result{Label: *label, Scenario: *scenario, Mode: mode, Seconds: s, Records: m.records.Load(),
		RecordsPerSec: float64(m.records.Load()) / s, MBPerSec: gb * 1e3 / s, Errors: m.errors.Load(),
		LatencyUS: m.lat.quantiles(), AckUS: m.ack.quantiles(), SentUS: m.sent.quantiles(), PacerLagUS: m.lag.quantiles(),
		ClientCPUPerGB: own / gb, BrokerCPUPerGB: brk / gb, BrokerCPUPerM: brk / float64(m.records.Load()) * 1e6, BrokerCPU: brk / s,
		BrokerRSSMB: brokerMem("VmRSS:"), BrokerPeakRSSMB: brokerMem("VmHWM:"),
		OthersCPU: max(0, 100*(machineBusy()-m.m0-own-brk)/(time.Since(m.t0).Seconds()*float64(runtime.NumCPU())))}
	if *scenario == "" {
		r.Scenario = mode
	}
	check(json.NewEncoder(os.Stdout).Encode(r))
}

// start begins the measured time; until tells when the load ends.
func (m *meter) start() {
	m.c0, m.b0, m.m0 = ownCPU(), brokerCPU(), machineBusy()
	m.t0 = time.Now()
	m.on.Store(true)
}

func (m *meter) stop() {
	if m.on.Swap(false) {
		m.end = time.Now()
	}
}

// measure warms up, then measures until the time or the bytes are over.
func (m *meter) measure(done <-chan struct{}) {
	time.Sleep(*warmup)
	m.start()
	for time.Since(m.t0) < *secs && (*maxBytes == 0 || m.bytes.Load() < *maxBytes) {
		select {
		case <-done:
			m.stop()
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
	m.stop()
}

// count notes n records of b bytes in all, when measuring.
func (m *meter) count(n, b int) {
	if m.on.Load() {
		m.records.Add(int64(n))
		m.bytes.Add(int64(b))
	}
}

func die(a ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"loadgen:"}, a...)...)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		die(err)
	}
}

func newClient(opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(*bootstrap, ",")...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(100 * time.Millisecond)}, opts...)...)
	check(err)
	return cl
}

func createTopic() {
	cl := newClient()
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if *remove {
		deleteTopic(ctx, cl)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = *topic, int32(*partitions), int16(*replication)
	if *minISR != "" {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = "min.insync.replicas", minISR
		t.Configs = append(t.Configs, c)
	}
	req.Topics, req.TimeoutMillis = append(req.Topics, t), 10000
	for { // a deletion may still be under way
		resp, err := req.RequestWith(ctx, cl)
		check(err)
		if err = kerr.ErrorForCode(resp.Topics[0].ErrorCode); err == nil || err == kerr.TopicAlreadyExists && !*remove {
			break
		}
		if err != kerr.TopicAlreadyExists {
			die("create topic:", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	leaders(ctx, cl)
}

// deleteTopic asks for the end of the topic, which need not be there.
func deleteTopic(ctx context.Context, cl *kgo.Client) {
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TopicNames, del.TimeoutMillis = []string{*topic}, 10000
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = topic
	del.Topics = append(del.Topics, t)
	_, err := del.RequestWith(ctx, cl)
	check(err)
}

// leaders waits until each partition has a leader that the broker which is asked has heard of, and returns their addresses.
func leaders(ctx context.Context, cl *kgo.Client) []string {
	for {
		if found := leadersNow(ctx, cl); len(found) > 0 {
			return found
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// leadersNow is empty while some partition has no leader.
func leadersNow(ctx context.Context, cl *kgo.Client) []string {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = topic
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	check(err)
	hosts := map[int32]string{}
	for _, b := range resp.Brokers {
		hosts[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	out := make([]string, len(resp.Topics[0].Partitions))
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != 0 || hosts[p.Leader] == "" {
			return nil
		}
		out[p.Partition] = hosts[p.Leader]
	}
	return out
}

func ownCPU() float64 {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func pids() (out []int) {
	for _, s := range strings.Split(*brokerPIDs, ",") {
		if n, err := strconv.Atoi(s); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func brokerCPU() (s float64) {
	for _, pid := range pids() {
		var ts unix.Timespec
		if unix.ClockGettime(int32(^pid<<3|2), &ts) == nil { // the process's CPU clock
			s += float64(ts.Nano()) / 1e9
		}
	}
	return s
}

func brokerMem(key string) (mb float64) {
	for _, pid := range pids() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for _, l := range strings.Split(string(b), "\n") {
			if f := strings.Fields(l); len(f) > 1 && f[0] == key {
				n, _ := strconv.ParseFloat(f[1], 64)
				mb += n / 1024
			}
		}
	}
	return mb
}

func machineBusy() float64 {
	b, _ := os.ReadFile("/proc/stat")
	var user, nice, sys, idle, iowait, irq, softirq, steal float64
	fmt.Sscanf(string(b), "cpu %f %f %f %f %f %f %f %f", &user, &nice, &sys, &idle, &iowait, &irq, &softirq, &steal)
	return (user + nice + sys + irq + softirq + steal) / 100
}
