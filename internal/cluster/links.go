package cluster

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/moldau/moldau/internal/peer"
	"github.com/moldau/moldau/internal/protocol"
)

// link is another voter. What must not wait for one another goes by connections of its own, each made when it is needed: answers come in the
// order of the requests.
type link struct {
	address string       // as the configuration has it, or another voter's
	node    atomic.Int32 // -1 until it has said
	raft    *peer.Client // messages of the quorum; nil where this node does not vote
	asks    *peer.Client // questions, and requests to the controller
	pulls   *peer.Client // metadata, which wait for news
	beats   *peer.Client // heartbeats, by whose connection the controller knows that this node is there
}

func (n *Node) newLink(s Seed) *link {
	l := &link{address: s.Address}
	l.node.Store(s.ID)
	o := peer.Options{Network: n.Network, Clock: n.Clock, Address: s.Address, ClientID: "node-" + strconv.Itoa(int(n.NodeID))}
	l.asks = peer.New(o) // which wait for the metadata to be changed, as long as that takes
	o.Silence = answerWithin
	l.beats = peer.New(o)
	if n.Votes {
		r := o
		r.Keep = true
		r.Probe = &peer.Request{Key: protocol.KeyNodeHeartbeat, Body: toJSON(beat{Node: -1, Epoch: -1})} // of no broker: it is answered, and changes nothing
		r.Lost = func() { n.spawn(func() { n.voterLost(l) }) }
		l.raft = peer.New(r)
	}
	o.Silence = pullWait + answerWithin
	l.pulls = peer.New(o)
	return l
}

// everyone are the links that the configuration names, by Seeds, and those to voters that others have named.
func (n *Node) everyone() []*link {
	if met := n.met.Load(); met != nil {
		return *met
	}
	return n.links
}

// metMax bounds the voters that others may name.
const metMax = 64

// meet makes links to voters that a node has named and the configuration does not: it names one or two where to find the others.
func (n *Node) meet(voters []Seed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.everyone()
	for _, s := range voters {
		if n.closing || s.ID < 0 || s.ID == n.NodeID || len(all) >= metMax ||
			slices.ContainsFunc(all, func(l *link) bool { return l != nil && (l.node.Load() == s.ID || l.address == s.Address) }) {
			continue
		}
		all = append(slices.Clip(all), n.newLink(s))
	}
	n.met.Store(&all)
}

func (l *link) close() {
	for _, c := range []*peer.Client{l.raft, l.asks, l.pulls, l.beats} {
		if c != nil {
			c.Close()
		}
	}
}

// linkTo returns the link to a node, nil if there is none.
func (n *Node) linkTo(node int32) *link {
	if node < 0 {
		return nil // not the first of those that nobody has named yet
	}
	for _, l := range n.everyone() {
		if l != nil && l.node.Load() == node {
			return l
		}
	}
	return nil
}

// askInfo asks another voter who it is.
func (n *Node) askInfo(ctx context.Context, l *link) (*info, error) {
	ctx, cancel := n.within(ctx, infoTimeout)
	defer cancel()
	body, err := l.asks.Call(ctx, protocol.KeyNodeInfo, nil)
	if err != nil {
		return nil, err
	}
	i := new(info)
	if err := decode(body, infoMax, i); err != nil {
		return nil, err
	}
	l.node.Store(i.Node)
	if i.Raft != 0 {
		n.learn(i.Raft, i.Node)
	}
	if !n.Votes {
		n.meet(i.Seeds)
	}
	return i, nil
}

// learn notes which node has a directory.
func (n *Node) learn(id uint64, node int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known, ok := n.nodes[id]; !ok || known != node {
		n.nodes[id] = node
	}
}

// known bounds the directories that are remembered, whatever others name.
const known = 1024

// introduce asks the other voters who they are until all have said.
func (n *Node) introduce() {
	for {
		missing := false
		for _, l := range n.links {
			if l != nil && !n.introduced(l) {
				if _, err := n.askInfo(n.life, l); err != nil {
					missing = true
				}
			}
		}
		if !missing || !n.pause(4*askPause) {
			return
		}
	}
}

func (n *Node) introduced(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, node := range n.nodes {
		if node == l.node.Load() {
			return true
		}
	}
	return false
}

// transport carries raft's messages.
type transport struct{ n *Node }

func (t transport) Send(to uint64, message []byte) {
	t.n.mu.Lock()
	node, known := t.n.nodes[to]
	id := t.n.raft
	t.n.mu.Unlock()
	if !known {
		return
	}
	if l := t.n.linkTo(node); l != nil && l.raft != nil {
		l.raft.Send(protocol.KeyRaftMessage, appendRaft(t.n.NodeID, id, message))
	}
}

// receive takes in a message of another voter.
func (n *Node) receive(body []byte) error {
	node, id, message, err := splitRaft(body)
	if err != nil || !n.started.Load() || n.quorum == nil || n.linkTo(node) == nil {
		return err
	}
	n.mu.Lock()
	if _, ok := n.heard[id]; ok || len(n.heard) < known {
		n.heard[id] = n.Clock.Now()
		n.nodes[id] = node
	}
	n.mu.Unlock()
	return n.quorum.Receive(message)
}

// infoNow is what this node says of itself.
func (n *Node) infoNow() *info {
	i := &info{Node: n.NodeID, Holds: n.Partitions, ClusterID: n.Images.Image().ClusterID()}
	if n.Votes {
		i.Seeds = n.Seeds
	}
	n.mu.Lock()
	if i.ClusterID == "" {
		i.ClusterID = n.ClusterID
	}
	i.Raft, i.Formed, i.Voters = n.raft, n.formed, n.voters
	started := n.started.Load() && n.quorum != nil
	n.mu.Unlock()
	if started {
		ctx, cancel := n.within(n.life, infoTimeout)
		defer cancel()
		if voters, _, err := n.quorum.Members(ctx); err == nil {
			i.Voters = voters
			i.Formed = i.Formed || len(voters) > 0
		}
	}
	return i
}

func toJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return nil // the types of this package have JSON
	}
	return b
}
