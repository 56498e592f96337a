package handler

import (
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
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
