package partition_test

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/replica"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// handClock is a clock that a test moves.
type handClock struct {
	clock.Clock
	passed atomic.Int64
}

func (c *handClock) Now() time.Time { return time.Unix(1_700_000_000, c.passed.Load()) }

const lag = time.Second

// cluster is three brokers that host one partition, with calls in place of a network, and the real controller's steps.
type cluster struct {
	t        *testing.T
	durable  bool
	clock    handClock
	settings controller.Settings
	random   random.Source
	img      *metadata.Image
	topic    uuid.UUID
	nodes    []*node
	diverged int // answers that a log is not its leader's

	mu        sync.Mutex
	proposals []proposal
}

type proposal struct {
	p *partition.Partition
	a *replica.AlterPartition
}

// node is a broker: its disk outlives its process.
type node struct {
	c    *cluster
	id   int32
	disk *vfs.Mem
	dir  *logdir.Dir
	p    *partition.Partition // nil: it is dead
	mute bool                 // it does not fetch

	changes atomic.Int64 // that were told of the replica
}

// rules ask for two in sync.
type rules struct{ controller.Configs }

func (rules) TopicRules(map[string]string) controller.Rules { return controller.Rules{MinISR: 2} }

func (rules) ValidateTopicSet(map[string]string) error { return nil }

func newCluster(t *testing.T, durable bool) *cluster {
	c := &cluster{t: t, durable: durable, settings: controller.Settings{Configs: rules{}}, random: random.Seeded(1), img: metadata.Empty}
	c.do(&controller.StartCluster{ClusterID: "cluster"})
	for id := range int32(3) {
		n := &node{c: c, id: id, disk: vfs.NewMem()}
		c.nodes = append(c.nodes, n)
		n.open()
		n.register()
	}
	created := c.do(&controller.CreateTopics{Topics: []controller.NewTopic{{Name: "orders", Partitions: -1, ReplicationFactor: -1,
		Assignments: []controller.Assignment{{Brokers: []int32{0, 1, 2}}}}}}).(*controller.CreateTopicsResponse).Topics[0]
	if created.Error.Failed() {
		t.Fatal(created.Error)
	}
	c.topic = created.ID
	for _, n := range c.nodes {
		n.host(false)
	}
	return c
}

func (n *node) open() {
	dir, err := logdir.Open(logdir.Options{FS: n.disk, Random: random.Seeded(uint64(n.id)), Path: "data", NodeID: n.id, ClusterID: "cluster"})
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.dir = dir
	n.c.t.Cleanup(func() { dir.Abort() })
}

func (n *node) register() {
	r := n.c.do(&controller.RegisterBroker{ClusterID: "cluster", ID: n.id, Incarnation: uuid.New(n.c.random), Directories: []uuid.UUID{n.dir.ID()}, Unfence: true})
	if e := r.(*controller.RegisterBrokerResponse).Error; e.Failed() {
		n.c.t.Fatal(e)
	}
}

// host opens the replica.
func (n *node) host(lossy bool) {
	settings := &partition.Settings{Log: &commitlog.Config{Durable: n.c.durable, Delete: true, SegmentBytes: 4096}, MinISR: 2, LagMax: lag, DeleteAllowed: true}
	id := commitlog.ID{Topic: "orders", TopicID: n.c.topic}
	var p atomic.Pointer[partition.Partition]
	log, err := n.dir.Log(id, settings.Log, func(end int64) {
		if p := p.Load(); p != nil {
			p.Synced(end)
		}
	})
	if err != nil {
		n.c.t.Fatal(err)
	}
	hw := n.dir.HighWatermark("orders", 0)
	n.p = partition.New(id, &partition.Host{Broker: n.id, Clock: &n.c.clock, Alter: n.c.propose, Changed: func(*partition.Partition) { n.changes.Add(1) }}, log, settings, hw, lossy)
	p.Store(n.p)
	n.c.do(&controller.AssignDirectories{Broker: n.id, Replicas: []controller.AssignDirectory{{TopicID: n.c.topic, Directory: n.dir.ID()}}})
	n.p.Registered(n.c.img.Broker(n.id).Epoch)
	n.p.Apply(n.c.img, n.c.state())
}

// kill ends the process, without a word to the disk.
func (n *node) kill() {
	n.p.Close(partition.ErrDeleted)
	n.p = nil
	n.dir.Abort()
}

// start starts it again on its disk, or on what a power loss leaves of that.
func (n *node) start() {
	n.open()
	n.register()
	n.host(false)
}

func (c *cluster) state() *metadata.Partition { return c.img.Partition(c.topic, 0) }

func (c *cluster) propose(p *partition.Partition, a *replica.AlterPartition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proposals = append(c.proposals, proposal{p, a})
}

// do carries out a request of the controller, and tells all who live what became of it.
func (c *cluster) do(r controller.Request) controller.Response {
	c.t.Helper()
	records, response := controller.Step(c.img, c.settings, r, c.random)
	img, _, err := metadata.Apply(c.img, c.img.Index()+1, records)
	if err != nil {
		c.t.Fatal(err)
	}
	c.img = img
	for _, n := range c.nodes {
		if n.p != nil {
			n.p.Apply(c.img, c.state())
		}
	}
	return response
}

// alter takes proposals that wait to the controller.
func (c *cluster) alter() {
	c.mu.Lock()
	proposals := c.proposals
	c.proposals = nil
	c.mu.Unlock()
	for _, q := range proposals {
		proposed := controller.ProposedISR{TopicID: c.topic, LeaderEpoch: int32(q.a.LeaderEpoch), PartitionEpoch: q.a.PartitionEpoch}
		for _, m := range q.a.ISR {
			proposed.ISR = append(proposed.ISR, controller.ISRMember{ID: m.ID, Epoch: m.BrokerEpoch})
		}
		r := c.do(&controller.AlterPartition{Broker: q.a.Leader, Epoch: q.a.BrokerEpoch, Partitions: []controller.ProposedISR{proposed}}).(*controller.AlterPartitionResponse)
		switch {
		case r.Error.Failed():
			q.p.Altered(q.a, nil, replica.ErrStaleBrokerEpoch)
		case r.Partitions[0].Error.Code == protocol.IneligibleReplica:
			q.p.Altered(q.a, nil, replica.ErrIneligibleReplica)
		case r.Partitions[0].Error.Failed():
			q.p.Altered(q.a, nil, replica.ErrInvalidUpdateVersion)
		default:
			q.p.Altered(q.a, r.Partitions[0].Partition, nil)
		}
	}
}

// ask fetches from the leader and returns its answer.
func (n *node) ask() (r replica.FetchRequest, a replica.FetchAnswer, batches []byte, ok bool) {
	leader, r, ok := n.p.NextFetch()
	if !ok || n.c.nodes[leader].p == nil {
		return r, a, nil, false
	}
	read, err := n.c.nodes[leader].p.ReadFollower(r, 1500, true)
	if (err == nil) != (read.Err == nil) {
		n.c.t.Errorf("a fetch answers %v and %v", read.Err, err)
	}
	if read.Slice.Bytes > 0 {
		batches, err = read.Slice.Span.AppendTo(nil)
		if err != nil {
			n.c.t.Error(err)
		}
		read.Slice.Release()
	}
	return r, read.FetchAnswer, batches, true
}

// fetch lets a follower fetch once.
func (n *node) fetch() {
	if n.p == nil || n.mute {
		return
	}
	if r, a, batches, ok := n.ask(); ok {
		if a.Diverging != nil {
			n.c.diverged++
		}
		if err := n.p.AppendAsFollower(r, a, batches); err != nil {
			n.c.t.Errorf("broker %d: %v", n.id, err)
		}
	}
}

// until lets followers fetch and the controller answer until something holds.
func (c *cluster) until(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); runtime.Gosched() {
		for _, n := range c.nodes {
			n.fetch()
		}
		c.alter()
		if time.Now().After(deadline) {
			for _, n := range c.nodes {
				if n.p != nil {
					start, _, hw, end := n.p.Offsets()
					c.t.Logf("broker %d: %d to %d, synced %d, high watermark %d, epochs %v", n.id, start, end, n.p.Log().SyncedEnd(), hw, n.p.Log().Epochs())
				}
			}
			c.t.Fatalf("waited in vain for: %s; %+v", what, c.state())
		}
	}
}

// deadline fails a wait that takes too long.
func (c *cluster) deadline() func(*testing.T, string) {
	end := time.Now().Add(20 * time.Second)
	return func(t *testing.T, what string) {
		t.Helper()
		if runtime.Gosched(); time.Now().After(end) {
			t.Fatalf("waited in vain for: %s; %+v", what, c.state())
		}
	}
}

func (c *cluster) leader() *node { return c.nodes[c.state().Leader] }

// produce appends batches to the leader, without waiting for anything.
func (c *cluster) produce(batches int) {
	c.t.Helper()
	for range batches {
		if _, err := c.leader().p.Append(batch(3), false); err != nil {
			c.t.Fatal(err)
		}
	}
}

// allCommitted says that all who live and fetch have the leader's log and know all of it to be committed.
func (c *cluster) allCommitted() bool {
	for _, n := range c.nodes {
		if n.p != nil && !n.mute && (n.p.HighWatermark() != c.leader().p.Log().LogEnd() || n.p.Log().LogEnd() != c.leader().p.Log().LogEnd()) {
			return false
		}
	}
	return true
}

// same compares the logs byte for byte, from where all begin, and their epochs.
func (c *cluster) same() {
	c.t.Helper()
	want, from := []byte(nil), int64(0)
	for _, n := range c.nodes {
		if n.p != nil {
			from = max(from, n.p.Log().LogStart())
		}
	}
	for _, n := range c.nodes {
		if n.p == nil {
			continue
		}
		got := contents(c.t, n.p.Log(), from)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			c.t.Errorf("the log of broker %d differs: %d bytes from %d on, %d", n.id, len(got), from, len(want))
		}
		if own, other := fmt.Sprint(n.p.Log().Epochs()), fmt.Sprint(c.nodes[0].p.Log().Epochs()); c.nodes[0].p.Log().LogStart() == n.p.Log().LogStart() && own != other && len(got) > 0 {
			c.t.Errorf("the epochs of broker %d are %v, those of broker 0 %v", n.id, own, other)
		}
	}
}

func contents(t *testing.T, l *commitlog.Log, from int64) []byte {
	t.Helper()
	all := []byte{}
	for from < l.LogEnd() {
		s, err := l.Read(from, 1<<20, l.LogEnd(), true)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Span.AppendTo(nil)
		s.Release()
		if err != nil || len(b) == 0 {
			t.Fatalf("read %d bytes at %d: %v", len(b), from, err)
		}
		all = append(all, b...)
		from = lastOf(b).NextOffset()
	}
	return all
}
