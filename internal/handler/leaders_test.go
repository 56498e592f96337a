package handler

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// TestLeaderThatTheClientCannotReach: brokers are named by the address of the listener that the client came in by, and a leader that has no
// such listener is none for it.
func TestLeaderThatTheClientCannotReach(t *testing.T) {
	r := newRig(t, "")
	r.controller.apply(t, &metadata.BrokerRecord{Broker: metadata.Broker{ID: 8, Epoch: 2, Directories: []uuid.UUID{{8}},
		Listeners: []metadata.Listener{{Name: "INTERNAL", Host: "hidden", Port: 2}}}})
	r.controller.apply(t, &metadata.TopicRecord{Name: "orders", ID: uuid.UUID{1}}, &metadata.PartitionRecord{TopicID: uuid.UUID{1}, Number: 0,
		Partition: metadata.Partition{Replicas: []int32{8}, ISR: []int32{8}, Directories: make([]uuid.UUID, 1), Leader: 8}})
	w := r.dial()
	for v := int16(1); v <= 13; v++ {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("orders")}}
		resp := roundTrip[*kmsg.MetadataResponse](w, v, req)
		if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != testNode {
			t.Errorf("version %d names the brokers %+v", v, resp.Brokers)
		}
		want := protocol.ListenerNotFound
		if v < 6 {
			want = protocol.LeaderNotAvailable
		}
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != int16(want) || p.Leader != -1 {
			t.Errorf("version %d: leader %d, %s; want none, %s", v, p.Leader, protocol.ErrorCode(p.ErrorCode), want)
		}
	}
}

// TestFailedDiskToOldConsumers: consumers from before there were several data directories do not know the error of one that failed. They
// look for the leader again.
func TestFailedDiskToOldConsumers(t *testing.T) {
	for v := int16(4); v <= 18; v++ {
		want := protocol.StorageError
		if v <= 5 {
			want = protocol.NotLeaderOrFollower
		}
		if got := (&fetch{version: v}).errorCode(fmt.Errorf("read: %w", commitlog.ErrOffline), nil); got != want {
			t.Errorf("version %d is answered %s, want %s", v, got, want)
		}
	}
}
