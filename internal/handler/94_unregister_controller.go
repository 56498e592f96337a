package handler

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// UnregisterController, version 0: forgets a controller that is gone for good (KIP-1312). The only controller is this node, which is the
// active one.

func serveUnregisterController(h *Handler, _ call, req *kmsg.UnregisterControllerRequest) kmsg.Response {
	resp := kmsg.NewPtrUnregisterControllerResponse()
	code, why := protocol.ControllerIDNotRegistered, fmt.Sprintf("Controller ID %d is not currently registered.", req.ControllerID)
	if req.ControllerID == h.BrokerID {
		code, why = protocol.InvalidRequest, "Controller cannot unregister itself while it is active."
	}
	resp.ErrorCode, resp.ErrorMessage = int16(code), &why
	return resp
}
