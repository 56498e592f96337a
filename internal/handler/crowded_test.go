package handler

import (
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
)

// TestNothingIsAddedWithoutMemory: when the node has no memory for more, what would add to its state is refused with a code that says so or has the client
// come again, and nothing reaches the controller or a group.
func TestNothingIsAddedWithoutMemory(t *testing.T) {
	r := newRig(t, "auto.create.topics.enable=true")
	w := r.dial()
	there := kmsg.NewPtrCreateTopicsRequest()
	there.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "there", NumPartitions: 1, ReplicationFactor: 1}}
	roundTrip[*kmsg.CreateTopicsResponse](w, 7, there)
	r.h.Crowded = func() bool { return true }
	want := func(what string, code int16, is protocol.ErrorCode) {
		t.Helper()
		if protocol.ErrorCode(code) != is {
			t.Errorf("%s is answered %v, want %v", what, protocol.ErrorCode(code), is)
		}
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "more", NumPartitions: 1, ReplicationFactor: 1}}
	created := roundTrip[*kmsg.CreateTopicsResponse](w, 7, create).Topics[0]
	want("CreateTopics", created.ErrorCode, protocol.PolicyViolation)
	if created.ErrorMessage == nil || *created.ErrorMessage != errCrowded {
		t.Error("CreateTopics does not say why")
	}
	want("CreateTopics of one that is there", roundTrip[*kmsg.CreateTopicsResponse](w, 7, there).Topics[0].ErrorCode, protocol.TopicAlreadyExists)
	more := kmsg.NewPtrCreatePartitionsRequest()
	more.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "more", Count: 10}}
	want("CreatePartitions", roundTrip[*kmsg.CreatePartitionsResponse](w, 3, more).Topics[0].ErrorCode, protocol.PolicyViolation)
	meta := kmsg.NewPtrMetadataRequest()
	meta.AllowAutoTopicCreation, meta.Topics = true, []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("asked")}}
	want("Metadata", roundTrip[*kmsg.MetadataResponse](w, 9, meta).Topics[0].ErrorCode, protocol.UnknownTopicOrPartition)
	if n := r.h.Metadata.Image().TopicCount(); n != 1 {
		t.Errorf("%d topics were made", n)
	}
	want("InitProducerId", roundTrip[*kmsg.InitProducerIDResponse](w, 4, kmsg.NewPtrInitProducerIDRequest()).ErrorCode, protocol.CoordinatorLoadInProgress)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType = "g", "consumer"
	want("JoinGroup", roundTrip[*kmsg.JoinGroupResponse](w, 5, join).ErrorCode, protocol.GroupMaxSizeReached)
	if r.groups.last() != nil {
		t.Errorf("a group was asked %v", r.groups.last())
	}
}

// TestNoProducerIsAddedWithoutMemory: batches of producers that a partition does not know are refused with a code that has clients try again: at first those
// with ids that nobody gave out, then all. Those that it knows go on, and so do batches without an id.
func TestNoProducerIsAddedWithoutMemory(t *testing.T) {
	r := newRig(t, "")
	r.topic("orders", 1, 2)
	part := hosted(t, "orders", 1)
	r.h.Partitions = onePartition{part}
	part.Apply(testBrokers{}, &metadata.Partition{Leader: testNode, Replicas: []int32{testNode}, ISR: []int32{testNode}})
	r.controller.apply(t, &metadata.ProducerIDsRecord{BrokerID: testNode, BrokerEpoch: 1, Next: 100})
	w := r.dial()
	var crowded, full bool
	r.h.Crowded, r.h.Full = func() bool { return crowded }, func() bool { return full }
	produce := func(id int64, sequence int32, want protocol.ErrorCode) {
		t.Helper()
		b := record.NewBuilder(record.CompressionOf(record.None))
		b.Append(record.Record{Timestamp: record.NoTimestamp, Value: []byte("value")})
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, 0, sequence
		if id < 0 {
			b.ProducerEpoch = -1
		}
		req := kmsg.NewPtrProduceRequest()
		req.Acks = 1
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b.Build()}}}}
		before := part.Log().LogEnd()
		p := roundTrip[*kmsg.ProduceResponse](w, 9, req).Topics[0].Partitions[0]
		if wrote := part.Log().LogEnd() > before; protocol.ErrorCode(p.ErrorCode) != want || wrote != (want == protocol.None) {
			t.Errorf("crowded %v, full %v: a batch of producer %d is answered %v, want %v; written: %v", crowded, full, id, protocol.ErrorCode(p.ErrorCode), want, wrote)
		}
		if want != protocol.None && (p.ErrorMessage == nil || *p.ErrorMessage != errCrowded) {
			t.Error("the answer does not say why")
		}
	}
	produce(50, 0, protocol.None)
	produce(5000, 0, protocol.None)
	crowded = true
	produce(51, 0, protocol.None)
	produce(5001, 0, protocol.NotEnoughReplicas)
	produce(5000, 1, protocol.None)
	full = true
	produce(52, 0, protocol.NotEnoughReplicas)
	produce(50, 1, protocol.None)
	produce(5000, 2, protocol.None)
	produce(-1, -1, protocol.None)
	if n := part.Log().Producers(); n != 3 {
		t.Errorf("%d producers are remembered, want 3", n)
	}
	crowded, full = false, false
	produce(5001, 0, protocol.None)
}

// TestManyPartitionsArePaidFor: Fetch and Produce that name more partitions than there is memory for are closed, ordinary ones are not.
func TestManyPartitionsArePaidFor(t *testing.T) {
	r := newRig(t, "")
	fetch := func(n int) *kmsg.FetchRequest {
		req := kmsg.NewPtrFetchRequest()
		req.MaxBytes, req.SessionEpoch = 1<<20, -1
		req.Topics = []kmsg.FetchRequestTopic{{Topic: "none", Partitions: make([]kmsg.FetchRequestTopicPartition, n)}}
		for i := range n {
			req.Topics[0].Partitions[i].Partition = int32(i)
		}
		return req
	}
	produce := func(n int) *kmsg.ProduceRequest {
		req := kmsg.NewPtrProduceRequest()
		req.Acks = 1
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: "none", Partitions: make([]kmsg.ProduceRequestTopicPartition, n)}}
		for i := range n {
			req.Topics[0].Partitions[i].Partition = int32(i)
		}
		return req
	}
	w := r.dial()
	if got := len(roundTrip[*kmsg.FetchResponse](w, 11, fetch(1000)).Topics[0].Partitions); got != 1000 {
		t.Errorf("Fetch of 1,000 partitions is answered for %d", got)
	}
	if got := len(roundTrip[*kmsg.ProduceResponse](w, 9, produce(1000)).Topics[0].Partitions); got != 1000 {
		t.Errorf("Produce of 1,000 partitions is answered for %d", got)
	}
	for name, c := range map[string]struct {
		version int16
		req     kmsg.Request
	}{"Fetch": {11, fetch(400_000)}, "Produce": {9, produce(800_000)}} {
		w := r.dial()
		w.send(c.version, c.req)
		if _, err := w.receive(c.version, c.req); err == nil {
			t.Errorf("%s of more partitions than there is memory for is answered", name)
		} else if err != io.EOF {
			t.Logf("%s: %v", name, err)
		}
	}
}
