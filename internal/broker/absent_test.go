package broker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

// without makes a file system on which nothing at or below a path can be reached while that is set.
func without(disk vfs.FS) (_ vfs.FS, path *atomic.Pointer[string]) {
	path = new(atomic.Pointer[string])
	return vfs.NewFault(disk, func(op vfs.Op) error {
		if p := path.Load(); p != nil && (op.Name == *p || strings.HasPrefix(op.Name, *p+"/")) {
			return syscall.EIO
		}
		return nil
	}), path
}

// TestStartWithoutADirectory: a node starts although one of its data directories cannot be read. What is in it has no leader and is made nowhere
// else; the rest is served, and new topics are made there. When the directory is back so is all that was in it.
func TestStartWithoutADirectory(t *testing.T) {
	mem := vfs.NewMem()
	disk, gone := without(mem)
	const properties = "log.dirs=one,two,three\nmetadata.log.dir=one\n"
	begin := func() *node {
		t.Helper()
		n, err := startIn(t, disk, properties)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := begin()
	const partitions = 6
	n.create("orders", partitions, nil)
	produce := func(topic string, to int32, timeout time.Duration) error {
		cl := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(20*time.Millisecond), kgo.RecordDeliveryTimeout(timeout))
		defer cl.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		return cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: to, Value: []byte("v")}).FirstErr()
	}
	for i := range int32(partitions) {
		if err := produce("orders", i, 20*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	topic := n.publisher.Image().Topic("orders").ID
	var away []int32
	for i := range int32(partitions) {
		if _, dir := n.replicas.Placed(topic, i); n.dirs[dir].Path() == "two" {
			away = append(away, i)
		}
	}
	if len(away) == 0 || len(away) == partitions {
		t.Fatalf("partitions %v are in the directory", away)
	}
	n.stop()

	// A move was interrupted when the other directory had the replica already, and the metadata knew: what it was moved from is older.
	old := filepath.Join("three", "orders-"+strconv.Itoa(int(away[0])))
	copyFolder(t, mem, filepath.Join("two", filepath.Base(old)), old)
	two := "two"
	gone.Store(&two)
	n = begin()
	for name, d := range n.logDirs() {
		if (d.ErrorCode == int16(protocol.StorageError)) != (name == two) {
			t.Errorf("directory %s is answered with error %d", name, d.ErrorCode)
		}
	}
	if c := n.disksReady(); c.Err != nil || !strings.Contains(c.Note, "two is offline") {
		t.Errorf("the disks are ready: %q, %v", c.Note, c.Err)
	}
	n.create("later", 4, nil)
	for i := range int32(4) {
		if err := produce("later", i, 20*time.Second); err != nil {
			t.Errorf("a new topic: %v", err)
		}
	}
	for i := range int32(partitions) {
		if !slices.Contains(away, i) {
			if err := produce("orders", i, 20*time.Second); err != nil {
				t.Errorf("partition %d, which is here: %v", i, err)
			}
			continue
		}
		if n.replicas.Partition(topic, i) != nil {
			t.Errorf("partition %d, which is away, was made here", i)
		}
		if leader := n.publisher.Image().Topic("orders").Partitions[i].Leader; leader != metadata.NoLeader {
			t.Errorf("partition %d, which is away, is led by %d", i, leader)
		}
	}
	if err := produce("orders", away[0], time.Second); err == nil {
		t.Error("a record was taken for a partition that is away")
	}
	n.stop()

	if err := mem.RemoveAll(old); err != nil {
		t.Fatal(err)
	}
	gone.Store(nil)
	n = begin()
	for i := range int32(partitions) {
		if err := produce("orders", i, 20*time.Second); err != nil {
			t.Fatalf("partition %d, when all is back: %v", i, err)
		}
		if end := n.replicas.Partition(topic, i).Log().LogEnd(); end != map[bool]int64{true: 2, false: 3}[slices.Contains(away, i)] {
			t.Errorf("partition %d ends at %d", i, end)
		}
	}
	for name, d := range n.logDirs() {
		if d.ErrorCode != 0 {
			t.Errorf("directory %s is answered with error %d", name, d.ErrorCode)
		}
	}
}

// TestStartNeedsADirectory: a node does not start without the directory of its metadata, without any other, nor as a new one.
func TestStartNeedsADirectory(t *testing.T) {
	mem := vfs.NewMem()
	disk, gone := without(mem)
	begin := func(properties string) error {
		n, err := startIn(t, disk, properties)
		if err == nil {
			n.stop()
		}
		return err
	}
	one, two := "one", "two"
	gone.Store(&two)
	if err := begin("log.dirs=one,two\n"); !errors.Is(err, syscall.EIO) {
		t.Errorf("a new node: %v", err)
	}
	gone.Store(nil)
	if err := begin("log.dirs=one,two\n"); err != nil {
		t.Fatal(err)
	}
	gone.Store(&one)
	for _, properties := range []string{"log.dirs=one,two\n", "log.dirs=one\nmetadata.log.dir=two\n"} {
		if err := begin(properties); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", properties, err)
		}
	}
	gone.Store(nil)
	meta := filepath.Join("two", "meta.properties")
	whole := mustRead(t, mem, meta)
	for what, content := range map[string]string{"another node's": strings.Replace(whole, "node.id=1", "node.id=7", 1), "damaged": "version=9\n"} {
		if content == whole {
			t.Fatal("nothing was changed")
		}
		if err := vfs.WriteFileAtomic(mem, meta, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := begin("log.dirs=one,two\n"); err == nil {
			t.Errorf("starts beside a directory that is %s", what)
		}
	}
}

func copyFolder(t *testing.T, fsys vfs.FS, from, to string) {
	t.Helper()
	entries, err := fsys.ReadDir(from)
	if err == nil {
		err = vfs.MkdirAllSynced(fsys, to, 0o755)
	}
	for _, e := range entries {
		err = errors.Join(err, vfs.WriteFileAtomic(fsys, filepath.Join(to, e.Name()), []byte(mustRead(t, fsys, filepath.Join(from, e.Name())))))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, fsys vfs.FS, path string) string {
	t.Helper()
	b, err := vfs.ReadFile(fsys, path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// TestOneOfThreeStartsWithoutADirectory: what a broker led in a directory that cannot be read at its start is led by others, who do not wait for
// it, and it takes part with what is in the other one. With the directory back all are in sync again, and the same.
func TestOneOfThreeStartsWithoutADirectory(t *testing.T) {
	c := newSeveral(t, "metadata.log.dir=meta\nmin.insync.replicas=2\nreplica.lag.time.max.ms=3600000")
	c.dirs = "one,two"
	var gone atomic.Bool
	const broken = 2
	c.fault = func(id int, op vfs.Op) error {
		if gone.Load() && id == broken && (op.Name == "one" || strings.HasPrefix(op.Name, "one/")) {
			return syscall.EIO
		}
		return nil
	}
	c.start(1, 2, 3)
	const partitions = 6
	c.create("orders", partitions, 3)
	c.inSync("orders")
	topic := c.topicID("orders")
	c.await("the broker to have made its replicas", func() bool { return c.nodes[broken].replicas.Partition(topic, partitions-1) != nil })
	var away []int
	for i := range int32(partitions) {
		if _, dir := c.nodes[broken].replicas.Placed(topic, i); c.nodes[broken].dirs[dir].Path() == "one" {
			away = append(away, int(i))
		}
	}
	if len(away) == 0 || len(away) == partitions {
		t.Fatalf("partitions %v are in the directory", away)
	}
	produce := c.toEach("orders", partitions)
	produce("before")
	c.kill(broken)
	gone.Store(true)
	c.start(broken)
	produce("without it")
	c.await("the replicas that are here to be in sync, and the others not", func() bool {
		for n, p := range c.one().publisher.Image().Topic("orders").Partitions {
			if metadata.Has(p.ISR, broken) == slices.Contains(away, n) || p.Leader < 0 || p.Leader == broken && slices.Contains(away, n) {
				return false
			}
		}
		return true
	})
	for _, n := range away {
		if c.nodes[broken].replicas.Partition(topic, int32(n)) != nil {
			t.Errorf("partition %d, which is away, was made anew", n)
		}
	}
	c.kill(broken)
	gone.Store(false)
	c.start(broken)
	c.inSync("orders")
	produce("with it back")
	c.same("orders")
}
