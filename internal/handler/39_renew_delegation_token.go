package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// RenewDelegationToken, versions 1 and 2 (flexible): lets a token live on (KIP-48). Refused as in CreateDelegationToken.

func serveRenewDelegationToken(*Handler, call, *kmsg.RenewDelegationTokenRequest) kmsg.Response {
	resp := kmsg.NewPtrRenewDelegationTokenResponse()
	resp.ErrorCode, resp.ExpiryTimestamp = int16(protocol.DelegationTokenRequestNotAllowed), -1
	return resp
}
