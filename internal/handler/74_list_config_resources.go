package handler

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// ListConfigResources, versions 0 and 1: the resources that may have settings. Topics and brokers are all listed, groups and
// subscriptions to client metrics where something is set (KIP-1142).
//
//	v0  subscriptions to client metrics      v1  types

func serveListConfigResources(h *Handler, c call, req *kmsg.ListConfigResourcesRequest) kmsg.Response {
	resp := kmsg.NewPtrListConfigResourcesResponse()
	asked := req.ResourceTypes
	switch {
	case c.version == 0:
		asked = []int8{int8(resourceClientMetrics)}
	case len(asked) == 0:
		for _, kind := range knownResources {
			asked = append(asked, int8(kind))
		}
	}
	for _, kind := range asked {
		if !slices.Contains(knownResources, kmsg.ConfigResourceType(kind)) {
			resp.ErrorCode = int16(protocol.UnsupportedVersion)
			return resp
		}
	}
	img := h.Metadata.Image()
	add := func(kind kmsg.ConfigResourceType, name string) {
		r := kmsg.NewListConfigResourcesResponseConfigResource()
		r.Type, r.Name = int8(kind), name
		resp.ConfigResources = append(resp.ConfigResources, r)
	}
	for _, kind := range knownResources {
		switch {
		case !slices.Contains(asked, int8(kind)):
		case kind == resourceTopic:
			for t := range img.Topics() {
				add(kind, t.Name)
			}
		case kind == resourceBroker, kind == resourceLogger:
			for _, b := range img.Brokers() {
				add(kind, strconv.Itoa(int(b.ID)))
			}
		default:
			for _, name := range configured(img, int8(kind)) {
				add(kind, name)
			}
		}
	}
	return resp
}

// configured returns the names of the resources of one type that have settings, sorted.
func configured(img *metadata.Image, kind int8) []string {
	var names []string
	for r := range img.Configured() {
		if r.Type == kind {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}
