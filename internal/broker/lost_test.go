package broker

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/vfs"
)

// toEach makes a function that writes a record to each partition of a topic.
func (c *several) toEach(topic string, partitions int32) func(what string) {
	cl := c.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond))
	return func(what string) {
		c.t.Helper()
		ctx, cancel := context.WithTimeout(c.t.Context(), 60*time.Second)
		defer cancel()
		for n := range partitions {
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: n, Value: []byte(what)}).FirstErr(); err != nil {
				c.t.Fatalf("%s, to partition %d: %v", what, n, err)
			}
		}
	}
}

// TestLostDirectoryMovesItsPartitions: a data directory of a broker that runs fails. Others lead at once what it led there, its replicas there leave the
// ISRs, and what is in its other directory goes on. When the disk is back after a restart all are in sync again, and the same.
func TestLostDirectoryMovesItsPartitions(t *testing.T) {
	c := newSeveral(t, "metadata.log.dir=meta\nmin.insync.replicas=2\nreplica.lag.time.max.ms=3600000")
	c.dirs = "one,two"
	type broken struct {
		id  int
		dir string
	}
	var now atomic.Pointer[broken]
	c.fault = func(id int, op vfs.Op) error {
		if b := now.Load(); b != nil && b.id == id && strings.HasPrefix(op.Name, b.dir+"/") && op.Kind.Changes() {
			return syscall.EIO
		}
		return nil
	}
	c.start(1, 2, 3)
	const partitions = 6
	c.create("orders", partitions, 3)
	c.inSync("orders")
	for _, n := range c.nodes {
		c.until("a topic with leaders", n, func(img *metadata.Image) bool { return len(leaders(img, "orders")) == partitions })
	}
	lost := c.leads("orders", 0)
	topic := c.one().publisher.Image().Topic("orders").ID
	in := func(number int32) string {
		_, dir := c.nodes[lost].replicas.Placed(topic, number)
		return filepath.Base(c.nodes[lost].dirs[dir].Path())
	}
	produce := c.toEach("orders", partitions)
	produce("before")
	now.Store(&broken{lost, in(0)})
	produce("after") // the others wait neither for their lag nor for a time-out
	c.await("the replicas to leave the ISRs, and the others to stay", func() bool {
		img := c.one().publisher.Image()
		for n, p := range img.Topic("orders").Partitions {
			there := in(int32(n)) != now.Load().dir
			if metadata.Has(p.ISR, int32(lost)) != there || !there && p.Leader == int32(lost) || p.Leader < 0 || len(p.ISR) < 2 {
				return false
			}
		}
		b := img.Broker(int32(lost))
		return !b.Fenced && len(b.Directories) == 1
	})
	if where := []string{in(0), in(1), in(2), in(3), in(4), in(5)}; !slices.Contains(where, "one") || !slices.Contains(where, "two") {
		t.Fatalf("the replicas are in %v", where)
	}
	produce("without it")
	c.kill(lost)
	now.Store(nil)
	c.start(lost)
	c.inSync("orders")
	produce("with it back")
	c.same("orders")
}
