package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// RemoveRaftVoter, version 0: takes a controller out of the voters of the quorum (KIP-853). As AddRaftVoter.

func serveRemoveRaftVoter(h *Handler, _ call, req *kmsg.RemoveRaftVoterRequest) kmsg.Response {
	resp := kmsg.NewPtrRemoveRaftVoterResponse()
	code, why := h.changeOfVoters("Remove", req.ClusterID, req.VoterID, req.VoterDirectoryID)
	resp.ErrorCode, resp.ErrorMessage = int16(code), &why
	return resp
}
