package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
)

// IncrementalAlterConfigs, versions 0 and 1: sets, deletes, appends to and subtracts from single settings (KIP-339). The levels of loggers
// are this broker's own and are changed here; all else is the controller's.

func serveIncrementalAlterConfigs(h *Handler, c call, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	alter := &controller.AlterConfigs{ValidateOnly: req.ValidateOnly, Asked: h.BrokerID}
	times := make(map[resource]int, len(req.Resources))
	for _, r := range req.Resources {
		times[resource{r.ResourceType, r.ResourceName}]++
	}
	var asked []int // which resource of the request each of alter's is
	for i, r := range req.Resources {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = r.ResourceType, r.ResourceName
		a := controller.AlterResource{Resource: metadata.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}}
		for _, cfg := range r.Configs {
			a.Ops = append(a.Ops, controller.ConfigOp{Name: cfg.Name, Op: int8(cfg.Op), Value: cfg.Value})
		}
		if r.ResourceType == resourceLogger && times[resource{r.ResourceType, r.ResourceName}] == 1 && !a.CheckForm().Failed() {
			code, message := h.alterLoggers(r, req.ValidateOnly)
			rr.ErrorCode, rr.ErrorMessage = failure(controller.Error{Code: code, Message: message})
		} else {
			alter.Resources, asked = append(alter.Resources, a), append(asked, i)
		}
		resp.Resources = append(resp.Resources, rr)
	}
	if len(asked) == 0 {
		return resp
	}
	done, err := h.Controller.Do(c.ctx, alter)
	if err != nil {
		code, message := h.unanswered("alter configurations", err)
		for _, i := range asked {
			resp.Resources[i].ErrorCode, resp.Resources[i].ErrorMessage = code, message
		}
		return resp
	}
	for n, r := range done.(*controller.AlterConfigsResponse).Resources {
		rr := &resp.Resources[asked[n]]
		rr.ErrorCode, rr.ErrorMessage = failure(r.Error)
	}
	return resp
}
