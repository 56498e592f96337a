// Command small measures what a broker costs that has nothing to do: how soon after its start on an empty directory it answers, its memory,
// processor time, threads and goroutines when idle, and what each of many idle connections adds to that.
//
//	go run ./bench/small [-starts 20] [-idle 30s] [-connections 10000] [-kafka] [-check]
//
// It builds the broker and starts it as a process of its own, on directories below -dir that it removes, and opens the connections itself. Of
// each connection only what the broker's process holds is counted, not what the kernel does. With -kafka it does the same with Apache Kafka
// (bench/kafka.sh). With -check it fails where Moldau misses a bar.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/moldau/moldau/bench/node"
)

type options struct {
	dir         string
	broker      string
	starts      int
	idle        time.Duration
	connections int
	settle      time.Duration
	kafka       bool
	kafkaPort   int
	check       bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "where the data lies meanwhile; default the directory for temporary files")
	flag.StringVar(&o.broker, "broker", "", "broker to measure; default one built from the work tree")
	flag.IntVar(&o.starts, "starts", 20, "starts on an empty directory, whose median counts")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "how long processor time is measured when idle")
	flag.IntVar(&o.connections, "connections", 10_000, "idle connections; the limit of open files (ulimit -n) must be above it")
	flag.DurationVar(&o.settle, "settle", 20*time.Second, "how long connections have been idle when memory is looked at")
	flag.BoolVar(&o.kafka, "kafka", false, "measure Apache Kafka too; run it from the root of the module then")
	flag.IntVar(&o.kafkaPort, "kafka-port", 19590, "port for Kafka; the hundred above it must be free")
	flag.BoolVar(&o.check, "check", false, "fail where a bar is missed")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "small:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	tmp, err := os.MkdirTemp(o.dir, "small-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	exe, err := node.Build(tmp, o.broker)
	if err != nil {
		return err
	}
	starts, err := firstAnswers(exe, tmp, o.starts)
	if err != nil {
		return err
	}
	ours, err := measureMoldau(exe, filepath.Join(tmp, "data"), o)
	if err != nil {
		return err
	}
	ours.start = middle(starts)
	ours.starts = fmt.Sprintf(" (%.1f to %.1f)", ms(slices.Min(starts)), ms(slices.Max(starts)))
	columns := []*figures{ours}
	if o.kafka {
		theirs, err := measureKafka(o)
		if err != nil {
			return err
		}
		columns = append(columns, theirs)
	}
	missed := printTable(os.Stdout, o, columns)
	if o.check && missed > 0 {
		return fmt.Errorf("%d bars are missed", missed)
	}
	return nil
}

// firstAnswers starts the broker n times, each on a directory that is not there yet.
func firstAnswers(exe, dir string, n int) (took []time.Duration, err error) {
	for i := range n {
		data := filepath.Join(dir, fmt.Sprint("empty-", i))
		b, err := node.Start(exe, data, false)
		if err != nil {
			return nil, err
		}
		took = append(took, b.Answer)
		if err := b.Stop(); err != nil {
			return nil, err
		}
		if err := os.RemoveAll(data); err != nil {
			return nil, err
		}
	}
	return took, nil
}

func middle(v []time.Duration) time.Duration {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
