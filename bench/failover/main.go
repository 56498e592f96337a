// Command failover measures for how long producers stand still when one of three brokers dies. It starts the brokers itself, as processes on
// loopback, writes a record to every partition of a topic every ten milliseconds with acks=all, and ends a broker, or stops it, again and again:
//
//	go run ./bench/failover [-kills 200] [-stops 20] [-frozen 10] [-cuts 0] [-kafka-kills 0] [-kafka-stops 0] [-kafka-frozen 0] [-budget 0] [-out failover.jsonl]
//	go run ./bench/failover summary failover.jsonl...
//
// A kill is SIGKILL, a stop SIGTERM, a frozen broker has SIGSTOP and goes on later. A cut takes one broker's network away, which is what the power
// loss of another machine looks like: each broker is in a network namespace of its own then (root, Linux). The numbers for Kafka start Apache Kafka
// (bench/kafka.sh, run from the root of the module) in place of Moldau.
//
// The topic has 30 partitions of three replicas and min.insync.replicas=2. Each partition has a client of its own, made by hand so that the
// figures mean one thing: one request in flight, of one record, with a producer id and a sequence; after any error it waits 10 to 20 ms, asks another broker for the
// metadata, and tries again. What counts is the longest time between two acknowledgements of a partition: of those the broker led, and
// of those it followed. A client whose broker is frozen or cut off waits for its own request time-out (-request-timeout), or for the broker,
// whatever others do: there it counts when a client that has just begun gets an acknowledgement.
//
// At the end everything is read: no acknowledged record may be missing, doubled, out of order or elsewhere. Each fault adds a line to -out, so
// that a long run can be made of several short ones; all lines of the file are summed up. It fails where a record is wrong, and
// with -check where a bar is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/moldau/moldau/bench/node"
)

type options struct {
	dir, broker, out           string
	kills, stops, frozen, cuts int
	kafkaKills, kafkaStops     int
	kafkaFrozen                int
	partitions                 int
	interval, settle, watch    time.Duration
	requestTimeout, budget     time.Duration
	seed                       uint64
	port, kafkaPort            int
	durability                 string
	keep, check                bool
	commit                     string
	began                      time.Time
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "summary" {
		exit(summarize(os.Stdout, os.Args[2:], false))
	}
	var o options
	flag.StringVar(&o.dir, "dir", "", "where the data lies meanwhile; default the directory for temporary files")
	flag.StringVar(&o.broker, "broker", "", "broker to measure; default one built from the work tree")
	flag.StringVar(&o.out, "out", "failover.jsonl", "file that the single results are added to")
	flag.IntVar(&o.kills, "kills", 200, "brokers to kill")
	flag.IntVar(&o.stops, "stops", 20, "brokers to stop with SIGTERM")
	flag.IntVar(&o.frozen, "frozen", 10, "brokers to freeze")
	flag.IntVar(&o.cuts, "cuts", 0, "brokers to cut off the network; root, Linux")
	flag.IntVar(&o.kafkaKills, "kafka-kills", 0, "brokers of Apache Kafka to kill")
	flag.IntVar(&o.kafkaStops, "kafka-stops", 0, "brokers of Apache Kafka to stop with SIGTERM")
	flag.IntVar(&o.kafkaFrozen, "kafka-frozen", 0, "brokers of Apache Kafka to freeze")
	flag.IntVar(&o.partitions, "partitions", 30, "partitions of the topic")
	flag.DurationVar(&o.interval, "interval", 10*time.Millisecond, "between two records of a partition")
	flag.DurationVar(&o.settle, "settle", 700*time.Millisecond, "how long everything has been in order before a fault")
	flag.DurationVar(&o.watch, "watch", 3*time.Second, "how long a broker stays away at least")
	flag.DurationVar(&o.requestTimeout, "request-timeout", 30*time.Second, "how long the clients wait for an answer (request.timeout.ms of Kafka's)")
	flag.DurationVar(&o.budget, "budget", 0, "when so much time is gone no further fault begins; 0: all of them")
	flag.Uint64Var(&o.seed, "seed", 0, "of the order of faults and of their brokers; 0: any")
	flag.IntVar(&o.port, "port", 19700, "port of Moldau; the 20 above it must be free")
	flag.IntVar(&o.kafkaPort, "kafka-port", 19730, "port of Apache Kafka; the 60 above it must be free")
	flag.StringVar(&o.durability, "durability", "disk", "log.durability of Moldau")
	flag.BoolVar(&o.keep, "keep", false, "leave the directory with the brokers' logs")
	flag.BoolVar(&o.check, "check", false, "fail where a bar is missed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, o))
}

func exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "failover:", err)
	os.Exit(1)
}

func run(ctx context.Context, o options) (err error) {
	if o.began = time.Now(); o.seed == 0 {
		o.seed = rand.Uint64() >> 24
	}
	if o.commit, err = commit(); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "failover: seed", o.seed)
	if o.kafkaKills+o.kafkaStops+o.kafkaFrozen > 0 {
		faults := mixed(o.seed, map[fault]int{kill: o.kafkaKills, stop: o.kafkaStops, freeze: o.kafkaFrozen})
		if err := measure(ctx, o, kafka, faults, func() (*node.Cluster, error) { return node.StartKafkaCluster(o.kafkaPort) }, nil); err != nil {
			return fmt.Errorf("%s: %w", kafka, err)
		}
	}
	if o.kills+o.stops+o.frozen+o.cuts > 0 {
		if err := measureMoldau(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", moldau, err)
		}
	}
	if inside() {
		return nil // the one outside does the rest
	}
	return summarize(os.Stdout, []string{o.out}, o.check)
}

func measureMoldau(ctx context.Context, o options) (err error) {
	if o.cuts > 0 && !inside() {
		return enter(ctx)
	}
	tmp, err := os.MkdirTemp(o.dir, "failover-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintln(os.Stderr, "failover: logs are in", tmp)
	} else {
		defer os.RemoveAll(tmp)
	}
	exe, err := node.Build(tmp, o.broker)
	if err != nil {
		return err
	}
	places := make([]node.Place, 3)
	for i := range places {
		places[i].Host = "127.0.0.1"
	}
	var n *net
	if o.cuts > 0 {
		if n, err = newNet(places); err != nil {
			return err
		}
		defer n.close()
	}
	faults := mixed(o.seed, map[fault]int{kill: o.kills, stop: o.stops, freeze: o.frozen, cut: o.cuts})
	return measure(ctx, o, moldau, faults, func() (*node.Cluster, error) {
		return node.StartCluster(exe, tmp, o.port, places, "log.durability="+o.durability)
	}, n)
}

// mixed returns so many faults of each kind in an order that follows from the seed.
func mixed(seed uint64, counts map[fault]int) (all []fault) {
	for _, f := range []fault{kill, stop, freeze, cut} {
		for range counts[f] {
			all = append(all, f)
		}
	}
	r := rand.New(rand.NewPCG(seed, 1))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// measure starts a cluster, lets the faults happen under load, and reads what there is.
func measure(ctx context.Context, o options, system string, faults []fault, start func() (*node.Cluster, error), n *net) (err error) {
	out, err := os.OpenFile(o.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	c, err := start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	r := &round{options: o, system: system, cluster: c, net: n, out: out, random: rand.New(rand.NewPCG(o.seed, 2))}
	return r.all(ctx, faults)
}

// commit names the commit of the work tree, with a + where it has changes.
func commit() (string, error) {
	name, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("ask git for the commit: %w", err)
	}
	text := strings.TrimSpace(string(name))
	if exec.Command("git", "diff", "--quiet", "HEAD", "--", "cmd", "internal", "bench/failover").Run() != nil {
		text += "+"
	}
	return text, nil
}
