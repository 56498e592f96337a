package group

import (
	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/protocol"
)

// sync handles SyncGroup: the leader sends the assignments, the others wait for theirs.
func (m *Machine) sync(call *coordinator.Call, r *SyncRequest) {
	g, code := m.find(r.Group), protocol.None
	switch {
	case r.Group == "":
		code = protocol.InvalidGroupID
	case g == nil || g.state == Empty:
		code = protocol.UnknownMemberID
	default:
		code = g.validateSync(r)
	}
	if code == protocol.None && g.state == PreparingRebalance {
		code = protocol.RebalanceInProgress
	}
	if code != protocol.None {
		m.out.Answer(call, &SyncResponse{Code: code})
		return
	}
	x := g.member(r.Member)
	m.synced(g, x)
	if g.state == Stable {
		m.out.Answer(call, g.assigned(x))
		return
	}
	m.answerSync(x, &SyncResponse{Code: protocol.RebalanceInProgress}) // a second one replaces the first
	x.sync = call
	if x.id == g.leader {
		m.assign(g, r.Assignments)
	}
}

func (g *group) validateSync(r *SyncRequest) protocol.ErrorCode {
	differ := func(a, b *string) bool { return a != nil && b != nil && *a != *b }
	if code := g.validate(r.Member, r.Instance); code != protocol.None {
		return code
	}
	switch {
	case r.Generation != g.generation:
		return protocol.IllegalGeneration
	case differ(r.ProtocolType, g.typeOrNil()) || differ(r.Protocol, g.protocol):
		return protocol.InconsistentGroupProtocol
	}
	return protocol.None
}

// assigned is the answer that carries a member's assignment.
func (g *group) assigned(x *member) *SyncResponse {
	return &SyncResponse{ProtocolType: g.typeOrNil(), Protocol: g.protocol, Assignment: x.assignment}
}

// assign stores and hands out what the leader has assigned. A member that it forgot gets nothing; who is no member is passed over.
func (m *Machine) assign(g *group, assignments []Assignment) {
	given := make(map[string][]byte, len(assignments))
	for _, a := range assignments {
		given[a.Member] = a.Bytes
	}
	if !m.store(g, g.record(func(x *member) []byte { return given[x.id] })) {
		m.cancelSync(g, protocol.UnknownServerError)
		m.prepareRebalance(g, "the assignments are too large to be stored")
		return
	}
	g.become(Stable, m.now)
	for i, x := range g.members {
		x.assignment = given[x.id]
		if m.bug == twoOwners && i == 1 {
			x.assignment = given[g.members[0].id]
		}
		if m.bug == syncLost && i == 2 {
			x.sync = nil
		}
		if m.answerSync(x, g.assigned(x)) {
			m.renew(g, x) // it may have run out while the member waited for the leader
		}
	}
}

// heartbeat handles Heartbeat, by far the most frequent request.
func (m *Machine) heartbeat(r *HeartbeatRequest) protocol.ErrorCode {
	if r.Group == "" {
		return protocol.InvalidGroupID
	}
	g := m.find(r.Group)
	if g == nil {
		return protocol.UnknownMemberID
	}
	if code := g.validate(r.Member, r.Instance); code != protocol.None {
		return code
	}
	if r.Generation != g.generation {
		return protocol.IllegalGeneration
	}
	if m.bug != heartbeatIgnored {
		m.renew(g, g.member(r.Member))
	}
	if g.state == PreparingRebalance {
		return protocol.RebalanceInProgress
	}
	return protocol.None
}
