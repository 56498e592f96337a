package group

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
)

// recordOverhead is more than a record batch adds to a key and a value.
const recordOverhead = 128

// record is the group as it is to be stored. assignment gives what a member is assigned.
func (g *group) record(assignment func(*member) []byte) stored.Group {
	r := stored.Group{ProtocolType: g.protocolType, Generation: g.generation, Protocol: g.protocol, StateSinceMs: g.since}
	if g.leader != "" {
		r.Leader = &g.leader
	}
	if len(g.members) > 0 {
		r.Members = make([]stored.Member, len(g.members))
	}
	for i, m := range g.members {
		r.Members[i] = stored.Member{
			Member: m.id, Instance: m.instance, ClientID: m.clientID, ClientHost: m.clientHost,
			RebalanceTimeoutMs: milliseconds(m.rebalanceTimeout), SessionTimeoutMs: milliseconds(m.sessionTimeout),
			Subscription: m.metadata(*g.protocol), Assignment: assignment(m),
		}
	}
	return r
}

func milliseconds(d time.Duration) int32 { return int32(min(d.Milliseconds(), math.MaxInt32)) }

// store appends a group's record, unless it is larger than the log takes; then nothing is done and false returned.
func (m *Machine) store(g *group, r stored.Group) bool {
	key := stored.AppendGroupKey(nil, g.id)
	size := r.Size()
	if limit := m.settings.MaxRecordBytes; limit > 0 && len(key)+size+recordOverhead > limit {
		m.log.Error("state of a group is larger than a record may be", "group", g.id, "members", len(g.members), "bytes", size, "limit", limit)
		return false
	}
	m.out.Append(key, r.Append(make([]byte, 0, size)))
	return true
}

// appendTombstone ends a group in the log.
func (m *Machine) appendTombstone(g *group) { m.out.Append(stored.AppendGroupKey(nil, g.id), nil) }

// Replay takes over a record of the log.
func (m *Machine) Replay(r coordinator.Record) error {
	key, err := stored.DecodeKey(r.Key)
	if err != nil {
		// No coordinator wrote that, and it can be about no group. Kafka would never serve this partition's groups again. A known
		// key with a value of which no sense can be made is another thing: whoever passed over it would take back a commit.
		if m.strange == nil {
			m.strange = err
		}
		return nil
	}
	switch key.Kind {
	case stored.KindOffset:
		return m.replayOffset(key, r.Value)
	case stored.KindGroup:
		return m.replayGroup(string(key.Group), r.Value)
	default:
		return nil // of a later Kafka; consumer groups (KIP-848) among them
	}
}

// replayGroup replaces a group's membership by what the record says; committed offsets have records of their own.
func (m *Machine) replayGroup(id string, value []byte) error {
	g := m.groups[id]
	if value == nil {
		if g == nil {
			return nil
		}
		if g.offsets.empty() {
			delete(m.groups, id)
			return nil
		}
		m.groups[id] = &group{id: id, state: Empty, previous: Dead, since: stored.None, offsets: g.offsets, bug: m.bug}
		return nil
	}
	r, err := stored.DecodeGroup(value)
	if err != nil {
		return fmt.Errorf("replay group %q: %w", id, err)
	}
	n := &group{id: id, state: Empty, previous: Dead, since: r.StateSinceMs, protocolType: r.ProtocolType, protocol: r.Protocol, generation: r.Generation, bug: m.bug}
	if g != nil {
		n.offsets = g.offsets
	}
	if r.Leader != nil && len(r.Members) > 0 {
		n.leader = *r.Leader
	}
	var name string
	if r.Protocol != nil {
		name = *r.Protocol
	}
	if m.bug == replayDropsMember && len(r.Members) > 1 {
		r.Members = r.Members[:len(r.Members)-1]
	}
	seen := make(map[string]struct{}, len(r.Members))
	for i := range r.Members {
		s := &r.Members[i]
		if _, ok := seen[s.Member]; ok || s.Member == "" || s.Instance != nil && n.static[*s.Instance] != nil {
			continue // no coordinator writes that; the first one counts
		}
		seen[s.Member] = struct{}{}
		n.add(&member{
			id: s.Member, instance: s.Instance, clientID: intern(s.ClientID), clientHost: intern(s.ClientHost),
			rebalanceTimeout: time.Duration(s.RebalanceTimeoutMs) * time.Millisecond, sessionTimeout: time.Duration(s.SessionTimeoutMs) * time.Millisecond,
			protocols: []Protocol{{Name: intern(name), Metadata: s.Subscription}}, assignment: s.Assignment,
		})
	}
	n.subscription = subscription{}
	if len(n.members) > 0 {
		n.state = Stable
		if n.protocol == nil {
			n.protocol = &name
		}
		if n.member(n.leader) == nil {
			n.leader = n.members[0].id
		}
	}
	m.groups[id] = n
	return nil
}

// Loaded begins the sessions of all members: how long ago they were last heard of is not known.
func (m *Machine) Loaded(now time.Time, out *coordinator.Out) {
	m.begin(now, out)
	if m.strange != nil {
		m.log.Warn("coordinator: records whose keys make no sense were passed over in a load", "first", m.strange)
		m.strange = nil
	}
	ids := make([]string, 0, len(m.groups))
	for id := range m.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids) // so that the same log and the same seed give the same run
	for _, id := range ids {
		g := m.groups[id]
		for _, x := range g.members {
			if m.bug != loadedForever {
				m.renew(g, x)
			}
		}
		if len(g.members) > m.settings.MaxSize {
			m.prepareRebalance(g, "the loaded group is larger than it may be")
		}
	}
	m.offsetsLoaded(now)
}
