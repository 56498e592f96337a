package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// produceOnce sends one record to partition 0 with acks=all and no time-out, and returns the code of the answer.
func (n *node) produceOnce(topic string) protocol.ErrorCode {
	n.t.Helper()
	return n.produceValue(topic, []byte("value"))
}

func (n *node) produceValue(topic string, value []byte) protocol.ErrorCode {
	n.t.Helper()
	b := record.NewBuilder(record.Compression{})
	b.Append(record.Record{Timestamp: 1, Value: value})
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 0
	part := kmsg.ProduceRequestTopicPartition{Partition: 0, Records: b.Build()}
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, TopicID: n.publisher.Image().Topic(topic).ID, Partitions: []kmsg.ProduceRequestTopicPartition{part}}}
	resp, err := n.client().SeedBrokers()[0].Request(n.context(), req)
	if err != nil {
		n.t.Fatalf("produce: %v", err)
	}
	return protocol.ErrorCode(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
}

// TestProducersHearOfAFailedDisk lets the sync fail that an acks=all producer waits for.
func TestProducersHearOfAFailedDisk(t *testing.T) {
	var broken atomic.Bool
	disk := vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if broken.Load() && strings.HasPrefix(op.Name, "bad/") && (op.Kind == vfs.OpDatasync || op.Kind == vfs.OpSync) {
			return errors.New("the disk is gone")
		}
		return nil
	})
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte("log.dirs=bad,good\nmetadata.log.dir=good"),
		Flags: config.Flags{Listen: "127.0.0.1:9092"}})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, net: network.NewMem()}
	if n.Broker, err = Start(Options{Config: cfg, FS: disk, Network: n.net}); err != nil {
		t.Fatal(err)
	}
	n.create("first", 1, nil)
	if code := n.produceOnce("first"); code != protocol.None {
		t.Fatalf("produce before the failure: %v", code)
	}
	broken.Store(true)
	if code := n.produceOnce("first"); code != protocol.StorageError {
		t.Errorf("the producer that waited for the sync was answered %v", code)
	}
	if code := n.produceOnce("first"); code != protocol.StorageError {
		t.Errorf("produce after the failure: %v", code)
	}
	// New partitions go where there still is a disk.
	n.create("second", 3, nil)
	n.produce("second", 30, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	n.Abort()
	n.Broker = nil
}

// TestEndsWithItsLastDirectory: a broker without a directory has nothing to serve.
func TestEndsWithItsLastDirectory(t *testing.T) {
	gone := errors.New("the disk is gone")
	var broken atomic.Bool
	disk := vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if broken.Load() && strings.Contains(op.Name, "topic-0") && op.Kind == vfs.OpWrite {
			return gone
		}
		return nil
	})
	n := start(t, disk, "")
	n.create("topic", 1, nil)
	n.produce("topic", 1)
	broken.Store(true)
	if code := n.produceOnce("topic"); code != protocol.StorageError {
		t.Errorf("produce to a disk that is gone: %v", code)
	}
	if err := n.until(n.context()); !errors.Is(err, gone) || !strings.Contains(err.Error(), "no data directory is left") {
		t.Errorf("the broker ends with %v", err)
	}
	n.Broker = nil
}

// lines is a log whose lines a test reads as they come.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

// TestFullDiskIsToldOnce: however many producers are refused, the log says once that the disk is full, and once that it no longer is.
func TestFullDiskIsToldOnce(t *testing.T) {
	told := make(lines, 1000)
	mem := vfs.NewMem()
	n := &node{t: t, net: network.NewMem()}
	var err error
	n.Broker, err = Start(Options{Config: configuration(t, ""), FS: mem, Network: n.net, Log: slog.New(slog.NewTextHandler(told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	n.create("topic", 1, nil)
	mem.SetCapacity(mem.Used())
	refused := 0
	for range 10_000 { // what is preallocated is used up first
		if n.produceOnce("topic") == protocol.StorageError {
			if refused++; refused == 20 {
				break
			}
		}
	}
	if refused != 20 {
		t.Fatalf("%d producers were refused by a full disk", refused)
	}
	if line := <-told; !strings.Contains(line, "disk is full") {
		t.Errorf("the log begins with %s", line)
	}
	mem.SetCapacity(0)
	if line := <-told; !strings.Contains(line, "has space again") {
		t.Errorf("the log goes on with %s", line)
	}
	n.produce("topic", 1)
	n.stop()
	if len(told) > 0 {
		t.Errorf("the log goes on with %s", <-told)
	}
}

// startOn starts a node on a disk that the one before may have left.
func startOn(t *testing.T, disk vfs.FS, told lines) *node {
	t.Helper()
	n := &node{t: t, net: network.NewMem()} // the clients of the one before may still dial that
	var err error
	n.Broker, err = Start(Options{Config: configuration(t, ""), FS: disk, Network: n.net, Log: slog.New(slog.NewTextHandler(told, nil))})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return n
}

// TestRecoveryIsTold: the log says what a start after a kill went through.
func TestRecoveryIsTold(t *testing.T) {
	told := make(lines, 1000)
	mem := vfs.NewMem()
	n := startOn(t, mem, told)
	n.create("topic", 1, nil)
	n.produce("topic", 10)
	n.Abort()
	n = startOn(t, mem.KillProcess(), told)
	n.stop()
	told.once(t, "recovered a data directory")
}

// TestFullDiskStartsAndDeletes: a node whose disk is full, and whose metadata log has used up what lay written ahead, refuses changes
// for what it is, starts again, serves reads, and gets out by deleting topics.
func TestFullDiskStartsAndDeletes(t *testing.T) {
	told := make(lines, 1000)
	mem := vfs.NewMem()
	n := startOn(t, mem, told)
	n.create("keep", 1, nil)
	n.create("away", 1, nil)
	n.produce("keep", 100)
	mem.SetCapacity(mem.Used())
	request := func(req kmsg.Request) kmsg.Response {
		t.Helper()
		resp, err := n.client().SeedBrokers()[0].Request(n.context(), req)
		if err != nil {
			t.Fatalf("%T: %v", req, err)
		}
		return resp
	}
	create := func(name string) (protocol.ErrorCode, *string) {
		t.Helper()
		req := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1000, 1
		req.Topics = append(req.Topics, topic)
		answer := request(req).(*kmsg.CreateTopicsResponse).Topics[0]
		return protocol.ErrorCode(answer.ErrorCode), answer.ErrorMessage
	}
	refused := func(what string, code protocol.ErrorCode, message *string) {
		t.Helper()
		if code != protocol.StorageError || message == nil || !strings.Contains(*message, "no space") {
			t.Errorf("%s on a full disk was answered %v", what, code)
		}
	}
	made := 0
	for {
		code, message := create(fmt.Sprint("more-", made))
		if code != protocol.None {
			refused("CreateTopics", code, message)
			break
		}
		made++
	}
	partitions := kmsg.NewPtrCreatePartitionsRequest()
	partitions.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "keep", Count: 1001}}
	value := strings.Repeat("9", 18)
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for i := range made {
		alter.Resources = append(alter.Resources, kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: fmt.Sprint("more-", i),
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: &value}, {Name: "retention.bytes", Value: &value}}})
	}
	for range 20 { // each time
		code, message := create("one-more")
		refused("CreateTopics", code, message)
		p := request(partitions).(*kmsg.CreatePartitionsResponse).Topics[0]
		refused("CreatePartitions", protocol.ErrorCode(p.ErrorCode), p.ErrorMessage)
	}
	for altered := 0; ; altered++ { // a small change may find room where a larger one did not
		r := request(alter).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		if r.ErrorCode != 0 {
			refused("IncrementalAlterConfigs", protocol.ErrorCode(r.ErrorCode), r.ErrorMessage)
			break
		}
		value = strings.Repeat("9", 17-altered%2)
	}
	told.once(t, "changes of metadata are refused")

	for range 5 {
		n.Abort()
		mem = mem.KillProcess()
		n = startOn(t, mem, told)
		if got := n.consume("keep", 0, 100); got[99] != "v99" {
			t.Errorf("read %q last", got[99])
		}
	}
	remove := kmsg.NewPtrDeleteTopicsRequest()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = kmsg.StringPtr("away")
	remove.Topics = append(remove.Topics, topic)
	if code := protocol.ErrorCode(request(remove).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode); code != protocol.None {
		t.Errorf("deleting a topic on a full disk was answered %v", code)
	}
	code, message := create("one-more")
	refused("CreateTopics", code, message)
	mem.SetCapacity(0)
	if code, _ := create("one-more"); code != protocol.None {
		t.Errorf("creating a topic when there is space again was answered %v", code)
	}
	n.stop()
}

// TestFullDiskOpensLater: a node that starts on a full disk cannot open the log of a partition that has no folder but is named by a checkpoint. It does once there is space again, though
// the metadata do not change.
func TestFullDiskOpensLater(t *testing.T) {
	told := make(lines, 1000)
	mem := vfs.NewMem()
	n := startOn(t, mem, told)
	n.create("keep", 1, nil)
	n.create("idle", 1, nil)
	n.produce("keep", 100)
	file := n.replicas.dirs[0].Path() + "/recovery-point-offset-checkpoint"
	n.stop()
	named, err := vfs.ReadFile(mem, file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(named), "idle 0 0\n") { // as one that is written while the node runs
		rows := strings.SplitAfter(string(named), "\n")
		named = []byte(rows[0] + fmt.Sprintln(len(rows)-2) + strings.Join(rows[2:], "") + "idle 0 0\n")
	}
	f, err := mem.OpenFile(file, os.O_RDWR|os.O_TRUNC, 0)
	if err == nil {
		_, err = f.WriteAt(named, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	mem.SetCapacity(mem.Used())
	n = startOn(t, mem, told)
	id := n.publisher.Image().Topic("idle").ID
	if n.replicas.Partition(id, 0) != nil {
		t.Fatal("the log was opened on a full disk: this test shows nothing")
	}
	mem.SetCapacity(0)
	for deadline := time.Now().Add(20 * time.Second); n.replicas.Partition(id, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for the log to be opened")
		}
	}
	told.once(t, "tried again until it succeeds")
	n.produce("idle", 10)
	if got := n.consume("idle", 0, 10); got[9] != "v9" {
		t.Errorf("read %q last", got[9])
	}
	n.stop()
}

// once fails unless exactly one of the lines so far has the words.
func (l lines) once(t *testing.T, words string) {
	t.Helper()
	count := 0
	for len(l) > 0 {
		if line := <-l; strings.Contains(line, words) {
			count++
		} else if !strings.Contains(line, "level=INFO") {
			t.Logf("the log says: %s", line)
		}
	}
	if count != 1 {
		t.Errorf("%q was told %d times", words, count)
	}
}

// TestGivesUpInBoundedTime stops a node one of whose parts never ends, as after a panic that left a lock behind.
func TestGivesUpInBoundedTime(t *testing.T) {
	n := &node{t: t, net: network.NewMem()}
	time := clock.NewManual(clock.Real.Now())
	var err error
	n.Broker, err = Start(Options{Config: configuration(t, ""), FS: vfs.NewMem(), Network: n.net, Clock: time})
	if err != nil {
		t.Fatal(err)
	}
	n.create("orders", 1, nil)
	topic := n.publisher.Image().Topic("orders")
	over := make(chan struct{})
	defer close(over)
	_, err = n.replicas.Partition(topic.ID, 0).Await(&partition.Wait{End: 1, Epoch: partition.NoEpoch, Done: func(error) { <-over }})
	if err != nil {
		t.Fatal(err)
	}
	n.fail(errors.New("broken"))
	ended := make(chan error)
	go func() { ended <- n.until(context.Background()) }()
	for {
		select {
		case err := <-ended:
			if err == nil || err.Error() != "broken" {
				t.Errorf("the node gave up with %v", err)
			}
			return
		default:
			time.Advance(stopTimeout)
			runtime.Gosched()
		}
	}
}

// TestRemovalsShareSyncs removes a topic of two logs on a disk that makes the first removal wait for the second: one after the other they would hold
// up the metadata for two syncs each.
func TestRemovalsShareSyncs(t *testing.T) {
	var removing atomic.Bool
	var renames atomic.Int64
	both := make(chan struct{})
	var n *node
	n = start(t, vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if removing.Load() && op.Kind == vfs.OpRename && strings.Contains(op.To, "-delete") {
			if renames.Add(1) == 2 {
				close(both)
			}
			select {
			case <-both:
			case <-n.context().Done():
				t.Error("a removal waits for the one before it")
			}
		}
		return nil
	}), "")
	n.create("gone", 2, nil)
	n.produce("gone", 10, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	removing.Store(true)
	n.remove("gone")
	if got := renames.Load(); got != 2 {
		t.Errorf("%d folders were renamed", got)
	}
}
