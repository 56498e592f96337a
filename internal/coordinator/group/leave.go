package group

import (
	"github.com/moldau/moldau/internal/protocol"
)

// leave handles LeaveGroup: members that go, or that an administrator removes by their instance.
func (m *Machine) leave(r *LeaveRequest) *LeaveResponse {
	if r.Group == "" {
		return &LeaveResponse{Code: protocol.InvalidGroupID}
	}
	g := m.find(r.Group)
	a := &LeaveResponse{Members: make([]LeftMember, len(r.Members))}
	gone := false
	for i, l := range r.Members {
		code := protocol.UnknownMemberID
		if g != nil {
			code = m.leaveOne(g, l)
		}
		a.Members[i] = LeftMember{Member: l.Member, Instance: l.Instance, Code: code}
		gone = gone || code == protocol.None
	}
	if !gone {
		return a
	}
	m.remove(g, func(x *member) bool { return x.leaving }) // all at once: thousands may leave in one request
	switch g.state {
	case Stable, CompletingRebalance:
		m.prepareRebalance(g, "members leave")
	case PreparingRebalance:
		m.maybeComplete(g)
	}
	return a
}

// leaveOne finds who is to leave, and marks it. Who is marked already is no member any more.
func (m *Machine) leaveOne(g *group, l LeaveMember) protocol.ErrorCode {
	var x *member
	if p := g.pending[l.Member]; p != nil {
		m.removePending(g, p)
		return protocol.None
	}
	if l.Instance != nil {
		x = g.static[*l.Instance]
	} else {
		x = g.member(l.Member)
	}
	if x == nil || x.leaving {
		return protocol.UnknownMemberID
	}
	if l.Member != "" {
		if code := g.validate(l.Member, l.Instance); code != protocol.None {
			return code
		}
	}
	m.log.Info("group member leaves", "group", g.id, "member", x.id, "because", brief(l.Reason))
	x.leaving = m.bug != leftKept
	return protocol.None
}
