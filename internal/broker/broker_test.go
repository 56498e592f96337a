package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/vfs"
)

// node is a broker in memory: disk and network are ours, the clients are real.
type node struct {
	*Broker
	t    *testing.T
	disk vfs.FS
	net  *network.Mem
}

func configuration(t *testing.T, properties string) *config.Config {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte(properties),
		Flags: config.Flags{Data: "data", Listen: "127.0.0.1:9092"}})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func start(t *testing.T, disk vfs.FS, properties string) *node {
	t.Helper()
	return startBy(t, clock.Real, disk, properties)
}

func startBy(t *testing.T, c clock.Clock, disk vfs.FS, properties string) *node {
	t.Helper()
	n := &node{t: t, disk: disk, net: network.NewMem()}
	b, err := Start(Options{Config: configuration(t, properties), FS: disk, Network: n.net, Clock: c})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	n.Broker = b
	t.Cleanup(func() {
		if n.Broker != nil {
			n.Broker.Abort()
		}
	})
	return n
}

func (n *node) stop() {
	n.t.Helper()
	if err := n.Broker.Stop(); err != nil {
		n.t.Fatalf("stop: %v", err)
	}
	n.Broker = nil
}

func (n *node) client(opts ...kgo.Opt) *kgo.Client {
	n.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers("127.0.0.1:9092"),
		kgo.Dialer(func(ctx context.Context, _, addr string) (network.Conn, error) { return n.net.Dial(ctx, addr) }),
		kgo.RetryTimeout(20 * time.Second),
	}, opts...)...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(c.Close)
	return c
}

func (n *node) create(topic string, partitions int32, configs map[string]*string) {
	n.t.Helper()
	resp, err := kadm.NewClient(n.client()).CreateTopic(n.context(), partitions, 1, configs, topic)
	if err = errors.Join(err, resp.Err); err != nil {
		n.t.Fatalf("create %s: %v", topic, err)
	}
}

func (n *node) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	n.t.Cleanup(cancel)
	return ctx
}

func (n *node) produce(topic string, count int, opts ...kgo.Opt) {
	n.t.Helper()
	c := n.client(append([]kgo.Opt{kgo.DefaultProduceTopic(topic)}, opts...)...)
	for i := range count {
		c.Produce(n.context(), &kgo.Record{Key: fmt.Append(nil, "k", i), Value: fmt.Append(nil, "v", i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				n.t.Errorf("produce: %v", err)
			}
		})
	}
	if err := c.Flush(n.context()); err != nil {
		n.t.Fatal(err)
	}
}

// consume reads count records of partition 0 from an offset.
func (n *node) consume(topic string, from int64, count int) (values []string) {
	n.t.Helper()
	c := n.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))
	defer c.Close() // or its next fetch stays in flight
	for len(values) < count {
		fetches := c.PollFetches(n.context())
		if err := fetches.Err(); err != nil {
			n.t.Fatalf("consume after %d records: %v", len(values), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if want := from + int64(len(values)); r.Offset != want {
				n.t.Fatalf("offset %d after %d records from %d", r.Offset, len(values), from)
			}
			values = append(values, string(r.Value))
		})
	}
	return values
}

func TestProduceAndConsume(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	n.create("orders", 1, nil)
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		n.produce("orders", 100, kgo.ProducerBatchCompression(codec))
	}
	if got := n.consume("orders", 250, 250); got[0] != "v50" || got[249] != "v99" {
		t.Errorf("read %q to %q", got[0], got[249])
	}
	n.stop()
}

func TestRestartKeepsEverything(t *testing.T) {
	disk := vfs.NewMem()
	n := start(t, disk, "")
	n.create("orders", 3, map[string]*string{"retention.ms": kmsg.StringPtr("-1")})
	n.create("gone", 1, nil)
	n.produce("orders", 300, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	before, _ := kadm.NewClient(n.client()).ListTopics(n.context())
	if _, err := kadm.NewClient(n.client()).DeleteTopic(n.context(), "gone"); err != nil {
		t.Fatal(err)
	}
	n.stop()

	n = start(t, disk, "")
	after, err := kadm.NewClient(n.client()).ListTopics(n.context())
	if err != nil {
		t.Fatal(err)
	}
	if after.Has("gone") || !after.Has("orders") || after["orders"].ID != before["orders"].ID {
		t.Errorf("topics after the restart: %v", after.Names())
	}
	cfgs, err := kadm.NewClient(n.client()).DescribeTopicConfigs(n.context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cfgs[0].Configs {
		if c.Key == "retention.ms" && c.MaybeValue() != "-1" {
			t.Errorf("retention.ms is %s after the restart", c.MaybeValue())
		}
	}
	n.produce("orders", 1, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if got := n.consume("orders", 0, 301); got[299] != "v299" || got[300] != "v0" {
		t.Errorf("records after the restart end with %q, %q", got[299], got[300])
	}
	n.stop()
}

// TestPowerLossKeepsWhatWasAcknowledged cuts the power under load, in every model of what a disk keeps, and reads everything back.
func TestPowerLossKeepsWhatWasAcknowledged(t *testing.T) {
	for seed := range uint64(12) {
		for _, model := range []vfs.Survivors{vfs.LoseUnsynced, vfs.TearSectors, vfs.Reorder} {
			t.Run(fmt.Sprintf("%v/%d", model, seed), func(t *testing.T) {
				disk := vfs.NewMem()
				n := start(t, disk, "")
				n.create("orders", 1, map[string]*string{"segment.bytes": kmsg.StringPtr("1048576")})
				c := n.client(kgo.DefaultProduceTopic("orders"), kgo.ProducerBatchMaxBytes(8<<10), kgo.ProducerLinger(0))
				for i := range 50 * (1 + seed) {
					r := &kgo.Record{Value: fmt.Append(nil, i, strings.Repeat(".", int(i%500)))}
					if err := c.ProduceSync(n.context(), r).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				crashed := disk.Crash(model, seed)
				n.Abort()
				n.Broker = nil

				n = start(t, crashed, "")
				for i, v := range n.consume("orders", 0, int(50*(1+seed))) {
					if want := fmt.Sprint(i, strings.Repeat(".", i%500)); v != want {
						t.Fatalf("record %d is %q, want %q", i, v, want)
					}
				}
				n.produce("orders", 10)
				n.stop()
			})
		}
	}
}

func TestDiskRefusals(t *testing.T) {
	disk := vfs.NewMem()
	n := start(t, disk, "")
	_, err := Start(Options{Config: configuration(t, ""), FS: disk, Network: network.NewMem()})
	if err == nil || !strings.Contains(err.Error(), "data") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a directory in use: %v", err)
	}
	_, err = Start(Options{Config: configuration(t, ""), FS: vfs.NewMem(), Network: n.net})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:9092") {
		t.Errorf("a port in use: %v", err)
	}
	n.stop()

	kafka := vfs.NewMem()
	if err := kafka.MkdirAll("data/__cluster_metadata-0", 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Start(Options{Config: configuration(t, ""), FS: kafka, Network: network.NewMem()})
	if err == nil || !strings.Contains(err.Error(), "Kafka") {
		t.Errorf("a directory of Kafka's: %v", err)
	}
	if left, _ := kafka.ReadDir("data"); len(left) != 1 {
		t.Errorf("a directory of Kafka's was touched: %v", left)
	}
}

// TestLostIdentityOrMetadata: what is missing is said, nothing is begun anew in its place, and once it is restored all is there.
func TestLostIdentityOrMetadata(t *testing.T) {
	for _, lost := range []string{"data/meta.properties", "data/quorum/identity"} {
		disk := vfs.NewMem()
		n := start(t, disk, "")
		n.create("kept", 1, nil)
		n.produce("kept", 3)
		n.stop()
		content, err := vfs.ReadFile(disk, lost)
		if err != nil {
			t.Fatal(err)
		}
		if err := disk.Remove(lost); err != nil {
			t.Fatal(err)
		}
		untouched := vfs.NewFault(disk, func(op vfs.Op) error {
			if op.Kind.Changes() {
				t.Errorf("%s of %s in a start without %s", op.Kind, op.Name, lost)
			}
			return nil
		})
		for range 2 {
			_, err = Start(Options{Config: configuration(t, ""), FS: untouched, Network: network.NewMem()})
			if err == nil || !strings.Contains(err.Error(), "missing") || !strings.Contains(err.Error(), "restore") {
				t.Errorf("started without %s: %v", lost, err)
			}
		}
		if err := vfs.WriteFileAtomic(disk, lost, content); err != nil {
			t.Fatal(err)
		}
		n = start(t, disk, "")
		n.consume("kept", 0, 3)
		n.stop()
	}
}

// TestMetadataDirectoryRefusals: what guards a data directory guards metadata that lie elsewhere, before the data are touched.
func TestMetadataDirectoryRefusals(t *testing.T) {
	apart := func(data string) *config.Config {
		cfg := configuration(t, "")
		cfg.LogDirs, cfg.MetadataLogDir, cfg.ClusterID = []string{data}, "metadata", "MkU3OEVBNTcwNTJENDM2Qg"
		return cfg
	}
	disk := vfs.NewMem()
	b, err := Start(Options{Config: apart("one"), FS: disk, Network: network.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Options{Config: apart("two"), FS: disk, Network: network.NewMem()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("metadata in use: %v", err)
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	b, err = Start(Options{Config: apart("one"), FS: disk, Network: network.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}

	kafka := vfs.NewMem()
	if err := kafka.MkdirAll("metadata/__cluster_metadata-0", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Options{Config: apart("data"), FS: kafka, Network: network.NewMem()}); !errors.Is(err, logdir.ErrKafkaMetadata) {
		t.Errorf("metadata of Kafka's: %v", err)
	}
	if _, err := kafka.Stat("data"); err == nil {
		t.Error("a data directory was made beside metadata of Kafka's")
	}
}

// TestNewDirectoryJoinsTheCluster: a directory that is put first among log.dirs belongs to the cluster of the others.
func TestNewDirectoryJoinsTheCluster(t *testing.T) {
	disk := vfs.NewMem()
	both := func() *config.Config {
		cfg := configuration(t, "")
		cfg.LogDirs, cfg.MetadataLogDir = []string{"new", "data"}, "data"
		return cfg
	}
	n := start(t, disk, "")
	n.create("kept", 1, nil)
	n.produce("kept", 3)
	n.stop()
	for range 2 {
		b, err := Start(Options{Config: both(), FS: disk, Network: n.net})
		if err != nil {
			t.Fatal(err)
		}
		n.Broker = b
		n.consume("kept", 0, 3)
		n.stop()
	}
}

func TestTransactionalIDIsRefusedForGood(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = kmsg.StringPtr("tx"), -1, -1
	kresp, err := n.client().SeedBrokers()[0].Request(n.context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(kresp.(*kmsg.InitProducerIDResponse).ErrorCode); !errors.Is(err, kerr.TransactionalIDAuthorizationFailed) || kerr.IsRetriable(err) {
		t.Errorf("a transactional.id was answered %v", err)
	}
	n.stop()
}
