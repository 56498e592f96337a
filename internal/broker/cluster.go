package broker

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/cluster"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/handler"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/server"
)

// together is what a node has that is one of several: its part in the cluster, and a server of its own for the listeners for controllers, which
// are open before anything else and as long as the node votes. What clients send cannot take the memory that the quorum needs.
type together struct {
	node    *cluster.Node
	server  *server.Server
	serving sync.WaitGroup // its acceptors
	broker  *cluster.Broker

	tools struct {
		sync.Mutex
		kafka *handler.Handler     // answers Kafka's tools there, once it is there and until the node stops
		under map[*server.Conn]int // what it is given at the moment
		none  chan struct{}        // closed when there is none any more after kafka was taken away; nil before
	}
}

// Bounds of the server for controllers, and of a stop.
const (
	controlBytes    = 64 << 20 // of requests
	controlFrame    = 32 << 20 // of one of them
	leaveTimeout    = 3 * time.Second
	partTimeout     = time.Second
	handOverTimeout = 500 * time.Millisecond
)

var errStarting = errors.New("the node is starting or stopping")

// front answers on the listeners for controllers.
type front struct{ b *Broker }

// Serve implements server.Handler.
func (f front) Serve(req *server.Request, reply server.Reply) {
	if req.Header.Key.Private() {
		f.b.together.node.Serve(req, reply)
		return
	}
	t := &f.b.together
	kafka := t.take(req.Conn)
	if kafka == nil {
		reply.Close(errStarting)
		return
	}
	conn := req.Conn // the request may be gone with its answer
	defer t.give(conn)
	kafka.Serve(req, reply)
}

// answer lets a handler answer Kafka's tools there.
func (t *together) answer(h *handler.Handler) {
	t.tools.Lock()
	defer t.tools.Unlock()
	t.tools.kafka, t.tools.under = h, map[*server.Conn]int{}
}

// take returns the handler for a request of the connection, or for what the metadata tell it and no connection, or nil where there is none.
func (t *together) take(conn *server.Conn) *handler.Handler {
	t.tools.Lock()
	defer t.tools.Unlock()
	if t.tools.kafka != nil {
		t.tools.under[conn]++
	}
	return t.tools.kafka
}

// give says that the handler is through with a request.
func (t *together) give(conn *server.Conn) {
	t.tools.Lock()
	defer t.tools.Unlock()
	if t.tools.under[conn]--; t.tools.under[conn] == 0 {
		delete(t.tools.under, conn)
	}
	if len(t.tools.under) == 0 && t.tools.none != nil {
		close(t.tools.none)
	}
}

// dismiss takes the handler away: no request comes to it any more. Those that it has may go on until ctx ends, and are then told to. wait returns
// when there is none.
func (t *together) dismiss(ctx context.Context) (wait func()) {
	t.tools.Lock()
	defer t.tools.Unlock()
	t.tools.kafka = nil
	if len(t.tools.under) == 0 {
		return func() {}
	}
	none := make(chan struct{})
	t.tools.none = none
	return func() {
		select {
		case <-none:
			return
		case <-ctx.Done():
		}
		t.tools.Lock()
		for conn := range t.tools.under {
			if conn != nil {
				conn.Stop(errStarting)
			}
		}
		t.tools.Unlock()
		<-none
	}
}

// join takes part in the cluster. When it returns the node knows which one that is, and its metadata come in.
func (b *Broker) join() error {
	cfg := b.opts.Config
	known, err := b.lookAtDirs()
	if err != nil {
		return err
	}
	held := 0
	for _, path := range b.presentDirs() {
		n, err := logdir.CountPartitions(b.opts.FS, path)
		if err != nil {
			return err
		}
		held += n
	}
	if cfg.Votes {
		if err := b.lockQuorum(); err != nil {
			return err
		}
	}
	b.newHosts()
	b.newFetcher()
	t := &b.together
	t.node = cluster.New(cluster.Options{
		NodeID: cfg.NodeID, Seeds: cluster.SeedsOf(cfg), Votes: cfg.Votes, Network: b.opts.Network, Clock: b.opts.Clock, Random: b.opts.Random,
		Log: b.opts.Log, Images: b.publisher, Settings: b.controllerSettings(), FS: b.opts.FS, Dir: b.quorumPath(), ClusterID: known, Partitions: held,
		ElectionTimeout: cfg.Millis("controller.quorum.election.timeout.ms"), Session: cfg.Millis("broker.session.timeout.ms"),
		Heartbeat: cfg.Millis("broker.heartbeat.interval.ms"), Balance: balanceInterval(cfg), BrokerListener: cfg.InterBrokerListener, OnFull: b.metadataFull, Fail: b.fail,
	})
	b.control, b.state = t.node, clusterState{t.node}
	if len(b.controllers) > 0 {
		t.server, err = server.New(server.Options{Handler: front{b}, Clock: b.opts.Clock, Logger: b.opts.Log, MaxRequestBytes: max(controlFrame, int(cfg.SocketRequestMaxBytes)),
			MaxMemoryBytes: controlBytes, IdleTimeout: time.Duration(1<<63 - 1), OnFatal: b.fail})
		if err != nil {
			return err
		}
		b.acceptAll(&t.serving, t.server, b.controllers)
	}
	if err := t.node.Join(b.failed); err != nil {
		return b.startError("join the cluster", err)
	}
	b.clusterID = b.publisher.Image().ClusterID()
	return nil
}

// balanceInterval is how often leadership is given back to preferred leaders; 0: never.
func balanceInterval(cfg *config.Config) time.Duration {
	if !cfg.Flag("auto.leader.rebalance.enable") {
		return 0
	}
	return time.Duration(min(cfg.Number("leader.imbalance.check.interval.seconds"), int64(math.MaxInt64/time.Second))) * time.Second
}

// host gives the data directories to what follows the metadata.
func (b *Broker) host() error {
	b.replicas.hosts(b.dirs, b.absent)
	b.startUpkeep()
	return nil
}

// hosts says which directories there are, and which there should be.
func (r *replicas) hosts(dirs []*logdir.Dir, absent []absentDir) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dirs, r.absent, r.load = dirs, absent, make([]int, len(dirs))
}

// enroll registers the broker, which stays fenced until beat.
func (b *Broker) enroll() error {
	var err error
	if b.together.broker, err = b.together.node.Register(b.failed, b.registration, b.registered); err != nil {
		return b.startError("register broker", err)
	}
	return nil
}

// doubtful says that others may lead what this broker led.
func (b *Broker) doubtful() bool {
	r := b.together.broker
	return r != nil && r.Doubtful()
}

// beat lets the broker serve, and returns when the cluster counts on it.
func (b *Broker) beat() error {
	b.together.broker.Beat()
	if err := b.together.broker.AwaitServing(b.failed); err != nil {
		return b.startError("wait to be let in by the controller", err)
	}
	return b.raiseEpochs() // only now it leads anything
}

// leave hands over what the node leads before it stops.
func (b *Broker) leave() {
	t := &b.together
	if t.broker == nil || !b.up.Load() || !b.opts.Config.Flag("controlled.shutdown.enable") {
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	defer b.opts.Clock.AfterFunc(leaveTimeout, func() { cancel(errors.New("it took too long")) }).Stop()
	if err := t.broker.Leave(ctx); err != nil {
		b.opts.Log.Warn("hand over leadership before the stop", "error", err)
	}
	hand, cancelHand := context.WithCancel(ctx)
	defer cancelHand()
	defer b.opts.Clock.AfterFunc(handOverTimeout, cancelHand).Stop()
	t.node.HandOver(hand)
}

// part ends the node's part in the cluster.
func (b *Broker) part() {
	t := &b.together
	if t.node == nil {
		return
	}
	t.node.Close()
	if t.server != nil {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		defer b.opts.Clock.AfterFunc(partTimeout, cancel).Stop()
		_ = t.server.Shutdown(ctx) // what is cut off is asked again elsewhere
		t.serving.Wait()
	}
}

// clusterState shows the quorum of several to those who describe it.
type clusterState struct{ node *cluster.Node }

// State implements handler.Quorum.
func (c clusterState) State(ctx context.Context) (handler.QuorumState, error) {
	s, err := c.node.State(ctx)
	if err != nil {
		return handler.QuorumState{}, err
	}
	replicas := func(all []cluster.Replica) (out []handler.QuorumReplica) {
		for _, r := range all {
			out = append(out, handler.QuorumReplica{Node: r.Node, End: int64(r.Applied) + 1, Heard: r.Heard, CaughtUp: r.CaughtUp})
		}
		return out
	}
	return handler.QuorumState{Leader: s.Leader, Epoch: int32(s.Epoch), End: int64(s.Committed) + 1, Voters: replicas(s.Voters), Observers: replicas(s.Observers)}, nil
}

// Leader implements handler.Quorum.
func (c clusterState) Leader() int32 {
	leader, _ := c.node.Leader()
	return leader
}
