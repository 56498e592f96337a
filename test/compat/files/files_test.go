// Package files moves the folders of topics between stopped brokers: what Kafka wrote is served and continued by Moldau, and what Moldau
// wrote by Kafka, record by record. What cannot be served is refused. It holds tests only and needs Java.
package files

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/test/compat/broker"
)

var port = flag.String("kafka-port", "19592", "first port of the Kafka that the suite starts")

// kafka runs a step of the script for the one Kafka of the suite.
func kafka(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(broker.Root(), "bench/kafka.sh"), args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // a broker that it starts keeps them
	if err := cmd.Run(); err != nil {
		t.Fatalf("kafka.sh %v: %v", args, err)
	}
}

// missing are files that are left behind by the kind of the topic: what can be derived from the records is.
var missing = map[string][]string{
	"plain":   {"*.snapshot"},
	"stamped": {"*.index", "*.timeindex", "leader-epoch-checkpoint"},
}

// createAll creates the topics, and has each partition make its folder.
func createAll(t *testing.T, addr string) {
	t.Helper()
	admin := kadm.NewClient(broker.ClientOf(t, addr))
	for _, topic := range topics() {
		broker.Create(t, admin, topic.name, 1, topic.configs...)
	}
}

// TestKafkaServedByMoldau: twenty topics of Kafka's, put into a stopped Moldau without partition.metadata.
func TestKafkaServedByMoldau(t *testing.T) {
	t.Setenv("EXTRA_PROPERTIES", "log.cleaner.backoff.ms=200") // it compacts while we look
	p := broker.Kafka(t, *port)
	createAll(t, p.Addr)
	w := &writer{}
	w.fill(t, p.Addr)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	kafka(t, "run", *port, "1") // so that there are several leader epochs
	w.more(t, p.Addr)
	settle(t, p)
	want := readAll(t, p.Addr)
	kafka(t, "term", *port, "1")
	ended(t, *port)

	dir := t.TempDir()
	m := broker.MoldauIn(t, dir)
	createAll(t, m.Addr)
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics() {
		bring(t, p.Data, m.Data, topic.name, append(missing[topic.kind], "partition.metadata")...)
	}
	m = broker.MoldauIn(t, dir)
	compare(t, want, readAll(t, m.Addr))
	w.goOn(t, m.Addr)
	w.appended(t, want, readAll(t, m.Addr))
	if err := m.Stop(); err != nil {
		t.Error(err)
	}
	m = broker.MoldauIn(t, dir) // and it is all there after a restart, with the producers
	w.goOn(t, m.Addr)
	if err := m.Stop(); err != nil {
		t.Error(err)
	}
}

// TestMoldauServedByKafka: the same the other way, where Kafka keeps its own partition.metadata.
func TestMoldauServedByKafka(t *testing.T) {
	dir := t.TempDir()
	m := broker.MoldauIn(t, dir)
	createAll(t, m.Addr)
	w := &writer{}
	w.fill(t, m.Addr)
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	m = broker.MoldauIn(t, dir)
	w.more(t, m.Addr)
	settle(t, m)
	want := readAll(t, m.Addr)
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}

	t.Setenv("EXTRA_PROPERTIES", "log.cleaner.enable=false") // it serves what Moldau compacted, and no less
	p := broker.Kafka(t, *port)
	createAll(t, p.Addr)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	ended(t, *port)
	for _, topic := range topics() {
		replace(t, m.Data, p.Data, topic.name)
	}
	kafka(t, "run", *port, "1")
	compare(t, want, readAll(t, p.Addr))
	w.goOn(t, p.Addr)
	w.appended(t, want, readAll(t, p.Addr))
}
