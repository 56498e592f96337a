package main

import (
	"context"
	"fmt"
	"time"

	"github.com/moldau/moldau/bench/node"
)

// figures are what was measured of one broker. What it does not tell is -1.
type figures struct {
	name       string
	start      time.Duration
	starts     string  // from how little to how much, where there were several
	idleCPU    float64 // per cent of one core
	rss        int64
	threads    int
	goroutines int
	silent     perConnection // connections that have asked for versions and metadata
	used       perConnection // the same ones when each has produced and fetched too
	closed     int64         // RSS when they are gone
}

// perConnection is what the connections take of the process.
type perConnection struct {
	bytes int64 // each
	rss   int64 // the whole process
}

// quiet is how long a broker is left alone before its memory is looked at.
const quiet = 3 * time.Second

func measureMoldau(exe, data string, o options) (*figures, error) {
	// The broker that is watched pays for a listener and its goroutines; it is another one than that whose RSS counts.
	watched, err := node.Start(exe, data+"-watched", true)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second)
	m, err := watched.Metrics(context.Background())
	if stopErr := watched.Stop(); err == nil {
		err = stopErr
	}
	if err != nil {
		return nil, err
	}
	b, err := node.Start(exe, data, false)
	if err != nil {
		return nil, err
	}
	defer b.Stop()
	f := &figures{name: "Moldau", goroutines: int(m["go_goroutines"]) - 4} // without those of the admin listener and of this scrape
	return f, measure(b, f, o)
}

func measureKafka(o options) (*figures, error) {
	b, err := node.StartKafka(o.kafkaPort)
	if err != nil {
		return nil, err
	}
	defer b.Stop()
	f := &figures{name: "Kafka", goroutines: -1, start: b.Answer, starts: " (formatted before)"}
	return f, measure(b, f, o)
}

// measure measures an idle broker, then with connections.
func measure(b *node.Broker, f *figures, o options) error {
	time.Sleep(quiet)
	before, err := b.Use()
	if err != nil {
		return err
	}
	time.Sleep(o.idle)
	idle, err := b.Use()
	if err != nil {
		return err
	}
	f.idleCPU = 100 * float64(idle.CPU-before.CPU) / float64(o.idle)
	f.rss, f.threads = idle.RSS, idle.Threads
	if o.connections == 0 {
		return nil
	}
	topic := fmt.Sprintf("bench-small-%d", time.Now().UnixNano())
	if err := node.CreateTopic(context.Background(), b.Addr, topic, partitions, 1, nil); err != nil {
		return err
	}
	time.Sleep(quiet)
	with, err := b.Use() // the topic is there now, and code for it was read from the disk
	if err != nil {
		return err
	}
	conns, err := open(b.Addr, topic, o.connections)
	defer conns.close()
	if err != nil {
		return err
	}
	look := func() (perConnection, error) {
		time.Sleep(o.settle)
		now, err := b.Use()
		return perConnection{bytes: (now.RSS - with.RSS) / int64(len(conns)), rss: now.RSS}, err
	}
	if f.silent, err = look(); err != nil {
		return err
	}
	if err := conns.use(topic); err != nil {
		return err
	}
	if f.used, err = look(); err != nil {
		return err
	}
	conns.close()
	time.Sleep(o.settle)
	after, err := b.Use()
	f.closed = after.RSS
	return err
}
