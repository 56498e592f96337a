package handler

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// IncrementalAlterConfigs, versions 0 and 1: sets, deletes, appends to and subtracts from single settings of topics (KIP-339).
// No setting of a broker can be changed while it runs yet, so all are refused as Kafka refuses those that cannot.

func serveIncrementalAlterConfigs(h *Handler, c call, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	alter := &controller.AlterConfigs{ValidateOnly: req.ValidateOnly}
	var asked []int // which resource of the request each of alter's is
	for i, r := range req.Resources {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = r.ResourceType, r.ResourceName
		if r.ResourceType == resourceBroker {
			rr.ErrorCode, rr.ErrorMessage = int16(protocol.InvalidRequest), new(h.brokerRefusal(r))
		} else {
			a := controller.AlterResource{Resource: metadata.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}}
			for _, cfg := range r.Configs {
				a.Ops = append(a.Ops, controller.ConfigOp{Name: cfg.Name, Op: int8(cfg.Op), Value: cfg.Value})
			}
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

// brokerRefusal says in Kafka's words why settings of a broker are not changed.
func (h *Handler) brokerRefusal(r kmsg.IncrementalAlterConfigsRequestResource) string {
	if r.ResourceName != "" {
		id, err := strconv.ParseInt(r.ResourceName, 10, 32)
		if err != nil {
			return "Node id must be an integer, but it is: " + r.ResourceName
		}
		if int32(id) != h.BrokerID {
			return fmt.Sprintf("Unexpected broker id, expected %d, but received %s", h.BrokerID, r.ResourceName)
		}
	}
	var names []string
	for _, cfg := range r.Configs {
		names = append(names, cfg.Name)
	}
	return fmt.Sprintf("Cannot update these configs dynamically: [%s]", strings.Join(names, ", "))
}
