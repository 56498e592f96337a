package broker

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
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

// TestReplicaBeginsAnew: a replica that was made again in another directory while its own was away is the one that counts when the directory comes
// back with what it had, however often that was moved.
func TestReplicaBeginsAnew(t *testing.T) {
	for _, leftOut := range []bool{false, true} {
		for _, moves := range []int{0, 3} {
			t.Run(fmt.Sprintf("left out %v, %d moves", leftOut, moves), func(t *testing.T) {
				c := newSeveral(t, "metadata.log.dir=meta\nreplica.lag.time.max.ms=3600000\nlog.segment.delete.delay.ms=0\n")
				c.dirs = "one,two"
				var broken atomic.Pointer[string]
				c.fault = func(id int, op vfs.Op) error {
					if b := broken.Load(); id == 1 && b != nil && strings.HasPrefix(op.Name, *b+"/") && op.Kind.Changes() {
						return syscall.EIO
					}
					return nil
				}
				c.start(1, 2, 3)
				c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
				c.createOn("moved", 2, 3, 1)
				c.inSync("moved")
				in := func() string {
					_, dir := c.nodes[1].replicas.Placed(c.topicID("moved"), 0)
					return filepath.Base(c.nodes[1].dirs[dir].Path())
				}
				cl := c.client(kgo.DefaultProduceTopic("moved"))
				produce := func(what string) {
					t.Helper()
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					if err := cl.ProduceSync(ctx, kgo.StringRecord(what)).FirstErr(); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
				}
				produce("before")
				first := in()
				noted := func() bool {
					return c.one().publisher.Image().Topic("moved").Partitions[0].Directories[2] == c.nodes[1].dirs[map[string]int{"one": 0, "two": 1}[first]].ID()
				}
				c.await("the replica's directory to be noted", noted)
				restart := func(dirs string) {
					t.Helper()
					c.kill(1)
					c.dirs = dirs
					c.start(1)
				}
				other := map[string]string{"one": "two", "two": "one"}[first]
				if leftOut {
					restart(other)
					c.dirs = "one,two"
				} else {
					broken.Store(&first)
					produce("meanwhile") // node 1 appends, and finds out
					c.until("the directory to be lost", c.one(), func(img *metadata.Image) bool { return len(img.Broker(1).Directories) == 1 })
					c.reassign("moved", 0, 2, 3)
					c.placed("moved", 0, 2, 3)
					c.reassign("moved", 0, 2, 3, 1)
				}
				c.placed("moved", 0, 2, 3, 1)
				produce("after")
				if in() != other {
					t.Fatalf("the replica is in %s", in())
				}
				if moves > 0 {
					path := first + "/moved-0/moves"
					if err := vfs.WriteFileAtomic(c.disks[1], path, fmt.Appendf(nil, "version: 0\nmoves: %d\n", moves)); err != nil {
						t.Fatal(err)
					}
				}
				broken.Store(nil)
				restart("one,two")
				c.placed("moved", 0, 2, 3, 1)
				if in() != other {
					t.Errorf("the replica is in %s again", in())
				}
				produce("in the end")
				c.same("moved")
				// What it had is not lost: it may be all that is left, if somebody was wrong.
				stray := 0
				files, err := c.disks[1].ReadDir(first)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range files {
					if f.Name() == "moved-0" {
						t.Errorf("%s has the partition's folder", first)
					}
					if strings.HasPrefix(f.Name(), "moved-0.") && strings.HasSuffix(f.Name(), "-stray") {
						stray++
					}
				}
				if stray != 1 {
					t.Errorf("%d folders are set aside", stray)
				}
			})
		}
	}
}

// withoutRoom is three brokers, of which the first is given a replica that it has no room to open; unopened says how many of those it has.
func withoutRoom(t *testing.T) (c *several, unopened func() int) {
	t.Helper()
	c = newSeveral(t, "metadata.log.dir=meta\nlog.segment.delete.delay.ms=0\n")
	var full atomic.Bool
	c.fault = func(id int, op vfs.Op) error {
		if id == 1 && full.Load() && strings.HasPrefix(op.Name, "data/moved-0") && op.Kind.Changes() {
			return syscall.ENOSPC
		}
		return nil
	}
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	c.createOn("moved", 2)
	for _, n := range c.nodes {
		c.until("the topic", n, func(img *metadata.Image) bool { return img.Topic("moved") != nil })
	}
	full.Store(true)
	c.reassign("moved", 0, 2, 1)
	unopened = func() int {
		r := c.nodes[1].replicas
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.unopened)
	}
	c.await("a replica that cannot be opened", func() bool { return unopened() == 1 })
	return c, unopened
}

// TestReplicaGivenUpUnopened: of a replica whose log could not be opened nothing is left when the partition goes to others.
func TestReplicaGivenUpUnopened(t *testing.T) {
	c, unopened := withoutRoom(t)
	c.nodes[1].replicas.mu.Lock()
	c.nodes[1].replicas.closed = true // nobody tries it again
	c.nodes[1].replicas.mu.Unlock()
	c.reassign("moved", 0)
	c.await("the replica to be forgotten", func() bool { return unopened() == 0 })
}

// TestUnopenedWhileMetadataAreOld: who went to other brokers by metadata that may be old is looked at again until they are this incarnation's.
func TestUnopenedWhileMetadataAreOld(t *testing.T) {
	c, unopened := withoutRoom(t)
	r := c.nodes[1].replicas
	r.mu.Lock()
	epoch := r.epoch
	r.epoch = -1
	r.mu.Unlock()
	c.reassign("moved", 0)
	c.until("the replica to go", c.nodes[1], func(img *metadata.Image) bool { return len(img.Topic("moved").Partitions[0].Replicas) == 1 })
	r.openAgain() // or its timer
	if unopened() != 1 {
		t.Fatal("it was given up by metadata that may be old")
	}
	r.mu.Lock()
	if !r.opening {
		t.Error("nobody looks at it again")
	}
	r.epoch = epoch
	r.mu.Unlock()
	c.await("the replica to be forgotten", func() bool { return unopened() == 0 })
}

// TestTopicDeletedUnopened: of a topic nothing is left that is deleted while one of its logs cannot be opened, whatever for.
func TestTopicDeletedUnopened(t *testing.T) {
	mem := vfs.NewMem()
	n := start(t, mem, "log.segment.delete.delay.ms=0")
	n.create("orders", 1, nil)
	n.produce("orders", 100)
	n.stop()
	// What cannot be read cannot be taken for a log that rests.
	if err := mem.Remove("data/logs-at-rest"); err != nil {
		t.Fatal(err)
	}
	n = start(t, vfs.NewFault(mem, func(op vfs.Op) error {
		if op.Kind == vfs.OpOpen && strings.HasPrefix(op.Name, "data/orders-0/") {
			return syscall.EIO
		}
		return nil
	}), "log.segment.delete.delay.ms=0")
	if code := n.produceOnce("orders"); code != protocol.NotLeaderOrFollower {
		t.Fatalf("a log that cannot be opened is written to: %v", code)
	}
	n.remove("orders")
	n.await("its folders to go", func() bool {
		entries, err := mem.ReadDir("data")
		return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), "orders-") })
	})
	n.stop()
}
