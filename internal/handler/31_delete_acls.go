package handler

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// DeleteAcls, versions 1 to 3: takes rules away (KIP-140). The versions are those of DescribeAcls, and so is the answer:
// SECURITY_DISABLED for each filter.

func checkDeleteACLs(req *kmsg.DeleteACLsRequest) error {
	for i := range req.Filters {
		f := &req.Filters[i]
		if err := unknownACL(f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType); err != nil {
			return err
		}
	}
	return nil
}

func serveDeleteACLs(_ *Handler, c call, req *kmsg.DeleteACLsRequest, answer func(kmsg.Response)) {
	resp := kmsg.NewPtrDeleteACLsResponse()
	if !c.charge(int64(len(req.Filters)) * itemSize) {
		answer(nil)
		return
	}
	result := kmsg.NewDeleteACLsResponseResult()
	result.ErrorCode, result.ErrorMessage = int16(protocol.SecurityDisabled), new(noAuthorizer)
	resp.Results = slices.Repeat([]kmsg.DeleteACLsResponseResult{result}, len(req.Filters))
	answer(resp)
}
