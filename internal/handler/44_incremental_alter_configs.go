package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// IncrementalAlterConfigs, versions 0 and 1: sets, deletes, appends to and subtracts from single settings of topics (KIP-339).
// Settings of brokers and groups cannot be changed while the broker runs yet, and are refused.

func serveIncrementalAlterConfigs(h *Handler, c call, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	alter := &controller.AlterConfigs{ValidateOnly: req.ValidateOnly, Resources: make([]controller.AlterResource, len(req.Resources))}
	for i, r := range req.Resources {
		a := controller.AlterResource{Resource: metadata.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}}
		for _, cfg := range r.Configs {
			a.Ops = append(a.Ops, controller.ConfigOp{Name: cfg.Name, Op: int8(cfg.Op), Value: cfg.Value})
		}
		alter.Resources[i] = a
	}
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	add := func(r metadata.Resource, code int16, message *string) {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceType(r.Type), r.Name
		rr.ErrorCode, rr.ErrorMessage = code, message
		resp.Resources = append(resp.Resources, rr)
	}
	done, err := h.Controller.Do(c.ctx, alter)
	if err != nil {
		h.Log.Warn("alter configurations", "error", err)
		for _, a := range alter.Resources {
			add(a.Resource, int16(protocol.NotController), nil)
		}
		return resp
	}
	for _, r := range done.(*controller.AlterConfigsResponse).Resources {
		code, message := failure(r.Error)
		add(r.Resource, code, message)
	}
	return resp
}
