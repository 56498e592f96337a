package controller

import (
	"testing"

	"github.com/moldau/moldau/internal/uuid"
)

func TestRaiseLeaderEpochs(t *testing.T) {
	b := newBench(t, 1, 1)
	b.create(auto("a"))
	id := b.img.Topic("a").ID
	raise := func(broker int32, asked ...RaiseLeaderEpoch) int {
		t.Helper()
		return b.do(&RaiseLeaderEpochs{Broker: broker, Partitions: asked}).(*RaiseLeaderEpochsResponse).Raised
	}
	if n := raise(0, RaiseLeaderEpoch{id, 0, 7}, RaiseLeaderEpoch{id, 0, 9}, RaiseLeaderEpoch{id, 99, 7}, RaiseLeaderEpoch{uuid.UUID{1, 2, 3}, 0, 7}); n != 1 {
		t.Errorf("%d were raised", n)
	}
	if p := b.img.Topic("a").Partitions[0]; p.LeaderEpoch != 7 || p.PartitionEpoch != 1 || p.Leader != 0 {
		t.Errorf("%+v", p)
	}
	if n := raise(0, RaiseLeaderEpoch{id, 0, 7}) + raise(5, RaiseLeaderEpoch{id, 0, 8}); n != 0 {
		t.Errorf("%d were raised that need not, or by one who does not lead", n)
	}
}
