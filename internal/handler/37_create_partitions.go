package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/protocol"
)

// CreatePartitions, versions 0 to 3: raises the number of partitions of topics (KIP-195). The count is the new total.
//
//	v3  THROTTLING_QUOTA_EXCEEDED for topics beyond the quota (KIP-599)
//
// Topics of coordinators do not grow: what they keep lies in partitions by its key and their number. Kafka lets them grow, and from its next
// start on finds the offsets of few groups. A dry run is answered as there.

func serveCreatePartitions(h *Handler, c call, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	create := &controller.CreatePartitions{ValidateOnly: req.ValidateOnly, Quota: c.changes(3)}
	resp := kmsg.NewPtrCreatePartitionsResponse()
	add := func(name string, code int16, message *string) {
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = name, code, message
		resp.Topics = append(resp.Topics, rt)
	}
	img := h.Metadata.Image()
	if h.crowded() {
		for _, t := range req.Topics {
			add(t.Topic, int16(protocol.PolicyViolation), kmsg.StringPtr(errCrowded))
		}
		return resp
	}
	for _, t := range req.Topics {
		if known := img.Topic(t.Topic); known != nil && isInternal(t.Topic) && int(t.Count) > len(known.Partitions) && !req.ValidateOnly {
			add(t.Topic, int16(protocol.InvalidPartitions), kmsg.StringPtr("The number of partitions of an internal topic cannot be changed: what is kept there would not be found again."))
			continue
		}
		more := controller.MorePartitions{Name: t.Topic, Count: t.Count}
		if t.Assignment != nil {
			more.Assignments = make([][]int32, len(t.Assignment))
			for j, a := range t.Assignment {
				more.Assignments[j] = a.Replicas
			}
		}
		create.Topics = append(create.Topics, more)
	}
	if len(create.Topics) == 0 && len(resp.Topics) > 0 {
		return resp
	}
	done, err := h.Controller.Do(c.ctx, create)
	if err != nil {
		code, message := h.unanswered("create partitions", err)
		for _, t := range create.Topics {
			add(t.Name, code, message)
		}
		return resp
	}
	for _, t := range done.(*controller.CreatePartitionsResponse).Topics {
		code, message := failure(t.Error)
		add(t.Name, code, message)
	}
	return resp
}
