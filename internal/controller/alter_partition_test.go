package controller

import (
	"cmp"
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// altering is a cluster of four brokers, with a topic of two partitions on 0, 1 and 2, the first led by 0.
type altering struct {
	*bench
	topic uuid.UUID
}

func newAltering(t *testing.T) *altering {
	b := newBench(t, 1, 4)
	placed := []Assignment{{0, []int32{0, 1, 2}}, {1, []int32{1, 2, 0}}}
	if created := b.create(NewTopic{Name: "a", Partitions: -1, ReplicationFactor: -1, Assignments: placed}); created[0].Error.Failed() {
		t.Fatal(created[0].Error)
	}
	return &altering{b, b.img.Topic("a").ID}
}

func (b *altering) members(ids ...int32) (all []ISRMember) {
	for _, id := range ids {
		all = append(all, ISRMember{id, b.img.Broker(id).Epoch})
	}
	return all
}

// proposal is one of partition 0 by its leader, right in all.
func (b *altering) proposal(isr ...int32) ProposedISR {
	p := b.img.Partition(b.topic, 0)
	return ProposedISR{TopicID: b.topic, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, ISR: b.members(isr...)}
}

func (b *altering) alter(proposals ...ProposedISR) *AlterPartitionResponse {
	return b.do(&AlterPartition{Broker: 0, Epoch: b.img.Broker(0).Epoch, Partitions: proposals}).(*AlterPartitionResponse)
}

// taken alters and returns the partition as it is then.
func (b *altering) taken(p ProposedISR) *metadata.Partition {
	b.t.Helper()
	r := b.alter(p)
	if r.Error.Failed() || r.Partitions[0].Error.Failed() {
		b.t.Fatalf("refused: %+v", r)
	}
	now := b.img.Partition(b.topic, 0)
	if told := r.Partitions[0].Partition; told.PartitionEpoch != now.PartitionEpoch || !slices.Equal(told.ISR, now.ISR) || told.Leader != now.Leader {
		b.t.Fatalf("answers %+v, it is %+v", told, now)
	}
	return now
}

// TestAlterPartition lets the ISR shrink below its minimum and grow again: who left stays electable until there are enough.
func TestAlterPartition(t *testing.T) {
	b := newAltering(t)
	for i, step := range []struct{ isr, elr []int32 }{
		{[]int32{0, 1}, nil}, {[]int32{0}, []int32{1}}, {[]int32{0}, []int32{1}}, {[]int32{0, 2}, nil}, {[]int32{0, 1, 2}, nil},
	} {
		p := b.taken(b.proposal(step.isr...))
		if !slices.Equal(p.ISR, step.isr) || !slices.Equal(p.ELR, step.elr) || p.PartitionEpoch != int32(i+1) || p.LeaderEpoch != 0 || p.Leader != 0 {
			t.Errorf("step %d: %+v", i, p)
		}
	}
}

func TestAlterPartitionRefuses(t *testing.T) {
	b := newAltering(t)
	b.do(&ElectLeaders{Election: PreferredElection, All: true})
	b.do(&AlterBroker{ID: 1, Epoch: b.img.Broker(1).Epoch, State: Fenced})
	b.do(&AlterBroker{ID: 1, Epoch: b.img.Broker(1).Epoch, State: Unfenced})
	b.taken(b.proposal(0, 1, 2)) // partition epoch 2
	changed := func(change func(*ProposedISR)) ProposedISR {
		p := b.proposal(0, 1)
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		proposal ProposedISR
		want     protocol.ErrorCode
	}{
		"another topic":        {changed(func(p *ProposedISR) { p.TopicID = uuid.UUID{9} }), protocol.UnknownTopicID},
		"no such partition":    {changed(func(p *ProposedISR) { p.Number = 2 }), protocol.UnknownTopicOrPartition},
		"negative partition":   {changed(func(p *ProposedISR) { p.Number = -1 }), protocol.UnknownTopicOrPartition},
		"newer leader epoch":   {changed(func(p *ProposedISR) { p.LeaderEpoch++ }), protocol.NotController},
		"newer partition":      {changed(func(p *ProposedISR) { p.PartitionEpoch++ }), protocol.NotController},
		"older leader epoch":   {changed(func(p *ProposedISR) { p.LeaderEpoch-- }), protocol.FencedLeaderEpoch},
		"older partition":      {changed(func(p *ProposedISR) { p.PartitionEpoch-- }), protocol.InvalidUpdateVersion},
		"another leads":        {changed(func(p *ProposedISR) { p.Number, p.LeaderEpoch, p.PartitionEpoch = 1, b.epochs(1), b.version(1) }), protocol.InvalidRequest},
		"the leader is out":    {changed(func(p *ProposedISR) { p.ISR = b.members(1, 2) }), protocol.InvalidRequest},
		"nobody":               {changed(func(p *ProposedISR) { p.ISR = nil }), protocol.InvalidRequest},
		"without a replica":    {changed(func(p *ProposedISR) { p.ISR = b.members(0, 3) }), protocol.InvalidRequest},
		"twice":                {changed(func(p *ProposedISR) { p.ISR = b.members(0, 1, 1) }), protocol.InvalidRequest},
		"recovers, but is not": {changed(func(p *ProposedISR) { p.ISR, p.Recovering = b.members(0), true }), protocol.InvalidRequest},
		"another incarnation":  {changed(func(p *ProposedISR) { p.ISR[1].Epoch-- }), protocol.IneligibleReplica},
		"no incarnation named": {changed(func(p *ProposedISR) { p.ISR[1].Epoch = -1 }), protocol.IneligibleReplica},
	} {
		r := b.alter(c.proposal)
		if r.Error.Failed() || r.Partitions[0].Error.Code != c.want || r.Partitions[0].Partition != nil || len(b.records) > 0 {
			t.Errorf("%s: %+v, %d records, want %s", name, r, len(b.records), c.want)
		}
	}
	if r := b.do(&AlterPartition{Broker: 0, Epoch: 99, Partitions: []ProposedISR{b.proposal(0)}}).(*AlterPartitionResponse); r.Error.Code != protocol.StaleBrokerEpoch || r.Partitions != nil {
		t.Errorf("of another incarnation: %+v", r)
	}
	for _, state := range []BrokerState{Fenced, ControlledShutdown} {
		b.do(&AlterBroker{ID: 1, Epoch: b.img.Broker(1).Epoch, State: state})
		if r := b.alter(b.proposal(0, 1)); r.Partitions[0].Error.Code != protocol.IneligibleReplica {
			t.Errorf("with a broker in state %d: %+v", state, r)
		}
		if r := b.alter(b.proposal(0, 2)); r.Partitions[0].Error.Failed() {
			t.Errorf("without it: %+v", r)
		}
	}
}

func (b *altering) epochs(number int32) int32 { return b.img.Partition(b.topic, number).LeaderEpoch }
func (b *altering) version(number int32) int32 {
	return b.img.Partition(b.topic, number).PartitionEpoch
}

// TestAlterPartitionOnce: a late copy is refused, also one in the same request, and does not keep the others from being taken.
func TestAlterPartitionOnce(t *testing.T) {
	b := newAltering(t)
	first := b.proposal(0, 1, 2) // changes nothing
	unknown := first
	unknown.TopicID = uuid.UUID{9}
	r := b.alter(unknown, first, first)
	if codes := []protocol.ErrorCode{r.Partitions[0].Error.Code, r.Partitions[1].Error.Code, r.Partitions[2].Error.Code}; !slices.Equal(codes,
		[]protocol.ErrorCode{protocol.UnknownTopicID, protocol.None, protocol.InvalidUpdateVersion}) {
		t.Errorf("answers %v", codes)
	}
	if r := b.alter(first); r.Partitions[0].Error.Code != protocol.InvalidUpdateVersion || b.version(0) != 1 {
		t.Errorf("a late copy: %+v, partition epoch %d", r, b.version(0))
	}
}

// TestUncleanLeaderRecovers: the first proposal of a leader of an unclean election says that it has recovered.
func TestUncleanLeaderRecovers(t *testing.T) {
	b := newAltering(t)
	// All come back with empty directories: only an election by hand brings the partition back.
	for id := range int32(3) {
		b.do(&RegisterBroker{ClusterID: "cluster", ID: id, Incarnation: uuid.UUID{42, byte(id)}, Directories: []uuid.UUID{{77, byte(id)}}, Unfence: id == 0})
	}
	if p := b.img.Partition(b.topic, 0); p.Leader != metadata.NoLeader || len(p.ISR)+len(p.ELR) > 0 {
		t.Fatalf("before the election: %+v", p)
	}
	b.do(&ElectLeaders{Election: UncleanElection, Topics: []TopicPartitions{{"a", []int32{0}}}})
	if p := b.img.Partition(b.topic, 0); p.Leader != 0 || !p.Recovering {
		t.Fatalf("after it: %+v", p)
	}
	recovering := b.proposal(0)
	recovering.Recovering = true
	if p := b.taken(recovering); !p.Recovering {
		t.Errorf("while it recovers: %+v", p)
	}
	if p := b.taken(b.proposal(0)); p.Recovering {
		t.Errorf("once it has: %+v", p)
	}
}

// fileMinISR is the table of a node whose file sets min.insync.replicas.
type fileMinISR struct {
	configs
	least int
}

func (c fileMinISR) TopicRules(overrides map[string]string) Rules {
	r := c.configs.TopicRules(overrides)
	r.MinISR = cmp.Or(r.MinISR, c.least)
	return r
}

// TestELRFollowsMinISR: what an operator makes of min.insync.replicas, of a topic or of all, tells who may be elected: with a smaller one records are committed
// without those that are in the ELR.
func TestELRFollowsMinISR(t *testing.T) {
	set := func(b *bench, kind int8, name, value string) {
		t.Helper()
		a := AlterResource{Resource: metadata.Resource{Type: kind, Name: name}, Ops: []ConfigOp{{"min.insync.replicas", OpSet, &value}}}
		if err := b.do(&AlterConfigs{Resources: []AlterResource{a}}).(*AlterConfigsResponse).Resources[0].Error; err.Failed() {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what  string
		lower func(b *bench)
		elr   []int32
	}{
		{"as it was", func(*bench) {}, []int32{1}},
		{"one of this topic", func(b *bench) { set(b, metadata.ResourceTopic, "a", "1") }, nil},
		{"one of all brokers", func(b *bench) { set(b, metadata.ResourceBroker, "", "1") }, nil},
		{"two, as before", func(b *bench) { set(b, metadata.ResourceTopic, "a", "2") }, []int32{1}},
		{"one of another topic", func(b *bench) { set(b, metadata.ResourceTopic, "b", "1") }, []int32{1}},
		{"one in the file of a new active controller", func(b *bench) {
			b.settings.Configs = fileMinISR{configs{}, 1}
			b.do(&ReviseELRs{})
		}, nil},
		{"two in the file of a new active controller", func(b *bench) {
			b.settings.Configs = fileMinISR{configs{}, 2}
			b.do(&ReviseELRs{})
		}, []int32{1}},
	} {
		b := newBench(t, 1, 3)
		for _, name := range []string{"a", "b"} {
			if got := b.create(NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{0, 1, 2}}}})[0]; got.Error.Failed() {
				t.Fatal(got.Error)
			}
		}
		state := func(id int32, state BrokerState) {
			b.do(&AlterBroker{ID: id, Epoch: b.img.Broker(id).Epoch, State: state})
		}
		state(2, Fenced)
		state(1, Fenced)
		p := func() *metadata.Partition { return b.img.Topic("a").Partitions[0] }
		if !slices.Equal(p().ISR, []int32{0}) || !slices.Equal(p().ELR, []int32{1}) {
			t.Fatalf("three replicas need two in sync unless somebody says otherwise: %+v", p())
		}
		c.lower(b)
		if !slices.Equal(p().ELR, c.elr) {
			t.Errorf("%s: the ELR is %v, want %v", c.what, p().ELR, c.elr)
		}
		state(0, Fenced)
		state(1, Unfenced)
		if leads := p().Leader == 1; leads != (c.elr != nil) {
			t.Errorf("%s: broker 1 leads: %v", c.what, leads)
		}
	}
}
