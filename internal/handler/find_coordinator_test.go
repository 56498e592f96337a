package handler

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
)

func find(kind int8, keys ...string) *kmsg.FindCoordinatorRequest {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, keys[0], keys
	return req
}

// foundAt brings the answers of all versions into one form.
func foundAt(v int16, resp *kmsg.FindCoordinatorResponse) (all []kmsg.FindCoordinatorResponseCoordinator) {
	if v >= 4 {
		return resp.Coordinators
	}
	return []kmsg.FindCoordinatorResponseCoordinator{{NodeID: resp.NodeID, Host: resp.Host, Port: resp.Port, ErrorCode: resp.ErrorCode, ErrorMessage: resp.ErrorMessage}}
}

func TestFindCoordinatorAtEveryVersion(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for v := int16(0); v <= 6; v++ {
		for _, key := range []string{"orders", ""} { // Kafka has a coordinator for the empty id as well
			at := foundAt(v, roundTrip[*kmsg.FindCoordinatorResponse](w, v, find(keyGroup, key)))[0]
			if at.NodeID != testNode || at.Host != "127.0.0.1" || at.Port != 9092 || at.ErrorCode != 0 {
				t.Errorf("version %d: %q is at %+v", v, key, at)
			}
			want := "" // not null
			if v <= 3 {
				want = "NONE"
			}
			if v > 0 && (at.ErrorMessage == nil || *at.ErrorMessage != want) {
				t.Errorf("version %d: message %q", v, orEmpty(at.ErrorMessage))
			}
		}
		if v == 0 {
			continue
		}
		for kind, want := range map[int8]protocol.ErrorCode{
			keyTransaction: protocol.TransactionalIDAuthorizationFailed, keyShare: protocol.InvalidRequest, 3: protocol.InvalidRequest, -1: protocol.InvalidRequest,
		} {
			at := foundAt(v, roundTrip[*kmsg.FindCoordinatorResponse](w, v, find(kind, "g:AAAAAAAAAAAAAAAAAAAAAA:0")))[0]
			if at.ErrorCode != int16(want) || at.NodeID != -1 || at.Host != "" || at.Port != -1 {
				t.Errorf("version %d: kind %d: %+v, want %s", v, kind, at, want)
			}
			if v <= 3 && orEmpty(at.ErrorMessage) == "" {
				t.Errorf("version %d: kind %d is refused without a word", v, kind)
			}
		}
	}
	if len(r.groups.asked) != 0 {
		t.Error("the coordinator was asked for its address")
	}
}

func TestFindCoordinatorBatch(t *testing.T) {
	r := newRig(t, "")
	resp := roundTrip[*kmsg.FindCoordinatorResponse](r.dial(), 4, find(keyGroup, "a", "b", "a", "\xff"))
	var keys string
	for _, c := range resp.Coordinators {
		keys += c.Key
	}
	if keys != "aba\xff" {
		t.Errorf("answered keys %q", keys)
	}
	if code := resp.Coordinators[3].ErrorCode; code != int16(protocol.InvalidGroupID) {
		t.Errorf("a group whose id is no text: %s", protocol.ErrorCode(code))
	}
}

// TestOffsetsTopicOnFirstUse asks from many connections while the controller is busy: the topic is made once, as Kafka makes it, and
// everybody is answered with the coordinator.
func TestOffsetsTopicOnFirstUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "offsets.topic.num.partitions=5\noffsets.topic.segment.bytes=2097152\n")
		r.controller.proceed = make(chan struct{})
		var clients sync.WaitGroup
		for range 40 {
			w := r.dial()
			w.send(3, find(keyGroup, "orders"))
			clients.Go(func() {
				resp, err := w.receive(3, find(keyGroup, "orders"))
				if err != nil || resp.(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
					t.Errorf("answer %+v, %v", resp, err)
				}
			})
		}
		synctest.Wait() // all of them have come
		close(r.controller.proceed)
		clients.Wait()
		topic := r.h.Metadata.Image().Topic(offsetsTopic)
		if topic == nil || len(topic.Partitions) != 5 || len(topic.Partitions[0].Replicas) != 1 {
			t.Fatalf("made %+v", topic)
		}
		want := map[string]string{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "2097152"}
		if len(topic.Configs) != len(want) {
			t.Errorf("configurations %v", topic.Configs)
		}
		for name, value := range want {
			if topic.Configs[name] != value {
				t.Errorf("%s is %q", name, topic.Configs[name])
			}
		}
		if r.controller.asked != 1 {
			t.Errorf("%d creations", r.controller.asked)
		}
	})
}

func TestOffsetsTopicThatCannotBeMade(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for _, err := range []error{controller.ErrNoSpace, controller.ErrNotController, errors.New("other")} {
		r.controller.fail = err
		resp := roundTrip[*kmsg.FindCoordinatorResponse](w, 2, find(keyGroup, "orders"))
		if resp.ErrorCode != int16(protocol.CoordinatorNotAvailable) || orEmpty(resp.ErrorMessage) != "The coordinator is not available." || resp.NodeID != -1 {
			t.Errorf("%v: %+v", err, resp)
		}
	}
	r.controller.fail = nil
	if resp := roundTrip[*kmsg.FindCoordinatorResponse](w, 2, find(keyGroup, "orders")); resp.ErrorCode != 0 {
		t.Errorf("afterwards: %+v", resp)
	}
}

// TestFirstUseWithoutController waits for it a moment: what the client asks on the same connection would wait as long.
func TestFirstUseWithoutController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "")
		r.controller.proceed = make(chan struct{})
		began := r.h.Clock.Now()
		resp := roundTrip[*kmsg.FindCoordinatorResponse](r.dial(), 2, find(keyGroup, "orders"))
		if took := r.h.Clock.Now().Sub(began); resp.ErrorCode != int16(protocol.CoordinatorNotAvailable) || took != catchUpMax {
			t.Errorf("answered %+v after %s", resp, took)
		}
	})
}

// TestFirstUseEndsWithTheBroker stops while the controller does not answer.
func TestFirstUseEndsWithTheBroker(t *testing.T) {
	r := newRig(t, "")
	r.controller.proceed = make(chan struct{})
	w := r.dial()
	w.send(3, find(keyGroup, "orders"))
	w.send(3, find(keyTransaction, "x")) // is answered behind the first
	r.h.end()
	resp, err := w.receive(3, find(keyGroup, "orders"))
	if err != nil || resp.(*kmsg.FindCoordinatorResponse).ErrorCode != int16(protocol.CoordinatorNotAvailable) {
		t.Errorf("answer %+v, %v", resp, err)
	}
	if _, err := w.receive(3, find(keyTransaction, "x")); err != nil {
		t.Error(err)
	}
}

func TestMetadataMakesOffsetsTopic(t *testing.T) {
	r := newRig(t, "")
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = true
	for _, name := range []string{offsetsTopic, transactionsTopic, shareStateTopic} {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &name})
	}
	for _, topic := range roundTrip[*kmsg.MetadataResponse](r.dial(), 9, req).Topics {
		if topic.ErrorCode != int16(protocol.UnknownTopicOrPartition) || !topic.IsInternal {
			t.Errorf("%+v", topic)
		}
	}
	img := r.h.Metadata.Image()
	if topic := img.Topic(offsetsTopic); topic == nil || len(topic.Partitions) != 50 || topic.Configs["cleanup.policy"] != "compact" {
		t.Errorf("made %+v", topic)
	}
	if img.Topic(transactionsTopic) != nil || img.Topic(shareStateTopic) != nil {
		t.Error("topics of coordinators that are not served were made")
	}
}

// TestCoordinatorElsewhere looks for groups that other brokers keep: one that this listener reaches, one that it does not, one that is
// fenced, and a partition that nobody leads.
func TestCoordinatorElsewhere(t *testing.T) {
	r := newRig(t, "")
	broker := func(id int32, listener string, fenced bool) metadata.Record {
		return &metadata.BrokerRecord{Broker: metadata.Broker{ID: id, Epoch: int64(id), Fenced: fenced,
			Listeners: []metadata.Listener{{Name: listener, Host: "far", Port: 9000 + id}}}}
	}
	id := uuid.New(random.Seeded(3))
	records := []metadata.Record{broker(8, "PLAINTEXT", false), broker(9, "OTHER", false), broker(10, "PLAINTEXT", true),
		&metadata.TopicRecord{Name: offsetsTopic, ID: id}}
	for i, leader := range []int32{8, 9, 10, -1} {
		records = append(records, &metadata.PartitionRecord{TopicID: id, Number: int32(i), Partition: metadata.Partition{
			Leader: leader, Replicas: []int32{8 + int32(i)%3}, ISR: []int32{8 + int32(i)%3}, Directories: make([]uuid.UUID, 1)}})
	}
	r.controller.apply(t, records...)
	resp := roundTrip[*kmsg.FindCoordinatorResponse](r.dial(), 4, find(keyGroup, "", "x", "xx", "xxx", "xxxx"))
	for i, want := range []kmsg.FindCoordinatorResponseCoordinator{
		{NodeID: 8, Host: "far", Port: 9008}, {NodeID: -1, Port: -1, ErrorCode: 15}, {NodeID: -1, Port: -1, ErrorCode: 15},
		{NodeID: -1, Port: -1, ErrorCode: 15}, {NodeID: 8, Host: "far", Port: 9008},
	} {
		got := resp.Coordinators[i]
		if got.NodeID != want.NodeID || got.Host != want.Host || got.Port != want.Port || got.ErrorCode != want.ErrorCode {
			t.Errorf("partition %d: %+v, want %+v", i%4, got, want)
		}
	}
}

// TestOffsetsTopicOnAFewBrokers has two brokers where the setting asks for three replicas.
func TestOffsetsTopicOnAFewBrokers(t *testing.T) {
	for setting, want := range map[string]int16{"": 2, "offsets.topic.replication.factor=1\n": 1} {
		r := newRig(t, setting)
		r.controller.apply(t, &metadata.BrokerRecord{Broker: metadata.Broker{ID: 8, Epoch: 8}})
		if got := r.h.newOffsetsTopic(r.h.Metadata.Image()).ReplicationFactor; got != want {
			t.Errorf("with %q two brokers get %d replicas, want %d", setting, got, want)
		}
	}
}
