package group

import (
	"time"

	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/protocol"
)

// rebalanceOrComplete begins a rebalance, or ends the one under way if everybody is there.
func (m *Machine) rebalanceOrComplete(g *group, why string) {
	if g.state.mayRebalance() {
		m.prepareRebalance(g, why)
	} else {
		m.maybeComplete(g)
	}
}

// prepareRebalance begins a rebalance: all members are to join again.
func (m *Machine) prepareRebalance(g *group, why string) {
	if g.state == CompletingRebalance {
		m.cancelSync(g, protocol.RebalanceInProgress)
	}
	m.endSync(g)
	initial := g.state == Empty
	g.subscribed() // what the members read until now is what counts until the next generation
	g.become(PreparingRebalance, m.now)
	m.log.Info("group rebalances", "group", g.id, "generation", g.generation, "members", len(g.members), "because", why)
	if initial {
		// The first members of a group often start together: they are given time, or each would cost a rebalance.
		g.delay = m.settings.InitialRebalanceDelay
		g.left = max(g.rebalanceTimeout()-g.delay, 0)
		g.phase.group = g
		m.set(&g.phase, g.delay, timerInitial)
		return
	}
	if g.allJoined() {
		m.completeJoin(g)
		return
	}
	m.awaitJoins(g)
}

// shortestWait keeps a group whose members ask for no time to rejoin from being looked at again and again in one instant.
const shortestWait = 10 * time.Millisecond

// awaitJoins gives the members time to join.
func (m *Machine) awaitJoins(g *group) {
	g.phase.group = g
	m.set(&g.phase, max(g.rebalanceTimeout(), shortestWait), timerJoin)
}

// initialDelayOver extends the initial delay if somebody came in the meantime, up to the rebalance time-out, or ends it.
func (m *Machine) initialDelayOver(g *group) {
	if !g.newMember || g.left == 0 {
		m.completeJoin(g)
		return
	}
	g.newMember = false
	delay := min(m.settings.InitialRebalanceDelay, g.left)
	g.left = max(g.left-g.delay, 0)
	g.delay = delay
	m.set(&g.phase, delay, timerInitial)
}

// maybeComplete ends the join phase if everybody has joined. An initial delay runs its time.
func (m *Machine) maybeComplete(g *group) {
	if g.state == PreparingRebalance && g.previous != Empty && g.allJoined() {
		m.completeJoin(g)
	}
}

// completeJoin ends the join phase: dynamic members that have not joined are removed, the others make the next generation.
func (m *Machine) completeJoin(g *group) {
	invariant.Check(g.state == PreparingRebalance, "group %q ends its join phase in state %v", g.id, g.state)
	m.timers.stop(&g.phase)
	if gone := m.remove(g, func(x *member) bool { return x.join == nil && x.instance == nil }); gone != nil {
		m.log.Info("group goes on without members that did not join in time", "group", g.id, "members", len(gone), "first", gone[0])
	}
	if len(g.members) > 0 && !g.electJoined() {
		// Only static members are left, and none has joined: they have until their sessions end.
		m.awaitJoins(g)
		return
	}
	if m.bug != generationKept || g.generation == 0 {
		g.generation++ // wraps around, as Kafka's does
	}
	g.subscription = subscription{}
	if len(g.members) == 0 {
		g.protocol = nil
		g.become(Empty, m.now)
		m.log.Info("group is empty", "group", g.id, "generation", g.generation)
		m.store(g, g.record(nil))
		return
	}
	g.protocol = new(g.vote())
	g.become(CompletingRebalance, m.now)
	for _, x := range g.members {
		x.isNew, x.unsynced = false, true
		m.answerJoin(g, x, m.joined(g, x))
		m.renew(g, x)
	}
	g.unsynced = len(g.members)
	g.phase.group = g
	m.set(&g.phase, g.rebalanceTimeout(), timerSync)
}

// electJoined makes sure that the leader is a member that has joined; false if none has.
func (g *group) electJoined() bool {
	if x := g.member(g.leader); x != nil && x.join != nil {
		return true
	}
	for _, x := range g.members {
		if x.join != nil {
			g.leader = x.id
			return true
		}
	}
	return false
}

// cancelSync takes back what was assigned in a sync phase and tells those who wait.
func (m *Machine) cancelSync(g *group, code protocol.ErrorCode) {
	for _, x := range g.members {
		x.assignment = nil
		if m.answerSync(x, &SyncResponse{Code: code}) {
			m.renew(g, x)
		}
	}
}

// endSync stops waiting for members to sync.
func (m *Machine) endSync(g *group) {
	for _, x := range g.members {
		x.unsynced = false
	}
	g.unsynced = 0
	if g.phase.kind == timerSync {
		m.timers.stop(&g.phase)
	}
}

// synced notes that a member has sent its SyncGroup.
func (m *Machine) synced(g *group, x *member) {
	if !x.unsynced {
		return
	}
	x.unsynced = false
	if g.unsynced--; g.unsynced == 0 {
		m.endSync(g)
	}
}

// syncOverdue removes the members that have not synced in time.
func (m *Machine) syncOverdue(g *group) {
	gone := m.remove(g, func(x *member) bool { return x.unsynced })
	if gone != nil {
		m.prepareRebalance(g, "members did not sync in time")
	}
}

// sessionExpired removes a member that was not heard of, or a pending one that did not come back.
func (m *Machine) sessionExpired(g *group, x *member) {
	if m.bug == pendingKept && x.pending {
		return
	}
	if x.pending {
		m.removePending(g, x)
		if g.state == PreparingRebalance && g.allJoined() {
			m.completeJoin(g)
		}
		return
	}
	if !x.isNew && (x.join != nil || x.sync != nil) {
		return // it waits for an answer, and its session begins anew with that
	}
	if m.bug == expiredKept {
		return
	}
	m.log.Info("session of a group member has expired", "group", g.id, "member", x.id)
	m.removeOne(g, x)
	switch {
	case g.state == Stable || g.state == CompletingRebalance:
		m.prepareRebalance(g, "a member's session has expired")
	case g.state == PreparingRebalance && g.allJoined():
		m.completeJoin(g)
	}
}
