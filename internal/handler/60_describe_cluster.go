package handler

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// DescribeCluster, versions 0 to 2: cluster id and brokers, or on listeners for controllers the controllers.
//
//	v1  which kind of endpoint is asked for (KIP-919)     v2  fenced brokers as well (KIP-1073)

// Kinds of endpoints. The numbers are Kafka's and frozen.
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

var endpointNames = map[int8]string{endpointBrokers: "BROKER", endpointControllers: "CONTROLLER"}

func serveDescribeCluster(h *Handler, c call, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.ControllerID = -1
	resp.ClusterAuthorizedOperations = notRequested
	own, wanted := int8(endpointBrokers), int8(endpointBrokers) // a version that cannot say so means brokers
	if h.forControllers(c.conn) {
		own = endpointControllers
	}
	if c.version >= 1 {
		wanted = req.EndpointType
	}
	if wanted != own {
		resp.ErrorCode, resp.ErrorMessage = wrongEndpoint(c.version, wanted, own)
		return resp
	}
	img := h.Metadata.Image()
	resp.ClusterID, resp.EndpointType = img.ClusterID(), own
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = allClusterOperations
	}
	if own == endpointControllers {
		h.describeControllers(c, resp)
		return resp
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

// describeControllers names the controllers: this node where the client has reached it, or could, others where controller.quorum.voters says.
func (h *Handler) describeControllers(c call, resp *kmsg.DescribeClusterResponse) {
	resp.ControllerID = h.Quorum.Leader()
	add := func(id int32, host string, port int32) {
		rb := kmsg.NewDescribeClusterResponseBroker()
		rb.NodeID, rb.Host, rb.Port = id, host, port
		resp.Brokers = append(resp.Brokers, rb)
	}
	own := func() {
		for _, l := range h.Controllers {
			if l.Name != c.conn.Listener() {
				continue
			}
			if host, port, ok := h.controllerEndpoint(l, c.conn); ok {
				add(h.BrokerID, host, port)
			}
		}
	}
	if h.Config.Alone() {
		own()
		return
	}
	for _, v := range h.Config.Voters {
		if v.ID == h.BrokerID {
			own()
		} else {
			add(v.ID, v.Host, int32(v.Port))
		}
	}
}

// wrongEndpoint is the answer to a client that wants another kind of endpoint.
func wrongEndpoint(version int16, wanted, own int8) (code int16, message *string) {
	kind, known := endpointNames[wanted]
	switch {
	case !known:
		return int16(protocol.UnsupportedEndpointType), new(fmt.Sprintf("Unsupported endpoint type %d", wanted))
	case version == 0:
		code = int16(protocol.InvalidRequest)
	default:
		code = int16(protocol.MismatchedEndpointType)
	}
	return code, new(fmt.Sprintf("The request was sent to an endpoint of type %s, but we wanted an endpoint of type %s", endpointNames[own], kind))
}
