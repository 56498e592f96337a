package group

import (
	"slices"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/protocol"
)

// consumerType is the protocol type of groups of consumers, whose metadata tells topics. All other types are opaque.
const consumerType = "consumer"

// group is one classic group, or only committed offsets.
//
// Invariant: joining is the number of members whose join is held; an Empty group has no members, a Stable one no held calls; the
// leader is a member unless there are no members; phase runs only where the state allows it.
type group struct {
	id           string
	state        State
	previous     State
	bug          mutant // the machine's
	since        int64  // milliseconds since 1970 when the state began; -1 where an old record does not tell
	protocolType string // "" until somebody joins
	protocol     *string
	generation   int32
	leader       string // "" for none

	members []*member          // in the order in which they came
	byID    map[string]*member // only for large groups
	static  map[string]*member // by instance
	pending map[string]*member // ids given to clients that have yet to come back with them (KIP-394)

	joining      int           // members whose join is held
	unsynced     int           // members of this generation that have not sent their SyncGroup
	phase        timer         // of the initial delay, the join phase or the sync phase
	delay, left  time.Duration // of the initial delay: this part of it, and how much more there may be
	newMember    bool          // somebody joined during the initial delay
	common       []string      // protocols that every member supports; valid if commonValid
	commonValid  bool
	subscription subscription

	offsets offsets
}

// member is a member of a group, or a pending one, of which only the id and the session are set.
type member struct {
	id               string
	instance         *string
	clientID         string
	clientHost       string
	rebalanceTimeout time.Duration
	sessionTimeout   time.Duration
	protocols        []Protocol // in the order of the member's preference
	assignment       []byte

	session timer
	join    *coordinator.Call // held until the rebalance is over
	sync    *coordinator.Call // held until the leader has sent the assignments
	isNew   bool              // has not had an answer to its first join: may expire while it waits
	unsynced,
	pending,
	leaving bool // named by the LeaveGroup under way
}

// indexFrom is the size of a group from which on its members are indexed by id. Nearly all groups are smaller and save the map.
const indexFrom = 16

// become changes the state.
func (g *group) become(s State, now time.Time) {
	invariant.Check(g.state.mayBecome(s), "group %q goes from %v to %v", g.id, g.state, s)
	g.previous, g.state, g.since = g.state, s, now.UnixMilli()
}

// member returns the member with an id, nil if there is none.
func (g *group) member(id string) *member {
	if g.byID != nil {
		return g.byID[id]
	}
	for _, m := range g.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// add takes a new member in. It leads if nobody does.
func (g *group) add(n *member) {
	if len(g.members) == 0 {
		g.common, g.commonValid = nil, false
		// What the first members are going to read is not known before their first generation, so it may be any topic. Kafka says so
		// of a new group alone; of one that was empty for a while it still says that nobody reads anything, and would let an
		// administrator delete the offsets of those who join.
		g.subscription = subscription{taken: true}
	} else if g.commonValid {
		g.narrow(n.protocols)
	}
	g.members = append(g.members, n)
	switch {
	case g.byID != nil:
		g.byID[n.id] = n
	case len(g.members) >= indexFrom:
		g.byID = make(map[string]*member, 2*indexFrom)
		for _, m := range g.members {
			g.byID[m.id] = m
		}
	}
	if n.instance != nil {
		if g.static == nil {
			g.static = map[string]*member{}
		}
		g.static[*n.instance] = n
	}
	if g.leader == "" {
		g.leader = n.id
	}
	if n.join != nil {
		g.joining++
	}
}

// rename gives a static member another id.
func (g *group) rename(m *member, id string) {
	if g.byID != nil {
		delete(g.byID, m.id)
		g.byID[id] = m
	}
	if g.leader == m.id {
		g.leader = id
	}
	m.id = id
}

// remove takes members out and stops their sessions. What they wait for is answered: they are not members any more.
func (m *Machine) remove(g *group, gone func(*member) bool) (removed []string) {
	g.members = slices.DeleteFunc(g.members, func(x *member) bool {
		if !gone(x) {
			return false
		}
		removed = append(removed, x.id)
		m.timers.stop(&x.session)
		m.answerJoin(g, x, &JoinResponse{Code: protocol.UnknownMemberID, Generation: -1})
		m.answerSync(x, &SyncResponse{Code: protocol.UnknownMemberID})
		if g.byID != nil {
			delete(g.byID, x.id)
		}
		if x.instance != nil {
			delete(g.static, *x.instance)
		}
		if x.unsynced {
			g.unsynced--
		}
		return true
	})
	if len(removed) == 0 {
		return nil
	}
	g.commonValid = false
	if len(g.members) == 0 {
		g.members, g.byID, g.static = nil, nil, nil
	}
	if g.leader != "" && g.member(g.leader) == nil {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
	return removed
}

func (m *Machine) removeOne(g *group, x *member) {
	m.remove(g, func(y *member) bool { return x == y })
}

// removePending forgets a pending member.
func (m *Machine) removePending(g *group, p *member) {
	m.timers.stop(&p.session)
	if delete(g.pending, p.id); len(g.pending) == 0 {
		g.pending = nil
	}
}

// answerJoin answers a held join, if there is one.
func (m *Machine) answerJoin(g *group, x *member, r *JoinResponse) {
	if x.join != nil {
		m.out.Answer(x.join, r)
		x.join = nil
		g.joining--
	}
}

// answerSync answers a held sync and says whether there was one.
func (m *Machine) answerSync(x *member, r *SyncResponse) bool {
	if x.sync == nil {
		return false
	}
	m.out.Answer(x.sync, r)
	x.sync = nil
	return true
}

// allJoined says whether every known member, pending ones too, waits for the rebalance to end.
func (g *group) allJoined() bool {
	return g.joining == len(g.members) && len(g.pending) == 0 || g.bug == joinedTooEarly && g.joining > 0
}

// rebalanceTimeout is the largest of all members: the slowest one is waited for.
func (g *group) rebalanceTimeout() (d time.Duration) {
	for _, m := range g.members {
		d = max(d, m.rebalanceTimeout)
	}
	return d
}

// validate says whether a request may speak for a member (KIP-345: an instance belongs to the member id that came last).
func (g *group) validate(id string, instance *string) protocol.ErrorCode {
	if instance != nil {
		switch x := g.static[*instance]; {
		case x == nil:
			return protocol.UnknownMemberID
		case x.id != id && g.bug == fencedAccepted:
			return protocol.None
		case x.id != id:
			return protocol.FencedInstanceID
		}
	}
	if g.member(id) == nil {
		return protocol.UnknownMemberID
	}
	return protocol.None
}

// validateCommit says whether offsets may be committed in a member's name, or in nobody's.
func (g *group) validateCommit(id string, instance *string, generation int32) protocol.ErrorCode {
	switch {
	case g.state == Dead:
		return protocol.CoordinatorNotAvailable
	case generation < 0 && g.state == Empty: // a tool, or a consumer that does not use groups
		return protocol.None
	case generation >= 0 || id != "" || instance != nil:
		if code := g.validate(id, instance); code != protocol.None {
			return code
		}
		if generation != g.generation && !(g.bug == commitOfLastGeneration && generation == g.generation-1) {
			return protocol.IllegalGeneration
		}
	case g.state != Empty:
		return protocol.UnknownMemberID
	}
	if g.state == CompletingRebalance {
		// The member knows the generation, so it has had its answer to the join; it is to commit once it has its assignment.
		return protocol.RebalanceInProgress
	}
	return protocol.None
}

// touch renews a member's session after a commit, in the states in which Kafka does.
func (m *Machine) touch(g *group, id string) {
	if x := g.member(id); x != nil && (g.state == Stable || g.state == PreparingRebalance) {
		m.renew(g, x)
	}
}

// renew begins a member's session anew.
func (m *Machine) renew(g *group, x *member) { m.expect(g, x, x.sessionTimeout) }

// expect makes a member's session end after d.
func (m *Machine) expect(g *group, x *member, d time.Duration) {
	x.session.group, x.session.member = g, x
	m.set(&x.session, d, timerSession)
}
