// Command steady shows whether a broker stays as it is: under load for minutes, and while clients come and go for an hour.
//
//	go run ./bench/steady [-time 10m] [...]
//	go run ./bench/steady churn [-time 1h] [...]
//
// The first finds out how much a broker takes from producers at most, then offers a part of that (-share) by schedule, at first alone, and
// then while retention deletes, compaction runs and a consumer reads data that are not in memory. It fails when the
// producers' p99 is more than twice the quiet one, or when the broker's collector takes more than 2 % of its processor time. Time counts from when a
// request was due, so that what a stall holds up is not hidden.
//
// The second lets connections, topics, groups and producer ids come and go, and fails when memory, goroutines or descriptors of the broker grow.
//
// Both build the broker and start it as a process of its own on a directory below -dir, which they remove; they talk to no other broker.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moldau/moldau/bench/node"
)

type options struct {
	dir    string
	broker string
	time   time.Duration

	// of the first
	share      float64
	rate       float64
	maximum    time.Duration
	quiet      time.Duration
	producers  int
	batch      int
	acks       int
	durability string
	segment    int64
	retention  int64
	cold       int64
	coldRate   float64
	updates    float64

	// of churn
	visitors float64
	callers  float64
}

func main() {
	var o options
	args, churning := os.Args[1:], false
	if len(args) > 0 && args[0] == "churn" {
		args, churning = args[1:], true
	}
	f := flag.NewFlagSet("steady", flag.ExitOnError)
	f.StringVar(&o.dir, "dir", "", "where the data lies meanwhile; default the directory for temporary files")
	f.StringVar(&o.broker, "broker", "", "broker to measure; default one built from the work tree")
	if churning {
		f.DurationVar(&o.time, "time", time.Hour, "how long clients come and go")
		f.Float64Var(&o.visitors, "visitors", 2, "clients a second that make a topic, write it, read it in a group, and remove both")
		f.Float64Var(&o.callers, "callers", 20, "bare connections a second, some of which end in the middle of a request")
	} else {
		f.DurationVar(&o.time, "time", 10*time.Minute, "how long the load lasts with all that goes on beside it")
		f.Float64Var(&o.share, "share", 0.6, "part of the maximum that is offered")
		f.Float64Var(&o.rate, "rate", 0, "bytes a second that are offered; 0: the share of the maximum, which is looked for then")
		f.DurationVar(&o.maximum, "maximum", 10*time.Second, "how long the maximum is looked for")
		f.DurationVar(&o.quiet, "quiet", time.Minute, "how long the load lasts alone")
		f.IntVar(&o.producers, "producers", 4, "connections of producers, each with a partition of its own")
		f.IntVar(&o.batch, "batch", 16, "records of 1 KiB in a request")
		f.IntVar(&o.acks, "acks", -1, "acks of the producers")
		f.StringVar(&o.durability, "durability", "disk", "log.durability of the broker")
		f.Int64Var(&o.segment, "segment", 1<<30, "segment.bytes of the producers' topic")
		f.Int64Var(&o.retention, "retention", 1<<30, "retention.bytes of the producers' topic")
		f.Int64Var(&o.cold, "cold", 2<<30, "bytes of the topic that the consumer reads, over and over, each time from the disk")
		f.Float64Var(&o.coldRate, "cold-rate", 100e6, "bytes a second that it reads")
		f.Float64Var(&o.updates, "updates", 2000, "records of 1 KiB a second to the compacted topic")
	}
	_ = f.Parse(args) // it exits by itself
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := load
	if churning {
		run = churn
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "steady:", err)
		os.Exit(1)
	}
}

// onBroker runs a test on a broker with these settings and a directory of its own, both of which are gone afterwards.
func onBroker(o options, test func(*node.Broker) error, settings ...string) error {
	tmp, err := os.MkdirTemp(o.dir, "steady-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	exe, err := node.Build(tmp, o.broker)
	if err != nil {
		return err
	}
	b, err := node.Start(exe, filepath.Join(tmp, "data"), true, settings...)
	if err != nil {
		return err
	}
	return errors.Join(test(b), b.Stop())
}
