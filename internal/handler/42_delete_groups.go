package handler

import (
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/protocol"
)

// DeleteGroups, versions 0 to 3: removes groups without members, and their offsets; each succeeds or fails alone.
//
//	v3  error messages, of which Kafka makes little use
//
// A group that is named several times is answered once. Kafka orders the answer by the partitions of __consumer_offsets; here it
// is the order of the request.

func serveDeleteGroups(h *Handler, c call, req *kmsg.DeleteGroupsRequest, answer func(kmsg.Response)) {
	// The answer is smaller than the request, but not what stands for it in memory.
	if !c.take(int64(len(req.Groups)) * int64(unsafe.Sizeof(kmsg.DeleteGroupsResponseGroup{})+80)) {
		answer(nil)
		return
	}
	seen := make(map[string]bool, len(req.Groups))
	groups := make([]string, 0, len(req.Groups))
	for _, id := range req.Groups {
		if !seen[id] {
			seen[id] = true
			groups = append(groups, id)
		}
	}
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(groups))
	request := func(i int) any { return &group.DeleteRequest{Group: groups[i]} }
	askEach(h, groups, request, func(i int, r *group.DeleteResponse, code protocol.ErrorCode) {
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group, g.ErrorCode = groups[i], int16(code)
		if code == protocol.None {
			g.ErrorCode, g.ErrorMessage = int16(r.Code), r.Message
		}
		resp.Groups[i] = g
	}, func() { answer(resp) })
}
