package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// ExpireDelegationToken, versions 1 and 2 (flexible): ends a token (KIP-48). Refused as in CreateDelegationToken.

func serveExpireDelegationToken(*Handler, call, *kmsg.ExpireDelegationTokenRequest) kmsg.Response {
	resp := kmsg.NewPtrExpireDelegationTokenResponse()
	resp.ErrorCode, resp.ExpiryTimestamp = int16(protocol.DelegationTokenRequestNotAllowed), -1
	return resp
}
