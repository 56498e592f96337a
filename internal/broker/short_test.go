package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/vfs"
)

// lastInSync starts three brokers and stops them: 3 was the last in sync of orders-0 then, with 2 in the ELR. There are so many records; halfway is called, if it is not nil, when
// there are half of them.
func (c *several) lastInSync(kill bool, halfway func()) (count int64) {
	t := c.t
	t.Helper()
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	c.createOn("orders", 3, 1, 2)
	c.inSync("orders")
	cl := c.client()
	for count < 20 {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte(strconv.FormatInt(count, 10))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if count++; count == 10 && halfway != nil {
			c.same("orders")
			halfway()
		}
	}
	c.same("orders")
	cl.Close()
	for _, id := range []int{1, 2, 3} {
		n := c.nodes[id]
		if kill {
			c.kill(id)
		} else if err := n.Stop(); err != nil {
			t.Fatal(err)
		}
		delete(c.nodes, id)
		if id < 3 {
			c.until("it to leave the ISR", c.nodes[3], func(img *metadata.Image) bool {
				return id == 2 || !metadata.Has(img.Topic("orders").Partitions[0].ISR, int32(id))
			})
		}
	}
	return count
}

const ordersSegment = "data/orders-0/00000000000000000000.log"

// TestShortReplicaLeadsNothing: a broker whose folder of a partition is gone, or whose last segment was cut off while it was down, does not lead with what is left, though it was
// the last one in sync: it waits for one that has all, and takes the rest from that one. So it is when it has no room to open the partition at first, and when a start before was
// killed before it could tell.
func TestShortReplicaLeadsNothing(t *testing.T) {
	gone := func(t *testing.T, disk *vfs.Mem) {
		if err := disk.RemoveAll("data/orders-0"); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name       string
		harm       func(t *testing.T, disk *vfs.Mem)
		kill, full bool
		half       bool // there is a start before
	}{
		{name: "folder gone", harm: gone},
		{name: "folder gone, killed", harm: gone, kill: true},
		{name: "folder gone, disk full", harm: gone, full: true},
		{name: "cut off", harm: cutOff},
		{name: "cut off, killed while it starts", harm: cutOff, half: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newSeveral(t, replicated)
			count := c.lastInSync(test.kill, nil)
			orders := commitlog.ID{Topic: "orders"}
			test.harm(t, c.disks[3])
			if test.half {
				d, err := logdir.Open(logdir.Options{FS: c.disks[3], Path: "data", NodeID: 3})
				if err != nil {
					t.Fatal(err)
				}
				if i := slices.IndexFunc(d.Logs(), func(id commitlog.ID) bool { return id.Topic == orders.Topic }); i >= 0 {
					if _, err := d.Log(d.Logs()[i], &commitlog.Config{Durable: true}, nil); err != nil {
						t.Fatal(err)
					}
				}
				if err := errors.Join(d.Checkpoint(), d.Abort()); err != nil {
					t.Fatal(err)
				}
			}
			var full atomic.Bool
			full.Store(test.full)
			c.fault = func(id int, op vfs.Op) error {
				if id == 3 && full.Load() && op.Kind.Changes() && strings.Contains(op.Name, "-checkpoint") {
					return syscall.ENOSPC
				}
				return nil
			}
			c.start(1, 3)
			c.until("brokers that serve", c.one(), unfenced(1, 3))
			full.Store(false)
			if test.full {
				c.await("the partition to be opened", func() bool { return c.nodes[3].replicas.Partition(c.topicID("orders"), 0) != nil })
			}
			c.start(2)
			c.inSync("orders")
			c.same("orders")
			if end := c.nodes[3].replicas.Partition(c.topicID("orders"), 0).Log().LogEnd(); end != count {
				t.Errorf("%d records are left of %d", end, count)
			}
		})
	}
}

func cutOff(t *testing.T, disk *vfs.Mem) {
	f, err := disk.OpenFile(ordersSegment, vfs.ReadWrite, 0)
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestUnopenedReplicaLeadsNothing: where the last one in sync cannot open its log, one that has all of it leads.
func TestUnopenedReplicaLeadsNothing(t *testing.T) {
	c := newSeveral(t, replicated)
	count := c.lastInSync(false, nil)
	if err := errors.Join(c.disks[3].Remove(ordersSegment), c.disks[3].MkdirAll(ordersSegment, 0o755)); err != nil {
		t.Fatal(err)
	}
	c.start(1, 3)
	c.until("brokers that serve", c.one(), unfenced(1, 3))
	c.start(2)
	c.until("a leader that can", c.one(), func(img *metadata.Image) bool { return img.Topic("orders").Partitions[0].Leader == 2 })
	if end := c.nodes[2].replicas.Partition(c.topicID("orders"), 0).Log().LogEnd(); end != count {
		t.Errorf("%d records are left of %d", end, count)
	}
}

// TestUnopenedReplicaIsMadeNowhereElse: a replica whose log cannot be opened for the moment, and whose directory fails then, does not begin anew in another one and lead with nothing.
func TestUnopenedReplicaIsMadeNowhereElse(t *testing.T) {
	c := newSeveral(t, replicated+"metadata.log.dir=meta\n")
	c.dirs = "one,two"
	var at int
	count := c.lastInSync(false, func() { _, at = c.nodes[3].replicas.Placed(c.topicID("orders"), 0) })
	dir := []string{"one", "two"}[at]
	var broken atomic.Bool
	c.fault = func(id int, op vfs.Op) error {
		switch {
		case id != 3 || !strings.HasPrefix(op.Name, dir+"/"):
		case broken.Load() && op.Kind.Changes():
			return syscall.EIO
		case !broken.Load() && op.Kind == vfs.OpOpen && strings.HasPrefix(op.Name, dir+"/orders-0/"):
			return syscall.EMFILE
		}
		return nil
	}
	if err := c.disks[3].Remove(dir + "/logs-at-rest"); err != nil { // so that the log is opened
		t.Fatal(err)
	}
	c.start(1, 3)
	c.until("it to lead again", c.one(), func(img *metadata.Image) bool { return img.Topic("orders").Partitions[0].Leader == 3 })
	broken.Store(true)
	if _, err := c.nodes[3].dirs[at].Anew(commitlog.ID{Topic: "other", TopicID: [16]byte{1}}, 0); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	c.until("the directory to be lost", c.one(), func(img *metadata.Image) bool { return len(img.Broker(3).Directories) == 1 })
	r := c.nodes[3].replicas
	c.await("it to be tried for the last time", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return !r.opening
	})
	c.start(2)
	var leader int32 // the one that was in the ELR, or one that has read all from 3
	c.until("another leader", c.one(), func(img *metadata.Image) bool {
		leader = img.Topic("orders").Partitions[0].Leader
		return leader == 1 || leader == 2
	})
	if end := c.nodes[int(leader)].replicas.Partition(c.topicID("orders"), 0).Log().LogEnd(); end != count {
		t.Errorf("%d records are left of %d", end, count)
	}
}

// TestDamagedReplicaIsMadeNowhereElse: nor does one whose log cannot be opened at all.
func TestDamagedReplicaIsMadeNowhereElse(t *testing.T) {
	c := newSeveral(t, replicated+"metadata.log.dir=meta\n")
	c.dirs = "two"
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	c.createOn("orders", 3)
	c.createOn("others", 3)
	if err := c.client().ProduceSync(t.Context(), &kgo.Record{Topic: "orders"}, &kgo.Record{Topic: "others"}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := c.nodes[3].Stop(); err != nil {
		t.Fatal(err)
	}
	delete(c.nodes, 3)
	segment := strings.Replace(ordersSegment, "data", "two", 1)
	if err := errors.Join(c.disks[3].Remove(segment), c.disks[3].MkdirAll(segment, 0o755)); err != nil {
		t.Fatal(err)
	}
	c.dirs = "one,two"
	c.start(3)
	c.until("it to lead again", c.nodes[3], func(img *metadata.Image) bool { return img.Topic("orders").Partitions[0].Leader == 3 })
	if p, dir := c.nodes[3].replicas.Placed(c.topicID("orders"), 0); p != nil {
		t.Errorf("it has begun anew in %s, where it ends at %d", c.nodes[3].dirs[dir].Path(), p.Log().LogEnd())
	}
}

// TestDirectoryOfAnOlderCopy: a data directory that was brought back from an older copy is made to count as lost as the documents say. Then its broker leads nothing of what it was
// the last to have.
func TestDirectoryOfAnOlderCopy(t *testing.T) {
	var older *vfs.Mem
	c := newSeveral(t, replicated+"metadata.log.dir=meta\n")
	count := c.lastInSync(false, func() { older = c.disks[3].Peek(vfs.KeepAll, 0) })
	if err := errors.Join(c.disks[3].RemoveAll("data"), copyAll(c.disks[3], older, "data")); err != nil {
		t.Fatal(err)
	}
	const meta = "data/meta.properties"
	b, err := vfs.ReadFile(older, meta)
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile("(?m)^directory.id=.*\n").Find(b)
	if err := errors.Join(vfs.WriteFileAtomic(c.disks[3], meta, bytes.Replace(b, id, nil, 1)), c.disks[3].RemoveAll("data/journal")); err != nil || len(id) == 0 {
		t.Fatal(err, string(b))
	}
	c.start(1, 3)
	c.until("brokers that serve", c.one(), unfenced(1, 3))
	c.start(2)
	c.inSync("orders")
	c.same("orders")
	if end := c.nodes[3].replicas.Partition(c.topicID("orders"), 0).Log().LogEnd(); end != count {
		t.Errorf("%d records are left of %d", end, count)
	}
}

// copyAll copies a folder to another disk.
func copyAll(to, from vfs.FS, path string) error {
	entries, err := from.ReadDir(path)
	if err != nil {
		return err
	}
	if err := to.MkdirAll(path, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		name := path + "/" + e.Name()
		if e.IsDir() {
			err = copyAll(to, from, name)
		} else if b, e := vfs.ReadFile(from, name); e != nil {
			err = e
		} else {
			err = vfs.WriteFileAtomic(to, name, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// deaf is a controller that loses its place a few times.
type deaf struct {
	times int
	heard []controller.Request
}

func (d *deaf) Do(_ context.Context, r controller.Request) (controller.Response, error) {
	if d.times--; d.times >= 0 {
		return nil, fmt.Errorf("%w: it has lost its place", controller.ErrNotController)
	}
	d.heard = append(d.heard, r)
	return new(controller.LoseReplicasResponse), nil
}

// TestShortReplicasAreToldAgain: a start does not end because the controller loses its place while it is told.
func TestShortReplicasAreToldAgain(t *testing.T) {
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte(newSeveral(t, "").properties(1))})
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{opts: Options{Config: cfg}.withDefaults(), failed: t.Context()}
	to := &deaf{times: 2}
	b.control = to
	b.replicas = newReplicas(newLiveConfig(cfg, slog.New(slog.DiscardHandler), func(*config.Config) {}), b.opts.Clock, b.opts.Log)
	b.replicas.short = []controller.LostReplica{{Number: 7}}
	if err := b.giveWay(); err != nil || len(to.heard) != 1 || len(to.heard[0].(*controller.LoseReplicas).Replicas) != 1 {
		t.Errorf("%v, the controller heard %+v", err, to.heard)
	}
}
