// Command many measures what many partitions cost a broker that it starts itself:
//
//	go run ./bench/many [-topics 10000] [-partitions 1] [-requests 1] [-records 1] [-settle 45s] [-phases create,cost,empty,filled,user] [-kafka]
//	go run ./bench/many -phases cluster [-replicated 2000] [-rounds 3] [-idle 10s] [-check] [-kafka]
//
// It makes the topics with a client and waits until all of them have leaders in a Metadata answer; looks at memory, open files, maps and CPU of
// the process; produces to one topic, with and without the many others; and starts the broker again, after SIGTERM and after SIGKILL, until
// the first topic, the last one and some between have taken a record and given it back: with all topics empty, then with records in
// each. The phase user then asks for all topics as people's tools do, reads a thousand partitions in a group, and removes all. With -kafka the same is done to Apache Kafka (bench/kafka.sh), first. The answer is a table in Markdown and a line that sums it up.
//
// The phase cluster is of its own: three brokers as processes on loopback and one topic of three replicas of each partition. It says how long it takes until all
// are led and in sync, what the brokers need in memory and CPU, and then kills one of them again and again, first one that does not lead the
// quorum, then the one that does: until every partition has a leader that lives, in the Metadata of both survivors, until each has acknowledged a
// record with acks=all, and, when the broker is started again, until all replicas are in sync. Every partition must have a
// leader within a second; with -check it fails where one has not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	topics, partitions, requests int
	records                      int
	replicated, rounds           int
	settle, idle, poll           time.Duration
	phases                       string
	binary, config, dir          string
	port                         int
	kafka, check                 bool
}

func main() {
	var o options
	flag.IntVar(&o.topics, "topics", 10_000, "topics")
	flag.IntVar(&o.partitions, "partitions", 1, "partitions of each")
	flag.IntVar(&o.requests, "requests", 1, "requests that they are made with")
	flag.IntVar(&o.records, "records", 1, "records that each partition is filled with, a batch each")
	flag.DurationVar(&o.settle, "settle", 45*time.Second, "how long records lie before the broker is killed that is to have its files written; 0: leave that out")
	flag.DurationVar(&o.idle, "idle", 10*time.Second, "how long CPU is measured while nothing happens")
	flag.StringVar(&o.phases, "phases", "create,cost,empty,filled,user", "what to measure; cluster: of three brokers")
	flag.IntVar(&o.replicated, "replicated", 2000, "partitions of three replicas, of the phase cluster")
	flag.IntVar(&o.rounds, "rounds", 3, "how often the phase cluster kills each kind of broker; Apache Kafka's once at most")
	flag.DurationVar(&o.poll, "poll", 5*time.Millisecond, "how long the phase cluster waits between two requests for Metadata")
	flag.BoolVar(&o.check, "check", false, "fail where the phase cluster misses its bar")
	flag.StringVar(&o.binary, "bin", "", "Moldau's binary; default: it is built")
	flag.StringVar(&o.config, "config", "", "a file of settings for Moldau")
	flag.StringVar(&o.dir, "dir", "", "where the data goes; default: a temporary directory")
	flag.IntVar(&o.port, "port", 19650, "port of Moldau; the one of Kafka is two above; of the phase cluster the 90 above must be free")
	flag.BoolVar(&o.kafka, "kafka", false, "Apache Kafka, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "many:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	phases := strings.Split(o.phases, ",")
	if slices.Contains(phases, "cluster") {
		if err := clusters(ctx, o); err != nil || len(phases) == 1 {
			return err
		}
	}
	var columns []*column
	var brokers []broker
	if o.kafka {
		brokers = append(brokers, newKafka(o))
	}
	m, err := newMoldau(o)
	if err != nil {
		return err
	}
	for _, each := range append(brokers, m) {
		b := &bench{options: o, broker: each, column: &column{name: each.name()}}
		columns = append(columns, b.column)
		err := b.run(ctx)
		if err = errors.Join(err, each.remove()); err != nil {
			return fmt.Errorf("%s: %w", each.name(), err)
		}
	}
	printTable(columns)
	return nil
}

// column is what was measured of one system.
type column struct {
	name string
	rows []row
}

type row struct{ what, figure string }

func (c *column) note(what, format string, args ...any) {
	r := row{what, fmt.Sprintf(format, args...)}
	c.rows = append(c.rows, r)
	fmt.Fprintf(os.Stderr, "%s: %s: %s\n", c.name, r.what, r.figure)
}

func printTable(columns []*column) {
	fmt.Print("| what |")
	for _, c := range columns {
		fmt.Printf(" %s |", c.name)
	}
	fmt.Printf("\n| --- |%s\n", strings.Repeat(" --- |", len(columns)))
	last := columns[len(columns)-1]
	for i, r := range last.rows {
		fmt.Printf("| %s |", r.what)
		for _, c := range columns {
			fmt.Printf(" %s |", c.rows[i].figure)
		}
		fmt.Println()
	}
	var sum []string
	for _, r := range last.rows {
		sum = append(sum, r.what+" "+r.figure)
	}
	fmt.Println("many:", strings.Join(sum, "; "))
}

// bench is the run of one broker.
type bench struct {
	options
	*column
	broker broker
}

func ms(d time.Duration) string {
	if d > 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// topic is the name of one of the many.
func topic(i int) string { return fmt.Sprintf("many-%06d", i) }

func (b *bench) run(ctx context.Context) error {
	if err := b.broker.start(); err != nil {
		return err
	}
	if _, err := firstAnswer(ctx, b.broker.addr(), time.Minute); err != nil {
		return err
	}
	has := func(phase string) bool { return strings.Contains(b.phases, phase) }
	if has("cost") {
		if err := b.cost(ctx, "one record, alone"); err != nil {
			return err
		}
	}
	if err := b.create(ctx); err != nil {
		return err
	}
	time.Sleep(5 * time.Second)
	if err := b.look(ctx, "empty"); err != nil {
		return err
	}
	if has("cost") {
		if err := b.cost(ctx, "one record, among the others"); err != nil {
			return err
		}
	}
	if has("empty") {
		if err := b.restart(ctx, "empty, clean stop", false); err != nil {
			return err
		}
		if err := b.look(ctx, "empty, started again"); err != nil {
			return err
		}
		if err := b.restart(ctx, "empty, kill -9", true); err != nil {
			return err
		}
	}
	if has("filled") {
		if err := b.filled(ctx); err != nil {
			return err
		}
	}
	if has("user") {
		if !has("filled") {
			if err := b.fill(); err != nil {
				return err
			}
		}
		return b.user(ctx)
	}
	return nil
}

func (b *bench) filled(ctx context.Context) error {
	began := time.Now()
	if err := b.fill(); err != nil {
		return err
	}
	b.note(fmt.Sprintf("%d record(s) into each", b.records), "%s", ms(time.Since(began)))
	if err := b.restart(ctx, "filled just now, kill -9", true); err != nil {
		return err
	}
	if err := b.look(ctx, "filled just now, killed and started again"); err != nil {
		return err
	}
	if err := b.restart(ctx, "filled, clean stop", false); err != nil {
		return err
	}
	if err := b.look(ctx, "filled, started again"); err != nil {
		return err
	}
	if strings.Contains(b.phases, "cost") {
		if err := b.cost(ctx, "one record, among others that have some"); err != nil {
			return err
		}
	}
	if b.settle == 0 {
		return nil
	}
	if err := b.fill(); err != nil {
		return err
	}
	time.Sleep(b.settle)
	if err := b.look(ctx, fmt.Sprintf("filled %v ago", b.settle)); err != nil {
		return err
	}
	return b.restart(ctx, fmt.Sprintf("filled %v ago, kill -9", b.settle), true)
}

// restart ends the broker and starts it again, until it has served.
func (b *bench) restart(ctx context.Context, what string, kill bool) error {
	began := time.Now()
	if err := b.broker.end(kill); err != nil {
		return err
	}
	if !kill {
		b.note(what+": the stop", "%s", ms(time.Since(began)))
	}
	began = time.Now()
	if err := b.broker.start(); err != nil {
		return err
	}
	if _, err := firstAnswer(ctx, b.broker.addr(), 2*time.Minute); err != nil {
		return err
	}
	first := time.Since(began)
	used, err := cpu(b.broker.pid())
	if err != nil {
		return err
	}
	if err := b.serve(); err != nil {
		return err
	}
	b.note(what+": start to the first answer, CPU until then", "%s, %s", ms(first), ms(used))
	b.note(what+": start to records of first, last and 8 others", "%s", ms(time.Since(began)))
	return nil
}
