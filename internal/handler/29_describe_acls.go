package handler

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// DescribeAcls, versions 1 to 3: who may do what (KIP-140).
//
//	v1  kinds of patterns (KIP-290)     v2  flexible     v3  users as resources (KIP-373)
//
// There is no authorizer, so that the answer is SECURITY_DISABLED, as Kafka's is without one. A filter that says UNKNOWN ends the
// connection there and here; a number that stands for nothing does not.

// errUnknownACL ends a connection.
var errUnknownACL = errors.New("request for ACLs with an UNKNOWN element")

// unknownACL reports the one code that each of these may not have.
func unknownACL(resource kmsg.ACLResourceType, pattern kmsg.ACLResourcePatternType, op kmsg.ACLOperation, permission kmsg.ACLPermissionType) error {
	if resource == 0 || pattern == 0 || op == 0 || permission == 0 {
		return errUnknownACL
	}
	return nil
}

func checkDescribeACLs(req *kmsg.DescribeACLsRequest) error {
	return unknownACL(req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType)
}

func serveDescribeACLs(_ *Handler, _ call, _ *kmsg.DescribeACLsRequest, answer func(kmsg.Response)) {
	resp := kmsg.NewPtrDescribeACLsResponse()
	resp.ErrorCode, resp.ErrorMessage = int16(protocol.SecurityDisabled), new("No Authorizer is configured on the broker")
	answer(resp)
}
