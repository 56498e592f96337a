package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/quorum"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/vfs"
)

// Options configures a Node. All fields are required, but for those that say otherwise.
type Options struct {
	NodeID   int32
	Seeds    []Seed // the voters, this node among them where it votes, or where they are found
	Votes    bool
	Network  network.Network
	Clock    clock.Clock
	Random   random.Source
	Log      *slog.Logger
	Images   *metadata.Publisher // that the committed metadata drive
	Settings controller.Settings

	FS              vfs.FS // of the quorum's directory, where the node votes
	Dir             string
	ClusterID       string // that the data directories, or the configuration, name; empty: none
	Partitions      int    // that the data directories hold: they belong to metadata that are there
	ElectionTimeout time.Duration
	Session         time.Duration // silence for which a broker counts as dead
	Heartbeat       time.Duration // between two of this broker
	Balance         time.Duration // between two looks for partitions that others than their preferred leaders lead; 0: never
	BrokerListener  string        // name of the listener by which brokers are dialled
	OnFull          func(full bool)
	Fail            func(error) // is told why the node must not go on
}

// Seed is a voter, or where one is found.
type Seed struct {
	ID      int32 // -1: to be asked
	Address string
}

// SeedsOf returns the seeds that a configuration names.
func SeedsOf(c *config.Config) (seeds []Seed) {
	for _, v := range c.Voters {
		seeds = append(seeds, Seed{v.ID, v.Address()})
	}
	if len(seeds) == 0 {
		for _, address := range c.BootstrapServers {
			seeds = append(seeds, Seed{-1, address})
		}
	}
	return seeds
}

const (
	tick         = 50 * time.Millisecond
	sessionMin   = 300 * time.Millisecond
	heartbeatMin = 50 * time.Millisecond
	doTimeout    = 30 * time.Second       // of a request that no controller is found for
	retryPause   = 20 * time.Millisecond  // before a request that was not carried out is tried again
	askPause     = 50 * time.Millisecond  // between two questions to a voter that forms, or is not known
	infoTimeout  = 2 * time.Second        // of a question
	pullWait     = 500 * time.Millisecond // of a question for metadata where there are no news
	answerWithin = 2 * time.Second        // how long nothing may come of an answer that is at hand, and beyond pullWait of metadata: the other side may be cut off or frozen
)

// Node is this node's part in the cluster.
type Node struct {
	Options
	links []*link                 // by Seeds; nil for this node
	met   atomic.Pointer[[]*link] // these, and those that others have named; nil: nobody has. mu is held while it changes
	life  context.Context
	end   context.CancelFunc
	work  sync.WaitGroup // goroutines of the node, and answers under way

	quorum  *quorum.Node // set before started; nil where the node does not vote, or is not counted
	loop    *controller.Loop
	voting  sync.WaitGroup
	stop    context.CancelFunc // of the quorum
	events  chan func(*detector, time.Time) []action
	started atomic.Bool // quorum is set, or the node pulls

	mu        sync.Mutex // guards what follows
	raft      uint64     // id of the directory
	formed    bool
	voters    []uint64             // of the cluster that this node forms, or has found
	nodes     map[uint64]int32     // raft id to node id
	heard     map[uint64]time.Time // raft's messages, by raft id
	caughtUp  map[uint64]time.Time // when voters were last seen to have everything, by raft id
	leader    int32                // as metadata pulls say; -1 unknown
	term      uint64
	news      chan struct{} // closed when leader changes
	observers map[int32]observer
	beating   map[uint64]int32 // connections that heartbeats came by, and whose
	closing   bool
	why       string // the node does not vote although it is configured to
}

// New returns a node, which answers others from then on. Join does the rest.
func New(o Options) *Node {
	// Each setting may be set without a look at the other.
	o.Session = max(o.Session, sessionMin)
	o.Heartbeat = max(heartbeatMin, min(o.Heartbeat, o.Session/3))
	n := &Node{Options: o, nodes: map[uint64]int32{}, heard: map[uint64]time.Time{}, caughtUp: map[uint64]time.Time{}, leader: -1, news: make(chan struct{}),
		observers: map[int32]observer{}, beating: map[uint64]int32{}, events: make(chan func(*detector, time.Time) []action, 256)}
	n.life, n.end = context.WithCancel(context.Background())
	for _, s := range o.Seeds {
		if s.ID == o.NodeID {
			n.links = append(n.links, nil)
		} else {
			n.links = append(n.links, n.newLink(s))
		}
	}
	return n
}

// Join forms the cluster, or finds it, and returns when its committed metadata come in and name it.
func (n *Node) Join(ctx context.Context) error {
	member := false
	if n.Votes {
		var err error
		if member, err = n.findQuorum(ctx); err != nil {
			return err
		}
	}
	if member {
		if err := n.startQuorum(); err != nil {
			return err
		}
	} else {
		n.started.Store(true)
		n.work.Go(n.pullAll)
	}
	defer n.sayWaiting()()
	for {
		img, changed := n.Images.Watch()
		if img.ClusterID() != "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// sayWaiting tells the log what a start waits for, if it waits for long; what it returns ends that.
func (n *Node) sayWaiting() func() bool {
	return n.Clock.AfterFunc(time.Second, func() {
		n.Log.Info("waiting for an active controller: a majority of the voters must be there", "voters", len(n.Seeds))
	}).Stop
}

// electionTicks is how long the quorum waits for its leader before an election, at least; raft waits up to twice as long.
func electionTicks(timeout time.Duration) time.Duration { return max(2, timeout/2/tick) }

// startQuorum takes part in the quorum, and in the controller.
func (n *Node) startQuorum() error {
	ticks := int(electionTicks(n.ElectionTimeout))
	var err error
	n.quorum, err = quorum.Open(quorum.Options{FS: n.FS, Clock: n.Clock, Random: n.Random, Dir: n.Dir, MustExist: true,
		StateMachine: n.Images, Transport: transport{n}, Log: n.Log, Tick: tick, ElectionTicks: ticks, OnFull: n.OnFull})
	if err != nil {
		return err
	}
	n.loop = controller.NewLoop(controller.LoopOptions{Log: leads{n.quorum}, Images: n.Images, Random: n.Random, Settings: n.Settings})
	n.started.Store(true)
	voting, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.voting.Go(func() {
		if err := n.quorum.Run(voting); err != nil {
			n.Fail(fmt.Errorf("run the metadata quorum: %w", err))
		}
	})
	n.work.Go(func() {
		if err := n.loop.Run(n.life); err != nil && n.life.Err() == nil {
			n.Fail(fmt.Errorf("run the controller: %w", err))
		}
	})
	n.work.Go(n.control)
	n.work.Go(n.elect)
	n.work.Go(n.introduce)
	if n.Balance > 0 {
		n.work.Go(n.balance)
	}
	return nil
}

// leads is the quorum as the controller's loop sees it: where this node does not lead, another one is asked.
type leads struct{ *quorum.Node }

func (l leads) Lead(ctx context.Context) (uint64, error) { return l.LeadNow(ctx) }

// Close ends the node's part in the cluster and returns when nothing of it is left.
func (n *Node) Close() {
	n.mu.Lock()
	n.closing = true
	n.mu.Unlock()
	n.end()
	for _, l := range n.everyone() {
		if l != nil {
			l.close()
		}
	}
	n.work.Wait()
	if n.stop != nil {
		n.stop()
		n.voting.Wait()
	}
}

// spawn runs f, unless the node is closing.
func (n *Node) spawn(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return false
	}
	n.work.Go(f)
	return true
}

// Leader returns the node that leads the quorum, -1 while none is known, and a channel that is closed when that may have changed.
func (n *Node) Leader() (int32, <-chan struct{}) {
	if !n.started.Load() || n.quorum == nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.leader, n.news
	}
	st, changed := n.quorum.Watch()
	switch {
	case st.Leads:
		return n.NodeID, changed
	case st.Leader == 0:
		return -1, changed
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, known := n.nodes[st.Leader]; known {
		return id, changed
	}
	return -1, changed
}

// Waits says why the node does not vote although it is configured to; empty: it does, or is not.
func (n *Node) Waits() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.why
}

// tell takes over who leads, as another node says.
func (n *Node) tell(leader int32, term uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.leader == leader && n.term == term {
		return
	}
	n.leader, n.term = leader, term
	close(n.news)
	n.news = make(chan struct{})
}

// pause waits, and says whether the node goes on.
func (n *Node) pause(d time.Duration) bool {
	select {
	case <-n.Clock.After(d):
		return true
	case <-n.life.Done():
		return false
	}
}

// within returns a context that ends with ctx, with the node, and after d.
func (n *Node) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := n.Clock.AfterFunc(d, func() { cancel(errTimeout) })
	free := context.AfterFunc(n.life, func() { cancel(errClosed) })
	return ctx, func() {
		timer.Stop()
		free()
		cancel(context.Canceled)
	}
}

var (
	errTimeout = errors.New("it took too long")
	errClosed  = errors.New("the node is stopping")
)
