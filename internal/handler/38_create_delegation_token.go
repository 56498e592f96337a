package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// CreateDelegationToken, versions 1 to 3: a token that stands for its owner (KIP-48).
//
//	v2  flexible     v3  a token for somebody else (KIP-373)
//
// Who did not prove who he is gets no token: every listener is PLAINTEXT, on which Kafka answers DELEGATION_TOKEN_REQUEST_NOT_ALLOWED whatever
// is asked for, before it looks for a secret key.

// The principal of a connection that did not authenticate.
const (
	anonymousType = "User"
	anonymousName = "ANONYMOUS"
)

func serveCreateDelegationToken(_ *Handler, _ call, req *kmsg.CreateDelegationTokenRequest) kmsg.Response {
	resp := kmsg.NewPtrCreateDelegationTokenResponse()
	resp.ErrorCode = int16(protocol.DelegationTokenRequestNotAllowed)
	resp.PrincipalType, resp.PrincipalName = anonymousType, anonymousName
	if name := req.OwnerPrincipalName; name != nil && *name != "" {
		resp.PrincipalType, resp.PrincipalName = "", *name
		if req.OwnerPrincipalType != nil {
			resp.PrincipalType = *req.OwnerPrincipalType
		}
	}
	resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName = anonymousType, anonymousName
	resp.IssueTimestamp, resp.ExpiryTimestamp, resp.MaxTimestamp = -1, -1, -1
	return resp
}
