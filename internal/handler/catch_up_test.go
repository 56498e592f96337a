package handler

import (
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
)

// newBehind is a rig of one broker of two, which has not heard of the other, and whose coordinator answers as the real one does: only who knows of __consumer_offsets keeps groups.
func newBehind(t *testing.T) *rig {
	r := newRig(t, "")
	r.h.Several = true
	r.groups.answer = func(request any) (any, error) {
		if r.groups.PartitionFor("") < 0 {
			return nil, coordinator.ErrNotCoordinator
		}
		switch request.(type) {
		case *group.HeartbeatRequest:
			return &group.HeartbeatResponse{}, nil
		case *group.DescribeRequest:
			return &group.DescribeResponse{State: "Empty"}, nil
		}
		t.Errorf("asked %T", request)
		return nil, coordinator.ErrNotCoordinator
	}
	return r
}

// offsetsTopicElsewhere is what the controller has decided.
func offsetsTopicElsewhere() []metadata.Record {
	id := uuid.New(random.Seeded(3))
	return []metadata.Record{&metadata.TopicRecord{Name: offsetsTopic, ID: id}, &metadata.PartitionRecord{TopicID: id, Partition: metadata.Partition{
		Leader: testNode, Replicas: []int32{testNode}, ISR: []int32{testNode}, Directories: make([]uuid.UUID, 1)}}}
}

func heartbeat() *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID = "orders", "me"
	return req
}

// TestGroupsBeforeTheirTopic asks a broker about groups that another one has sent the client to before the metadata.
func TestGroupsBeforeTheirTopic(t *testing.T) {
	t.Run("one group", func(t *testing.T) {
		r := newBehind(t)
		r.controller.news = offsetsTopicElsewhere()
		w := r.dial()
		for range 2 {
			if resp := roundTrip[*kmsg.HeartbeatResponse](w, 4, heartbeat()); resp.ErrorCode != 0 {
				t.Errorf("answered with code %d", resp.ErrorCode)
			}
		}
		if r.controller.asked != 1 {
			t.Errorf("the controller was asked %d times, want once", r.controller.asked)
		}
	})
	t.Run("several groups", func(t *testing.T) {
		r := newBehind(t)
		r.controller.news = offsetsTopicElsewhere()
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = []string{"orders", "payments", "invoices"}
		for _, g := range roundTrip[*kmsg.DescribeGroupsResponse](r.dial(), 5, req).Groups {
			if g.ErrorCode != 0 || g.State != "Empty" {
				t.Errorf("described %+v", g)
			}
		}
		if r.controller.asked != 1 {
			t.Errorf("the controller was asked %d times, want once", r.controller.asked)
		}
	})
	t.Run("there is none", func(t *testing.T) {
		r := newBehind(t)
		if resp := roundTrip[*kmsg.HeartbeatResponse](r.dial(), 4, heartbeat()); resp.ErrorCode != int16(protocol.NotCoordinator) {
			t.Errorf("answered with code %d", resp.ErrorCode)
		}
		if r.h.Metadata.Image().Topic(offsetsTopic) != nil {
			t.Error("the topic was made, which is up to who looks for coordinators")
		}
	})
	t.Run("a broker that is alone", func(t *testing.T) {
		r := newRig(t, "")
		r.groups.reply(nil, coordinator.ErrNotCoordinator)
		if resp := roundTrip[*kmsg.HeartbeatResponse](r.dial(), 4, heartbeat()); resp.ErrorCode != int16(protocol.NotCoordinator) || r.controller.asked != 0 {
			t.Errorf("answered with code %d, after the controller was asked %d times", resp.ErrorCode, r.controller.asked)
		}
	})
}

// TestGroupsWithoutController cannot hear whether it is behind.
func TestGroupsWithoutController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBehind(t)
		r.controller.proceed = make(chan struct{})
		began := r.h.Clock.Now()
		if resp := roundTrip[*kmsg.HeartbeatResponse](r.dial(), 4, heartbeat()); resp.ErrorCode != int16(protocol.NotCoordinator) {
			t.Errorf("answered with code %d", resp.ErrorCode)
		}
		if took := r.h.Clock.Now().Sub(began); took != catchUpMax {
			t.Errorf("answered after %s", took)
		}
	})
}

// TestGroupsWithoutControllerMeanwhile come while the controller is asked in vain: it is not waited for once more.
func TestGroupsWithoutControllerMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBehind(t)
		r.controller.proceed = make(chan struct{})
		began := r.h.Clock.Now()
		for range 3 {
			w := r.dial()
			w.send(4, heartbeat())
			synctest.Wait() // it has come
			defer func() {
				resp, err := w.receive(4, heartbeat())
				if took := r.h.Clock.Now().Sub(began); err != nil || resp.(*kmsg.HeartbeatResponse).ErrorCode != int16(protocol.NotCoordinator) || took != catchUpMax {
					t.Errorf("answered %+v, %v after %s", resp, err, took)
				}
			}()
		}
	})
}

// TestGroupsAskedMeanwhile come while the controller answers what was asked before: they know of what it may have decided since.
func TestGroupsAskedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBehind(t)
		r.controller.proceed = make(chan struct{})
		first, second, third := r.dial(), r.dial(), r.dial()
		for _, w := range []*wire{first, second, third} {
			w.send(4, heartbeat())
			synctest.Wait() // it has come
		}
		answered := func(w *wire, want protocol.ErrorCode) {
			t.Helper()
			if resp, err := w.receive(4, heartbeat()); err != nil || resp.(*kmsg.HeartbeatResponse).ErrorCode != int16(want) {
				t.Errorf("answered %+v, %v, want %s", resp, err, want)
			}
		}
		r.controller.proceed <- struct{}{}
		answered(first, protocol.NotCoordinator)
		synctest.Wait()
		r.controller.mu.Lock()
		r.controller.news = offsetsTopicElsewhere()
		r.controller.mu.Unlock()
		r.controller.proceed <- struct{}{}
		answered(second, protocol.None)
		answered(third, protocol.None)
		if r.controller.asked != 2 {
			t.Errorf("the controller was asked %d times, want twice", r.controller.asked)
		}
	})
}

// topicElsewhere is one with a partition that the controller has made.
func topicElsewhere(name string, id uuid.UUID) []metadata.Record {
	return []metadata.Record{&metadata.TopicRecord{Name: name, ID: id}, &metadata.PartitionRecord{TopicID: id, Partition: metadata.Partition{
		Leader: testNode, Replicas: []int32{testNode}, ISR: []int32{testNode}, Directories: make([]uuid.UUID, 1)}}}
}

// TestOffsetsBeforeTheirTopic asks a coordinator about offsets of a topic that was made a moment ago, by way of another broker. The coordinator has not heard of
// it; most clients would take it for final that there is none.
func TestOffsetsBeforeTheirTopic(t *testing.T) {
	id, partition := uuid.New(random.Seeded(5)), int32(0)
	commit := func(v int16) func(*wire) int16 {
		return func(w *wire) int16 {
			return roundTrip[*kmsg.OffsetCommitResponse](w, v, commitOf(map[string]uuid.UUID{"new": id}, "new", []int32{partition})).Topics[0].Partitions[0].ErrorCode
		}
	}
	for name, c := range map[string]struct {
		ask     func(*wire) int16
		missing protocol.ErrorCode
	}{
		"commit by name": {commit(9), protocol.UnknownTopicOrPartition},
		"commit by id":   {commit(10), protocol.UnknownTopicID},
		"fetch by id": {func(w *wire) int16 {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{TopicID: id, Partitions: []int32{partition}}}}}
			return roundTrip[*kmsg.OffsetFetchResponse](w, 10, req).Groups[0].Topics[0].Partitions[0].ErrorCode
		}, protocol.UnknownTopicID},
		"delete": {func(w *wire) int16 {
			req := kmsg.NewPtrOffsetDeleteRequest()
			req.Group, req.Topics = "g", []kmsg.OffsetDeleteRequestTopic{{Topic: "new", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: partition}}}}
			return roundTrip[*kmsg.OffsetDeleteResponse](w, 0, req).Topics[0].Partitions[0].ErrorCode
		}, protocol.UnknownTopicOrPartition},
	} {
		t.Run(name, func(t *testing.T) {
			r := newBehind(t)
			r.controller.apply(t, offsetsTopicElsewhere()...)
			r.groups.answer = func(request any) (any, error) {
				done := []group.CommittedPartition{{Partition: partition}}
				switch q := request.(type) {
				case *group.CommitRequest:
					return &group.CommitResponse{Topics: []group.CommittedTopic{{Topic: q.Topics[0].Topic, ID: q.Topics[0].ID, Partitions: done}}}, nil
				case *group.FetchRequest:
					resp := &group.FetchResponse{}
					for _, topic := range q.Topics {
						resp.Topics = append(resp.Topics, group.FetchedTopic{Topic: topic.Topic, ID: topic.ID, Partitions: []group.FetchedPartition{{Partition: partition, Metadata: new("")}}})
					}
					return resp, nil
				case *group.DeleteOffsetsRequest:
					resp := &group.DeleteOffsetsResponse{}
					for _, topic := range q.Topics {
						resp.Topics = append(resp.Topics, group.CommittedTopic{Topic: topic.Topic, Partitions: done})
					}
					return resp, nil
				}
				t.Errorf("asked %T", request)
				return nil, coordinator.ErrNotCoordinator
			}
			w := r.dial()
			asked := func(want protocol.ErrorCode, times int) {
				t.Helper()
				if code := c.ask(w); code != int16(want) || r.controller.asked != times {
					t.Errorf("answered with code %d after the controller was asked %d times, want %d and %d", code, r.controller.asked, want, times)
				}
			}
			asked(c.missing, 1) // the controller has made none
			r.controller.news = topicElsewhere("new", id)
			asked(protocol.None, 2)
			asked(protocol.None, 2)
		})
	}
	t.Run("a partition that was added", func(t *testing.T) {
		r := newBehind(t)
		r.controller.apply(t, offsetsTopicElsewhere()...)
		r.controller.apply(t, topicElsewhere("new", id)...)
		r.accept(protocol.None)
		more := topicElsewhere("new", id)[1].(*metadata.PartitionRecord)
		more.Number, partition = 1, 1
		r.controller.news = []metadata.Record{more}
		if code := commit(9)(r.dial()); code != 0 {
			t.Errorf("answered with code %d", code)
		}
	})
}

// TestRecordsBeforeTheirTopic come to the leader of a partition that has not heard of it yet: with acks=0 nobody would send them again.
func TestRecordsBeforeTheirTopic(t *testing.T) {
	for v := int16(9); v <= 13; v += 4 {
		r := newBehind(t)
		part := hosted(t, "orders", 1)
		r.h.Partitions = onePartition{part}
		w := r.dial()
		req := produceOne(v, 1000)
		req.Acks, req.Topics = 1, append([]kmsg.ProduceRequestTopic{{Topic: "none", TopicID: uuid.UUID{9}, Partitions: make([]kmsg.ProduceRequestTopicPartition, 1)}}, req.Topics...)
		for _, topic := range roundTrip[*kmsg.ProduceResponse](w, v, req).Topics {
			if code := topic.Partitions[0].ErrorCode; code != int16(protocol.UnknownTopicOrPartition) && code != int16(protocol.UnknownTopicID) {
				t.Errorf("version %d is answered with code %d for a topic that there is not", v, code)
			}
		}
		if r.controller.asked != 1 {
			t.Errorf("version %d: the controller was asked %d times, want once for all topics", v, r.controller.asked)
		}
		led := topicElsewhere("orders", uuid.UUID{1})
		part.Apply(twoBrokers{}, &led[1].(*metadata.PartitionRecord).Partition)
		r.controller.news = led
		req.Acks = 0
		w.send(v, req)
		if _, err := w.receive(v, req); err == nil { // "none" is refused still, so the connection is closed
			t.Errorf("version %d with acks=0 is answered", v)
		}
		if _, _, _, end := part.Offsets(); end != 1 || r.controller.asked != 2 {
			t.Errorf("version %d: the log ends at %d after the controller was asked %d times", v, end, r.controller.asked)
		}
	}
}
