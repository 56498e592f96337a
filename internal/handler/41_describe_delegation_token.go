package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// DescribeDelegationToken, versions 1 to 3: the tokens there are (KIP-48).
//
//	v2  flexible     v3  who asked for a token (KIP-373)
//
// Refused as in CreateDelegationToken.

func serveDescribeDelegationToken(*Handler, call, *kmsg.DescribeDelegationTokenRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeDelegationTokenResponse()
	resp.ErrorCode = int16(protocol.DelegationTokenRequestNotAllowed)
	return resp
}
