package handler

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/replica"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// onePartition is all that a broker hosts.
type onePartition struct{ part *partition.Partition }

func (o onePartition) Partition(uuid.UUID, int32) *partition.Partition { return o.part }

// hosted opens the first partition of a topic, which wants two replicas in the ISR.
func hosted(t *testing.T, topic string, id byte) *partition.Partition {
	t.Helper()
	dir, err := logdir.Open(logdir.Options{FS: vfs.NewMem(), Random: random.Seeded(1), Path: "data", NodeID: testNode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	settings := &partition.Settings{Log: &commitlog.Config{Delete: true}, MinISR: 2, DeleteAllowed: true, Rules: record.Rules{MaxBatchBytes: 1 << 20}}
	log, err := dir.Log(commitlog.ID{Topic: topic, TopicID: uuid.UUID{id}}, settings.Log, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	p := partition.New(log.ID(), &partition.Host{Broker: testNode}, log, settings, 0, false)
	p.Registered(3)
	return p
}

// testBrokers are those of a cluster that has only the test's own.
type testBrokers struct{}

func (testBrokers) Broker(id int32) *metadata.Broker {
	if id != testNode {
		return nil
	}
	return &metadata.Broker{ID: testNode, Epoch: 3}
}

// TestProduceWithoutItsFollowers: with acks=all and too small an ISR nothing is written; where a follower is in the ISR and does not follow,
// the time-out says only that the record is not committed: it is in the log.
func TestProduceWithoutItsFollowers(t *testing.T) {
	r := newRig(t, "")
	r.topic("orders", 1, 2)
	part := hosted(t, "orders", 1)
	r.h.Partitions = onePartition{part}
	w := r.dial()
	b := record.NewBuilder(record.CompressionOf(record.None))
	b.Append(record.Record{Timestamp: record.NoTimestamp, Value: []byte("value")})
	batch := b.Build()
	two := []int32{testNode, 8}
	for epoch, c := range []struct {
		isr  []int32
		acks int16
		want protocol.ErrorCode
		end  int64
	}{
		{two[:1], -1, protocol.NotEnoughReplicas, 0},
		{two[:1], 1, protocol.None, 1},
		{two, -1, protocol.RequestTimedOut, 2},
	} {
		part.Apply(testBrokers{}, &metadata.Partition{Leader: testNode, PartitionEpoch: int32(epoch), Replicas: two, ISR: c.isr})
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = c.acks, 20
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch}}}}
		resp := roundTrip[*kmsg.ProduceResponse](w, 9, req)
		if code := protocol.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode); code != c.want || part.Log().LogEnd() != c.end || part.HighWatermark() != 0 {
			t.Errorf("acks=%d with the ISR %v: %s, log end %d, high watermark %d; want %s, %d, 0", c.acks, c.isr, code, part.Log().LogEnd(), part.HighWatermark(), c.want, c.end)
		}
	}
}

// TestISRThatShrinksAfterTheAppend: below min.insync.replicas nothing is committed, so who waits hears of its time-out, as from Kafka since KIP-966; the
// record is in the log, and is committed when the follower is back.
func TestISRThatShrinksAfterTheAppend(t *testing.T) {
	r, part, _ := moved(t)
	w := r.dial()
	req := produceOne(9, 300)
	w.send(9, req)
	for deadline := time.Now().Add(20 * time.Second); part.Log().LogEnd() == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("waited for the append")
		}
	}
	state := *r.controller.images.Image().Partition(uuid.UUID{1}, 0)
	state.ISR, state.PartitionEpoch = state.ISR[:1], state.PartitionEpoch+1
	part.Apply(twoBrokers{}, &state)
	resp, err := w.receive(9, req)
	if err != nil {
		t.Fatal(err)
	}
	if code := protocol.ErrorCode(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode); code != protocol.RequestTimedOut || part.HighWatermark() != 0 {
		t.Errorf("answered %s, high watermark %d", code, part.HighWatermark())
	}
	back := state
	back.ISR, back.PartitionEpoch = state.Replicas, state.PartitionEpoch+1
	part.Apply(twoBrokers{}, &back)
	if _, err := part.ReadFollower(replica.FetchRequest{Replica: 8, BrokerEpoch: 4, Offset: 1, SyncedEnd: 1}, 1000, true); err != nil {
		t.Fatal(err)
	}
	if hw := part.HighWatermark(); hw != 1 {
		t.Errorf("high watermark %d when the follower has it", hw)
	}
}

// TestDeleteRecordsOfFollowers: it is answered once the followers have deleted too, and with the time-out when they do not.
func TestDeleteRecordsOfFollowers(t *testing.T) {
	r := newRig(t, "")
	r.topic("orders", 1, 2)
	part := hosted(t, "orders", 1)
	r.h.Partitions = onePartition{part}
	part.Apply(twoBrokers{}, &metadata.Partition{Leader: testNode, Replicas: []int32{testNode, 8}, ISR: []int32{testNode, 8}})
	b := record.NewBuilder(record.CompressionOf(record.None))
	b.Append(record.Record{Timestamp: 1, Value: []byte("value")})
	if _, err := part.Append(b.Build(), false); err != nil {
		t.Fatal(err)
	}
	follow := func(logStart int64) {
		if _, err := part.ReadFollower(replica.FetchRequest{Replica: 8, BrokerEpoch: 4, LeaderEpoch: 0, Offset: 1, LastEpoch: 0, SyncedEnd: 1, LogStart: logStart}, 1000, true); err != nil {
			t.Error(err)
		}
	}
	follow(0)
	w := r.dial()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 20
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "orders", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 1}}}}
	check := func(code protocol.ErrorCode, low int64) {
		t.Helper()
		resp := roundTrip[*kmsg.DeleteRecordsResponse](w, 2, req)
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != int16(code) || p.LowWatermark != low {
			t.Errorf("answered %v with low watermark %d, want %s and %d", p.ErrorCode, p.LowWatermark, code, low)
		}
	}
	check(protocol.RequestTimedOut, 0)
	req.TimeoutMillis = 20_000
	followed := make(chan struct{})
	go func() { // before or while the request waits
		defer close(followed)
		follow(1)
	}()
	check(protocol.None, 1)
	<-followed
}

// TestDeleteRecordsWithoutADeadFollower: who waits for a follower hears at once when that does not count any more, because its broker is dead.
func TestDeleteRecordsWithoutADeadFollower(t *testing.T) {
	r := newRig(t, "")
	r.topic("orders", 1, 2)
	part := hosted(t, "orders", 1)
	r.h.Partitions = onePartition{part}
	state := &metadata.Partition{Leader: testNode, Replicas: []int32{testNode, 8}, ISR: []int32{testNode, 8}}
	brokers := new(changing)
	brokers.is.Store(&[]replica.Brokers{twoBrokers{}}[0])
	part.Apply(brokers, state)
	b := record.NewBuilder(record.CompressionOf(record.None))
	b.Append(record.Record{Timestamp: 1, Value: []byte("value")})
	if _, err := part.Append(b.Build(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := part.ReadFollower(replica.FetchRequest{Replica: 8, BrokerEpoch: 4, Offset: 1, SyncedEnd: 1}, 1000, true); err != nil {
		t.Fatal(err)
	}
	w := r.dial()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 1 << 30
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "orders", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 1}}}}
	w.send(2, req)
	for deadline := time.Now().Add(20 * time.Second); part.Log().LogStart() == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("waited for the leader to delete")
		}
	}
	brokers.is.Store(&[]replica.Brokers{testBrokers{}}[0])
	part.Apply(brokers, state)
	resp, err := w.receive(2, req)
	if err != nil {
		t.Fatal(err)
	}
	if p := resp.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.LowWatermark != 1 {
		t.Errorf("answered %v with low watermark %d", protocol.ErrorCode(p.ErrorCode), p.LowWatermark)
	}
}

// changing are brokers that change, as the newest image does.
type changing struct {
	is atomic.Pointer[replica.Brokers]
}

func (c *changing) Broker(id int32) *metadata.Broker { return (*c.is.Load()).Broker(id) }

// twoBrokers has one more than testBrokers.
type twoBrokers struct{ testBrokers }

func (b twoBrokers) Broker(id int32) *metadata.Broker {
	if id == 8 {
		return &metadata.Broker{ID: 8, Epoch: 4}
	}
	return b.testBrokers.Broker(id)
}
