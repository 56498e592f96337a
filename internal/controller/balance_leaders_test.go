package controller

import (
	"slices"
	"testing"
)

// TestBalanceLeaders: who is back leads its partitions again, where it is in sync, some at a time.
func TestBalanceLeaders(t *testing.T) {
	b := newBench(t, 1, 3)
	var placed []Assignment
	for i := range int32(5) {
		placed = append(placed, Assignment{i, []int32{0, 1, 2}})
	}
	b.create(NewTopic{Name: "a", Partitions: -1, ReplicationFactor: -1, Assignments: placed})
	leaders := func() (all []int32) {
		for _, p := range b.img.Topic("a").Partitions {
			all = append(all, p.Leader)
		}
		return all
	}
	balance := func(most int) BalanceLeadersResponse {
		return *b.do(&BalanceLeaders{Most: most}).(*BalanceLeadersResponse)
	}
	b.fence(0, Fenced)
	b.fence(0, Unfenced)
	if got := balance(9); got != (BalanceLeadersResponse{}) || !slices.Equal(leaders(), []int32{1, 1, 1, 1, 1}) {
		t.Fatalf("who is not in sync leads: %+v, %v", got, leaders())
	}
	m := &altering{b, b.img.Topic("a").ID}
	for i := range int32(4) {
		p := b.img.Partition(m.topic, i)
		b.do(&AlterPartition{Broker: 1, Epoch: b.img.Broker(1).Epoch, Partitions: []ProposedISR{
			{TopicID: m.topic, Number: i, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, ISR: m.members(0, 1, 2)}}})
	}
	if got := balance(3); got != (BalanceLeadersResponse{3, true}) || !slices.Equal(leaders(), []int32{0, 0, 0, 1, 1}) {
		t.Fatalf("%+v, %v", got, leaders())
	}
	if got := balance(3); got != (BalanceLeadersResponse{1, false}) || !slices.Equal(leaders(), []int32{0, 0, 0, 0, 1}) {
		t.Fatalf("%+v, %v", got, leaders())
	}
	b.fence(0, ControlledShutdown)
	if got := balance(3); got.Elected != 0 {
		t.Errorf("who is on its way out leads: %+v", got)
	}
}
