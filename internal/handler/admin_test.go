package handler

import (
	"math"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// topic makes a topic whose partitions this node leads, but for the last, which nobody leads.
func (r *rig) topic(name string, id byte, partitions int) {
	r.t.Helper()
	records := []metadata.Record{&metadata.TopicRecord{Name: name, ID: uuid.UUID{id}}}
	for i := range partitions {
		p := metadata.Partition{Replicas: []int32{testNode}, ISR: []int32{testNode}, Directories: make([]uuid.UUID, 1), Leader: testNode}
		if i == partitions-1 {
			p.ISR, p.LastKnownELR, p.Leader = []int32{}, []int32{testNode}, metadata.NoLeader
		}
		records = append(records, &metadata.PartitionRecord{TopicID: uuid.UUID{id}, Number: int32(i), Partition: p})
	}
	r.controller.apply(r.t, records...)
}

func TestDescribeTopicPartitions(t *testing.T) {
	r := newRig(t, "max.request.partition.size.limit=2")
	r.topic("b", 2, 3)
	r.topic("a", 1, 2)
	w := r.dial()
	var seen []string
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	for pages := 0; ; pages++ {
		if pages > 5 {
			t.Fatal("the pages do not end")
		}
		resp := roundTrip[*kmsg.DescribeTopicPartitionsResponse](w, 0, req)
		n := 0
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				n++
				seen = append(seen, *topic.Topic+string('0'+rune(p.Partition)))
				if last := p.LeaderID == metadata.NoLeader; last != slices.Equal(p.LastKnownELR, []int32{testNode}) {
					t.Errorf("%s: %+v", *topic.Topic, p)
				}
			}
		}
		if n > 2 {
			t.Errorf("a page has %d partitions", n)
		}
		if resp.NextCursor == nil {
			break
		}
		req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
	}
	if want := []string{"a0", "a1", "b0", "b1", "b2"}; !slices.Equal(seen, want) {
		t.Errorf("pages show %v, want %v", seen, want)
	}
}

func TestElectLeaders(t *testing.T) {
	r := newRig(t, "")
	r.topic("a", 1, 2)
	w := r.dial()
	all := kmsg.NewPtrElectLeadersRequest()
	all.TimeoutMillis = 1000
	for _, c := range []struct {
		election int8
		want     []protocol.ErrorCode
	}{
		{0, []protocol.ErrorCode{protocol.PreferredLeaderNotAvailable}}, // it is in no ISR
		{1, []protocol.ErrorCode{protocol.None}},
		{1, nil},
		{0, nil},
	} {
		all.ElectionType = c.election
		resp := roundTrip[*kmsg.ElectLeadersResponse](w, 2, all)
		var got []protocol.ErrorCode
		for _, p := range resp.Topics[0].Partitions {
			got = append(got, protocol.ErrorCode(p.ErrorCode))
		}
		if !slices.Equal(got, c.want) || resp.ErrorCode != 0 {
			t.Errorf("election %d: %v, want %v", c.election, got, c.want)
		}
	}
	if p := r.controller.images.Image().Topic("a").Partitions[1]; p.Leader != testNode || !p.Recovering {
		t.Errorf("after an unclean election %+v", p)
	}
}

func TestUnregisterBroker(t *testing.T) {
	r := newRig(t, "")
	r.controller.apply(t, &metadata.BrokerRecord{Broker: metadata.Broker{ID: 8, Epoch: 2, Directories: []uuid.UUID{{8}}}})
	r.controller.apply(t, &metadata.BrokerRecord{Broker: metadata.Broker{ID: 9, Epoch: 3, Directories: []uuid.UUID{{9}}, Fenced: true}})
	w := r.dial()
	for _, c := range []struct {
		id   int32
		want protocol.ErrorCode
	}{{testNode, protocol.InvalidRequest}, {8, protocol.InvalidRequest}, {9, protocol.None}, {9, protocol.BrokerIDNotRegistered}} {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = c.id
		if resp := roundTrip[*kmsg.UnregisterBrokerResponse](w, 0, req); resp.ErrorCode != int16(c.want) || (resp.ErrorMessage == nil) != (c.want == protocol.None) {
			t.Errorf("unregister %d: %+v", c.id, resp)
		}
	}
	if img := r.controller.images.Image(); img.Broker(9) != nil || img.Broker(8) == nil {
		t.Error("the wrong broker is gone")
	}
}

func TestDescribeQuorum(t *testing.T) {
	r := newRig(t, "")
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: metadataLogTopic, Partitions: make([]kmsg.DescribeQuorumRequestTopicPartition, 1)}}
	resp := roundTrip[*kmsg.DescribeQuorumResponse](r.dial(), 2, req)
	p := resp.Topics[0].Partitions[0]
	if p.LeaderID != testNode || p.LeaderEpoch != 4 || p.HighWatermark != 19 || len(p.CurrentVoters) != 1 || p.CurrentVoters[0].LogEndOffset != 19 || len(p.Observers) != 0 {
		t.Errorf("quorum %+v", p)
	}
}

// TestAnswersOfAdminAreBounded: what is answered for four bytes each has words of its own, and is paid for.
func TestAnswersOfAdminAreBounded(t *testing.T) {
	r := newRig(t, "")
	many := make([]int32, 100_000)
	for name, serve := range map[string]func(c call) kmsg.Response{
		"producers": func(c call) kmsg.Response {
			return serveDescribeProducers(r.h, c, &kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{{Topic: "x", Partitions: many}}})
		},
		"quorum": func(c call) kmsg.Response {
			return serveDescribeQuorum(r.h, c, &kmsg.DescribeQuorumRequest{Topics: []kmsg.DescribeQuorumRequestTopic{{Partitions: make([]kmsg.DescribeQuorumRequestTopicPartition, len(many))}}})
		},
		"elections": func(c call) kmsg.Response {
			return serveElectLeaders(r.h, c, &kmsg.ElectLeadersRequest{Topics: []kmsg.ElectLeadersRequestTopic{{Topic: "x", Partitions: many}}})
		},
		"reassignments": func(c call) kmsg.Response {
			return serveAlterPartitionReassignments(r.h, c, &kmsg.AlterPartitionAssignmentsRequest{Topics: []kmsg.AlterPartitionAssignmentsRequestTopic{
				{Topic: "x", Partitions: make([]kmsg.AlterPartitionAssignmentsRequestTopicPartition, len(many))}}})
		},
	} {
		for _, budget := range []int64{1_000_000, math.MaxInt64} {
			left := budget
			c := call{ctx: t.Context(), version: 1, charge: func(n int64) bool { left -= n; return left >= 0 }}
			if resp := serve(c); (resp == nil) != (budget == 1_000_000) {
				t.Errorf("%s with %d bytes: answered %v", name, budget, resp != nil)
			}
		}
	}
}

// TestMinISROfUnequalPartitions: a topic has one min.insync.replicas for all its partitions, and nobody set it: it is that of the partition with the most replicas.
func TestMinISROfUnequalPartitions(t *testing.T) {
	r := newRig(t, "")
	records := []metadata.Record{&metadata.TopicRecord{Name: "a", ID: uuid.UUID{1}}}
	for i, replicas := range [][]int32{{testNode}, {testNode, 8, 9}, {testNode, 8}} {
		records = append(records, &metadata.PartitionRecord{TopicID: uuid.UUID{1}, Number: int32(i),
			Partition: metadata.Partition{Replicas: replicas, ISR: replicas, Directories: make([]uuid.UUID, len(replicas)), Leader: testNode}})
	}
	r.controller.apply(t, records...)
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: resourceTopic, ResourceName: "a", ConfigNames: []string{"min.insync.replicas"}}}
	resp := roundTrip[*kmsg.DescribeConfigsResponse](r.dial(), 4, req)
	if got := resp.Resources[0].Configs; len(got) != 1 || *got[0].Value != "2" {
		t.Errorf("%+v", got)
	}
}
