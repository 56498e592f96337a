package group

import (
	"maps"
	"slices"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/protocol"
)

// judge knows the rules and what has happened, from requests, answers and records alone, in the order of the log. Only what a
// commit is to be answered it derives from the state of the machine.
type judge struct {
	s     *sim
	views [simGroups]*view
}

// view is what the judge knows of a group.
type view struct {
	generation int32
	completed  time.Time        // when this generation began
	leader     string           // of it
	members    map[string]*seen // of it, but for those that left
	left       map[string]bool
	instances  map[string]string
	owners     map[int32]map[int32]string // by generation and partition
	offsets    map[int32]int64
	record     *stored.Group
}

// seen is what the judge knows of a member.
type seen struct {
	session  time.Duration
	instance *string
	heard    time.Time // its session has been renewed then, perhaps later too
	touched  time.Time // it has certainly not been renewed after that
	synced   bool
}

func newView() *view {
	return &view{members: map[string]*seen{}, left: map[string]bool{}, instances: map[string]string{}, owners: map[int32]map[int32]string{}, offsets: map[int32]int64{}}
}

func newJudge(s *sim) *judge {
	j := &judge{s: s}
	for i := range j.views {
		j.views[i] = newView()
	}
	return j
}

func index(group string) int { return slices.Index(simGroup[:], group) }

// expect says what a commit is to be answered, from the machine's state as it lies there.
func (j *judge) expect(body any) (protocol.ErrorCode, bool) {
	r, ok := body.(*CommitRequest)
	if !ok {
		return 0, false
	}
	g := j.s.m.groups[r.Group]
	if g == nil {
		if r.Generation >= 0 {
			return protocol.GroupIDNotFound, true
		}
		return protocol.None, true
	}
	if r.Generation < 0 {
		if len(g.members) == 0 && g.state == Empty {
			return protocol.None, true
		}
		if r.Member == "" && r.Instance == nil {
			return protocol.UnknownMemberID, true
		}
	}
	is := false
	for _, m := range g.members {
		if r.Instance != nil && m.instance != nil && *m.instance == *r.Instance && m.id != r.Member {
			return protocol.FencedInstanceID, true
		}
		is = is || m.id == r.Member && (r.Instance == nil || m.instance != nil && *m.instance == *r.Instance)
	}
	switch {
	case !is:
		return protocol.UnknownMemberID, true
	case r.Generation != g.generation:
		return protocol.IllegalGeneration, true
	case g.state == CompletingRebalance:
		return protocol.RebalanceInProgress, true
	}
	return protocol.None, true
}

// decided takes a decision that is a fact now.
func (j *judge) decided(d *decision) {
	for _, a := range d.answers {
		if r, ok := a.request.body.(*LeaveRequest); ok {
			j.left(index(r.Group), a.response.(*LeaveResponse))
		}
	}
	for i := range simGroup {
		j.completed(i, d)
	}
	for _, a := range d.answers {
		j.answered(d, a)
	}
	for _, r := range d.records {
		j.recorded(d, r)
	}
}

func (j *judge) left(i int, a *LeaveResponse) {
	v := j.views[i]
	for _, m := range a.Members {
		if m.Code != protocol.None {
			continue
		}
		id := m.Member
		if id == "" {
			id = v.instances[*m.Instance]
		}
		v.left[id] = true
		delete(v.members, id)
		if m.Instance != nil {
			delete(v.instances, *m.Instance)
		}
	}
}

// completed looks for the end of a join phase: all answers to joins come in one decision.
func (j *judge) completed(i int, d *decision) {
	v, s := j.views[i], j.s
	var list []JoinMember
	var first *JoinResponse
	joined := map[string]*JoinRequest{}
	for _, a := range d.answers {
		r, ok := a.request.body.(*JoinRequest)
		if !ok || r.Group != simGroup[i] {
			continue
		}
		answer := a.response.(*JoinResponse)
		if answer.Code != protocol.None || answer.Generation <= v.generation {
			continue
		}
		if first == nil {
			first = answer
		}
		if answer.Generation != first.Generation || answer.Leader != first.Leader || *answer.Protocol != *first.Protocol {
			s.fail("G1: %s: two answers of a rebalance: %s and %s", simGroup[i], show(answer), show(first))
		}
		if (answer.Member == answer.Leader) != (answer.Members != nil) {
			s.fail("%s: the leader alone is to be told of all: %s", simGroup[i], show(answer))
		}
		if answer.Members != nil {
			list = answer.Members
		}
		joined[answer.Member] = r
	}
	if first == nil {
		return
	}
	if first.Generation != v.generation+1 {
		s.fail("G2: %s: generation %d follows %d", simGroup[i], first.Generation, v.generation)
	}
	if list == nil {
		s.fail("%s: generation %d has no leader", simGroup[i], first.Generation)
	}
	members, instances := map[string]*seen{}, map[string]string{}
	for _, m := range list {
		if v.left[m.Member] {
			s.fail("%s: %s, who left, is in generation %d", simGroup[i], m.Member, first.Generation)
		}
		x := &seen{instance: m.Instance, heard: d.at, touched: d.at}
		if r := joined[m.Member]; r != nil {
			x.session = r.SessionTimeout
		} else if old := v.members[m.Member]; old != nil && m.Instance != nil {
			x.session = old.session
		} else {
			s.fail("%s: %s, who did not join, is in generation %d", simGroup[i], m.Member, first.Generation)
		}
		if m.Instance != nil {
			instances[*m.Instance] = m.Member
		}
		members[m.Member] = x
	}
	j.missing(i, d, members, instances)
	if len(joined) > s.settings.MaxSize {
		s.fail("%s: %d members have joined generation %d", simGroup[i], len(joined), first.Generation)
	}
	for id := range joined {
		if members[id] == nil {
			s.fail("%s: %s has joined, but is not in the list", simGroup[i], id)
		}
	}
	v.generation, v.completed, v.leader, v.members, v.instances = first.Generation, d.at, first.Leader, members, instances
	s.count.joins += len(joined)
}

// missing checks that members that are not in the next generation have been waited for.
func (j *judge) missing(i int, d *decision, members map[string]*seen, instances map[string]string) {
	v := j.views[i]
	for id, x := range v.members {
		switch {
		case members[id] != nil, x.instance != nil && instances[*x.instance] != "":
		case d.at.Sub(x.heard) >= x.session:
			j.s.count.expired++
		case !x.synced && d.at.Sub(v.completed) >= j.s.timeout:
		case d.at.Sub(j.rebalancing(i, d)) >= j.s.timeout:
		default:
			j.s.fail("%s: generation %d comes without %s, which was heard of %v ago", simGroup[i], v.generation+1, id, d.at.Sub(x.heard))
		}
	}
}

// rebalancing is since when a group waits for joins. It has been so before the decision that ends it, unless that began it too.
func (j *judge) rebalancing(i int, d *decision) time.Time {
	if !d.rebalancing[i].IsZero() {
		return d.rebalancing[i]
	}
	return d.at
}

// member checks that somebody may speak for a member, in this generation.
func (j *judge) member(d *decision, a answered, i int, id string, instance *string, generation int32) *seen {
	v := j.views[i]
	x := v.members[id]
	switch {
	case generation != v.generation:
		j.s.fail("G3: %T of generation %d is accepted in generation %d of %s", a.request.body, generation, v.generation, simGroup[i])
	case x == nil:
		j.s.fail("G3: %T of %s is accepted, which is no member of generation %d of %s", a.request.body, id, v.generation, simGroup[i])
	case instance != nil && v.instances[*instance] != id:
		j.s.fail("G3: %T of %s is accepted, but %s is %s", a.request.body, id, *instance, v.instances[*instance])
	case !a.waiting && d.at.Sub(x.touched) > x.session+3*time.Second:
		j.s.fail("%T of %s is accepted, whose session has been over for %v", a.request.body, id, d.at.Sub(x.touched)-x.session)
	}
	x.touched = d.at
	return x
}

func (j *judge) answered(d *decision, a answered) {
	s := j.s
	switch r := a.request.body.(type) {
	case *JoinRequest:
		answer, v := a.response.(*JoinResponse), j.views[index(r.Group)]
		if answer.Code == protocol.GroupMaxSizeReached { // a member that is too slow has to go
			s.count.refused++
			v.left[r.Member] = true
			delete(v.members, r.Member)
		} else if answer.Code == protocol.None {
			j.told(d, a, r, answer)
		} else if x := v.members[r.Member]; x != nil {
			x.touched = d.at
		}
	case *SyncRequest:
		i, answer := index(r.Group), a.response.(*SyncResponse)
		if answer.Code != protocol.None {
			if x := j.views[i].members[r.Member]; x != nil {
				x.touched = d.at
			}
			return
		}
		a.waiting = true // perhaps for long
		j.member(d, a, i, r.Member, r.Instance, r.Generation).synced = true
		j.owns(i, r, parseAssignment(answer.Assignment))
		s.count.assigned++
	case *HeartbeatRequest:
		if code := codeOf(a.response); code == protocol.None || code == protocol.RebalanceInProgress {
			j.member(d, a, index(r.Group), r.Member, r.Instance, r.Generation).heard = d.at
		} else if code == protocol.FencedInstanceID {
			s.count.fenced++
		}
	case *CommitRequest:
		i := index(r.Group)
		if codeOf(a.response) != protocol.None {
			return
		}
		if r.Generation >= 0 {
			x := j.member(d, a, i, r.Member, r.Instance, r.Generation)
			if x.heard = d.at; d.before[i] == CompletingRebalance {
				s.fail("G3: a commit is accepted between two generations")
			}
		} else if d.before[i] != Empty && d.before[i] != Dead {
			s.fail("G3: a commit of nobody is accepted by a group that is %v", d.before[i])
		}
		p := r.Topics[0].Partitions[0]
		j.views[i].offsets[p.Partition] = p.Offset
		s.count.commits++
	case *FetchRequest:
		for _, p := range a.response.(*FetchResponse).Topics[0].Partitions {
			want, ok := j.views[index(r.Group)].offsets[p.Partition]
			if !ok {
				want = -1
			}
			if p.Offset != want {
				s.fail("G4: %s-%d of %s is answered %d, but is %d", simTopic, p.Partition, r.Group, p.Offset, want)
			}
		}
	case *DeleteRequest:
		if a.response.(*DeleteResponse).Code == protocol.None {
			if s.count.deleted++; d.before[index(r.Group)] != Empty {
				s.fail("G9: %s is deleted while it is %v", r.Group, d.before[index(r.Group)])
			}
		}
	}
}

// told takes an answer to a join of the present generation: again, or to a static member that was replaced.
func (j *judge) told(d *decision, a answered, r *JoinRequest, answer *JoinResponse) {
	v, s, i := j.views[index(r.Group)], j.s, index(r.Group)
	leader, skip := v.leader, false
	if r.Instance != nil {
		if old := v.instances[*r.Instance]; old != "" && old != answer.Member {
			v.members[answer.Member] = v.members[old]
			delete(v.members, old)
			v.instances[*r.Instance] = answer.Member
			v.members[answer.Member].heard = d.at
			if v.leader == old { // it must not assign anew
				v.leader = answer.Member
				if skip = r.SkipAssignment; skip {
					leader = v.leader
				}
			}
		}
	}
	a.waiting = true // perhaps for long
	j.member(d, a, i, answer.Member, r.Instance, answer.Generation)
	if answer.Leader != leader || answer.SkipAssignment != skip {
		s.fail("%s: %s is told that %s leads (%v), but %s does (%v)", r.Group, answer.Member, answer.Leader, answer.SkipAssignment, leader, skip)
	}
	if answer.Members != nil {
		for _, m := range answer.Members {
			if v.members[m.Member] == nil {
				s.fail("%s: generation %d has got %s", r.Group, answer.Generation, m.Member)
			}
		}
		if len(answer.Members) != len(v.members) {
			s.fail("%s: generation %d has lost somebody", r.Group, answer.Generation)
		}
	}
}

// owns checks that a partition has one owner in a generation (G1).
func (j *judge) owns(i int, r *SyncRequest, partitions []int32) {
	v, owner := j.views[i], r.Member
	if x := v.members[r.Member]; x.instance != nil {
		owner = *x.instance
	}
	if v.owners[r.Generation] == nil {
		v.owners[r.Generation] = map[int32]string{}
	}
	for _, p := range partitions {
		if other := v.owners[r.Generation][p]; other != "" && other != owner {
			j.s.fail("G1: %s-%d belongs to %s and to %s in generation %d of %s", simTopic, p, other, owner, r.Generation, r.Group)
		}
		v.owners[r.Generation][p] = owner
	}
}

// recorded takes a record of a decision.
func (j *judge) recorded(d *decision, r coordinator.Record) {
	key, err := stored.DecodeKey(r.Key)
	if err != nil {
		j.s.fail("%v", err)
	}
	i := index(string(key.Group))
	v, s := j.views[i], j.s
	if key.Kind == stored.KindOffset {
		if r.Value == nil {
			if d.peopled[i] {
				s.fail("G9: an offset of %s ends while it is %v", key.Group, d.before[i])
			}
			delete(v.offsets, key.Partition)
			return
		}
		o, err := stored.DecodeOffset(r.Value)
		if now, ok := v.offsets[key.Partition]; err != nil || !ok || o.Offset != now {
			s.fail("G3: offset %d is stored for %s-%d of %s, but %d was accepted (%v)", o.Offset, key.Topic, key.Partition, key.Group, now, err)
		}
		return
	}
	if r.Value == nil {
		if len(v.offsets) > 0 || len(v.members) > 0 {
			s.fail("G9: %s ends with %d members and %d offsets", key.Group, len(v.members), len(v.offsets))
		}
		j.views[i] = newView()
		return
	}
	g, err := stored.DecodeGroup(r.Value)
	if err != nil {
		s.fail("%v", err)
	}
	if len(g.Members) == 0 && g.Generation > 0 { // the last one has gone
		if g.Generation != v.generation+1 {
			s.fail("G2: %s is empty in generation %d after %d", key.Group, g.Generation, v.generation)
		}
		j.missing(i, d, nil, nil)
		v.generation, v.members, v.instances = g.Generation, map[string]*seen{}, map[string]string{}
	}
	if g.Generation != v.generation || len(g.Members) != len(v.members) {
		s.fail("%s is stored with %d members in generation %d, but has %d in generation %d", key.Group, len(g.Members), g.Generation, len(v.members), v.generation)
	}
	v.record = &g
}

// loaded puts the groups back to what was stored.
func (j *judge) loaded() {
	for _, v := range j.views {
		g := v.record
		if g == nil {
			g = &stored.Group{}
		}
		v.generation, v.leader, v.completed = g.Generation, "", time.Time{}
		if g.Leader != nil {
			v.leader = *g.Leader
		}
		v.members, v.left, v.instances = map[string]*seen{}, map[string]bool{}, map[string]string{}
		for _, m := range g.Members {
			v.members[m.Member] = &seen{session: time.Duration(m.SessionTimeoutMs) * time.Millisecond, instance: m.Instance, heard: j.s.now, touched: j.s.now, synced: true}
			if m.Instance != nil {
				v.instances[*m.Instance] = m.Member
			}
		}
	}
}

// atRest checks that clients that had time enough have their groups stable and all partitions (G8).
func (j *judge) atRest() {
	s := j.s
	for i, id := range simGroup {
		g := s.m.find(id)
		all, members, owned := 0, map[string]bool{}, map[int32]string{}
		for _, c := range s.clients {
			if c.group != i || c.dead {
				continue
			}
			if all++; all > s.settings.MaxSize && c.phase == joining { // there is no room for it
				continue
			}
			if members[c.member] = true; c.phase != reading || g == nil || c.generation != g.generation || g.member(c.member) == nil {
				s.fail("G8: %s is still %s, as %q in generation %d of %s", c.name, c.phase, c.member, c.generation, id)
			}
			for _, p := range c.owned {
				owned[p] = c.member
			}
		}
		if g.state != Stable || len(g.members) != len(members) || len(g.pending) > 0 {
			s.fail("G8: %s is %v, with %d members of %d and %d pending", id, g.state, len(g.members), len(members), len(g.pending))
		}
		if len(owned) != simPartitions {
			s.fail("G8: %s has owners for %v", id, slices.Sorted(maps.Keys(owned)))
		}
	}
	if len(s.open) > 0 {
		s.fail("G8: %d requests are not answered", len(s.open))
	}
}

// atEnd checks that nothing is left when everybody has gone.
func (j *judge) atEnd() {
	s := j.s
	for _, id := range simGroup {
		if g := s.m.find(id); g != nil && (g.state != Empty || len(g.members)+len(g.pending)+len(g.static)+g.joining+g.unsynced > 0) {
			s.fail("%s is %v in the end, with %d members", id, g.state, len(g.members))
		}
	}
	if n := len(s.m.timers.heap); n > 0 || len(s.open) > 0 {
		s.fail("%d timers and %d requests are left over", n, len(s.open))
	}
	s.replayEquals()
}
