package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
)

// AlterConfigs, versions 0 to 2: all settings of resources at once; what is not named goes back to its default. Kafka has replaced it by
// IncrementalAlterConfigs, and tools of before 2.3 know nothing else.

func serveAlterConfigs(h *Handler, c call, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterConfigsResponse()
	alter := &controller.AlterConfigs{ValidateOnly: req.ValidateOnly, Asked: h.BrokerID}
	for _, r := range req.Resources {
		a := controller.AlterResource{Resource: metadata.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}, Replace: true}
		for _, cfg := range r.Configs {
			a.Ops = append(a.Ops, controller.ConfigOp{Name: cfg.Name, Op: controller.OpSet, Value: cfg.Value})
		}
		alter.Resources = append(alter.Resources, a)
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = r.ResourceType, r.ResourceName
		resp.Resources = append(resp.Resources, rr)
	}
	if len(alter.Resources) == 0 {
		return resp
	}
	done, err := h.Controller.Do(c.ctx, alter)
	if err != nil {
		code, message := h.unanswered("alter configurations", err)
		for i := range resp.Resources {
			resp.Resources[i].ErrorCode, resp.Resources[i].ErrorMessage = code, message
		}
		return resp
	}
	for i, r := range done.(*controller.AlterConfigsResponse).Resources {
		resp.Resources[i].ErrorCode, resp.Resources[i].ErrorMessage = failure(r.Error)
	}
	return resp
}
