package diff

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// walk is a script that chance writes, the same for the same seed: members of all ages join, sync, commit, are wrong about their generation,
// come back and leave, in an order that nobody thought of. It knows just enough about groups to tell which requests wait: an answer is
// read when it must be there. What the answers say is compared like any other.
//
// The leader leaves only last, because whom Kafka elects among several is chance.
type walk struct {
	x       *Script
	rand    *rand.Rand
	group   string
	topic   Topic
	all     []*roamer
	state   groupState
	leader  *roamer
	changes int
}

type groupState string

const (
	groupEmpty      groupState = "Empty"
	groupPreparing  groupState = "PreparingRebalance"
	groupCompleting groupState = "CompletingRebalance"
	groupStable     groupState = "Stable"
)

// roamer is a member on a walk.
type roamer struct {
	*member
	in      bool     // the group knows it
	before  string   // the member id it had before it was replaced
	joining *Pending // its join waits for others
	syncing *Pending // its sync waits for the leader's
}

// How many walks there are, and how many steps each has.
const (
	walks     = 24
	walkSteps = 90
)

func walkSequences() []Case {
	var all []Case
	for seed := range uint64(walks) {
		all = append(all, groupSequence(fmt.Sprintf("walk-%d", seed), func(x *Script) {
			w := newWalk(x, seed)
			for range walkSteps {
				w.step()
			}
			x.show(w.group)
		}))
	}
	return all
}

// restartWalkSequences restart the broker in the middle of a walk, at moments when nothing is lost with it.
func restartWalkSequences() []Case {
	var all []Case
	for seed := range uint64(2) {
		all = append(all, groupSequence(fmt.Sprintf("restart-walk-%d", seed), func(x *Script) {
			w := newWalk(x, 1000+seed)
			for range 3 {
				for n := 0; n < walkSteps/3 || w.state != groupStable || !w.calm(); n++ {
					w.step()
				}
				x.restartGroups(w.group)
				x.await(w.topic.Name, 2)
				x.show(w.group)
			}
			for range walkSteps / 3 {
				w.step()
			}
		}))
	}
	return all
}

func newWalk(x *Script, seed uint64) *walk {
	w := &walk{x: x, rand: rand.New(rand.NewPCG(seed, 4)), group: x.Group("g"), topic: x.Topic("t", 2), state: groupEmpty}
	for i := range 4 {
		version := int16(w.rand.IntN(len(eras)))
		m := x.member(w.group, i+1, version)
		if version >= 5 && w.rand.IntN(2) == 0 {
			m.instance = ptr(fmt.Sprintf("instance-%d", i+1))
		}
		w.all = append(w.all, &roamer{member: m})
	}
	return w
}

// step does something with one of the members.
func (w *walk) step() {
	m := w.all[w.rand.IntN(len(w.all))]
	waits := m.joining != nil || m.syncing != nil
	switch dice := w.rand.IntN(24); {
	case dice < 7 && !waits:
		w.join(m)
	case dice < 11 && !waits:
		w.sync(m)
	case dice < 13:
		m.aside().heartbeat()
	case dice < 15:
		m.aside().commit(commits(w.topic, int32(w.rand.IntN(2)), int64(w.rand.IntN(100))))
	case dice < 16:
		w.wrong(m)
	case dice < 17 && m.in && m.id != "" && m.syncing == nil && (m != w.leader || len(w.members()) == 1):
		w.leave(m)
	case dice < 18 && m.in && !waits && m.instance != nil && w.state == groupStable && w.calm():
		w.replace(m)
	case dice < 19:
		w.x.Do(describeGroups(int16(w.rand.IntN(7)), w.group))
	case dice < 22:
		w.outside()
	default:
		w.x.Do(offsetFetch(m.era().fetch, w.group, committed(w.topic, 0, 1)))
	}
}

// aside is the member on a connection on which nothing of it waits.
func (m *roamer) aside() *member {
	n := *m.member
	if m.joining != nil || m.syncing != nil {
		n.conn += 100
	}
	return &n
}

func (w *walk) members() []*roamer {
	return slices.DeleteFunc(slices.Clone(w.all), func(m *roamer) bool { return !m.in })
}

// calm reports whether nobody waits for anything.
func (w *walk) calm() bool {
	return !slices.ContainsFunc(w.all, func(m *roamer) bool { return m.joining != nil || m.syncing != nil })
}

func (w *walk) join(m *roamer) {
	changed := w.rand.IntN(4) == 0
	if changed {
		w.changes++
		m.protocols = []string{fmt.Sprintf("range=words %d", w.changes)}
	}
	if !m.in {
		m.id = ""
		p := m.startJoin()
		m.in = true
		if w.state == groupEmpty {
			m.joined(p)
			w.leader, w.state = m, groupCompleting
			return
		}
		m.joining = p
		w.prepare()
		return
	}
	p := m.startJoin()
	switch {
	case w.state == groupStable && m != w.leader && !changed, w.state == groupCompleting && !changed:
		m.joined(p)
	default:
		m.joining = p
		w.prepare()
	}
}

// prepare begins a rebalance or goes on with one: waiting syncs are sent back, and when all members have joined it is over.
func (w *walk) prepare() {
	members := w.members()
	over := !slices.ContainsFunc(members, func(m *roamer) bool { return m.joining == nil })
	if !over {
		w.x.reaches(w.group, string(groupPreparing), len(members))
	}
	w.state = groupPreparing
	for _, m := range w.all {
		if m.syncing != nil {
			m.syncing.Answer()
			m.syncing = nil
		}
	}
	if !over {
		return
	}
	for _, m := range members {
		m.joined(m.joining)
		m.joining = nil
	}
	w.state = groupCompleting
}

func (w *walk) sync(m *roamer) {
	if !m.in || w.state != groupCompleting {
		m.member.sync()
		return
	}
	if m != w.leader {
		m.syncing = m.startSync()
		return
	}
	var shares []share
	for i, o := range w.members() {
		shares = append(shares, o.gets(fmt.Sprintf("share %d of generation %d", i, m.generation)))
	}
	m.member.sync(shares...)
	w.state = groupStable
	for _, o := range w.all {
		if o.syncing != nil {
			o.syncing.Answer()
			o.syncing = nil
		}
	}
}

// outside does what clients do that are no members.
func (w *walk) outside() {
	switch w.rand.IntN(7) {
	case 0:
		w.x.Do(offsetCommit(int16(2+w.rand.IntN(8)), w.group, commits(w.topic, 1, 222)))
	case 1:
		w.x.Do(deleteGroups(int16(w.rand.IntN(4)), w.group))
	case 2:
		w.x.Do(offsetDelete(w.group, committed(w.topic, int32(w.rand.IntN(2)))))
	case 3:
		w.x.Do(listGroups(int16(w.rand.IntN(6)), nil, nil))
	case 4:
		w.x.Do(listGroups(5, []string{"Stable", "Empty"}, []string{"classic"}))
	case 5:
		w.x.Do(leaveGroup(int16(w.rand.IntN(6)), w.group, leaver("a stranger", ""), leaver("", "a strange instance")))
	case 6:
		if w.state != groupEmpty {
			w.x.Do(joinGroup(int16(w.rand.IntN(10)), w.group, "", "sticky=no common protocol"))
		}
	}
}

// wrong sends what the member would send, in another generation.
func (w *walk) wrong(m *roamer) {
	n := m.aside()
	n.generation += int32(2*w.rand.IntN(2) - 1)
	switch w.rand.IntN(4) {
	case 0:
		n.heartbeat()
	case 1:
		if m.before != "" {
			n.id = m.before
		}
		n.heartbeat()
	case 2:
		n.commit(commits(w.topic, 0, 111))
	default:
		if m.joining == nil && m.syncing == nil {
			n.sync()
		}
	}
}

func (w *walk) leave(m *roamer) {
	n := m.aside()
	if n.instance != nil && n.era().leave < 3 {
		n.instance = nil
	}
	n.leave()
	m.in = false
	if m.joining != nil {
		m.joining.Answer()
		m.joining = nil
	}
	if len(w.members()) == 0 {
		w.x.reaches(w.group, string(groupEmpty), 0)
		w.leader, w.state = nil, groupEmpty
		return
	}
	w.prepare()
}

// replace lets a static member come back after a restart of its own.
func (w *walk) replace(m *roamer) {
	m.before, m.id = m.id, ""
	m.joined(m.startJoin())
}
