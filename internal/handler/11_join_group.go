package handler

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/protocol"
)

// JoinGroup, versions 0 to 9: becomes a member of a classic group, or takes part in its next rebalance.
//
//	v1  rebalance time-out (KIP-62); before, the session time-out is both
//	v4  a new member is given its id first and joins again with it (KIP-394)
//	v5  static members (KIP-345)
//	v7  protocol type in the response, and null where no protocol is chosen (KIP-559)
//	v8  reason (KIP-800)
//	v9  whether the leader must leave the assignment as it is (KIP-814)
//
// The answer comes when the rebalance is over. If the connection ends before, the member stays as it is, as in Kafka.

func serveJoinGroup(h *Handler, c call, req *kmsg.JoinGroupRequest, answer func(kmsg.Response)) {
	if invalidGroup(req.Group) {
		answer(joinFailed(protocol.InvalidGroupID, req.MemberID))
		return
	}
	if req.MemberID == "" && req.InstanceID == nil && h.crowded() {
		answer(joinFailed(protocol.GroupMaxSizeReached, ""))
		return
	}
	const each = 2 * unsafe.Sizeof(group.Protocol{}) // in the question, and with the member
	size := int64(len(req.Protocols)) * int64(each)
	for i := range req.Protocols {
		size += int64(len(req.Protocols[i].Metadata))
	}
	if !c.take(size) {
		answer(nil)
		return
	}
	join := &group.JoinRequest{
		Group: req.Group, Member: req.MemberID, Instance: req.InstanceID,
		ClientID: strings.ToValidUTF8(c.clientID, "\uFFFD"), ClientHost: javaAddress(c.conn.Host()),
		SessionTimeout: millis(req.SessionTimeoutMillis), RebalanceTimeout: millis(req.RebalanceTimeoutMillis),
		ProtocolType: req.ProtocolType, Protocols: make([]group.Protocol, len(req.Protocols)),
		RequireMemberID: c.version >= 4 && req.InstanceID == nil,
		SkipAssignment:  c.version >= 9,
		Reason:          reasonOf(req.Reason),
	}
	if c.version == 0 {
		join.RebalanceTimeout = join.SessionTimeout
	}
	for i, p := range req.Protocols {
		join.Protocols[i] = group.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)}
	}
	clear(req.Protocols) // which are in the request's memory
	c.parks()
	first := untilGone(c.ctx, func() { answer(joinFailed(protocol.NotCoordinator, "")) })
	ask(h, req.Group, join, func(r *group.JoinResponse, code protocol.ErrorCode) {
		if !first() {
			return
		}
		if code != protocol.None {
			answer(joinFailed(code, ""))
			return
		}
		answer(joined(c, r))
	})
}

func joinFailed(code protocol.ErrorCode, member string) kmsg.Response {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode, resp.MemberID = int16(code), member
	return resp
}

// joined is nil when there is no memory for what the leader is told of the others.
func joined(c call, r *group.JoinResponse) kmsg.Response {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode, resp.Generation = int16(r.Code), r.Generation
	resp.ProtocolType, resp.Protocol = r.ProtocolType, r.Protocol // kmsg writes "" for a null protocol below version 7
	if orEmpty(resp.Protocol) == "" {
		resp.Protocol = nil // a protocol may be called so, which Kafka takes for none
	}
	resp.LeaderID, resp.SkipAssignment, resp.MemberID = r.Leader, r.SkipAssignment, r.Member
	size := 0
	for _, m := range r.Members {
		size += int(unsafe.Sizeof(kmsg.JoinGroupResponseMember{})) + len(m.Member) + len(orEmpty(m.Instance)) + len(m.Metadata) + 16
	}
	if !c.take(int64(size)) {
		return nil
	}
	for _, m := range r.Members {
		rm := kmsg.NewJoinGroupResponseMember()
		rm.MemberID, rm.InstanceID, rm.ProtocolMetadata = m.Member, m.Instance, m.Metadata
		resp.Members = append(resp.Members, rm)
	}
	return resp
}

// millis is a time-out of the wire.
func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

// javaAddress writes a client's address as Java prints it, which is what Kafka's tools show: IPv6 in full and without padding.
func javaAddress(host string) string {
	a, err := netip.ParseAddr(host)
	if err != nil || a.Unmap().Is4() {
		return "/" + host
	}
	b := a.As16()
	var s strings.Builder
	s.WriteByte('/')
	for i := 0; i < len(b); i += 2 {
		if i > 0 {
			s.WriteByte(':')
		}
		fmt.Fprintf(&s, "%x", int(b[i])<<8|int(b[i+1]))
	}
	return s.String()
}
