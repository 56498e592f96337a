package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/bench/node"
)

const (
	replicated = "many-replicated"      // the topic of the phase cluster
	ledMax     = time.Second            // the bar: until every partition has a leader that lives
	calm       = 2 * time.Second        // between two things that happen to a cluster
	readyMax   = 5 * time.Minute        // for whatever is waited for
	askMax     = 30 * time.Second       // for one answer
	retryEach  = 100 * time.Millisecond // where no time is measured
)

// trio is three brokers, which a column tells of.
type trio struct {
	options
	*column
	brokers *node.Cluster
	conns   []*node.Conn // to each, for what is asked one after another; nil: none
	bar     bool         // it has one
	missed  []string     // and this is what it missed
}

// clusters measures what many replicated partitions cost three brokers, and how soon they are led again when one of them dies.
func clusters(ctx context.Context, o options) error {
	var columns []*column
	var missed []string
	measure := func(name string, rounds int, start func() (*node.Cluster, error)) error {
		brokers, err := start()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t := &trio{options: o, column: &column{name: name}, brokers: brokers, conns: make([]*node.Conn, len(brokers.Addrs)), bar: name == moldauName}
		t.rounds = rounds
		err = t.run(ctx)
		for i := range t.conns {
			t.drop(i)
		}
		columns, missed = append(columns, t.column), t.missed
		if err = errors.Join(err, brokers.Stop()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	if o.kafka {
		if err := measure(kafkaName, min(o.rounds, 1), func() (*node.Cluster, error) { return node.StartKafkaCluster(o.port + 20) }); err != nil {
			return err
		}
	}
	work, err := os.MkdirTemp(o.dir, "many-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	exe, err := node.Build(work, o.binary)
	if err != nil {
		return err
	}
	settings, err := o.settings()
	if err != nil {
		return err
	}
	places := make([]node.Place, 3)
	for i := range places {
		places[i].Host = "127.0.0.1"
	}
	if err := measure(moldauName, o.rounds, func() (*node.Cluster, error) { return node.StartCluster(exe, work, o.port, places, settings...) }); err != nil {
		return err
	}
	printTable(columns)
	if o.check && len(missed) > 0 {
		return fmt.Errorf("not met: %s", strings.Join(missed, "; "))
	}
	return nil
}

// settings returns the lines of the file of settings.
func (o options) settings() (lines []string, err error) {
	if o.config == "" {
		return nil, nil
	}
	f, err := os.Open(o.config)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	scan := bufio.NewScanner(f)
	for scan.Scan() {
		lines = append(lines, scan.Text())
	}
	return lines, scan.Err()
}

func (t *trio) run(ctx context.Context) error {
	if err := t.create(ctx); err != nil {
		return err
	}
	if err := t.use(ctx, "empty"); err != nil {
		return err
	}
	began := time.Now()
	if err := t.write(ctx, -1); err != nil {
		return err
	}
	t.note("a record into each, acks=all", "%s", ms(time.Since(began)))
	if err := t.use(ctx, "a record in each"); err != nil {
		return err
	}
	follower, controller := &deaths{what: "a broker killed"}, &deaths{what: "the broker killed that leads the quorum"}
	for range t.rounds {
		for _, d := range []*deaths{follower, controller} {
			if err := t.strike(ctx, d, d == controller); err != nil {
				return fmt.Errorf("%s: %w", d.what, err)
			}
		}
	}
	for _, d := range []*deaths{follower, controller} {
		t.tell(d)
	}
	return t.use(ctx, "after that")
}

// create makes the topic once all brokers are there, and waits until its partitions are led and all replicas in sync, as each broker tells it.
func (t *trio) create(ctx context.Context) error {
	if _, err := t.await(ctx, t.others(-1), "all brokers", func(m *kmsg.MetadataResponse) bool { return len(m.Brokers) == len(t.conns) }); err != nil {
		return err
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(6)
	req.TimeoutMillis = int32(askMax.Milliseconds())
	topic, minimum := kmsg.NewCreateTopicsRequestTopic(), "2"
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = replicated, int32(t.replicated), 3
	config := kmsg.NewCreateTopicsRequestTopicConfig()
	config.Name, config.Value = "min.insync.replicas", &minimum
	topic.Configs = append(topic.Configs, config)
	req.Topics = append(req.Topics, topic)
	began := time.Now()
	resp, err := t.ask(0, req)
	if err != nil {
		return fmt.Errorf("create the topic: %w", err)
	}
	for _, a := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if err := kerr.ErrorForCode(a.ErrorCode); err != nil {
			return fmt.Errorf("create the topic: %w", err)
		}
	}
	answered := time.Since(began)
	synced, err := t.await(ctx, t.others(-1), "all replicas to be in sync", t.inSync)
	if err != nil {
		return err
	}
	t.note(fmt.Sprintf("%d partitions of 3 replicas: answered, led and in sync", t.replicated), "%s, %s", ms(answered), ms(synced.Sub(began)))
	return nil
}

// use says what the brokers have of memory and take of CPU while nothing happens.
func (t *trio) use(ctx context.Context, when string) error {
	if err := wait(ctx, calm); err != nil {
		return err
	}
	began, before := time.Now(), make([]node.Usage, len(t.conns))
	for i := range before {
		var err error
		if before[i], err = t.brokers.Use(i); err != nil {
			return err
		}
	}
	if err := wait(ctx, t.idle); err != nil {
		return err
	}
	var rss, cpu, files []string
	for i := range before {
		after, err := t.brokers.Use(i)
		if err != nil {
			return err
		}
		rss = append(rss, fmt.Sprintf("%.0f", float64(after.RSS)/1e6))
		cpu = append(cpu, fmt.Sprintf("%.2f", 100*float64(after.CPU-before[i].CPU)/float64(time.Since(began))))
		files = append(files, fmt.Sprint(after.Descriptors))
	}
	t.note(when+": RSS of each broker, MB", "%s", strings.Join(rss, ", "))
	t.note(when+": CPU of each while idle, % of a core", "%s", strings.Join(cpu, ", "))
	t.note(when+": open files of each", "%s", strings.Join(files, ", "))
	return nil
}
