package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/moldau/moldau/internal/protocol"
)

// State is how far the members of the quorum are, as its leader knows it.
type State struct {
	Leader    int32
	Epoch     uint64
	Committed uint64
	Voters    []Replica
	Observers []Replica
}

// Replica is one of them. The times are when it was last heard, and when it last had everything.
type Replica struct {
	Node     int32 // -1: its directory is known, but not at which node
	Applied  uint64
	Heard    time.Time
	CaughtUp time.Time
}

// State asks the node that leads the quorum.
func (n *Node) State(ctx context.Context) (*State, error) {
	leader, _ := n.Leader()
	if leader == n.NodeID {
		return n.ownState(ctx)
	}
	l := n.linkTo(leader)
	if l == nil {
		return nil, errors.New("no node leads the quorum of the metadata")
	}
	ctx, cancel := n.within(ctx, infoTimeout)
	defer cancel()
	body, err := l.asks.Call(ctx, protocol.KeyQuorumState, nil)
	if err != nil {
		return nil, err
	}
	s := new(State)
	return s, decode(body, infoMax, s)
}

// ownState is what this node knows, which is all while it leads.
func (n *Node) ownState(ctx context.Context) (*State, error) {
	if !n.started.Load() || n.quorum == nil || !n.quorum.Status().Leads {
		return nil, errors.New("this node does not lead the quorum of the metadata")
	}
	ctx, cancel := n.within(ctx, infoTimeout)
	defer cancel()
	progress, err := n.quorum.Progress(ctx)
	if err != nil {
		return nil, err
	}
	st := n.quorum.Status()
	now := n.Clock.Now()
	s := &State{Leader: n.NodeID, Epoch: st.Term, Committed: st.Applied}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range progress {
		r := Replica{Node: -1, Applied: p.Match, Heard: n.heard[p.ID]}
		if node, ok := n.nodes[p.ID]; ok {
			r.Node = node
		}
		if p.ID == st.ID {
			r.Applied, r.Heard = max(r.Applied, st.Applied), now
		}
		if r.Applied >= st.Applied {
			n.caughtUp[p.ID] = r.Heard
		}
		r.CaughtUp = n.caughtUp[p.ID]
		if p.Voter {
			s.Voters = append(s.Voters, r)
		} else {
			s.Observers = append(s.Observers, r)
		}
	}
	for node, o := range n.observers {
		if now.Sub(o.asked) < observerKept {
			s.Observers = append(s.Observers, Replica{Node: node, Applied: o.applied, Heard: o.asked, CaughtUp: o.caughtUp})
		}
	}
	byNode := func(a, b Replica) int { return int(a.Node) - int(b.Node) }
	slices.SortFunc(s.Voters, byNode)
	slices.SortFunc(s.Observers, byNode)
	return s, nil
}

// observerKept is how long a node that does not ask for metadata any more is shown, which is Kafka's.
const observerKept = 5 * time.Minute
