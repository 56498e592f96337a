package handler

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/protocol"
)

// UnregisterBroker, version 0: forgets a broker that is gone for good (KIP-500).
//
// Kafka forgets one that is alive too: it leads nothing from then on and is told about nothing, until it is started again. Here it is
// refused with INVALID_REQUEST.

func serveUnregisterBroker(h *Handler, c call, req *kmsg.UnregisterBrokerRequest) kmsg.Response {
	resp := kmsg.NewPtrUnregisterBrokerResponse()
	b := h.Metadata.Image().Broker(req.BrokerID)
	switch {
	case b == nil:
		resp.ErrorCode = int16(protocol.BrokerIDNotRegistered)
		resp.ErrorMessage = new(fmt.Sprintf("Broker ID %d is not currently registered", req.BrokerID))
		return resp
	case b.ID == h.BrokerID || !b.Fenced:
		resp.ErrorCode = int16(protocol.InvalidRequest)
		resp.ErrorMessage = new(fmt.Sprintf("Broker %d is alive. Stop it before it is unregistered.", req.BrokerID))
		return resp
	}
	done, err := h.Controller.Do(c.ctx, &controller.AlterBroker{ID: b.ID, Epoch: b.Epoch, State: controller.Unregistered})
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = h.unanswered("unregister broker", err)
		return resp
	}
	resp.ErrorCode, resp.ErrorMessage = failure(done.(*controller.AlterBrokerResponse).Error)
	return resp
}
