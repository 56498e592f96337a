package handler

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// CreateAcls, versions 1 to 3: lets somebody do something, or not (KIP-140). The versions are those of DescribeAcls, and so is the
// answer: SECURITY_DISABLED for each rule.

// noAuthorizer is what Kafka says without an authorizer.
const noAuthorizer = "No Authorizer is configured."

func checkCreateACLs(req *kmsg.CreateACLsRequest) error {
	for i := range req.Creations {
		a := &req.Creations[i]
		if err := unknownACL(a.ResourceType, a.ResourcePatternType, a.Operation, a.PermissionType); err != nil {
			return err
		}
	}
	return nil
}

func serveCreateACLs(_ *Handler, c call, req *kmsg.CreateACLsRequest, answer func(kmsg.Response)) {
	resp := kmsg.NewPtrCreateACLsResponse()
	if !c.charge(int64(len(req.Creations)) * itemSize) {
		answer(nil)
		return
	}
	result := kmsg.NewCreateACLsResponseResult()
	result.ErrorCode, result.ErrorMessage = int16(protocol.SecurityDisabled), new(noAuthorizer)
	resp.Results = slices.Repeat([]kmsg.CreateACLsResponseResult{result}, len(req.Creations))
	answer(resp)
}
