package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/cluster"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/peer"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// several are brokers of one cluster on one network in memory, each with a disk of its own.
type several struct {
	t     *testing.T
	net   *network.Mem
	disks map[int]*vfs.Mem
	nodes map[int]*Broker
	extra string                        // settings of all
	dirs  string                        // log.dirs; empty: one
	fault func(id int, op vfs.Op) error // of the disks
	own   func(id int) string           // further settings of one

	patience time.Duration // how long a start may take; 0: long
	clock    clock.Clock   // of all; nil: the real one
}

const testVoters = "1@n1:9093,2@n2:9093,3@n3:9093"

func newSeveral(t *testing.T, extra string) *several {
	c := &several{t: t, net: network.NewMem(), disks: map[int]*vfs.Mem{}, nodes: map[int]*Broker{}, extra: extra}
	t.Cleanup(func() {
		for id := range c.nodes {
			c.kill(id)
		}
	})
	return c
}

// properties are those of Kafka's combined mode.
func (c *several) properties(id int) string {
	own := ""
	if c.own != nil {
		own = c.own(id)
	}
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[2]s
listeners=PLAINTEXT://n%[1]d:9092,CONTROLLER://n%[1]d:9093
advertised.listeners=PLAINTEXT://n%[1]d:9092
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=%[4]s
%[3]s
`, id, testVoters, c.extra+own, cmp.Or(c.dirs, "data"))
}

func (c *several) startOne(id int, properties string) (*Broker, error) {
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte(properties)})
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(logTo{c.t}, nil)).With("node", id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(c.patience, 40*time.Second))
	defer cancel()
	disk := vfs.FS(c.disks[id])
	if c.fault != nil {
		disk = vfs.NewFault(disk, func(op vfs.Op) error { return c.fault(id, op) })
	}
	return startUntil(ctx, Options{Config: cfg, FS: disk, Network: c.net, Clock: c.clock, Log: log})
}

type logTo struct{ t *testing.T }

func (l logTo) Write(b []byte) (int, error) {
	fmt.Print(time.Now().Format("05.000 "), string(b))
	return len(b), nil
}

// start starts nodes at the same time and waits for all.
func (c *several) start(ids ...int) {
	c.t.Helper()
	var starting sync.WaitGroup
	errs := make([]error, len(ids))
	started := make([]*Broker, len(ids))
	for _, id := range ids {
		if c.disks[id] == nil {
			c.disks[id] = vfs.NewMem()
		}
	}
	for i, id := range ids {
		starting.Go(func() { started[i], errs[i] = c.startOne(id, c.properties(id)) })
	}
	starting.Wait()
	for i, id := range ids {
		if errs[i] != nil {
			c.t.Errorf("start node %d: %v", id, errs[i])
			continue
		}
		c.nodes[id] = started[i]
	}
	if c.t.Failed() {
		c.t.FailNow()
	}
}

func (c *several) kill(id int) {
	c.nodes[id].Abort()
	delete(c.nodes, id)
}

// one is any node that runs.
func (c *several) one() *Broker {
	for _, n := range c.nodes {
		return n
	}
	c.t.Fatal("no node runs")
	return nil
}

func (c *several) client(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers("n1:9092", "n2:9092", "n3:9092"),
		kgo.Dialer(func(ctx context.Context, _, addr string) (network.Conn, error) { return c.net.Dial(ctx, addr) }),
		kgo.RetryTimeout(20 * time.Second),
	}, opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// until waits for the metadata of a node to be as they should.
func (c *several) until(what string, n *Broker, is func(*metadata.Image) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for {
		img, changed := n.publisher.Watch()
		if is(img) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			c.t.Fatalf("waited for %s; brokers are %+v", what, describe(img))
		}
	}
}

func describe(img *metadata.Image) (all []string) {
	for _, b := range img.Brokers() {
		all = append(all, fmt.Sprintf("%d epoch %d fenced %v", b.ID, b.Epoch, b.Fenced))
	}
	for t := range img.Topics() {
		for i, p := range t.Partitions {
			all = append(all, fmt.Sprintf("%s-%d leader %d of %v isr %v", t.Name, i, p.Leader, p.Replicas, p.ISR))
		}
	}
	return all
}

func (c *several) create(topic string, partitions int32, factor int16) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for { // a client goes on asking a controller that is gone
		cl := c.client()
		resp, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, factor, nil, topic)
		cl.Close()
		if err == nil {
			err = resp.Err
		}
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
			return
		}
		if ctx.Err() != nil || !kerr.IsRetriable(err) && !network.Refused(err) && !network.Disconnected(err) {
			c.t.Fatalf("create %s: %v %s", topic, err, resp.ErrMessage)
		}
	}
}

// leader waits for one of the nodes that run to lead the quorum.
func (c *several) leader() int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for {
		at, changed := c.one().together.node.Leader()
		if c.nodes[int(at)] != nil {
			return int(at)
		}
		select {
		case <-changed:
		case <-clock.Real.After(100 * time.Millisecond): // which node a directory is at may be learned later
		case <-ctx.Done():
			c.t.Fatal("no node leads the quorum")
		}
	}
}

func unfenced(ids ...int32) func(*metadata.Image) bool {
	return func(img *metadata.Image) bool {
		var up []int32
		for _, b := range img.Brokers() {
			if !b.Fenced {
				up = append(up, b.ID)
			}
		}
		return slices.Equal(up, ids)
	}
}

func leaders(img *metadata.Image, topic string) (all []int32) {
	if t := img.Topic(topic); t != nil {
		for _, p := range t.Partitions {
			all = append(all, p.Leader)
		}
	}
	return all
}

func TestThreeBrokers(t *testing.T) {
	c := newSeveral(t, "")
	c.start(1, 2, 3)
	cluster := c.one().publisher.Image().ClusterID()
	for id, n := range c.nodes {
		c.until("three brokers that serve", n, unfenced(1, 2, 3))
		if got := n.publisher.Image().ClusterID(); got != cluster || n.dirs[0].ClusterID() != cluster {
			t.Fatalf("node %d is of cluster %s, its directory of %s, another one of %s", id, got, n.dirs[0].ClusterID(), cluster)
		}
	}
	c.create("one", 3, 1)
	c.create("three", 3, 3)
	for _, topic := range []string{"one", "three"} {
		for _, n := range c.nodes {
			c.until("leaders on three brokers", n, func(img *metadata.Image) bool {
				all := leaders(img, topic)
				slices.Sort(all)
				return slices.Equal(all, []int32{1, 2, 3})
			})
		}
	}
	// A topic of more replicas than brokers is refused with Kafka's words.
	resp, err := kadm.NewClient(c.client()).CreateTopic(t.Context(), 1, 4, nil, "four")
	if err == nil || !strings.Contains(resp.ErrMessage, "replication factor") {
		t.Fatalf("replication factor 4: %v %q", err, resp.ErrMessage)
	}

	// A broker that does not lead the quorum dies.
	lead := c.leader()
	victim := lead%3 + 1
	c.kill(victim)
	alive := slices.DeleteFunc([]int32{1, 2, 3}, func(id int32) bool { return int(id) == victim })
	c.until("the dead broker to be fenced and to lead nothing", c.one(), func(img *metadata.Image) bool {
		return unfenced(alive...)(img) && !slices.Contains(leaders(img, "three"), int32(victim)) && !slices.Contains(leaders(img, "three"), -1)
	})
	c.create("meanwhile", 1, 2)
	c.start(victim)
	for _, n := range c.nodes {
		c.until("the broker to be back", n, unfenced(1, 2, 3))
	}

	// The node that leads the quorum dies.
	lead = c.leader()
	c.kill(lead)
	c.create("after", 1, 2)
	alive = slices.DeleteFunc([]int32{1, 2, 3}, func(id int32) bool { return int(id) == lead })
	c.until("the dead leader to be fenced", c.one(), unfenced(alive...))
	c.start(lead)
	for _, n := range c.nodes {
		c.until("the broker to be back", n, unfenced(1, 2, 3))
		c.until("all topics", n, func(img *metadata.Image) bool { return img.TopicCount() == 4 })
	}
}

func TestClusterStopsAndStarts(t *testing.T) {
	c := newSeveral(t, "")
	c.start(1, 2, 3)
	cluster := c.one().publisher.Image().ClusterID()
	c.create("one", 3, 1)
	c.create("three", 3, 3)
	// One after another is stopped and started: who stops leads nothing any more, but where it is the only replica.
	for id := 1; id <= 3; id++ {
		n := c.nodes[id]
		if err := n.Stop(); err != nil {
			t.Fatal(err)
		}
		img := n.publisher.Image()
		if b := img.Broker(int32(id)); !b.ControlledShutdown || slices.Contains(leaders(img, "three"), int32(id)) {
			t.Errorf("node %d stopped as %+v, with leaders %v", id, b, leaders(img, "three"))
		}
		delete(c.nodes, id)
		c.until("the broker to be fenced", c.one(), func(img *metadata.Image) bool {
			b := img.Broker(int32(id))
			return b != nil && b.Fenced
		})
		c.start(id)
		for _, n := range c.nodes {
			c.until("the broker to be back", n, unfenced(1, 2, 3))
		}
	}
	// All go down at the same moment, and come back with what they had.
	for id := range c.nodes {
		c.kill(id)
	}
	c.start(1, 2, 3)
	for id, n := range c.nodes {
		c.until("three brokers that serve", n, unfenced(1, 2, 3))
		if img := n.publisher.Image(); img.ClusterID() != cluster || img.TopicCount() != 2 {
			t.Errorf("node %d is of cluster %s, not %s, with %d topics", id, img.ClusterID(), cluster, img.TopicCount())
		}
		c.until("leaders of all partitions", n, func(img *metadata.Image) bool {
			return !slices.Contains(leaders(img, "one"), -1) && !slices.Contains(leaders(img, "three"), -1)
		})
	}
}

// TestClusterSettings: what is set of sessions, heartbeats and elections is what the node goes by, and a stop hands nothing over where that is not
// wanted.
func TestClusterSettings(t *testing.T) {
	c := newSeveral(t, "controller.quorum.election.timeout.ms=1700\nbroker.session.timeout.ms=4000\nbroker.heartbeat.interval.ms=300\ncontrolled.shutdown.enable=false\n")
	c.start(1, 2, 3)
	n := c.one()
	if o := n.together.node.Options; o.ElectionTimeout != 1700*time.Millisecond || o.Session != 4*time.Second || o.Heartbeat != 300*time.Millisecond {
		t.Errorf("elections after %s, sessions of %s, a heartbeat each %s", o.ElectionTimeout, o.Session, o.Heartbeat)
	}
	c.create("three", 3, 3)
	c.until("leaders on three brokers", n, func(img *metadata.Image) bool { return slices.Contains(leaders(img, "three"), n.opts.Config.NodeID) })
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if b := n.publisher.Image().Broker(n.opts.Config.NodeID); b.ControlledShutdown {
		t.Errorf("the node stopped as %+v", b)
	}
	delete(c.nodes, int(n.opts.Config.NodeID))
}

// TestEmptiedVoter: a directory that was emptied is not the voter that it was, and the broker takes part all the same.
func TestEmptiedVoter(t *testing.T) {
	c := newSeveral(t, "")
	c.start(1, 2, 3)
	c.create("three", 3, 3)
	c.kill(3)
	c.disks[3] = nil
	c.start(3)
	c.until("the topic", c.nodes[3], func(img *metadata.Image) bool { return img.Topic("three") != nil })
	c.until("the broker to serve", c.nodes[3], unfenced(1, 2, 3))
	if c.nodes[3].together.node.Waits() == "" || c.nodes[1].together.node.Waits() != "" {
		t.Errorf("node 3 says %q, node 1 %q", c.nodes[3].together.node.Waits(), c.nodes[1].together.node.Waits())
	}
	// It asks the others for changes, and hears of them.
	if _, err := c.nodes[3].control.Do(t.Context(), &controller.CreateTopics{Topics: []controller.NewTopic{{Name: "more", Partitions: 1, ReplicationFactor: 2}}}); err != nil {
		t.Fatal(err)
	}
	if c.nodes[3].publisher.Image().Topic("more") == nil {
		t.Error("a change is answered before it is known")
	}
	state, err := c.nodes[3].state.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Voters) != 3 || state.Voters[2].Node != 3 || state.Voters[2].End >= state.End || len(state.Observers) != 1 || state.Observers[0].Node != 3 {
		t.Errorf("the quorum is %+v", state)
	}
}

// TestRoles: three nodes vote and host nothing, two are brokers and do not vote.
func TestRoles(t *testing.T) {
	c := newSeveral(t, "")
	var starting sync.WaitGroup
	var mu sync.Mutex
	for id := 1; id <= 5; id++ {
		c.disks[id] = vfs.NewMem()
	}
	for id := 1; id <= 5; id++ {
		properties := fmt.Sprintf("node.id=%d\ncontroller.quorum.voters=%s\ncontroller.listener.names=CONTROLLER\nlog.dirs=data\n", id, testVoters)
		if id <= 3 {
			properties += fmt.Sprintf("process.roles=controller\nlisteners=CONTROLLER://n%d:9093\n", id)
		} else {
			properties += fmt.Sprintf("process.roles=broker\nlisteners=PLAINTEXT://n%d:9092\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n", id)
		}
		if id == 5 { // it is told where one voter is, not who that is, nor where the others are
			properties = strings.Replace(properties, "controller.quorum.voters="+testVoters, "controller.quorum.bootstrap.servers=n3:9093", 1)
		}
		starting.Go(func() {
			n, err := c.startOne(id, properties)
			if err != nil {
				t.Errorf("start node %d: %v", id, err)
				return
			}
			mu.Lock()
			c.nodes[id] = n
			mu.Unlock()
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, n := range c.nodes {
		c.until("two brokers that serve", n, unfenced(4, 5))
	}
	cl := c.client(kgo.SeedBrokers("n4:9092"))
	admin := kadm.NewClient(cl)
	if resp, err := admin.CreateTopic(t.Context(), 2, 1, nil, "orders"); err != nil || resp.Err != nil {
		t.Fatal(err, resp.Err)
	}
	described, err := admin.BrokerMetadata(t.Context())
	if err != nil || len(described.Brokers) != 2 {
		t.Errorf("brokers %+v, %v", described.Brokers, err)
	}
	cl.ForceMetadataRefresh()
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("v")}).FirstErr(); err != nil {
		t.Error(err)
	}
	// The voters show the brokers as observers.
	state, err := c.nodes[4].state.State(t.Context())
	if err != nil || len(state.Voters) != 3 || len(state.Observers) != 2 {
		t.Errorf("the quorum is %+v, %v", state, err)
	}
	// A broker goes on when the node that leads the quorum dies.
	lead := c.leader()
	c.kill(lead)
	if resp, err := admin.CreateTopic(t.Context(), 2, 1, nil, "more"); err != nil || resp.Err != nil {
		t.Fatal(err, resp.Err)
	}
	c.until("both brokers", c.nodes[5], unfenced(4, 5))
}

// TestPrivateRequests: what nodes say to one another is taken on the listener for controllers only, and only where there are others.
func TestPrivateRequests(t *testing.T) {
	c := newSeveral(t, "")
	c.start(1, 2, 3)
	alone, err := c.startAlone("n9")
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Abort()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for address, served := range map[string]bool{"n1:9092": false, "n1:9093": true, "n9:9092": false, "n9:9093": false} {
		for _, key := range []protocol.APIKey{protocol.KeyNodeInfo, protocol.KeyQuorumState} {
			p := peer.New(peer.Options{Network: c.net, Clock: clock.Real, Address: address})
			body, err := p.Call(ctx, key, nil)
			p.Close()
			if key == protocol.KeyNodeInfo && served && (err != nil || !strings.Contains(string(body), `"Node":1`)) || !served && !errors.Is(err, peer.ErrLost) {
				t.Errorf("%s at %s: %q, %v", key, address, body, err)
			}
		}
		// What is not decodable ends the connection, and nothing else.
		for key := protocol.KeyNodeInfo; key.Private(); key++ {
			p := peer.New(peer.Options{Network: c.net, Clock: clock.Real, Address: address})
			short, stop := context.WithTimeout(ctx, 5*time.Second)
			if key == protocol.KeyRaftMessage {
				p.Send(key, []byte{1, 2, 3})
			} else if body, err := p.Call(short, key, []byte(`{"Name":`)); err == nil && key != protocol.KeyNodeInfo && key != protocol.KeyQuorumState {
				t.Errorf("%s at %s: %q", key, address, body)
			}
			stop()
			p.Close()
		}
	}
	c.until("brokers that serve", c.nodes[2], unfenced(1, 2, 3))
	c.create("after", 1, 1)
}

// startAlone starts a node that is a cluster of its own, with a listener for controllers.
func (c *several) startAlone(host string) (*Broker, error) {
	c.disks[9] = vfs.NewMem()
	return c.startOne(9, fmt.Sprintf("node.id=9\nlisteners=PLAINTEXT://%[1]s:9092,CONTROLLER://%[1]s:9093\ncontroller.listener.names=CONTROLLER\nlog.dirs=data\n", host))
}

// TestLostMetadataIsRefused: directories with partitions are not made a new cluster that knows nothing of them.
func TestLostMetadataIsRefused(t *testing.T) {
	c := newSeveral(t, "")
	c.start(1, 2, 3)
	c.create("orders", 3, 1)
	cl := c.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p := range int32(3) {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Partition: p, Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for id := range c.nodes {
		c.kill(id)
		files, err := c.disks[id].ReadDir("data/quorum")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := c.disks[id].Remove("data/quorum/" + f.Name()); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.patience = 3 * time.Second // who does not see all others waits for them
	var starting sync.WaitGroup
	for id := 1; id <= 3; id++ {
		starting.Go(func() {
			n, err := c.startOne(id, c.properties(id))
			if err == nil || !strings.Contains(err.Error(), "partitions, but none has the metadata") && !strings.Contains(err.Error(), "context deadline") {
				t.Errorf("node %d: %v", id, err)
			}
			if n != nil {
				n.Abort()
			}
		})
	}
	starting.Wait()
}

// TestReplaced: of two processes with one node.id the later one goes on, and the other one ends.
func TestReplaced(t *testing.T) {
	c := newSeveral(t, "")
	c.start(1, 2, 3)
	n := c.nodes[2]
	r := n.registration()
	r.ClusterID, r.Incarnation, r.Directories = n.clusterID, uuid.UUID{5}, []uuid.UUID{uuid.New(random.Seeded(5))}
	if _, err := c.nodes[1].control.Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.Failed().Done():
		if err := context.Cause(n.Failed()); !errors.Is(err, cluster.ErrReplaced) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the broker that was replaced goes on")
	}
}

// TestChangesUnderKills: whatever was answered is there in the end, on every node, while those that lead the quorum die one after another and
// every node is asked.
func TestChangesUnderKills(t *testing.T) {
	c := newSeveral(t, "")
	c.start(1, 2, 3)
	var mu sync.Mutex
	made := map[string]bool{}
	more := make(chan struct{}, 1)
	ended := make(chan struct{})
	var asking sync.WaitGroup
	nodes := func() (all []*Broker) {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range c.nodes {
			all = append(all, n)
		}
		return all
	}
	for worker := range 4 {
		asking.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-ended:
					return
				default:
				}
				all := nodes()
				n := all[(worker+i)%len(all)]
				name := fmt.Sprintf("topic-%d-%d", worker, i)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				response, err := n.control.Do(ctx, &controller.CreateTopics{Topics: []controller.NewTopic{{Name: name, Partitions: 1, ReplicationFactor: 1}}})
				cancel()
				if err != nil {
					continue // it may have been done, or not
				}
				if e := response.(*controller.CreateTopicsResponse).Topics[0].Error; e.Failed() {
					t.Errorf("%s, which is asked for once: %v", name, e)
				} else if n.publisher.Image().Topic(name) == nil {
					t.Errorf("%s is answered by a node that does not know it", name)
				}
				mu.Lock()
				made[name] = true
				mu.Unlock()
				select {
				case more <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 4 {
		for range 20 {
			select {
			case <-more:
			case <-time.After(20 * time.Second):
				t.Fatal("no changes are made any more")
			}
		}
		lead := c.leader()
		mu.Lock()
		n := c.nodes[lead]
		delete(c.nodes, lead)
		mu.Unlock()
		n.Abort()
		b, err := c.startOne(lead, c.properties(lead))
		if err != nil {
			t.Fatalf("start node %d again: %v", lead, err)
		}
		mu.Lock()
		c.nodes[lead] = b
		mu.Unlock()
	}
	close(ended)
	asking.Wait()
	for id, n := range c.nodes {
		c.until("brokers that serve", n, unfenced(1, 2, 3))
		c.until(fmt.Sprintf("node %d to know all that was made", id), n, func(img *metadata.Image) bool {
			for name := range made {
				if img.Topic(name) == nil {
					return false
				}
			}
			return true
		})
	}
	t.Logf("%d topics", len(made))
}

// TestAloneGrows: a node that was a cluster of its own becomes one of several, and stays the only voter: who is added to the quorum is decided, not
// configured.
func TestAloneGrows(t *testing.T) {
	c := newSeveral(t, "")
	c.disks[1] = vfs.NewMem()
	n, err := c.startOne(1, "node.id=1\nlisteners=PLAINTEXT://n1:9092\nlog.dirs=data\n")
	if err != nil {
		t.Fatal(err)
	}
	c.nodes[1] = n
	cl := c.client(kgo.SeedBrokers("n1:9092"))
	if resp, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, "early"); err != nil || resp.Err != nil {
		t.Fatal(err, resp.Err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "early", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	cluster := n.publisher.Image().ClusterID()
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	delete(c.nodes, 1)
	c.start(1, 2, 3)
	for id, n := range c.nodes {
		c.until("three brokers, and the topic that was there", n, func(img *metadata.Image) bool {
			return unfenced(1, 2, 3)(img) && img.Topic("early") != nil && img.ClusterID() == cluster
		})
		if waits := n.together.node.Waits() != ""; waits != (id != 1) {
			t.Errorf("node %d says %q", id, n.together.node.Waits())
		}
	}
	c.create("late", 3, 1)
}

// TestSettingsOfOneOfSeveral: each broker takes its own settings, whichever of them is the active controller, and not those of others.
func TestSettingsOfOneOfSeveral(t *testing.T) {
	c := newSeveral(t, "")
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	admin := kadm.NewClient(c.client())
	set := func(id int32, name, value string) {
		t.Helper()
		results, err := admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, id)
		if err != nil || len(results) != 1 || results[0].Err != nil {
			t.Fatalf("set %s of broker %d: %v, %+v", name, id, err, results)
		}
	}
	for id := range c.nodes {
		set(int32(id), "max.connections", fmt.Sprint(1000+id))
	}
	for id, n := range c.nodes {
		c.await(fmt.Sprintf("the setting of broker %d", id), func() bool { return n.live.now().MaxConnections == 1000+id })
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "2"
	req.Resources = append(req.Resources, r)
	cl := c.client()
	resp, err := cl.Broker(3).Request(ctx, req)
	if err != nil || resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("broker 3 is asked to change broker 2: %v, %+v", err, resp)
	}
}
