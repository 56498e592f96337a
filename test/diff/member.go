package diff

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// era holds the versions of the other APIs that a client which joins with one version of JoinGroup uses.
type era struct{ sync, heartbeat, leave, commit, fetch int16 }

// eras lists them by the version of JoinGroup.
var eras = [...]era{
	{0, 0, 0, 2, 1}, {0, 0, 0, 2, 1}, {1, 1, 1, 3, 3}, {2, 2, 2, 4, 4}, {2, 2, 2, 6, 5},
	{3, 3, 3, 7, 6}, {4, 4, 4, 8, 7}, {5, 4, 4, 8, 8}, {5, 4, 5, 8, 8}, {5, 4, 5, 9, 9},
}

// The versions of JoinGroup at which something about it changed, and the ones that old and new clients speak.
const (
	oldJoin = 2 // kafka-python 2.0.2
	midJoin = 5 // librdkafka, KafkaJS
	newJoin = 9
)

// member is one client in a group, as it knows itself: requests that it sends carry what the answers before told it.
type member struct {
	x          *Script
	conn       int // its connection, which also gives it a client id of its own
	group      string
	version    int16 // of JoinGroup
	instance   *string
	kind       string // protocol type
	protocols  []string
	session    time.Duration
	rebalance  time.Duration
	id         string
	generation int32
	leader     bool
	protocol   *string // what the group chose
}

// member makes a client that has not joined yet.
func (s *Script) member(group string, conn int, version int16, options ...func(*member)) *member {
	m := &member{x: s, conn: conn, group: group, version: version, kind: "consumer", protocols: []string{"range=meta-" + fmt.Sprint(conn)},
		session: time.Minute, rebalance: time.Minute, generation: -1}
	for _, o := range options {
		o(m)
	}
	return m
}

func static(instance string) func(*member) { return func(m *member) { m.instance = ptr(instance) } }
func speaking(protocols ...string) func(*member) {
	return func(m *member) { m.protocols = protocols }
}
func ofKind(kind string) func(*member) { return func(m *member) { m.kind = kind } }
func patient(session, rebalance time.Duration) func(*member) {
	return func(m *member) { m.session, m.rebalance = session, rebalance }
}

func (m *member) era() era { return eras[m.version] }

// does sends a request on the member's connection.
func (m *member) does(req kmsg.Request) kmsg.Response { return m.x.On(m.conn).Do(req) }

func (m *member) joinRequest() *kmsg.JoinGroupRequest {
	req := joinGroup(m.version, m.group, m.id, m.protocols...)
	req.InstanceID, req.ProtocolType = m.instance, m.kind
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(m.session.Milliseconds()), int32(m.rebalance.Milliseconds())
	return req
}

// memberIDRequired is the code by which a broker sends a member back with an id.
const memberIDRequired = 79

// startJoin sends what brings the member into the group; the answer may take as long as the others need.
func (m *member) startJoin() *Pending {
	if m.version >= 4 && m.id == "" && m.instance == nil {
		resp := m.does(m.joinRequest()).(*kmsg.JoinGroupResponse)
		if resp.ErrorCode != memberIDRequired {
			panic("joined without an id of its own")
		}
		m.id = resp.MemberID
	}
	return m.x.On(m.conn).Start(m.joinRequest())
}

// joined learns from the answer.
func (m *member) joined(p *Pending) *kmsg.JoinGroupResponse {
	resp := p.Answer().(*kmsg.JoinGroupResponse)
	if resp.ErrorCode == 0 {
		m.id, m.generation, m.leader, m.protocol = resp.MemberID, resp.Generation, resp.LeaderID == resp.MemberID, resp.Protocol
	}
	return resp
}

func (m *member) join() *kmsg.JoinGroupResponse { return m.joined(m.startJoin()) }

// parks sends a join and waits until the group shows that it arrived: it prepares a rebalance with so many members.
func (m *member) parks(members int) *Pending {
	p := m.startJoin()
	m.x.reaches(m.group, "PreparingRebalance", members)
	return p
}

// share is what a leader assigns to a member.
type share struct {
	to   *member
	what string
}

func (m *member) gets(what string) share { return share{m, what} }

func (m *member) syncRequest(shares ...share) *kmsg.SyncGroupRequest {
	req := syncGroup(m.era().sync, m.group, m.generation, m.id)
	req.InstanceID = m.instance
	if req.Version >= 5 {
		req.ProtocolType, req.Protocol = ptr(m.kind), m.protocol
	}
	for _, s := range shares {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = s.to.id, []byte(s.what)
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

func (m *member) startSync(shares ...share) *Pending {
	return m.x.On(m.conn).Start(m.syncRequest(shares...))
}
func (m *member) sync(shares ...share) { m.startSync(shares...).Answer() }

func (m *member) heartbeatRequest() *kmsg.HeartbeatRequest {
	req := heartbeat(m.era().heartbeat, m.group, m.generation, m.id)
	req.InstanceID = m.instance
	return req
}

func (m *member) heartbeat() int16 {
	return m.does(m.heartbeatRequest()).(*kmsg.HeartbeatResponse).ErrorCode
}

// leave lets the member go the way its version has for it.
func (m *member) leave() {
	l := leaver(m.id, "")
	l.InstanceID = m.instance
	if m.era().leave >= 5 {
		l.Reason = ptr("the script says so")
	}
	m.does(leaveGroup(m.era().leave, m.group, l))
}

func (m *member) commitRequest(positions ...commitOf) *kmsg.OffsetCommitRequest {
	req := offsetCommit(m.era().commit, m.group, positions...)
	req.Generation, req.MemberID, req.InstanceID = m.generation, m.id, m.instance
	return req
}

func (m *member) commit(positions ...commitOf) { m.does(m.commitRequest(positions...)) }

// alone brings a first member into an empty group and assigns to it.
func (m *member) alone() *member {
	m.join()
	m.sync(m.gets("share of the only one"))
	return m
}

// enters brings another member into a stable group: the others learn of the rebalance, join again in their order, and the leader, who must be
// among the others, assigns.
func (m *member) enters(others ...*member) {
	in := m.parks(len(others) + 1)
	m.x.rejoin(in, m, others...)
}

// rejoin is a rebalance that a parked join has begun.
func (s *Script) rejoin(first *Pending, firstMember *member, others ...*member) {
	var joins []*Pending
	for _, o := range others {
		o.heartbeat()
		joins = append(joins, o.startJoin())
	}
	firstMember.joined(first)
	for i, o := range others {
		o.joined(joins[i])
	}
	s.assign(append([]*member{firstMember}, others...)...)
}

// assign lets all members sync, the followers first, so that they wait for the leader.
func (s *Script) assign(members ...*member) {
	var waiting []*Pending
	var leader *member
	var shares []share
	for i, m := range members {
		shares = append(shares, m.gets(fmt.Sprintf("share %d", i)))
		if m.leader {
			leader = m
			continue
		}
		waiting = append(waiting, m.startSync())
	}
	if leader == nil {
		panic("no leader among the members")
	}
	leader.sync(shares...)
	for _, p := range waiting {
		p.Answer()
	}
}

// coordinated waits until the coordinator of a group answers for it.
func (s *Script) coordinated(group string) {
	s.until("the coordinator of "+group, group, func(g kmsg.DescribeGroupsResponseGroup) bool { return !comesUp(g.ErrorCode) })
}

// until polls a group.
func (s *Script) until(what, group string, done func(kmsg.DescribeGroupsResponseGroup) bool) {
	for {
		resp, ok := s.quiet(describeGroups(5, group)).(*kmsg.DescribeGroupsResponse)
		if !ok || len(resp.Groups) != 1 {
			panic("no answer while waiting for " + what)
		}
		if done(resp.Groups[0]) {
			s.waiting = time.Time{}
			return
		}
		s.later(what)
	}
}

// reaches waits until a group is in a state with so many members.
func (s *Script) reaches(group, state string, members int) {
	s.until(fmt.Sprintf("%s to be %s with %d members", group, state, members), group, func(g kmsg.DescribeGroupsResponseGroup) bool {
		return g.State == state && len(g.Members) == members
	})
}

// Group names a group of this script and waits until it has a coordinator.
func (s *Script) Group(name string) string {
	group := s.Name(name)
	s.coordinated(group)
	return group
}

// groupKeys lists the APIs of groups, whose cases have a broker of their own.
var groupKeys = []int16{
	keyOffsetCommit, keyOffsetFetch, keyFindCoordinator, keyJoinGroup, keyHeartbeat, keyLeaveGroup, keySyncGroup, keyDescribeGroups,
	keyListGroups, keyDeleteGroups, keyOffsetDelete,
}
