package handler

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// AddRaftVoter, versions 0 and 1: makes a controller a voter of the quorum (KIP-853).
//
//	v1  whether to wait for the commit (KIP-1186)
//
// The voters are those that the node was started with. So it is with Kafka where the feature kraft.version is at level 0, and the answers
// are those of it.

func serveAddRaftVoter(h *Handler, _ call, req *kmsg.AddRaftVoterRequest) kmsg.Response {
	resp := kmsg.NewPtrAddRaftVoterResponse()
	var listeners []string
	own, named := h.quorumListener(), false
	for _, l := range req.Listeners {
		named = named || l.Name == own
		listeners = append(listeners, fmt.Sprintf("ListenerName(%s)=%s/<unresolved>:%d", l.Name, l.Host, l.Port))
	}
	code, why := h.changeOfVoters("Add", req.ClusterID, req.VoterID, req.VoterDirectoryID)
	if code == protocol.UnsupportedVersion && !named {
		code = protocol.InvalidRequest
		why = fmt.Sprintf("Add voter request didn't include the endpoint (Endpoints(endpoints={%s})) for the default listener ListenerName(%s)",
			strings.Join(listeners, ", "), own)
	}
	resp.ErrorCode, resp.ErrorMessage = int16(code), &why
	return resp
}

// quorumListener is the name of the listener that voters find each other by.
func (h *Handler) quorumListener() string {
	if len(h.Controllers) > 0 {
		return h.Controllers[0].Name
	}
	return "CONTROLLER"
}

// changeOfVoters refuses to change the voters, with Kafka's words for it.
func (h *Handler) changeOfVoters(change string, cluster *string, id int32, directory uuid.UUID) (protocol.ErrorCode, string) {
	own := h.Metadata.Image().ClusterID()
	switch {
	case cluster != nil && *cluster != own:
		return protocol.InconsistentClusterID, fmt.Sprintf("The given id \"%s\" doesn't match the cluster id \"%s\"", *cluster, own)
	case id < 0 || directory == uuid.UUID{}:
		return protocol.InvalidRequest, change + " voter request didn't include a valid voter"
	}
	doing := map[string]string{"Add": "adding", "Remove": "removing"}[change]
	return protocol.UnsupportedVersion, fmt.Sprintf("Cluster doesn't support %s voter because the kraft.version feature is 0", doing)
}
