package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/protocol"
)

// Heartbeat, versions 0 to 4: a member of a classic group is alive, and hears whether a rebalance has begun.
//
//	v3  static members (KIP-345)
//
// While the coordinator loads, heartbeats succeed, as in Kafka: sessions begin anew when it has loaded.

func serveHeartbeat(h *Handler, _ call, req *kmsg.HeartbeatRequest, answer func(kmsg.Response)) {
	respond := func(code protocol.ErrorCode) {
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = int16(code)
		answer(resp)
	}
	if invalidGroup(req.Group) {
		respond(protocol.InvalidGroupID)
		return
	}
	beat := &group.HeartbeatRequest{Group: req.Group, Generation: req.Generation, Member: req.MemberID, Instance: req.InstanceID}
	ask(h, req.Group, beat, func(r *group.HeartbeatResponse, code protocol.ErrorCode) {
		switch code {
		case protocol.None:
			respond(r.Code)
		case protocol.CoordinatorLoadInProgress:
			respond(protocol.None)
		default:
			respond(code)
		}
	})
}
