package handler

import (
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/protocol"
)

// DescribeGroups, versions 0 to 6: state and members of classic groups.
//
//	v3  authorized operations (KIP-430)
//	v4  instances of static members (KIP-345)
//	v6  GROUP_ID_NOT_FOUND with a message, where older versions show a dead group (KIP-1043)
//
// A group is described as often as it is named. Kafka orders the answer by the partitions of __consumer_offsets; here it is the
// order of the request.

// allGroupOperations are READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, as bits of Kafka's operation codes: all that there
// are for a group while no authorizer is configured.
const allGroupOperations = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11

func serveDescribeGroups(h *Handler, c call, req *kmsg.DescribeGroupsRequest, answer func(kmsg.Response)) {
	// A few bytes ask for much: every description is paid for.
	if !c.take(int64(len(req.Groups)) * int64(unsafe.Sizeof(kmsg.DescribeGroupsResponseGroup{})+32)) {
		answer(nil)
		return
	}
	resp := kmsg.NewPtrDescribeGroupsResponse()
	resp.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(req.Groups))
	paid := true
	request := func(i int) any { return &group.DescribeRequest{Group: req.Groups[i], MissingErr: c.version >= 6} }
	askEach(h, req.Groups, request, func(i int, r *group.DescribeResponse, code protocol.ErrorCode) {
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.ErrorCode = req.Groups[i], int16(code)
		if code == protocol.None {
			paid = paid && c.take(describedSize(r))
			if paid {
				describeGroup(&g, r)
			}
			if r.Code == protocol.None && req.IncludeAuthorizedOperations {
				g.AuthorizedOperations = allGroupOperations
			}
		}
		resp.Groups[i] = g
	}, func() {
		if paid {
			answer(resp)
		} else {
			answer(nil)
		}
	})
}

// describedSize is about what a description takes in memory, twice: as kmsg has it, and encoded.
func describedSize(r *group.DescribeResponse) int64 {
	n := len(orEmpty(r.Message)) + len(r.ProtocolType) + len(r.Protocol)
	for i := range r.Members {
		m := &r.Members[i]
		n += int(unsafe.Sizeof(kmsg.DescribeGroupsResponseGroupMember{})) + 32
		n += len(m.Member) + len(orEmpty(m.Instance)) + len(m.ClientID) + len(m.ClientHost) + len(m.Metadata) + len(m.Assignment)
	}
	return int64(n)
}

func describeGroup(g *kmsg.DescribeGroupsResponseGroup, r *group.DescribeResponse) {
	g.ErrorCode, g.ErrorMessage = int16(r.Code), r.Message
	g.State, g.ProtocolType, g.Protocol = r.State, r.ProtocolType, r.Protocol
	g.Members = make([]kmsg.DescribeGroupsResponseGroupMember, len(r.Members))
	for i := range r.Members {
		m := &r.Members[i]
		g.Members[i] = kmsg.DescribeGroupsResponseGroupMember{
			MemberID: m.Member, InstanceID: m.Instance, ClientID: m.ClientID, ClientHost: m.ClientHost,
			ProtocolMetadata: m.Metadata, MemberAssignment: m.Assignment,
		}
	}
}
