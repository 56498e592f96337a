package controller

import (
	"slices"
	"strconv"
	"testing"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// moving is a topic of one partition that is reassigned.
type moving struct{ *altering }

func newMoving(t *testing.T, brokers int, replicas ...int32) moving {
	b := newBench(t, 1, brokers)
	created := b.create(NewTopic{Name: "a", Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, replicas}}})
	if created[0].Error.Failed() {
		t.Fatal(created[0].Error)
	}
	return moving{&altering{b, created[0].ID}}
}

func (m moving) now() *metadata.Partition { return m.img.Partition(m.topic, 0) }

// to asks for replicas; none cancels.
func (m moving) to(want protocol.ErrorCode, replicas ...int32) {
	m.t.Helper()
	got := m.do(&Reassign{Partitions: []Reassignment{{"a", 0, replicas}}}).(*ReassignResponse).Errors[0]
	if got.Code != want {
		m.t.Fatalf("reassign to %v: %v", replicas, got)
	}
}

// minISR sets min.insync.replicas of the topic.
func (m moving) minISR(n int) {
	m.t.Helper()
	set := ConfigOp{"min.insync.replicas", OpSet, new(strconv.Itoa(n))}
	r := m.do(&AlterConfigs{Resources: []AlterResource{{Resource: metadata.Resource{Type: metadata.ResourceTopic, Name: "a"}, Ops: []ConfigOp{set}}}})
	if err := r.(*AlterConfigsResponse).Resources[0].Error; err.Failed() {
		m.t.Fatal(err)
	}
}

// inSync lets the leader propose an ISR, which the controller takes.
func (m moving) inSync(isr ...int32) {
	m.t.Helper()
	leader := m.now().Leader
	r := m.do(&AlterPartition{Broker: leader, Epoch: m.img.Broker(leader).Epoch, Partitions: []ProposedISR{m.proposal(isr...)}}).(*AlterPartitionResponse)
	if r.Error.Failed() || r.Partitions[0].Error.Failed() {
		m.t.Fatalf("the ISR %v is refused: %+v", isr, r)
	}
}

// is checks assignment, ISR and leader.
func (m moving) is(replicas, adding, removing, isr []int32, leader int32) {
	m.t.Helper()
	p, under := m.now(), metadata.Reassignment{}
	if p.Reassignment != nil {
		under = *p.Reassignment
	}
	if !slices.Equal(p.Replicas, replicas) || !slices.Equal(under.Adding, adding) || !slices.Equal(under.Removing, removing) || !slices.Equal(p.ISR, isr) || p.Leader != leader {
		m.t.Fatalf("%+v, under way %+v; want %v, adding %v, removing %v, ISR %v, leader %d", p, under, replicas, adding, removing, isr, leader)
	}
	if (p.Reassignment == nil) != (len(adding)+len(removing) == 0) || len(p.Directories) != len(p.Replicas) {
		m.t.Fatalf("%+v", p)
	}
	for i, id := range p.Replicas {
		if p.Directories[i] != m.img.Broker(id).Directories[0] {
			m.t.Errorf("the directory of %d is %s", id, p.Directories[i])
		}
	}
}

// TestReassignToOthers: old and new replicas are there until the new ones are in sync; the leader goes when all of them are.
func TestReassignToOthers(t *testing.T) {
	m := newMoving(t, 6, 0, 1, 2)
	m.to(0, 3, 4, 5)
	m.is([]int32{3, 4, 5, 0, 1, 2}, []int32{3, 4, 5}, []int32{0, 1, 2}, []int32{0, 1, 2}, 0)
	if p := m.now(); p.LeaderEpoch != 0 || p.Factor() != 3 {
		t.Errorf("leader epoch %d, factor %d", p.LeaderEpoch, p.Factor())
	}
	m.to(0, 3, 4, 5) // the same again
	if len(m.records) != 0 {
		t.Errorf("the same again writes %v", m.records)
	}
	m.inSync(0, 1, 2, 4)
	m.is([]int32{3, 4, 5, 0, 1, 2}, []int32{3, 4, 5}, []int32{0, 1, 2}, []int32{0, 1, 2, 4}, 0)
	m.fence(1, Fenced)
	m.is([]int32{3, 4, 5, 0, 1, 2}, []int32{3, 4, 5}, []int32{0, 1, 2}, []int32{0, 2, 4}, 0)
	m.inSync(0, 2, 3, 4)
	before := m.now()
	m.inSync(0, 2, 3, 4, 5)
	m.is([]int32{3, 4, 5}, nil, nil, []int32{3, 4, 5}, 3)
	if p := m.now(); p.LeaderEpoch != before.LeaderEpoch+1 || p.PartitionEpoch != before.PartitionEpoch+1 {
		t.Errorf("%+v after %+v", p, before)
	}
	m.to(protocol.NoReassignmentInProgress)
}

// TestReassignWithoutACopy: another order, and fewer replicas where those that stay are in sync, are there at once.
func TestReassignWithoutACopy(t *testing.T) {
	m := newMoving(t, 3, 0, 1, 2)
	m.to(0, 2, 0, 1)
	m.is([]int32{2, 0, 1}, nil, nil, []int32{0, 1, 2}, 0)
	if p := m.now(); p.LeaderEpoch != 0 {
		t.Errorf("another order changes the leader epoch to %d", p.LeaderEpoch)
	}
	m.to(0, 2, 0)
	m.is([]int32{2, 0}, nil, nil, []int32{0, 2}, 0)
	if p := m.now(); p.LeaderEpoch != 1 {
		t.Errorf("who was taken out does not hear of it: leader epoch %d", p.LeaderEpoch)
	}
	m.to(0, 2)
	m.is([]int32{2}, nil, nil, []int32{2}, 2)
	m.to(0, 2, 1)
	m.is([]int32{2, 1}, []int32{1}, nil, []int32{2}, 2)
	if m.now().Factor() != 1 {
		t.Errorf("a replica that has nothing yet counts: %+v", m.now())
	}
	m.inSync(2, 1)
	m.is([]int32{2, 1}, nil, nil, []int32{2, 1}, 2)
}

// TestReassignWaitsForWhoStays: nobody is taken out before all that are to stay are in sync, so that the ISR does not shrink by it.
func TestReassignWaitsForWhoStays(t *testing.T) {
	m := newMoving(t, 3, 0, 1, 2)
	m.fence(2, Fenced)
	m.to(0, 2, 1)
	m.is([]int32{2, 1, 0}, nil, []int32{0}, []int32{0, 1}, 0)
	m.fence(2, Unfenced)
	m.inSync(0, 1, 2)
	m.is([]int32{2, 1}, nil, nil, []int32{1, 2}, 2)
}

// TestReassignToWhoIsDead: nothing is lost, and it can be cancelled.
func TestReassignToWhoIsDead(t *testing.T) {
	m := newMoving(t, 2, 0)
	m.fence(1, Fenced)
	m.to(0, 1)
	m.is([]int32{1, 0}, []int32{1}, []int32{0}, []int32{0}, 0)
	m.fence(0, Fenced)
	m.fence(1, Unfenced)
	if p := m.now(); p.Leader != metadata.NoLeader || !slices.Equal(p.ELR, []int32{0}) {
		t.Fatalf("%+v", p)
	}
	m.fence(0, Unfenced)
	m.to(0)
	m.is([]int32{0}, nil, nil, []int32{0}, 0)
}

func TestReassignCancelled(t *testing.T) {
	m := newMoving(t, 5, 0, 1)
	m.to(0, 2, 3, 1)
	m.inSync(0, 1, 3)
	m.is([]int32{2, 3, 1, 0}, []int32{2, 3}, []int32{0}, []int32{0, 1, 3}, 0)
	before := m.now()
	m.to(0)
	m.is([]int32{1, 0}, nil, nil, []int32{0, 1}, 0)
	if p := m.now(); p.LeaderEpoch != before.LeaderEpoch+1 {
		t.Errorf("leader epoch %d: who was taken out must hear of it", p.LeaderEpoch)
	}

	// Only new ones are in sync: to go back would lose records.
	m = newMoving(t, 3, 0)
	m.to(0, 1, 2)
	m.inSync(0, 1)
	m.fence(0, Fenced)
	m.is([]int32{1, 2, 0}, []int32{1, 2}, []int32{0}, []int32{1}, 1)
	m.to(protocol.InvalidReplicaAssignment)
	m.fence(1, Fenced) // and so does the last of them
	if p := m.now(); len(p.ISR) != 0 || !slices.Equal(p.ELR, []int32{1}) {
		t.Fatalf("%+v", p)
	}
	m.to(protocol.InvalidReplicaAssignment)
	m.fence(1, Unfenced)
	m.do(&AlterConfigs{Resources: []AlterResource{{Resource: metadata.Resource{Type: metadata.ResourceTopic, Name: "a"},
		Ops: []ConfigOp{{"unclean.leader.election.enable", OpSet, new("true")}}}}})
	m.fence(0, Unfenced)
	m.to(0)
	m.is([]int32{0}, nil, nil, []int32{0}, 0)
	if !m.now().Recovering {
		t.Error("an unclean election is not marked")
	}
}

// TestReassignElsewhere gives a reassignment under way another end.
func TestReassignElsewhere(t *testing.T) {
	m := newMoving(t, 5, 0, 1)
	m.to(0, 0, 2)
	m.to(0, 0, 3)
	m.is([]int32{0, 3, 1}, []int32{3}, []int32{1}, []int32{0, 1}, 0)
	m.to(0, 0, 1)
	m.is([]int32{0, 1}, nil, nil, []int32{0, 1}, 0)
	m.to(0, 4, 3)
	m.to(0, 3, 0, 4)
	m.is([]int32{3, 0, 4, 1}, []int32{3, 4}, []int32{1}, []int32{0, 1}, 0)
	m.inSync(0, 1, 3, 4)
	m.is([]int32{3, 0, 4}, nil, nil, []int32{0, 3, 4}, 0)
}

// TestReassignElsewhereDropsWhoHasNothing: replicas that were to come and are not to come any more count for min.insync.replicas no longer, so that
// producers go on while the ones that are to come now copy.
func TestReassignElsewhereDropsWhoHasNothing(t *testing.T) {
	m := newMoving(t, 5, 0)
	m.minISR(2)
	m.to(0, 1, 2)
	epoch := m.now().LeaderEpoch
	m.to(0, 3)
	m.is([]int32{3, 0}, []int32{3}, []int32{0}, []int32{0}, 0)
	if p := m.now(); p.Factor() != 1 || p.LeaderEpoch != epoch+1 {
		t.Errorf("factor %d, leader epoch %d after %d: who was taken out must hear of it", p.Factor(), p.LeaderEpoch, epoch)
	}

	// Who is in sync goes as well where the ISR is large enough without.
	m.to(0, 3, 2)
	m.inSync(0, 3)
	m.to(0, 4, 0)
	m.is([]int32{4, 0}, []int32{4}, nil, []int32{0}, 0)

	// It stays where it is not: what is committed may be there only, or on too few others.
	m = newMoving(t, 5, 0, 1)
	m.minISR(2)
	m.fence(1, Fenced)
	m.to(0, 2, 3)
	m.inSync(0, 2)
	m.to(0, 4, 0)
	m.is([]int32{4, 0, 1, 2}, []int32{4}, []int32{1, 2}, []int32{0, 2}, 0)
	m.inSync(0, 2, 4)
	m.is([]int32{4, 0}, nil, nil, []int32{0, 4}, 0)

	m = newMoving(t, 5, 0)
	m.to(0, 1, 2)
	m.inSync(0, 1)
	m.fence(0, Fenced)
	m.to(0, 3)
	m.is([]int32{3, 0, 1}, []int32{3}, []int32{0, 1}, []int32{1}, 1)

	// Nor does one go that may be elected.
	m = newMoving(t, 5, 0)
	m.minISR(2)
	m.to(0, 1, 2)
	m.inSync(0, 1)
	m.fence(0, Fenced)
	m.fence(1, Fenced)
	if p := m.now(); !slices.Contains(p.ELR, 1) {
		t.Fatalf("%+v", p)
	}
	m.to(0, 3)
	m.is([]int32{3, 0, 1}, []int32{3}, []int32{0, 1}, []int32{}, metadata.NoLeader)
}

// TestUncleanElectionSparesWhoHasNothing: of those that are no longer in sync one that had the records leads, not one that was being added.
func TestUncleanElectionSparesWhoHasNothing(t *testing.T) {
	m := newMoving(t, 3, 0, 1)
	m.inSync(0)
	m.to(0, 2, 1)
	m.fence(0, Fenced)
	if r := m.do(&ElectLeaders{Election: UncleanElection, All: true}).(*ElectLeadersResponse); len(r.Topics[0].Partitions) != 1 || r.Topics[0].Partitions[0].Error.Failed() {
		t.Fatalf("%+v", r)
	}
	if p := m.now(); p.Leader != 1 {
		t.Errorf("%+v", p)
	}
}

func TestReassignAnswers(t *testing.T) {
	m := newMoving(t, 3, 0, 1)
	for _, c := range []struct {
		keep     bool
		topic    string
		number   int32
		replicas []int32
		want     protocol.ErrorCode
	}{
		{false, "a", 0, nil, protocol.NoReassignmentInProgress},
		{false, "b", 0, nil, protocol.UnknownTopicOrPartition},
		{false, "a", 1, []int32{0}, protocol.UnknownTopicOrPartition},
		{false, "a", -1, []int32{0}, protocol.UnknownTopicOrPartition},
		{false, "a", 0, []int32{}, protocol.InvalidReplicaAssignment},
		{false, "a", 0, []int32{9}, protocol.InvalidReplicaAssignment},
		{false, "a", 0, []int32{2, 2}, protocol.InvalidReplicaAssignment},
		{true, "a", 0, []int32{0}, protocol.InvalidReplicationFactor},
		{true, "a", 0, []int32{0, 1, 2}, protocol.InvalidReplicationFactor},
		{true, "a", 0, []int32{2, 1}, protocol.None},
		{true, "a", 0, []int32{2, 1, 0}, protocol.InvalidReplicationFactor}, // it is to be two, though three are there
	} {
		got := m.do(&Reassign{KeepFactor: c.keep, Partitions: []Reassignment{{c.topic, c.number, c.replicas}}}).(*ReassignResponse).Errors[0]
		if got.Code != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	// Each of a request is on its own, and sees what came before it.
	codes := []protocol.ErrorCode{}
	for _, e := range m.do(&Reassign{Partitions: []Reassignment{{"a", 0, nil}, {"a", 0, nil}, {"a", 0, []int32{1}}, {"a", 0, []int32{1, 2}}}}).(*ReassignResponse).Errors {
		codes = append(codes, e.Code)
	}
	if !slices.Equal(codes, []protocol.ErrorCode{0, protocol.NoReassignmentInProgress, 0, 0}) {
		t.Errorf("%v", codes)
	}
	m.is([]int32{1, 2}, []int32{2}, nil, []int32{1}, 1)
	if got := m.create(NewTopic{Name: "b", Partitions: 1, ReplicationFactor: 1})[0]; got.Error.Failed() {
		t.Fatal(got.Error)
	}
	// New partitions get as many replicas as the first one is to have at present.
	m.do(&CreatePartitions{Topics: []MorePartitions{{"a", 2, nil}}})
	if p := m.img.Partition(m.topic, 1); p == nil || len(p.Replicas) != 1 {
		t.Errorf("%+v", p)
	}
}
