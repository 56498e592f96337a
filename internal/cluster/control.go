package cluster

import (
	"context"
	"time"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/quorum"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/uuid"
)

const (
	dialWithin   = 500 * time.Millisecond // to see whether a broker is there
	changeWithin = 5 * time.Second        // of a change of a broker's state
	looksPer     = 8                      // looks at silent brokers within a session
)

// control runs the detector while this node is the active controller.
func (n *Node) control() {
	d := &detector{session: n.Session}
	for term := uint64(0); n.life.Err() == nil; {
		changed := n.watch(d, &term)
		n.perform(d.look(n.Clock.Now(), n.Images.Image().Brokers()))
		var tick <-chan time.Time
		if d.active {
			tick = n.Clock.After(n.Session / looksPer)
		}
		select {
		case <-changed:
		case <-tick:
		case event := <-n.events:
			n.watch(d, &term) // so that nothing is told to one that does not know that it is active
			n.perform(event(d, n.Clock.Now()))
		case <-n.life.Done():
		}
	}
}

// watch lets the detector begin and end its time as the active controller's.
func (n *Node) watch(d *detector, term *uint64) <-chan struct{} {
	st, changed := n.quorum.Watch()
	switch {
	case st.Ready && (!d.active || *term != st.Term):
		*term = st.Term
		n.Log.Info("this node is the active controller", "epoch", st.Term)
		n.nameCluster()
		n.reviseELRs()
		n.perform(d.lead(n.Clock.Now(), n.Images.Image().Brokers()))
	case !st.Ready && d.active:
		d.stop()
		n.Log.Info("this node is not the active controller any more")
	}
	return changed
}

// happened hands an event to the detector.
func (n *Node) happened(event func(*detector, time.Time) []action) {
	select {
	case n.events <- event:
	case <-n.life.Done():
	}
}

// nameCluster gives a new cluster its name.
func (n *Node) nameCluster() {
	if n.Images.Image().ClusterID() != "" {
		return
	}
	n.mu.Lock()
	id := n.ClusterID
	n.mu.Unlock()
	if id == "" {
		id = uuid.New(n.Random).String()
	}
	n.spawn(func() {
		ctx, cancel := n.within(n.life, doTimeout)
		defer cancel()
		if _, err := n.loop.Do(ctx, &controller.StartCluster{ClusterID: id}); err != nil {
			n.Log.Warn("name the cluster", "error", err) // the next active controller does
		}
	})
}

// reviseELRs lets what the controller before this one decided follow this node's min.insync.replicas. Leaders commit nothing beside an ELR, so one that
// is not needed any more must go.
func (n *Node) reviseELRs() {
	n.spawn(func() {
		ctx, cancel := n.within(n.life, doTimeout)
		defer cancel()
		response, err := n.loop.Do(ctx, &controller.ReviseELRs{})
		switch {
		case err != nil:
			n.Log.Warn("look whether eligible leader replicas are still needed", "error", err) // the next active controller does
		case response.(*controller.ReviseELRsResponse).Revised > 0:
			n.Log.Info("eligible leader replicas follow min.insync.replicas", "partitions", response.(*controller.ReviseELRsResponse).Revised)
		}
	})
}

func (n *Node) perform(all []action) {
	for _, a := range all {
		switch a.kind {
		case dial:
			n.spawn(func() { n.look(a) })
		case fence, unfence:
			n.spawn(func() { n.alter(a) })
		}
	}
}

// look dials a broker, to see whether it is there.
func (n *Node) look(a action) {
	if a.after > 0 && !n.pause(a.after) {
		return
	}
	how := silent
	if b := n.Images.Image().Broker(a.broker); b != nil && len(b.Listeners) > 0 {
		at, ok := b.Listener(n.BrokerListener)
		if !ok {
			at = b.Listeners[0]
		}
		how = n.dial(address(at))
	}
	n.happened(func(d *detector, now time.Time) []action {
		return d.ended(now, a.broker, a.dial, how, n.Images.Image().Brokers())
	})
}

func (n *Node) dial(address string) dialed {
	ctx, cancel := n.within(n.life, dialWithin)
	defer cancel()
	conn, err := n.Network.Dial(ctx, address)
	switch {
	case err == nil:
		conn.Close()
		return answered
	case network.Refused(err):
		return refused
	case network.HungUp(err):
		return answered
	}
	return silent
}

// alter fences a broker, or lets it serve. What fails is tried again, for as long as this node is the active controller.
func (n *Node) alter(a action) {
	ctx, cancel := n.within(n.life, changeWithin)
	defer cancel()
	state := controller.Unfenced
	if a.kind == fence {
		state = controller.Fenced
	}
	response, err := n.loop.Do(ctx, &controller.AlterBroker{ID: a.broker, Epoch: a.epoch, State: state})
	switch {
	case err != nil:
		n.Log.Debug("change the state of a broker", "broker", a.broker, "error", err) // another node may be the controller by now
		n.pause(retryPause)
	case response.(*controller.AlterBrokerResponse).Error.Failed(): // it has registered anew meanwhile
	case a.kind == fence:
		n.Log.Warn("fenced a broker", "broker", a.broker, "epoch", a.epoch, "why", a.reason)
	default:
		n.Log.Info("a broker serves", "broker", a.broker, "epoch", a.epoch)
	}
	n.happened(func(d *detector, now time.Time) []action { return d.changed(now, a.broker, n.Images.Image().Brokers()) })
}

// ownBeat takes a heartbeat of the broker that this node is. It comes by no connection: the node is there while it decides.
func (n *Node) ownBeat(b beat) beaten { return n.takeBeat(b, nil) }

// takeBeat answers a heartbeat.
func (n *Node) takeBeat(b beat, conn *server.Conn) beaten {
	if !n.started.Load() || n.quorum == nil || !n.quorum.Status().Ready {
		return beaten{NotController: true}
	}
	img := n.Images.Image()
	registered := img.Broker(b.Node)
	if registered == nil || registered.Epoch != b.Epoch {
		return beaten{StaleEpoch: true}
	}
	id := ownConn
	if conn != nil {
		n.follow(b.Node, conn)
		id = conn.ID()
	}
	event := func(d *detector, now time.Time) []action { return d.beat(now, b, id, n.Images.Image().Brokers()) }
	select {
	case n.events <- event: // in the order of arrival, wherever there is room
	default:
		n.spawn(func() { n.happened(event) })
	}
	return beaten{Index: img.Index()}
}

// ownConn stands for a connection of heartbeats that do not leave the node.
const ownConn = ^uint64(0)

// follow hears when a connection by which a broker sends heartbeats ends.
func (n *Node) follow(broker int32, conn *server.Conn) {
	id := conn.ID()
	n.mu.Lock()
	_, known := n.beating[id]
	n.beating[id] = broker
	n.mu.Unlock()
	if known {
		return
	}
	context.AfterFunc(conn.Context(), func() {
		n.mu.Lock()
		delete(n.beating, id)
		n.mu.Unlock()
		n.happened(func(d *detector, now time.Time) []action { return d.lost(now, broker, id) })
	})
}

// voterLost hears that the connection to a voter is lost and another one refused. Where that voter leads the quorum it does so no more (D8), and
// nobody waits for its silence.
func (n *Node) voterLost(l *link) {
	if !n.started.Load() || n.quorum == nil {
		return
	}
	leader, _ := n.Leader()
	if leader != l.node.Load() {
		return
	}
	ctx, cancel := n.within(n.life, infoTimeout)
	defer cancel()
	if err := n.quorum.ForgetLeader(ctx); err == nil {
		n.Log.Info("the node that leads the quorum is gone", "node", leader)
	}
}

const (
	electFirst = 10 * time.Millisecond // before the first voter stands, so that the others have missed the leader too
	electNext  = 60 * time.Millisecond // from one voter to the next
	electAgain = 100 * time.Millisecond
)

// elect makes this voter stand for election where nobody leads: one voter after the other, so that they do not stand at the same time. Those
// that know a leader do not vote, so it does no harm to try.
func (n *Node) elect() {
	last := int32(-1) // who led
	for {
		st, changed := n.quorum.Watch()
		if st.Leader != 0 {
			last, _ = n.Leader()
			select {
			case <-changed:
				continue
			case <-n.life.Done():
				return
			}
		}
		wait := electFirst + time.Duration(n.rank(last))*electNext + time.Duration(random.N(n.Random, int(electFirst)))
		if !n.leaderless(wait) {
			if n.life.Err() != nil {
				return
			}
			continue
		}
		ctx, cancel := n.within(n.life, infoTimeout)
		_ = n.quorum.Campaign(ctx) // it may not be a voter yet
		cancel()
		if !n.leaderless(electAgain) && n.life.Err() != nil {
			return
		}
	}
}

// rank is how many voters stand before this one, not counting one that is gone.
func (n *Node) rank(gone int32) (rank int) {
	for _, s := range n.Seeds {
		if s.ID < n.NodeID && s.ID != gone {
			rank++
		}
	}
	return rank
}

// leaderless waits, and says whether nobody leads after that.
func (n *Node) leaderless(d time.Duration) bool {
	after := n.Clock.After(d)
	for {
		var st quorum.Status
		st, changed := n.quorum.Watch()
		if st.Leader != 0 {
			return false
		}
		select {
		case <-changed:
		case <-after:
			return true
		case <-n.life.Done():
			return false
		}
	}
}

func address(l metadata.Listener) string { return hostPort(l.Host, int(l.Port)) }
