package broker

import (
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

// startIn starts a node with several data directories.
func startIn(t *testing.T, disk vfs.FS, properties string) (*node, error) {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte(properties), Flags: config.Flags{Listen: "127.0.0.1:9092"}})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, disk: disk, net: network.NewMem()}
	if n.Broker, err = Start(Options{Config: cfg, FS: disk, Network: n.net}); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if n.Broker != nil {
			n.Broker.Abort()
		}
	})
	return n, nil
}

// logDirs asks for all log directories, by the last element of their paths.
func (n *node) logDirs() map[string]kmsg.DescribeLogDirsResponseDir {
	n.t.Helper()
	// Of a broker, since what the client puts together of several brokers has no sizes.
	resp, err := kmsg.NewPtrDescribeLogDirsRequest().RequestWith(n.context(), n.client().SeedBrokers()[0])
	if err != nil {
		n.t.Fatal(err)
	}
	all := map[string]kmsg.DescribeLogDirsResponseDir{}
	for _, d := range resp.Dirs {
		if !filepath.IsAbs(d.Dir) {
			n.t.Errorf("the directory is called %s", d.Dir)
		}
		all[filepath.Base(d.Dir)] = d
	}
	return all
}

// sizes returns the partitions in a described directory with their sizes.
func sizes(d kmsg.DescribeLogDirsResponseDir) map[int32]int64 {
	all := map[int32]int64{}
	for _, t := range d.Topics {
		for _, p := range t.Partitions {
			all[p.Partition] = p.Size
		}
	}
	return all
}

// TestLogDirsAreDescribed: partitions are spread over the directories, their sizes are those of their segments, and a directory that
// is offline says so and nothing else.
func TestLogDirsAreDescribed(t *testing.T) {
	var broken atomic.Bool
	mem := vfs.NewMem()
	mem.SetCapacity(1 << 30)
	disk := vfs.NewFault(mem, func(op vfs.Op) error {
		if broken.Load() && strings.HasPrefix(op.Name, "one/") && op.Kind.Changes() {
			return errors.New("the disk is gone")
		}
		return nil
	})
	n, err := startIn(t, disk, "log.dirs=one,two\nmetadata.log.dir=two")
	if err != nil {
		t.Fatal(err)
	}
	n.create("topic", 4, nil)
	n.produce("topic", 100, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	seen := 0
	for name, d := range n.logDirs() {
		if d.ErrorCode != 0 || d.TotalBytes != 1<<30 || d.UsableBytes <= 0 || d.UsableBytes >= 1<<30 || d.IsCordoned {
			t.Errorf("%s: %+v", name, d)
		}
		if len(sizes(d)) != 2 {
			t.Errorf("%s has the partitions %v", name, sizes(d))
		}
		for number, size := range sizes(d) {
			p, _ := n.replicas.Placed(n.publisher.Image().Topic("topic").ID, number)
			if size <= 0 || size != p.Log().Size() {
				t.Errorf("partition %d has %d bytes, its log %d", number, size, p.Log().Size())
			}
			seen++
		}
	}
	if seen != 4 {
		t.Errorf("%d partitions are described", seen)
	}

	broken.Store(true)
	n.produceEverywhere("topic", 4)
	dirs := n.logDirs()
	if one := dirs["one"]; protocol.ErrorCode(one.ErrorCode) != protocol.StorageError || len(one.Topics) != 0 || one.TotalBytes != -1 || one.UsableBytes != -1 {
		t.Errorf("the directory that is offline: %+v", one)
	}
	if two := dirs["two"]; two.ErrorCode != 0 || len(sizes(two)) != 2 {
		t.Errorf("the other directory: %+v", two)
	}
	n.Abort()
	n.Broker = nil
}

// produceEverywhere sends a record to each partition, whatever comes of it.
func (n *node) produceEverywhere(topic string, partitions int32) {
	n.t.Helper()
	c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	failed := 0
	for p := range partitions {
		if err := c.ProduceSync(n.context(), &kgo.Record{Topic: topic, Partition: p, Value: []byte("x")}).FirstErr(); err != nil {
			failed++
		}
	}
	if failed == 0 {
		n.t.Error("no record met the failure")
	}
}

// tree lists what lies under a directory.
func tree(t *testing.T, disk vfs.FS, dir string) (all []string) {
	t.Helper()
	entries, err := disk.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, filepath.Join(dir, e.Name()))
		if e.IsDir() {
			all = append(all, tree(t, disk, filepath.Join(dir, e.Name()))...)
		}
	}
	return all
}

// TestRefusedStartLeavesNoTrace: of several directories one is another's. The others are as they were, or not there at all.
func TestRefusedStartLeavesNoTrace(t *testing.T) {
	disk := vfs.NewMem()
	n, err := startIn(t, disk, "log.dirs=b")
	if err != nil {
		t.Fatal(err)
	}
	for refused, reason := range map[string]string{
		"log.dirs=a,b\nmetadata.log.dir=c": "in use",
		"log.dirs=a/deep,b":                "in use",
		"log.dirs=a\nmetadata.log.dir=b":   "meta.properties is missing",
	} {
		if _, err := startIn(t, disk, refused); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", refused, err)
		}
		for _, name := range tree(t, disk, ".") {
			if name != "b" && !strings.HasPrefix(name, "b/") {
				t.Errorf("%s left %s", refused, name)
			}
		}
	}
	n.stop()
}

// TestDirectoriesOfTwoClusters: a node is not started with them, and is told which is the other one's.
func TestDirectoriesOfTwoClusters(t *testing.T) {
	disk := vfs.NewMem()
	for _, dir := range []string{"a", "b"} {
		n, err := startIn(t, disk, "log.dirs="+dir)
		if err != nil {
			t.Fatal(err)
		}
		n.stop()
	}
	if _, err := startIn(t, disk, "log.dirs=a,b"); err == nil || !strings.Contains(err.Error(), "data directory b belongs to cluster") {
		t.Error(err)
	}
}

// TestFailedStartIsNoCrash: a start that fails leaves the mark of a clean stop where it is, and so costs no recovery.
func TestFailedStartIsNoCrash(t *testing.T) {
	mem := vfs.NewMem()
	n, err := startIn(t, mem, "log.dirs=a,b\nmetadata.log.dir=m")
	if err != nil {
		t.Fatal(err)
	}
	n.create("topic", 2, nil)
	n.produce("topic", 50, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	n.stop()
	marks := func() (there int) {
		for _, dir := range []string{"a", "b"} {
			if _, err := mem.Stat(filepath.Join(dir, ".kafka_cleanshutdown")); err == nil {
				there++
			}
		}
		return there
	}
	failing := vfs.NewFault(mem, func(op vfs.Op) error {
		if strings.HasPrefix(op.Name, "m/quorum/") && !strings.HasSuffix(op.Name, ".lock") {
			return errors.New("the disk of the metadata is gone")
		}
		return nil
	})
	if _, err := startIn(t, failing, "log.dirs=a,b\nmetadata.log.dir=m"); err == nil {
		t.Fatal("started without metadata")
	}
	if marks() != 2 {
		t.Errorf("after a start that failed %d marks of a clean stop are left", marks())
	}
	if n, err = startIn(t, mem, "log.dirs=a,b\nmetadata.log.dir=m"); err != nil {
		t.Fatal(err)
	}
	for _, d := range n.dirs {
		if clean, _ := d.Clean(); !clean || d.Recovery().Recovered != 0 {
			t.Errorf("%s: %+v", d.Path(), d.Recovery())
		}
	}
	if marks() != 0 {
		t.Errorf("a running broker has %d marks of a clean stop", marks())
	}
	n.stop()
}
