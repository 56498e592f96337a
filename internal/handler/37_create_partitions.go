package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
)

// CreatePartitions, versions 0 to 3: raises the number of partitions of topics (KIP-195). The count is the new total.

func serveCreatePartitions(h *Handler, c call, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	create := &controller.CreatePartitions{ValidateOnly: req.ValidateOnly, Topics: make([]controller.MorePartitions, len(req.Topics))}
	for i, t := range req.Topics {
		more := controller.MorePartitions{Name: t.Topic, Count: t.Count}
		if t.Assignment != nil {
			more.Assignments = make([][]int32, len(t.Assignment))
			for j, a := range t.Assignment {
				more.Assignments[j] = a.Replicas
			}
		}
		create.Topics[i] = more
	}
	resp := kmsg.NewPtrCreatePartitionsResponse()
	add := func(name string, code int16, message *string) {
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = name, code, message
		resp.Topics = append(resp.Topics, rt)
	}
	done, err := h.Controller.Do(c.ctx, create)
	if err != nil {
		code, message := h.unanswered("create partitions", err)
		for _, t := range req.Topics {
			add(t.Topic, code, message)
		}
		return resp
	}
	for _, t := range done.(*controller.CreatePartitionsResponse).Topics {
		code, message := failure(t.Error)
		add(t.Name, code, message)
	}
	return resp
}
