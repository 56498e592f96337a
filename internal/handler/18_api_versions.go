package handler

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/server"
)

// ApiVersions, versions 0 to 5: which APIs this broker serves on the listener that is asked.
//
//	v3  flexible, but the response header stays version 0 (KIP-511); client software name and version
//	v4  features with minimum level 0 may be listed (KAFKA-17011)
//	v5  cluster and node that the client believes to talk to (KIP-1242)
//
// A version that is not known is answered in version 0 with the range of this API, so that the client can ask again.
// No feature is listed: a feature level is listed when it is served in full.

var softwarePattern = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func serveAPIVersions(h *Handler, req *server.Request, reply server.Reply) {
	m, _ := h.meter(req)
	version := req.Header.Version
	resp := kmsg.NewPtrApiVersionsResponse()
	own := served(protocol.KeyAPIVersions)
	if !own.serves(version) {
		resp.ErrorCode = int16(protocol.UnsupportedVersion)
		resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{apiKeyRow(own)}
		resp.SetVersion(0)
		reply.Failed(protocol.UnsupportedVersion)
		m.settle(h, reply, resp)
		sendCold(req, reply, resp)
		return
	}
	body := kmsg.NewPtrApiVersionsRequest()
	if err := protocol.DecodeCold(body, version, req.Body, req.Charge); err != nil {
		reply.Close(err)
		return
	}
	resp.SetVersion(version)
	if code := h.checkAPIVersions(req.Conn, version, body); code != protocol.None {
		resp.ErrorCode = int16(code)
		reply.Failed(code)
		m.settle(h, reply, resp)
		sendCold(req, reply, resp)
		return
	}
	resp.ApiKeys = make([]kmsg.ApiVersionsResponseApiKey, 0, len(table))
	for i := range table {
		if a := &table[i]; a.servesOn(h, req.Conn) {
			resp.ApiKeys = append(resp.ApiKeys, apiKeyRow(a))
		}
	}
	resp.FinalizedFeaturesEpoch = -1 // unknown: no feature is finalized
	m.settle(h, reply, resp)
	sendCold(req, reply, resp)
}

func apiKeyRow(a *api) kmsg.ApiVersionsResponseApiKey {
	row := kmsg.NewApiVersionsResponseApiKey()
	row.ApiKey, row.MinVersion, row.MaxVersion = int16(a.key), a.listed, a.max
	return row
}

func (h *Handler) checkAPIVersions(conn *server.Conn, version int16, body *kmsg.ApiVersionsRequest) protocol.ErrorCode {
	if version < 3 {
		return protocol.None
	}
	if !softwarePattern.MatchString(body.ClientSoftwareName) || !softwarePattern.MatchString(body.ClientSoftwareVersion) {
		return protocol.InvalidRequest
	}
	if version < 5 {
		return protocol.None
	}
	if (body.ClusterID == nil) != (body.NodeID == -1) {
		return protocol.InvalidRequest
	}
	if h.forControllers(conn) { // one need not be the node that the client believes to talk to, as in Kafka
		return protocol.None
	}
	if body.ClusterID != nil && (*body.ClusterID != h.Metadata.Image().ClusterID() || body.NodeID != h.BrokerID) {
		return protocol.RebootstrapRequired
	}
	return protocol.None
}
