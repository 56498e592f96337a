package handler

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// TestTopicsThatMayNotBeDeleted: with delete.topic.enable=false every topic is refused, with a code that clients of a version know.
func TestTopicsThatMayNotBeDeleted(t *testing.T) {
	r := newRig(t, "delete.topic.enable=false")
	r.topic("orders", 1, 2)
	w := r.dial()
	for v := int16(1); v <= 6; v++ {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TopicNames = []string{"orders"}
		req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("orders")}}
		resp := roundTrip[*kmsg.DeleteTopicsResponse](w, v, req)
		want := protocol.TopicDeletionDisabled
		if v < 3 {
			want = protocol.InvalidRequest
		}
		if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != int16(want) {
			t.Errorf("version %d answers %+v, want %s", v, resp.Topics, want)
		}
	}
	if r.controller.images.Image().TopicByID(uuid.UUID{1}) == nil {
		t.Error("the topic is gone")
	}
}
