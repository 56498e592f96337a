package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/protocol"
)

// LeaveGroup, versions 0 to 5: takes members out of a classic group.
//
//	v3  several members, each with an error of its own, also by instance (KIP-345)
//	v5  reason (KIP-800)

func serveLeaveGroup(h *Handler, c call, req *kmsg.LeaveGroupRequest, answer func(kmsg.Response)) {
	if invalidGroup(req.Group) {
		answer(left(protocol.InvalidGroupID))
		return
	}
	leave := &group.LeaveRequest{Group: req.Group, Members: []group.LeaveMember{{Member: req.MemberID}}}
	if c.version >= 3 {
		leave.Members = make([]group.LeaveMember, len(req.Members))
		for i, m := range req.Members {
			leave.Members[i] = group.LeaveMember{Member: m.MemberID, Instance: m.InstanceID, Reason: reasonOf(m.Reason)}
		}
	}
	ask(h, req.Group, leave, func(r *group.LeaveResponse, code protocol.ErrorCode) {
		if code == protocol.None {
			code = r.Code
		}
		if code == protocol.None && c.version < 3 && len(r.Members) == 1 {
			code = r.Members[0].Code
		}
		resp := left(code)
		if code == protocol.None && c.version >= 3 {
			for _, m := range r.Members {
				rm := kmsg.NewLeaveGroupResponseMember()
				rm.MemberID, rm.InstanceID, rm.ErrorCode = m.Member, m.Instance, int16(m.Code)
				resp.Members = append(resp.Members, rm)
			}
		}
		answer(resp)
	})
}

func left(code protocol.ErrorCode) *kmsg.LeaveGroupResponse {
	resp := kmsg.NewPtrLeaveGroupResponse()
	resp.ErrorCode = int16(code)
	return resp
}
