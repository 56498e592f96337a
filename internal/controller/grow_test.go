package controller

import (
	"testing"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/uuid"
)

// TestInternalTopicsGrow: a topic that was made on one broker gets the replicas it is to have as others join, and spreads who is to lead.
func TestInternalTopicsGrow(t *testing.T) {
	b := newBench(t, 1, 1)
	b.settings.InternalFactors = map[string]int16{"__consumer_offsets": 3, "__nothing": 3}
	b.create(NewTopic{Name: "__consumer_offsets", Partitions: 6, ReplicationFactor: 1}, NewTopic{Name: "orders", Partitions: 1, ReplicationFactor: 1})
	topic := func() *metadata.Topic { return b.img.Topic("__consumer_offsets") }
	join := func(id int32, rack string) {
		t.Helper()
		r := b.do(&RegisterBroker{ClusterID: "cluster", ID: id, Incarnation: uuid.New(b.random), Directories: []uuid.UUID{{byte(id) + 1}}, Rack: rack, Unfence: true}).(*RegisterBrokerResponse)
		if r.Error.Failed() {
			t.Fatal(r.Error)
		}
	}
	// sync lets the leaders say that all replicas are in sync.
	sync := func() {
		t.Helper()
		for i, p := range topic().Partitions {
			a := ProposedISR{TopicID: topic().ID, Number: int32(i), LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch}
			for _, id := range p.Replicas {
				a.ISR = append(a.ISR, ISRMember{id, b.img.Broker(id).Epoch})
			}
			r := b.do(&AlterPartition{Broker: p.Leader, Epoch: b.img.Broker(p.Leader).Epoch, Partitions: []ProposedISR{a}}).(*AlterPartitionResponse)
			if r.Error.Failed() || r.Partitions[0].Error.Failed() {
				t.Fatalf("%+v", r)
			}
		}
	}
	join(1, "r")
	if n := len(b.records); n < 6 {
		t.Fatalf("%d changes", n)
	}
	for i, p := range topic().Partitions {
		if len(p.Replicas) != 2 || p.Leader != 0 || p.Reassignment == nil || p.Factor() != 1 {
			t.Fatalf("partition %d with two brokers: %+v, %+v", i, p, p.Reassignment)
		}
	}
	join(2, "r") // before the first ones are in sync
	sync()
	join(3, "s")
	for i, p := range topic().Partitions {
		if len(p.Replicas) != 3 || p.Leader != 0 {
			t.Fatalf("partition %d with three brokers: %+v", i, p)
		}
	}
	sync()
	first, replicas := map[int32]int{}, map[int32]int{}
	for i, p := range topic().Partitions {
		if len(p.Replicas) != 3 || p.Reassignment != nil {
			t.Fatalf("partition %d: %+v", i, p)
		}
		first[p.Replicas[0]]++
		for _, id := range p.Replicas {
			replicas[id]++
		}
	}
	for id := range int32(3) {
		if first[id] != 2 || replicas[id] != 6 {
			t.Errorf("broker %d is to lead %d partitions and has %d", id, first[id], replicas[id])
		}
	}
	if n := len(b.img.Topic("orders").Partitions[0].Replicas); n != 1 {
		t.Errorf("a topic of users has grown to %d", n)
	}
	b.do(&AlterBroker{ID: 3, Epoch: b.img.Broker(3).Epoch, State: Fenced})
	b.do(&AlterBroker{ID: 3, Epoch: b.img.Broker(3).Epoch, State: Unfenced})
	if len(b.records) != 1 {
		t.Errorf("nothing is missing, and yet: %v", b.records)
	}
}

// TestNewReplicasComeToOtherRacks: a rack that has none yet comes first.
func TestNewReplicasComeToOtherRacks(t *testing.T) {
	b := newBench(t, 1, 3) // in one rack
	b.create(NewTopic{Name: "__consumer_offsets", Partitions: 4, ReplicationFactor: 1})
	b.settings.InternalFactors = map[string]int16{"__consumer_offsets": 2}
	b.do(&RegisterBroker{ClusterID: "cluster", ID: 7, Incarnation: uuid.UUID{7}, Directories: []uuid.UUID{{77}}, Rack: "s", Unfence: true})
	for i, p := range b.img.Topic("__consumer_offsets").Partitions {
		if len(p.Replicas) != 2 || !metadata.Has(p.Replicas, 7) {
			t.Errorf("partition %d: %v", i, p.Replicas)
		}
	}
}

// TestGrowthLeavesWhatAnOperatorChose: a partition that was reassigned to fewer replicas, or whose growth was cancelled, keeps them, also in a snapshot; one that
// gets all of them again grows as the others.
func TestGrowthLeavesWhatAnOperatorChose(t *testing.T) {
	b := newBench(t, 1, 3)
	b.settings.InternalFactors = map[string]int16{"__consumer_offsets": 3}
	b.create(NewTopic{Name: "__consumer_offsets", Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{0, 1, 2}}, {1, []int32{0, 1, 2}}, {2, []int32{0, 1, 2}}}},
		NewTopic{Name: "orders", Partitions: 1, ReplicationFactor: 3})
	at := func(number int32) *metadata.Partition { return b.img.Topic("__consumer_offsets").Partitions[number] }
	reassign := func(topic string, number int32, replicas ...int32) {
		t.Helper()
		if e := b.do(&Reassign{Partitions: []Reassignment{{topic, number, replicas}}}).(*ReassignResponse).Errors[0]; e.Failed() {
			t.Fatal(e)
		}
	}
	again := func() {
		t.Helper()
		img, err := metadata.DecodeSnapshot(b.img.EncodeSnapshot())
		if err != nil {
			t.Fatal(err)
		}
		b.img = img
		b.do(&AlterBroker{ID: 2, Epoch: b.img.Broker(2).Epoch, State: Fenced})
		b.do(&AlterBroker{ID: 2, Epoch: b.img.Broker(2).Epoch, State: Unfenced})
	}
	has := func(number int32, n int) {
		t.Helper()
		if p := at(number); len(p.Replicas) != n {
			t.Fatalf("partition %d has the replicas %v, want %d", number, p.Replicas, n)
		}
	}
	reassign("__consumer_offsets", 0, 1)
	reassign("__consumer_offsets", 1, 1, 0)
	reassign("orders", 0, 1)
	if b.img.Topic("orders").Partitions[0].Chosen {
		t.Error("a topic that does not grow needs no mark")
	}
	again()
	has(0, 1)
	has(1, 2)
	has(2, 3)
	reassign("__consumer_offsets", 0, 1) // the same once more
	if len(b.records) > 0 {
		t.Errorf("nothing changes, and yet: %v", b.records)
	}
	reassign("__consumer_offsets", 0, 1, 2, 0)
	if p := at(0); p.Chosen || len(p.Replicas) != 3 {
		t.Fatalf("%+v", p)
	}
	reassign("__consumer_offsets", 0) // and he thinks again
	has(0, 1)
	again()
	has(0, 1)
	reassign("__consumer_offsets", 0, 2) // elsewhere, and no more
	again()
	if p := at(0); !p.Chosen || len(assigned(p).target()) != 1 {
		t.Fatalf("%+v", p)
	}
}

// TestGrowthGoesOnAfterAMove: who moves a partition to as many replicas as it had, for want of brokers, does not want fewer than the others get.
func TestGrowthGoesOnAfterAMove(t *testing.T) {
	b := newBench(t, 1, 2)
	b.settings.InternalFactors = map[string]int16{"__consumer_offsets": 3}
	b.create(NewTopic{Name: "__consumer_offsets", Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{0, 1}}, {1, []int32{0, 1}}}})
	if e := b.do(&Reassign{Partitions: []Reassignment{{"__consumer_offsets", 0, []int32{1, 0}}}}).(*ReassignResponse).Errors[0]; e.Failed() {
		t.Fatal(e)
	}
	b.register(2, 3)
	for i, p := range b.img.Topic("__consumer_offsets").Partitions {
		if len(p.Replicas) != 3 {
			t.Errorf("partition %d has the replicas %v", i, p.Replicas)
		}
	}
}
