package handler

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// DescribeCluster, versions 0 to 2: cluster id and brokers.
//
//	v1  which kind of endpoint is asked for (KIP-919)     v2  fenced brokers as well (KIP-1073)

// Kinds of endpoints. The numbers are Kafka's and frozen.
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

func serveDescribeCluster(h *Handler, c call, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.ControllerID = -1
	resp.ClusterAuthorizedOperations = notRequested
	resp.EndpointType = endpointBrokers
	if c.version >= 1 && req.EndpointType != endpointBrokers {
		code, message := protocol.UnsupportedEndpointType, fmt.Sprintf("Unsupported endpoint type %d", req.EndpointType)
		if req.EndpointType == endpointControllers {
			code, message = protocol.MismatchedEndpointType, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
		}
		resp.ErrorCode, resp.ErrorMessage = int16(code), kmsg.StringPtr(message)
		return resp
	}
	img := h.Metadata.Image()
	resp.ClusterID = img.ClusterID()
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = allClusterOperations
	}
	for _, b := range img.Brokers() {
		if b.Fenced && !(c.version >= 2 && req.IncludeFencedBrokers) {
			continue
		}
		host, port, ok := h.endpoint(b, c.conn)
		if !ok {
			continue
		}
		rb := kmsg.NewDescribeClusterResponseBroker()
		rb.NodeID, rb.Host, rb.Port, rb.IsFenced = b.ID, host, port, b.Fenced
		if b.Rack != "" {
			rb.Rack = kmsg.StringPtr(b.Rack)
		}
		resp.Brokers = append(resp.Brokers, rb)
		if resp.ControllerID < 0 && !b.Fenced {
			resp.ControllerID = b.ID
		}
	}
	return resp
}
