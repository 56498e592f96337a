package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/random"
)

// broken says which of its invariants a group breaks.
func broken(m *Machine, g *group) string {
	joining, unsynced, static := 0, 0, 0
	for i, x := range g.members {
		switch {
		case g.member(x.id) != x || slices.ContainsFunc(g.members[:i], func(y *member) bool { return y.id == x.id }):
			return fmt.Sprintf("%s is not found, or twice", x.id)
		case g.pending[x.id] != nil || x.pending:
			return fmt.Sprintf("%s is a member and pending", x.id)
		case x.join != nil && g.state != PreparingRebalance, x.sync != nil && g.state != CompletingRebalance:
			return fmt.Sprintf("%s waits in state %v", x.id, g.state)
		case x.instance != nil && g.static[*x.instance] != x:
			return fmt.Sprintf("%s is not the instance %s", x.id, *x.instance)
		case x.session.pos == 0 && (x.isNew || x.join == nil && x.sync == nil):
			return fmt.Sprintf("%s never expires", x.id)
		}
		if x.join != nil {
			joining++
		}
		if x.unsynced {
			unsynced++
		}
		if x.instance != nil {
			static++
		}
	}
	switch {
	case joining != g.joining || unsynced != g.unsynced || static != len(g.static):
		return fmt.Sprintf("%d wait, %d are counted; %d have not synced, %d are counted; %d are static, %d are known", joining, g.joining, unsynced, g.unsynced, static, len(g.static))
	case g.byID != nil && len(g.byID) != len(g.members):
		return "the index has not as many as there are"
	case (g.state == Empty) != (len(g.members) == 0) && g.state != PreparingRebalance:
		return fmt.Sprintf("%v with %d members", g.state, len(g.members))
	case (g.leader == "") != (len(g.members) == 0) || g.leader != "" && g.member(g.leader) == nil:
		return fmt.Sprintf("%q leads", g.leader)
	case (g.state == Stable || g.state == CompletingRebalance) && (g.protocol == nil || g.protocolType == ""):
		return "no protocol"
	case g.state == PreparingRebalance && g.phase.pos == 0, g.unsynced > 0 && g.phase.pos == 0, g.state == Empty && g.phase.pos != 0:
		return fmt.Sprintf("%v, and the timer of the phase is at %d", g.state, g.phase.pos)
	}
	for id, p := range g.pending {
		if p.id != id || !p.pending || p.session.pos == 0 {
			return fmt.Sprintf("pending %s never expires", id)
		}
	}
	return ""
}

// TestSimGarbage sends what no client would: the machine must not break, and answers every call in the end.
func TestSimGarbage(t *testing.T) {
	for i := range uint64(max(*simSeeds/2, 1)) {
		if err := garbage(*simSeed + i); err != "" {
			t.Fatalf("seed %d: %s", *simSeed+i, err)
		}
	}
}

func garbage(seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 6))
	one := func(all ...string) string { return all[rng.IntN(len(all))] }
	s := Settings{MinSessionTimeout: 0, MaxSessionTimeout: 1 << 62, MaxSize: 1 + rng.IntN(60), MaxMetadataBytes: 10, MaxRecordBytes: rng.IntN(3) * 4000,
		RetentionCheck: time.Minute, InitialRebalanceDelay: time.Duration(rng.IntN(3)) * time.Second}
	m := New(s, random.Seeded(rng.Uint64()), nil)
	out := &coordinator.Out{}
	now := start
	m.Loaded(now, out)
	var log []coordinator.Record
	ids := []string{"", "x"}
	calls, answers := 0, 0
	done := func(response any, _ error) {
		answers++
		if a, ok := response.(*JoinResponse); ok && a.Member != "" {
			ids = append(ids, a.Member)
		}
	}
	instance := func() *string {
		if rng.IntN(3) > 0 {
			return nil
		}
		return new(one("i", "j", "", "k", "l", "m"))
	}
	span := func() time.Duration {
		if rng.IntN(8) > 0 {
			return time.Duration(1+rng.IntN(20)) * time.Second
		}
		return []time.Duration{-1, 0, 1, time.Hour, 1 << 61, -1 << 61}[rng.IntN(6)]
	}
	odd := 2 + rng.IntN(30) // one of so many things is odd
	crowd := 0
	if rng.IntN(4) == 0 {
		crowd = 40 // so many that they are indexed
	}
	for n := range 400 {
		group, member := "g", ids[rng.IntN(len(ids))]
		if rng.IntN(odd) == 0 {
			group = one("h", "")
		}
		if g := m.find(group); g != nil && len(g.members) > 0 && rng.IntN(3) > 0 {
			if member = g.members[rng.IntN(len(g.members))].id; rng.IntN(3) == 0 {
				member = g.leader
			}
		}
		generation := int32(rng.IntN(4) - 1)
		if g := m.find(group); g != nil && rng.IntN(odd) > 0 {
			generation = g.generation
		}
		var r any
		kind := rng.IntN(12)
		if n < crowd {
			kind = 0
		}
		switch kind {
		case 0, 1, 2, 3:
			j := &JoinRequest{Group: group, Member: member, Instance: instance(), ClientID: one("", "c"), SessionTimeout: span(), RebalanceTimeout: span(),
				ProtocolType: consumerType, RequireMemberID: rng.IntN(3) == 0, SkipAssignment: rng.IntN(2) == 0}
			if rng.IntN(3) == 0 || n < crowd {
				j.Member, j.RequireMemberID = "", n > crowd && j.RequireMemberID
			}
			if rng.IntN(odd) == 0 {
				j.ProtocolType = one("connect", "")
			}
			if rng.IntN(odd) > 0 {
				j.Protocols = append(j.Protocols, Protocol{"b", subscriptionOf("t")})
			}
			for range rng.IntN(3) {
				j.Protocols = append(j.Protocols, Protocol{one("", "a", "b", "b"), []byte(one("", "x", string(subscriptionOf("t"))))})
			}
			r = j
		case 4, 5, 6:
			r = &SyncRequest{Group: group, Generation: generation, Member: member, Assignments: []Assignment{{member, make([]byte, rng.IntN(400))}, {member, nil}, {"x", nil}}}
			if rng.IntN(odd) == 0 {
				r.(*SyncRequest).Instance, r.(*SyncRequest).ProtocolType, r.(*SyncRequest).Protocol = instance(), new(one("consumer", "x")), new(one("a", "b"))
			}
		case 7:
			r = &HeartbeatRequest{Group: group, Generation: generation, Member: member, Instance: instance()}
		case 8:
			r = &LeaveRequest{Group: group, Members: []LeaveMember{{Member: member, Instance: instance()}, {Instance: instance()}}[:rng.IntN(3)]}
		case 9:
			r = []any{&DescribeRequest{Group: group}, &ListRequest{States: []string{one("", "stable")}}, &DeleteRequest{Group: group}}[rng.IntN(3)]
		case 10:
			r = &CommitRequest{Group: group, Generation: generation, Member: member, Instance: instance(), Topics: []CommitTopic{{Topic: "t", Partitions: []CommitPartition{{Partition: int32(rng.IntN(3) - 1), Metadata: one("", "too long for this")}}}}}
		case 11:
			r = &DeleteOffsetsRequest{Group: group, Topics: []FetchTopic{{Topic: "t", Partitions: []int32{0, 0, -1}}}}
		}
		calls++
		m.Step(now, coordinator.NewCall(r, done), out)
		out.Deliver()
		if rng.IntN(12) == 0 {
			now = now.Add(time.Duration(rng.IntN(8000)) * time.Millisecond)
		}
		for n := 0; !m.Due().IsZero() && !m.Due().After(now); n++ {
			if m.Tick(now, out); n > 100 {
				return "there is no end of what is due"
			}
			out.Deliver()
		}
		log = append(log, out.Records...)
		out.Records = nil
		for _, g := range m.groups {
			if what := broken(m, g); what != "" {
				return fmt.Sprintf("%s: after %T %+v: %s", g.id, r, r, what)
			}
		}
		if what := miscounted(m); what != "" {
			return fmt.Sprintf("after %T %+v: %s", r, r, what)
		}
		if rng.IntN(100) == 0 {
			m = New(s, random.Seeded(rng.Uint64()), nil)
			for _, r := range log {
				if err := m.Replay(r); err != nil {
					return err.Error()
				}
			}
			m.Loaded(now, out)
			calls, answers = 0, 0 // the shard answers those that were held
		}
	}
	if held := heldCalls(m); calls-answers != held {
		return fmt.Sprintf("%d calls of %d have no answer, %d are held", calls-answers, calls, held)
	}
	return ""
}

// miscounted says whether the count of groups that have offsets of a topic is wrong.
func miscounted(m *Machine) string {
	counted := map[string]int{}
	for _, g := range m.groups {
		for topic := range g.offsets.topics {
			counted[topic]++
		}
	}
	if !maps.Equal(counted, m.committed) {
		return fmt.Sprintf("groups with offsets by topic: %v, counted as %v", counted, m.committed)
	}
	return ""
}

func heldCalls(m *Machine) (n int) {
	for _, g := range m.groups {
		for _, x := range g.members {
			if x.join != nil {
				n++
			}
			if x.sync != nil {
				n++
			}
		}
	}
	return n
}
