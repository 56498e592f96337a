package controller

import (
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// TestAssignDirectories: a broker says where its replicas are; of what it does not have, and of what is known, nothing is noted.
func TestAssignDirectories(t *testing.T) {
	b := newBench(t, 2, 1)
	b.create(auto("a"))
	id := b.img.Topic("a").ID
	broker := b.img.Topic("a").Partitions[0].Replicas[0]
	home := b.img.Broker(broker).Directories[0]
	assign := func(broker int32, asked ...AssignDirectory) int {
		t.Helper()
		return b.do(&AssignDirectories{Broker: broker, Replicas: asked}).(*AssignDirectoriesResponse).Assigned
	}
	other := uuid.UUID{7}
	if n := assign(broker, AssignDirectory{id, 0, other}, AssignDirectory{id, 99, home}, AssignDirectory{other, 0, home}); n != 0 {
		t.Errorf("%d were assigned to a directory or of a partition that is none", n)
	}
	second := uuid.UUID{9}
	b.do(&RegisterBroker{ClusterID: b.img.ClusterID(), ID: broker, Incarnation: b.img.Broker(broker).Incarnation, Directories: []uuid.UUID{home, second}})
	if n := assign(broker, AssignDirectory{id, 0, home}, AssignDirectory{id, 0, second}); n != 1 {
		t.Errorf("%d were assigned, want the last of two", n)
	}
	p := b.img.Topic("a").Partitions[0]
	if !slices.Contains(p.Directories, second) || len(p.Directories) != len(p.Replicas) {
		t.Errorf("%+v", p)
	}
	if n := assign(broker, AssignDirectory{id, 0, second}); n != 0 {
		t.Errorf("%d were assigned again", n)
	}
	if n := assign(broker+100, AssignDirectory{id, 0, second}); n != 0 {
		t.Errorf("%d were assigned by a broker that is none", n)
	}
}

// TestLoseReplicas: a replica that has less than when its broker stopped leads nothing while somebody has all of it, alive or not. Who is the only one that is counted on stays.
func TestLoseReplicas(t *testing.T) {
	b := newBench(t, 1, 3)
	for _, name := range []string{"a", "b", "one"} {
		a := NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{0, 1, 2}}}}
		if name == "one" {
			a.Assignments[0].Brokers = []int32{0}
		}
		b.create(a)
	}
	at := func(name string) *metadata.Partition { return b.img.Topic(name).Partitions[0] }
	for _, id := range []int32{2, 1, 0} { // 1 and 0 are in the ELR
		b.fence(id, Fenced)
	}
	lost := LoseReplicas{Broker: 0, Epoch: b.img.Broker(0).Epoch, Replicas: []LostReplica{{b.img.Topic("a").ID, 0}, {b.img.Topic("one").ID, 0}, {b.img.Topic("a").ID, 0}, {b.img.Topic("a").ID, 1}}}
	if e := b.do(&lost).(*LoseReplicasResponse).Error; e.Failed() {
		t.Fatal(e)
	}
	b.fence(0, Unfenced)
	if p := at("a"); p.Leader != metadata.NoLeader || !slices.Equal(p.ELR, []int32{1}) {
		t.Errorf("who has less leads, or keeps others from it: %+v", p)
	}
	for _, name := range []string{"b", "one"} {
		if p := at(name); p.Leader != 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	b.fence(1, Unfenced)
	if p := at("a"); p.Leader != 1 {
		t.Errorf("who has all does not lead: %+v", p)
	}
	lost.Epoch--
	if e := b.do(&lost).(*LoseReplicasResponse).Error; e.Code != protocol.StaleBrokerEpoch {
		t.Errorf("an earlier incarnation: %v", e)
	}
}

// TestLoseDirectories: replicas in a directory that fails leave the ISR, and others lead. Where nobody else can, the leader stays, and is done when
// somebody can. What was there counts as lost when the broker comes back without it, and not before.
func TestLoseDirectories(t *testing.T) {
	b := newBench(t, 3, 3)
	bad, good := uuid.UUID{50}, uuid.UUID{51}
	broker := b.img.Broker(0)
	again := func(incarnation uuid.UUID, dirs ...uuid.UUID) {
		b.do(&RegisterBroker{ClusterID: "cluster", ID: 0, Incarnation: incarnation, Directories: dirs, Unfence: true})
	}
	again(broker.Incarnation, append(slices.Clone(broker.Directories), bad, good)...)
	assigned := func(name string, replicas ...int32) NewTopic {
		return NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, replicas}}}
	}
	names := []string{"leads", "follows", "alone", "elsewhere", "unknown"}
	b.create(assigned("leads", 0, 1, 2), assigned("follows", 1, 0, 2), assigned("alone", 0, 1), assigned("elsewhere", 0, 1, 2), assigned("unknown", 0, 1, 2))
	at := func(name string) *metadata.Partition { return b.img.Topic(name).Partitions[0] }
	for _, name := range names[:4] {
		dir := bad
		if name == "elsewhere" {
			dir = good
		}
		b.do(&AssignDirectories{Broker: 0, Replicas: []AssignDirectory{{b.img.Topic(name).ID, 0, dir}}})
	}
	propose := func(name string, ids ...int32) Error {
		p, a := at(name), ProposedISR{TopicID: b.img.Topic(name).ID}
		a.LeaderEpoch, a.PartitionEpoch = p.LeaderEpoch, p.PartitionEpoch
		for _, id := range ids {
			a.ISR = append(a.ISR, ISRMember{id, b.img.Broker(id).Epoch})
		}
		return b.do(&AlterPartition{Broker: p.Leader, Epoch: b.img.Broker(p.Leader).Epoch, Partitions: []ProposedISR{a}}).(*AlterPartitionResponse).Partitions[0].Error
	}
	if e := propose("alone", 0); e.Failed() {
		t.Fatal(e)
	}
	lose := func(epoch int64, dirs ...uuid.UUID) Error {
		return b.do(&LoseDirectories{Broker: 0, Epoch: epoch, Directories: dirs}).(*LoseDirectoriesResponse).Error
	}
	if e := lose(99, bad); e.Code != protocol.StaleBrokerEpoch {
		t.Errorf("of another incarnation: %+v", e)
	}
	if e := lose(broker.Epoch, b.img.Broker(0).Directories...); e.Code != protocol.InvalidRequest {
		t.Errorf("all of them: %+v", e)
	}
	if e := lose(broker.Epoch, bad); e.Failed() {
		t.Fatal(e)
	}
	check := func(when, name string, leader int32, isr ...int32) {
		t.Helper()
		if p := at(name); p.Leader != leader || !slices.Equal(p.ISR, isr) {
			t.Errorf("%s: %s is led by %d with the ISR %v, want %d and %v", when, name, p.Leader, p.ISR, leader, isr)
		}
	}
	check("after the loss", "leads", 1, 1, 2)
	check("after the loss", "follows", 1, 1, 2)
	check("after the loss", "alone", 0, 0)
	check("after the loss", "elsewhere", 0, 0, 1, 2)
	check("after the loss", "unknown", 0, 0, 1, 2)
	if lose(broker.Epoch, bad); len(b.records) > 0 {
		t.Errorf("once more it is %+v", b.records)
	}
	if e := propose("leads", 0, 1, 2); e.Code != protocol.IneligibleReplica {
		t.Errorf("the replica back in the ISR: %+v", e)
	}
	elect := b.do(&ElectLeaders{Election: PreferredElection, Topics: []TopicPartitions{{"leads", []int32{0}}}}).(*ElectLeadersResponse)
	if code := elect.Topics[0].Partitions[0].Error.Code; code != protocol.PreferredLeaderNotAvailable {
		t.Errorf("the preferred leader: %s", code)
	}
	if e := propose("alone", 0, 1); e.Failed() {
		t.Fatal(e)
	}
	check("once another can lead", "alone", 1, 1)

	// The others die: in the ELR it waits, and does not lead.
	for _, id := range []int32{2, 1} {
		b.do(&AlterBroker{ID: id, Epoch: b.img.Broker(id).Epoch, State: Fenced})
	}
	check("without the others", "leads", metadata.NoLeader)
	check("without the others", "elsewhere", 0, 0)
	if p := at("leads"); metadata.Has(p.ELR, 0) {
		t.Errorf("the replica whose directory is offline left the ISR first: %+v", p)
	}
	back := b.img.Broker(0).Directories
	again(uuid.UUID{9}, append(slices.Clone(back), bad)...)
	check("with the directory back", "leads", metadata.NoLeader)
	again(uuid.UUID{10}, good)
	if p := at("unknown"); metadata.Has(p.ISR, 0) || metadata.Has(p.ELR, 0) {
		t.Errorf("of which it was never told where it is, without a directory: %+v", p)
	}
	check("without all others", "elsewhere", 0, 0)
}

// TestLeaderWithoutItsDirectoryGivesWay: who leads because nobody else could is done when one of the ELR is back, or when an operator asks for an unclean
// election.
func TestLeaderWithoutItsDirectoryGivesWay(t *testing.T) {
	b := newBench(t, 3, 4)
	home, bad := b.img.Broker(0).Directories[0], uuid.UUID{50}
	b.do(&RegisterBroker{ClusterID: "cluster", ID: 0, Incarnation: b.img.Broker(0).Incarnation, Directories: []uuid.UUID{home, bad}, Unfence: true})
	minISR := func(n string) []Config { return []Config{{"min.insync.replicas", &n}} }
	assigned := func(name, min string, replicas ...int32) NewTopic {
		return NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, replicas}}, Configs: minISR(min)}
	}
	b.create(assigned("two", "2", 0, 1), assigned("one", "1", 0, 2), assigned("first", "1", 0, 3))
	at := func(name string) *metadata.Partition { return b.img.Topic(name).Partitions[0] }
	is := func(when, name string, leader int32, isr, elr []int32) {
		t.Helper()
		if p := at(name); p.Leader != leader || !slices.Equal(p.ISR, isr) || !slices.Equal(p.ELR, elr) {
			t.Fatalf("%s: %s is led by %d with the ISR %v and the ELR %v, want %d, %v and %v", when, name, p.Leader, p.ISR, p.ELR, leader, isr, elr)
		}
	}
	for _, name := range []string{"two", "one", "first"} {
		b.do(&AssignDirectories{Broker: 0, Replicas: []AssignDirectory{{b.img.Topic(name).ID, 0, bad}}})
	}
	state := func(state BrokerState, ids ...int32) {
		for _, id := range ids {
			b.do(&AlterBroker{ID: id, Epoch: b.img.Broker(id).Epoch, State: state})
		}
	}
	state(Fenced, 1, 2, 3)
	b.do(&LoseDirectories{Broker: 0, Epoch: b.img.Broker(0).Epoch, Directories: []uuid.UUID{bad}})
	is("nobody else", "two", 0, []int32{0}, []int32{1})
	is("nobody else", "one", 0, []int32{0}, nil)
	unclean := func(name string) protocol.ErrorCode {
		r := b.do(&ElectLeaders{Election: UncleanElection, Topics: []TopicPartitions{{name, []int32{0}}}}).(*ElectLeadersResponse)
		return r.Topics[0].Partitions[0].Error.Code
	}
	for _, name := range []string{"two", "one"} {
		if code := unclean(name); code != protocol.EligibleLeadersNotAvailable || len(b.records) > 0 {
			t.Errorf("an unclean election of %s while nobody else is alive: %s, %v", name, code, b.records)
		}
	}
	state(Unfenced, 1, 2)
	is("one of the ELR is back", "two", 1, []int32{1}, []int32{0})
	is("who is back may lack records", "one", 0, []int32{0}, nil)
	if code := unclean("one"); code != protocol.None {
		t.Errorf("an unclean election: %s", code)
	}
	is("an unclean election", "one", 2, []int32{2}, nil)
	if !at("one").Recovering || at("two").Recovering {
		t.Errorf("which of both elections was unclean: %+v, %+v", at("one"), at("two"))
	}
	for _, name := range []string{"two", "one"} {
		if code := unclean(name); code != protocol.ElectionNotNeeded {
			t.Errorf("an unclean election of %s, which is led: %s", name, code)
		}
	}
	// Where the topic allows it nobody has to ask.
	b.do(&AlterConfigs{Resources: []AlterResource{{Resource: metadata.Resource{Type: metadata.ResourceTopic, Name: "first"},
		Ops: []ConfigOp{{"unclean.leader.election.enable", OpSet, new("true")}}}}})
	is("nobody is back", "first", 0, []int32{0}, nil)
	state(Unfenced, 3)
	is("any that is alive may lead", "first", 3, []int32{3}, nil)
}

// TestELRWhileTheLeaderIsOffline: a leader whose data directory is offline commits nothing, so who had every record may lead whatever becomes of
// min.insync.replicas meanwhile. It goes by that again when the replica is online.
func TestELRWhileTheLeaderIsOffline(t *testing.T) {
	for _, c := range []struct {
		what string
		then func(b *bench, state func(BrokerState, int32))
		lead int32
		elr  []int32
	}{
		{"nothing", func(*bench, func(BrokerState, int32)) {}, 0, []int32{1}},
		{"who may lead is back", func(_ *bench, state func(BrokerState, int32)) { state(Unfenced, 1) }, 1, nil},
		{"another replica is back", func(_ *bench, state func(BrokerState, int32)) { state(Unfenced, 2) }, 0, []int32{1}},
		{"the directory is back", func(b *bench, _ func(BrokerState, int32)) {
			old := b.img.Broker(0)
			b.do(&RegisterBroker{ClusterID: "cluster", ID: 0, Incarnation: old.Incarnation, Directories: append(slices.Clone(old.Directories), uuid.UUID{50}), Unfence: true})
		}, 0, nil},
		{"the replica is elsewhere", func(b *bench, _ func(BrokerState, int32)) {
			b.do(&AssignDirectories{Broker: 0, Replicas: []AssignDirectory{{b.img.Topic("a").ID, 0, b.img.Broker(0).Directories[0]}}})
		}, 0, nil},
	} {
		b := newBench(t, 3, 3)
		broker, bad := b.img.Broker(0), uuid.UUID{50}
		b.do(&RegisterBroker{ClusterID: "cluster", ID: 0, Incarnation: broker.Incarnation, Directories: []uuid.UUID{broker.Directories[0], bad}, Unfence: true})
		b.create(NewTopic{Name: "a", Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{0, 1, 2}}}})
		b.do(&AssignDirectories{Broker: 0, Replicas: []AssignDirectory{{b.img.Topic("a").ID, 0, bad}}})
		state := func(state BrokerState, id int32) {
			b.do(&AlterBroker{ID: id, Epoch: b.img.Broker(id).Epoch, State: state})
		}
		state(Fenced, 2)
		state(Fenced, 1)
		b.do(&LoseDirectories{Broker: 0, Epoch: b.img.Broker(0).Epoch, Directories: []uuid.UUID{bad}})
		b.do(&AlterConfigs{Resources: []AlterResource{{Resource: metadata.Resource{Type: metadata.ResourceTopic, Name: "a"},
			Ops: []ConfigOp{{"min.insync.replicas", OpSet, new("1")}}}}})
		c.then(b, state)
		if p := b.img.Topic("a").Partitions[0]; p.Leader != c.lead || !slices.Equal(p.ISR, []int32{c.lead}) || !slices.Equal(p.ELR, c.elr) {
			t.Errorf("%s: led by %d with the ISR %v and the ELR %v, want %d and %v", c.what, p.Leader, p.ISR, p.ELR, c.lead, c.elr)
		}
	}
}
