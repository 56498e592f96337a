package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// DeleteTopics, versions 1 to 6: removes topics.
//
//	v5  error messages, THROTTLING_QUOTA_EXCEEDED for topics beyond the quota (KIP-599)        v6  by id as well (KIP-516)

func serveDeleteTopics(h *Handler, c call, req *kmsg.DeleteTopicsRequest) kmsg.Response {
	refs := make([]controller.TopicRef, 0, len(req.Topics)+len(req.TopicNames))
	if c.version >= 6 {
		for _, t := range req.Topics {
			refs = append(refs, controller.TopicRef{Name: t.Topic, ID: t.TopicID})
		}
	} else {
		for i := range req.TopicNames {
			refs = append(refs, controller.TopicRef{Name: &req.TopicNames[i]})
		}
	}
	resp := kmsg.NewPtrDeleteTopicsResponse()
	add := func(name *string, id uuid.UUID, code int16, message *string) {
		rt := kmsg.NewDeleteTopicsResponseTopic()
		rt.Topic, rt.TopicID, rt.ErrorCode, rt.ErrorMessage = name, id, code, message
		resp.Topics = append(resp.Topics, rt)
	}
	if !h.Config.DeleteTopics {
		code := protocol.TopicDeletionDisabled
		if c.version < 3 {
			code = protocol.InvalidRequest
		}
		for _, r := range refs {
			add(r.Name, r.ID, int16(code), nil) // Kafka has no words for it either
		}
		return resp
	}
	done, err := h.Controller.Do(c.ctx, &controller.DeleteTopics{Topics: refs, Quota: c.changes(5)})
	if err != nil {
		code, message := h.unanswered("delete topics", err)
		for _, r := range refs {
			add(r.Name, r.ID, code, message)
		}
		return resp
	}
	for _, t := range done.(*controller.DeleteTopicsResponse).Topics {
		code, message := failure(t.Error)
		add(t.Name, t.ID, code, message)
	}
	return resp
}
