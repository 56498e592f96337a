package group

import (
	"encoding/hex"
	"math"
	"time"
	"unique"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// newMemberJoinTimeout is how long a new member's first join may be held. It has no id yet and cannot send heartbeats; should its
// client be gone, it must not be waited for in one rebalance after another.
const newMemberJoinTimeout = 5 * time.Minute

// join handles JoinGroup.
func (m *Machine) join(call *coordinator.Call, r *JoinRequest) {
	if r.Group == "" {
		m.refuseJoin(call, r.Member, protocol.InvalidGroupID)
		return
	}
	if r.SessionTimeout < m.settings.MinSessionTimeout || r.SessionTimeout > m.settings.MaxSessionTimeout {
		m.refuseJoin(call, r.Member, protocol.InvalidSessionTimeout)
		return
	}
	g := m.find(r.Group)
	isNew := g == nil
	if isNew {
		if r.Member != "" {
			m.refuseJoin(call, r.Member, protocol.UnknownMemberID)
			return
		}
		g = m.findOrCreate(r.Group)
	}
	switch {
	case !m.hasRoom(g, r.Member):
		if x := g.member(r.Member); x != nil {
			m.removeOne(g, x)
		} else if p := g.pending[r.Member]; p != nil {
			m.removePending(g, p)
		}
		m.refuseJoin(call, "", protocol.GroupMaxSizeReached)
	case r.Member == "":
		m.joinNew(call, r, g)
	default:
		m.joinKnown(call, r, g)
	}
	if isNew {
		// Even if the join was refused the group exists from now on, so the log must know it.
		m.store(g, stored.Group{StateSinceMs: g.since})
	}
}

func (m *Machine) refuseJoin(call *coordinator.Call, id string, code protocol.ErrorCode) {
	m.out.Answer(call, &JoinResponse{Code: code, Generation: -1, Member: id})
}

// hasRoom says whether a client may join without making the group larger than it may be.
func (m *Machine) hasRoom(g *group, id string) bool {
	switch g.state {
	case PreparingRebalance:
		// Those that wait count, not the members: if the group has become too large for a smaller limit, those that rejoin last
		// have to go.
		x := g.member(id)
		return x != nil && x.join != nil || g.joining < m.settings.MaxSize
	case CompletingRebalance, Stable:
		return g.member(id) != nil || len(g.members) < m.settings.MaxSize
	default:
		return true
	}
}

// joinNew handles the join of a client that has no member id.
func (m *Machine) joinNew(call *coordinator.Call, r *JoinRequest, g *group) {
	if !g.supports(r.ProtocolType, r.Protocols) {
		m.refuseJoin(call, "", protocol.InconsistentGroupProtocol)
		return
	}
	if r.Instance != nil {
		if len(*r.Instance) > maxInstance {
			m.refuseJoin(call, "", protocol.UnknownServerError) // what Kafka answers when it cannot write the member's id
			return
		}
		id := m.memberID(*r.Instance)
		if old := g.static[*r.Instance]; old != nil {
			m.replaceStatic(call, r, g, old, id)
		} else {
			m.addMember(call, r, g, id)
		}
		return
	}
	id := m.memberID(r.ClientID)
	if !r.RequireMemberID {
		m.addMember(call, r, g, id)
		return
	}
	// The client gets an id first, so that, should it try again, it is known and does not become a second member (KIP-394).
	p := &member{id: id, sessionTimeout: r.SessionTimeout, pending: true}
	if g.pending == nil {
		g.pending = map[string]*member{}
	}
	g.pending[id] = p
	m.renew(g, p)
	m.refuseJoin(call, id, protocol.MemberIDRequired)
}

// A member id is a name and idSuffix bytes. Neither the log nor old versions of the protocol can hold one longer than an int16 tells, and
// a group's record with one could never be loaded again.
const (
	idSuffix    = 37
	maxInstance = math.MaxInt16 - idSuffix
)

// memberID makes an id: the client's or the instance's name, a dash and a random UUID.
func (m *Machine) memberID(name string) string {
	u := uuid.New(m.rnd)
	b := make([]byte, 0, len(name)+idSuffix)
	b = append(append(b, name...), '-')
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return string(b)
}

// joinKnown handles the join of a client that knows its member id.
func (m *Machine) joinKnown(call *coordinator.Call, r *JoinRequest, g *group) {
	if !g.supports(r.ProtocolType, r.Protocols) {
		m.refuseJoin(call, r.Member, protocol.InconsistentGroupProtocol)
		return
	}
	if p := g.pending[r.Member]; p != nil {
		if r.Instance != nil { // an id that was given to a dynamic member
			m.refuseJoin(call, "", protocol.UnknownServerError)
			return
		}
		m.removePending(g, p)
		m.addMember(call, r, g, r.Member)
		return
	}
	if code := g.validate(r.Member, r.Instance); code != protocol.None {
		m.refuseJoin(call, r.Member, code)
		return
	}
	x := g.member(r.Member)
	switch {
	case g.state == PreparingRebalance:
		m.rejoin(call, r, g, x, "a member rejoins")
	case !sameProtocols(x.protocols, r.Protocols):
		m.rejoin(call, r, g, x, "a member has changed its metadata")
	case g.state == Stable && g.leader == x.id:
		// The leader may know something that members' metadata does not tell, such as topics with more partitions.
		m.rejoin(call, r, g, x, "the leader rejoins")
	default:
		// It missed the answer to its join, or has not changed: it is told again, and may sync.
		m.out.Answer(call, m.joined(g, x))
	}
}

// joined is the answer to a member of the current generation.
func (m *Machine) joined(g *group, x *member) *JoinResponse {
	r := &JoinResponse{Generation: g.generation, ProtocolType: g.typeOrNil(), Protocol: g.protocol, Leader: g.leader, Member: x.id}
	if g.leader == x.id && g.state != Stable {
		r.Members = g.tellMembers()
	}
	return r
}

// tellMembers is what the leader is told of all members.
func (g *group) tellMembers() []JoinMember {
	all := make([]JoinMember, len(g.members))
	for i, x := range g.members {
		all[i] = JoinMember{Member: x.id, Instance: x.instance, Metadata: x.metadata(*g.protocol)}
	}
	return all
}

func (g *group) typeOrNil() *string {
	if g.protocolType == "" {
		return nil
	}
	return new(g.protocolType)
}

// addMember takes a new member in and holds its join.
func (m *Machine) addMember(call *coordinator.Call, r *JoinRequest, g *group, id string) {
	x := &member{
		id: id, instance: r.Instance, clientID: intern(r.ClientID), clientHost: intern(r.ClientHost),
		rebalanceTimeout: r.RebalanceTimeout, sessionTimeout: r.SessionTimeout, protocols: internNames(r.Protocols),
		isNew: true, join: call,
	}
	if g.state == PreparingRebalance && g.previous == Empty {
		g.newMember = true // more may follow: the initial delay is extended
	}
	if len(g.members) == 0 {
		g.protocolType = intern(r.ProtocolType)
	}
	g.add(x)
	m.expect(g, x, newMemberJoinTimeout)
	m.rebalanceOrComplete(g, because("a new member joins", r))
}

// rejoin takes over what a member says now and holds its join.
func (m *Machine) rejoin(call *coordinator.Call, r *JoinRequest, g *group, x *member, why string) {
	m.update(call, r, g, x)
	m.rebalanceOrComplete(g, because(why, r))
}

// because adds what the client says to what we see (KIP-800).
func because(why string, r *JoinRequest) string {
	if r.Reason == "" {
		return why
	}
	return why + ": " + brief(r.Reason)
}

// brief cuts what a client says to what Kafka's clients may say.
func brief(reason string) string { return reason[:min(len(reason), 255)] }

func (m *Machine) update(call *coordinator.Call, r *JoinRequest, g *group, x *member) {
	if !sameNames(x.protocols, r.Protocols) {
		g.commonValid = false
	}
	x.protocols, x.rebalanceTimeout, x.sessionTimeout = internNames(r.Protocols), r.RebalanceTimeout, r.SessionTimeout
	// A second join of the same member replaces the first, which nobody waits for any more, or somebody who shares the id.
	m.answerJoin(g, x, &JoinResponse{Code: protocol.RebalanceInProgress, Generation: -1, Member: x.id})
	x.join = call
	g.joining++
}

// intern makes equal strings share memory: thousands of members have the same client and protocol names.
func intern(s string) string { return unique.Make(s).Value() }

func internNames(protocols []Protocol) []Protocol {
	all := make([]Protocol, len(protocols))
	for i, p := range protocols {
		all[i] = Protocol{Name: intern(p.Name), Metadata: p.Metadata}
	}
	return all
}
