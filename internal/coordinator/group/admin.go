package group

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/protocol"
)

// typeName is what ListGroups says of every group here.
const typeName = "classic"

// describe handles DescribeGroups for one group.
func (m *Machine) describe(r *DescribeRequest) *DescribeResponse {
	g := m.find(r.Group)
	if g == nil {
		a := &DescribeResponse{State: Dead.String()}
		if r.MissingErr {
			a.Code, a.Message = protocol.GroupIDNotFound, new(fmt.Sprintf("Group %s not found.", r.Group))
		}
		return a
	}
	a := &DescribeResponse{State: g.state.String(), ProtocolType: g.protocolType, Members: make([]DescribedMember, len(g.members))}
	if g.state == Stable {
		a.Protocol = *g.protocol
	}
	for i, x := range g.members {
		a.Members[i] = DescribedMember{Member: x.id, Instance: x.instance, ClientID: x.clientID, ClientHost: x.clientHost, Assignment: x.assignment}
		if g.state == Stable {
			a.Members[i].Metadata = x.metadata(*g.protocol)
		}
	}
	return a
}

// list handles ListGroups for this shard.
func (m *Machine) list(r *ListRequest) *ListResponse {
	if len(r.Types) > 0 && !slices.ContainsFunc(r.Types, func(t string) bool { return strings.EqualFold(t, typeName) }) {
		return &ListResponse{}
	}
	wanted := [Dead + 1]bool{}
	for s := range wanted {
		wanted[s] = len(r.States) == 0 || slices.ContainsFunc(r.States, func(f string) bool {
			return strings.EqualFold(strings.TrimSpace(f), State(s).String())
		})
	}
	a := &ListResponse{}
	for _, g := range m.groups {
		if wanted[g.state] {
			a.Groups = append(a.Groups, ListedGroup{Group: g.id, ProtocolType: g.protocolType, State: g.state.String(), Type: typeName})
		}
	}
	slices.SortFunc(a.Groups, func(x, y ListedGroup) int { return strings.Compare(x.Group, y.Group) })
	return a
}

// delete handles DeleteGroups for one group.
func (m *Machine) delete(r *DeleteRequest) *DeleteResponse {
	g := m.find(r.Group)
	switch {
	case g == nil:
		return &DeleteResponse{Code: protocol.GroupIDNotFound} // without a message, as in Kafka
	case g.state != Empty && m.bug != activeDeleted:
		return &DeleteResponse{Code: protocol.NonEmptyGroup}
	}
	if m.bug == activeDeleted {
		m.remove(g, func(*member) bool { return true })
		g.state = Empty
	}
	if !m.dropOffsets(g, m.out) {
		return &DeleteResponse{Code: protocol.UnknownServerError}
	}
	m.drop(g)
	m.log.Info("group was deleted", "group", g.id)
	return &DeleteResponse{}
}
