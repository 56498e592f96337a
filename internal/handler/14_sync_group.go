package handler

import (
	"bytes"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/protocol"
)

// SyncGroup, versions 0 to 5: the leader hands in the assignments, every member takes its own.
//
//	v3  static members (KIP-345)
//	v5  protocol type and name, which must be those of the group (KIP-559)
//
// Members other than the leader are answered when the leader has spoken.

func serveSyncGroup(h *Handler, c call, req *kmsg.SyncGroupRequest, answer func(kmsg.Response)) {
	respond := func(code protocol.ErrorCode) {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode = int16(code)
		answer(resp)
	}
	switch {
	case c.version >= 5 && (req.ProtocolType == nil || req.Protocol == nil):
		respond(protocol.InconsistentGroupProtocol)
		return
	case invalidGroup(req.Group):
		respond(protocol.InvalidGroupID)
		return
	}
	const each = unsafe.Sizeof(group.Assignment{}) + 64 // and what finds it by its member
	size := int64(len(req.GroupAssignment)) * int64(each)
	for i := range req.GroupAssignment {
		size += int64(len(req.GroupAssignment[i].MemberAssignment))
	}
	if !c.take(size) {
		answer(nil)
		return
	}
	sync := &group.SyncRequest{
		Group: req.Group, Generation: req.Generation, Member: req.MemberID, Instance: req.InstanceID,
		ProtocolType: req.ProtocolType, Protocol: req.Protocol, Assignments: make([]group.Assignment, len(req.GroupAssignment)),
	}
	for i, a := range req.GroupAssignment {
		sync.Assignments[i] = group.Assignment{Member: a.MemberID, Bytes: bytes.Clone(a.MemberAssignment)}
	}
	clear(req.GroupAssignment) // which are in the request's memory
	c.parks()
	first := untilGone(c.ctx, func() { respond(protocol.NotCoordinator) })
	ask(h, req.Group, sync, func(r *group.SyncResponse, code protocol.ErrorCode) {
		switch {
		case !first():
		case code != protocol.None:
			respond(code)
		case !c.take(int64(len(r.Assignment))):
			answer(nil)
		default:
			resp := kmsg.NewPtrSyncGroupResponse()
			resp.ErrorCode = int16(r.Code)
			resp.ProtocolType, resp.Protocol, resp.MemberAssignment = r.ProtocolType, r.Protocol, r.Assignment
			answer(resp)
		}
	})
}
