package handler

import (
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
)

// moved is a rig whose broker leads the first partition of topic orders, with broker 8 in its ISR, and what makes broker 8 the leader.
func moved(t *testing.T) (r *rig, part *partition.Partition, move func()) {
	r = newRig(t, "")
	r.topic("orders", 1, 2)
	two := []int32{testNode, 8}
	rack := "far"
	r.controller.apply(t, &metadata.BrokerRecord{Broker: metadata.Broker{ID: 8, Epoch: 4, Directories: []uuid.UUID{{8}}, Rack: rack,
		Listeners: []metadata.Listener{{Name: "PLAINTEXT", Host: "n8", Port: 9}}}},
		&metadata.PartitionChangeRecord{TopicID: uuid.UUID{1}, Replicas: two, ISR: two, Directories: make([]uuid.UUID, 2)})
	part = hosted(t, "orders", 1)
	part.Apply(twoBrokers{}, r.controller.images.Image().Partition(uuid.UUID{1}, 0))
	r.h.Partitions = onePartition{part}
	return r, part, func() {
		r.controller.apply(t, &metadata.PartitionChangeRecord{TopicID: uuid.UUID{1}, Leader: new(int32(8))})
		part.Apply(twoBrokers{}, r.controller.images.Image().Partition(uuid.UUID{1}, 0))
	}
}

func produceOne(v int16, timeout int32) *kmsg.ProduceRequest {
	b := record.NewBuilder(record.CompressionOf(record.None))
	b.Append(record.Record{Timestamp: record.NoTimestamp, Value: []byte("value")})
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, timeout
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", TopicID: uuid.UUID{1}, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b.Build()}}}}
	return req
}

// sentOn checks what an answer says of who leads now.
func sentOn(t *testing.T, what string, v, since int16, code int16, leader, epoch int32, brokers int, id int32, host string, port int32) {
	t.Helper()
	if protocol.ErrorCode(code) != protocol.NotLeaderOrFollower {
		t.Errorf("%s %d is answered %s", what, v, protocol.ErrorCode(code))
	}
	if v < since {
		if leader != -1 || brokers != 0 {
			t.Errorf("%s %d names the leader %d and %d brokers", what, v, leader, brokers)
		}
	} else if leader != 8 || epoch != 1 || brokers != 1 || id != 8 || host != "n8" || port != 9 {
		t.Errorf("%s %d names the leader %d of epoch %d, and of %d brokers %d at %s:%d", what, v, leader, epoch, brokers, id, host, port)
	}
}

func produced(t *testing.T, v int16, resp *kmsg.ProduceResponse) {
	t.Helper()
	p := resp.Topics[0].Partitions[0]
	b := kmsg.NewProduceResponseBroker()
	if len(resp.Brokers) > 0 {
		b = resp.Brokers[0]
	}
	sentOn(t, "Produce", v, 10, p.ErrorCode, p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch, len(resp.Brokers), b.NodeID, b.Host, b.Port)
}

// TestMovedLeaderIsNamed: who asks the broker that led hears from Produce 10 and Fetch 16 on who leads now, and where that one is (KIP-951), and need not
// ask for metadata.
func TestMovedLeaderIsNamed(t *testing.T) {
	r, _, move := moved(t)
	move()
	w := r.dial()
	for v := int16(3); v <= 13; v++ {
		produced(t, v, roundTrip[*kmsg.ProduceResponse](w, v, produceOne(v, 1000)))
	}
	r.h.Partitions = onePartition{} // a follower would answer consumers
	for v := int16(12); v <= 18; v++ {
		req := kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 1000, 1, 1<<20
		part := kmsg.NewFetchRequestTopicPartition()
		part.PartitionMaxBytes = 1 << 20
		req.Topics = []kmsg.FetchRequestTopic{{Topic: "orders", TopicID: uuid.UUID{1}, Partitions: []kmsg.FetchRequestTopicPartition{part}}}
		resp := roundTrip[*kmsg.FetchResponse](w, v, req)
		p := resp.Topics[0].Partitions[0]
		b := kmsg.NewFetchResponseBroker()
		if len(resp.Brokers) > 0 {
			b = resp.Brokers[0]
		}
		sentOn(t, "Fetch", v, 16, p.ErrorCode, p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch, len(resp.Brokers), b.NodeID, b.Host, b.Port)
	}
}

// TestMovedLeaderIsNamedToWhoWaits: a producer that waits for followers when the leadership goes hears it too.
func TestMovedLeaderIsNamedToWhoWaits(t *testing.T) {
	for _, v := range []int16{9, 10, 13} {
		r, part, move := moved(t)
		w := r.dial()
		req := produceOne(v, 20_000)
		w.send(v, req)
		for deadline := time.Now().Add(20 * time.Second); part.Log().LogEnd() == 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("waited for the append")
			}
		}
		move()
		resp, err := w.receive(v, req)
		if err != nil {
			t.Fatal(err)
		}
		produced(t, v, resp.(*kmsg.ProduceResponse))
		r.stop()
	}
}
