package handler

import (
	"unsafe"

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
	// A few bytes name a member. It is held as the question, as the answer, as kmsg has that, and encoded.
	const each = unsafe.Sizeof(group.LeaveMember{}) + unsafe.Sizeof(group.LeftMember{}) + unsafe.Sizeof(kmsg.LeaveGroupResponseMember{}) + 16
	size := int64(len(req.Members)) * int64(each)
	for i := range req.Members {
		size += int64(len(req.Members[i].MemberID) + len(orEmpty(req.Members[i].InstanceID)))
	}
	if !c.take(size) {
		answer(nil)
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
			resp.Members = make([]kmsg.LeaveGroupResponseMember, 0, len(r.Members))
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
