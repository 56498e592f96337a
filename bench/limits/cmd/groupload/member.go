package main

import (
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessionTimeout is that of a group whose rebalances are timed; members that only live have one that a busy machine cannot miss.
const (
	sessionTimeout = 6 * time.Second
	calmTimeout    = 5 * time.Minute
)

// member is a consumer without its consuming: it joins, syncs, heartbeats and rejoins.
type member struct {
	conn       *conn
	group      string
	topic      string
	partitions int // of the topic, for a leader to hand out
	session    time.Duration
	id         string

	mu         sync.Mutex
	generation int32 // it is stable in; -1 while it is not
	stop       bool
}

// join takes the member through one rebalance.
func (m *member) join() {
	m.set(-1)
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version, meta.Topics = 1, []string{m.topic}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType = 5, m.group, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(m.session.Milliseconds()), 60_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: meta.AppendTo(nil)}}
	for {
		req.MemberID = m.id
		r, err := m.conn.ask(req)
		if m.stopped() {
			return
		}
		check("join", err)
		joined := r.(*kmsg.JoinGroupResponse)
		switch err := kerr.ErrorForCode(joined.ErrorCode); err {
		case nil:
			m.id = joined.MemberID
			if m.sync(joined) {
				return
			}
		case kerr.MemberIDRequired:
			m.id = joined.MemberID
		case kerr.UnknownMemberID:
			m.id = ""
		case kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.RebalanceInProgress:
			time.Sleep(10 * time.Millisecond)
		default:
			die("join:", err)
		}
	}
}

// sync ends the rebalance; false if another one has begun.
func (m *member) sync(joined *kmsg.JoinGroupResponse) bool {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 3, m.group, m.id, joined.Generation
	if joined.LeaderID == m.id {
		req.GroupAssignment = m.assign(joined.Members)
	}
	r, err := m.conn.ask(req)
	if m.stopped() {
		return true
	}
	check("sync", err)
	if err := kerr.ErrorForCode(r.(*kmsg.SyncGroupResponse).ErrorCode); err != nil {
		return false // the next join tells more
	}
	m.set(joined.Generation)
	return true
}

// assign hands the partitions out in turn.
func (m *member) assign(members []kmsg.JoinGroupResponseMember) []kmsg.SyncGroupRequestGroupAssignment {
	slices.SortFunc(members, func(a, b kmsg.JoinGroupResponseMember) int {
		if a.MemberID < b.MemberID {
			return -1
		}
		return 1
	})
	out := make([]kmsg.SyncGroupRequestGroupAssignment, len(members))
	for i, member := range members {
		a := kmsg.NewConsumerMemberAssignment()
		a.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: m.topic}}
		for p := i; p < m.partitions; p += len(members) {
			a.Topics[0].Partitions = append(a.Topics[0].Partitions, int32(p))
		}
		out[i] = kmsg.SyncGroupRequestGroupAssignment{MemberID: member.MemberID, MemberAssignment: a.AppendTo(nil)}
	}
	return out
}

// heartbeat says that the member lives; false if it has to join again.
func (m *member) heartbeat() bool {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 3, m.group, m.id, m.stable()
	r, err := m.conn.ask(req)
	if m.stopped() {
		return true
	}
	check("heartbeat", err)
	return r.(*kmsg.HeartbeatResponse).ErrorCode == 0
}

// live is a member's life, until it is stopped.
func (m *member) live(every time.Duration) {
	m.join()
	for {
		time.Sleep(every)
		if m.stopped() {
			return
		}
		if !m.heartbeat() {
			m.join()
		}
	}
}

// leave says that the member goes.
func (m *member) leave() {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group, req.MemberID = 1, m.group, m.id
	_, err := m.conn.ask(req)
	check("leave", err)
}

func (m *member) set(generation int32) {
	m.mu.Lock()
	m.generation = generation
	m.mu.Unlock()
}

func (m *member) stable() int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.generation
}

func (m *member) stopped() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stop
}

// quit makes live end.
func (m *member) quit() {
	m.mu.Lock()
	m.stop = true
	m.mu.Unlock()
}
