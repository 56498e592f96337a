package group

import (
	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/protocol"
)

// replaceStatic lets a client that has restarted take the place of the static member that it was (KIP-345). If the group is stable
// and keeps its protocol, there is no rebalance: the new member id is stored and the client goes on with the assignment it had.
func (m *Machine) replaceStatic(call *coordinator.Call, r *JoinRequest, g *group, x *member, id string) {
	leader, before := g.leader, *x
	m.answerJoin(g, x, &JoinResponse{Code: protocol.FencedInstanceID, Generation: -1, Member: x.id})
	m.answerSync(x, &SyncResponse{Code: protocol.FencedInstanceID})
	g.rename(x, id)
	x.isNew = false
	m.renew(g, x) // with the session time-out it had; the new one counts from the end of the rebalance or the next heartbeat
	m.update(call, r, g, x)
	switch {
	case g.state == CompletingRebalance:
		// The leader may be assigning to the old id by now, and the new one would get nothing.
		m.prepareRebalance(g, because("a static member was replaced", r))
	case g.state != Stable:
		m.maybeComplete(g)
	case g.protocol == nil || *g.protocol != g.vote():
		m.rebalanceOrComplete(g, because("a static member was replaced and the protocol changes", r))
	case m.bug == staticNotStored:
		m.answerJoin(g, x, m.replaced(r, g, x, leader))
	case !m.store(g, g.record(func(x *member) []byte { return x.assignment })):
		m.answerJoin(g, x, &JoinResponse{Code: protocol.UnknownServerError, Generation: g.generation, ProtocolType: g.typeOrNil(), Protocol: g.protocol, Leader: leader})
		g.rename(x, before.id)
		x.protocols, x.rebalanceTimeout, x.sessionTimeout = before.protocols, before.rebalanceTimeout, before.sessionTimeout
		g.commonValid = false
		m.renew(g, x)
	default:
		g.subscription = subscription{}
		m.answerJoin(g, x, m.replaced(r, g, x, leader))
	}
}

// replaced is the answer to a static member that goes on without a rebalance. A leader that returned must not assign anew, since
// nobody else would hear of it. From version 9 on it can be told so (KIP-814); an older one is told that its old self leads.
func (m *Machine) replaced(r *JoinRequest, g *group, x *member, leader string) *JoinResponse {
	a := &JoinResponse{Generation: g.generation, ProtocolType: g.typeOrNil(), Protocol: g.protocol, Leader: leader, Member: x.id}
	if m.bug == leaderAssigns {
		a.Leader = g.leader
	} else if r.SkipAssignment {
		a.Leader = g.leader
		if g.leader == x.id {
			a.SkipAssignment, a.Members = true, g.tellMembers()
		}
	}
	return a
}
