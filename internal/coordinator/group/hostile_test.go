package group

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// hostileJoin joins a static member of group "g" and returns the answer, nil while there is none.
func hostileJoin(m *Machine, now time.Time, instance string, protocols []Protocol) (resp *JoinResponse, records []coordinator.Record) {
	out := &coordinator.Out{}
	call := coordinator.NewCall(&JoinRequest{Group: "g", Instance: &instance, SessionTimeout: time.Minute, RebalanceTimeout: time.Minute,
		ProtocolType: consumerType, Protocols: protocols}, func(r any, _ error) { resp = r.(*JoinResponse) })
	m.Step(now, call, out)
	m.Tick(now, out)
	records = out.Records
	out.Deliver()
	return resp, records
}

// TestLongestInstance: with an instance id as long as a request can hold, the member id that is made of it can be told neither to the
// client nor to the log, and a log that holds it anyway is never loaded again.
func TestLongestInstance(t *testing.T) {
	range1 := []Protocol{{Name: "range"}}
	m := newTestMachine(Settings{})
	if resp, _ := hostileJoin(m, start, strings.Repeat("i", 1<<15-1), range1); resp == nil || resp.Code != protocol.UnknownServerError || resp.Member != "" {
		t.Errorf("an instance of 32767 bytes is answered %+v", resp)
	}
	longest := strings.Repeat("i", 1<<15-1-37)
	resp, log := hostileJoin(m, start, longest, range1)
	if resp == nil || resp.Code != protocol.None || len(resp.Member) != 1<<15-1 {
		t.Fatalf("an instance of 32730 bytes is answered %.100v", resp)
	}
	out := &coordinator.Out{}
	m.Step(start, coordinator.NewCall(&SyncRequest{Group: "g", Generation: resp.Generation, Member: resp.Member, Instance: &longest,
		Assignments: []Assignment{{Member: resp.Member, Bytes: []byte("a")}}}, nil), out)
	if log = append(log, out.Records...); len(log) == 0 {
		t.Fatal("nothing is stored")
	}
	loaded := New(m.settings, m.rnd, nil)
	for _, r := range log {
		if err := loaded.Replay(r); err != nil {
			t.Fatal(err)
		}
	}
	if g := loaded.find("g"); g == nil || g.member(resp.Member) == nil {
		t.Error("the member is not there after a load")
	}
}

// TestManyProtocols lets members name as many protocols as a request may hold. Comparing each with each would take hours, in which no
// other group of the partition is served.
func TestManyProtocols(t *testing.T) {
	const many = 200_000
	protocols := make([]Protocol, many)
	for i := range protocols {
		protocols[i].Name = fmt.Sprint("protocol-", i)
	}
	others := make([]Protocol, many)
	for i := range others {
		others[i].Name = fmt.Sprint("another-", i)
	}
	within(t, func() {
		m := newTestMachine(Settings{})
		if resp, _ := hostileJoin(m, start, "a", protocols); resp == nil || resp.Code != protocol.None {
			t.Errorf("the first is answered %+v", resp)
		}
		if resp, _ := hostileJoin(m, start, "b", others); resp == nil || resp.Code != protocol.InconsistentGroupProtocol {
			t.Errorf("one with other protocols is answered %+v", resp)
		}
		if resp, _ := hostileJoin(m, start, "c", append(slices.Clone(others), protocols[many-1])); resp != nil {
			t.Errorf("one with a common protocol is answered %+v", resp)
		}
	})
}

// TestManyLeaveAtOnce takes out a large group in one request, some members twice.
func TestManyLeaveAtOnce(t *testing.T) {
	const many = 60_000
	m := newTestMachine(Settings{})
	ids, _ := stable(m, "g", many)
	leave := &LeaveRequest{Group: "g"}
	for _, id := range ids {
		leave.Members = append(leave.Members, LeaveMember{Member: id})
	}
	leave.Members = append(leave.Members, LeaveMember{Member: ids[0]}, LeaveMember{Member: "nobody"})
	within(t, func() {
		var resp *LeaveResponse
		out := &coordinator.Out{}
		m.Step(start, coordinator.NewCall(leave, func(r any, _ error) { resp = r.(*LeaveResponse) }), out)
		out.Deliver()
		for i, r := range resp.Members {
			if want := map[bool]protocol.ErrorCode{true: protocol.None, false: protocol.UnknownMemberID}[i < many]; r.Code != want {
				t.Fatalf("member %d is answered %v, want %v", i, r.Code, want)
			}
		}
		if g := m.find("g"); g.state != Empty || broken(m, g) != "" {
			t.Errorf("the group is %v: %s", g.state, broken(m, g))
		}
	})
}

// TestTopicsComeAndGoBesideManyGroups deletes topics of which no group has offsets, and a few of which one has. The groups, all of which
// wait meanwhile, must not be gone through for each.
func TestTopicsComeAndGoBesideManyGroups(t *testing.T) {
	m := newTestMachine(Settings{})
	out := &coordinator.Out{}
	commit := func(group, topic string) {
		m.Step(start, coordinator.NewCall(&CommitRequest{Group: group, Generation: -1, Retention: -1,
			Topics: []CommitTopic{{Topic: topic, Partitions: []CommitPartition{{Offset: 7}}}}}, nil), out)
		*out = coordinator.Out{}
	}
	for i := range 100_000 {
		commit(fmt.Sprint("group-", i), "orders")
	}
	within(t, func() {
		for i := range 3000 {
			topic := fmt.Sprint("short-lived-", i)
			if i%1000 == 0 {
				commit("group-7", topic)
			}
			m.Step(start, coordinator.NewCall(&TopicsDeleted{Topics: []DeletedTopic{{Topic: topic}}}, nil), out)
			for now := start; len(m.upkeep.sweeps) > 0; now = m.Due() {
				m.Tick(now, out)
			}
			if n := len(out.Records); n != 0 && i%1000 != 0 || n != 1 && i%1000 == 0 {
				t.Fatalf("the end of topic %d wrote %d records", i, n)
			}
			out.Records = nil
		}
	})
	if what := miscounted(m); what != "" || m.find("group-7").offsets.count() != 1 {
		t.Errorf("%s; %d offsets are left", what, m.find("group-7").offsets.count())
	}
}

// TestCommitThatComesAfterTheTopic is a commit that passed the handler before its topic was deleted. Nothing of it may be left for the next
// topic of that name, whose own commits count.
func TestCommitThatComesAfterTheTopic(t *testing.T) {
	m := newTestMachine(Settings{})
	out := &coordinator.Out{}
	id := func(n int) (id uuid.UUID) {
		binary.BigEndian.PutUint32(id[:], uint32(n+1))
		return id
	}
	commit := func(n int) (code protocol.ErrorCode) {
		out.Records = nil
		m.Step(start, coordinator.NewCall(&CommitRequest{Group: "g", Generation: -1, Retention: -1, Topics: []CommitTopic{
			{Topic: "orders", ID: id(n), Partitions: []CommitPartition{{Offset: int64(n)}}}, {Topic: "none", ID: id(-1)},
		}}, func(r any, _ error) { code = r.(*CommitResponse).Topics[0].Partitions[0].Code }), out)
		out.Deliver()
		return code
	}
	for n := range 2 * goneMax {
		if code := commit(n); code != protocol.None || len(out.Records) != 1 {
			t.Fatalf("commit %d is answered %v, %d records", n, code, len(out.Records))
		}
		m.Step(start, coordinator.NewCall(&TopicsDeleted{Topics: []DeletedTopic{{"orders", id(n)}}}, nil), out)
		for m.Tick(start, out); len(m.upkeep.sweeps) > 0; m.Tick(m.Due(), out) {
		}
		if code := commit(n); code != protocol.UnknownTopicOrPartition || len(out.Records) != 0 {
			t.Fatalf("a commit for topic %d, which is gone, is answered %v, %d records", n, code, len(out.Records))
		}
		if g := m.find("g"); g != nil && g.offsets.count() != 0 {
			t.Fatalf("%d offsets are left of topic %d", g.offsets.count(), n)
		}
	}
	if cap(m.gone.ids) > goneMax+goneSpare {
		t.Errorf("there is room for %d topics", cap(m.gone.ids))
	}
}

// within fails if f takes far longer than it should on the slowest machine.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Minute): // what is meant takes hours
		t.Fatal("not over in 5 minutes")
	}
}
