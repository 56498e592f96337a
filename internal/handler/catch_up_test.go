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

// newBehind is a rig of one broker of two, whose coordinator answers as the real one does: only who knows of __consumer_offsets keeps groups.
func newBehind(t *testing.T) *rig {
	r := newRig(t, "")
	r.controller.apply(t, &metadata.BrokerRecord{Broker: metadata.Broker{ID: 8, Epoch: 8}})
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
