package handler

import (
	"slices"
	"strings"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
)

// ListGroups, versions 0 to 5: the groups that this broker coordinates.
//
//	v4  state of a group, and a filter by it (KIP-518)
//	v5  type of a group, and a filter by it (KIP-848)
//
// A filter that names what does not exist lets nothing pass. While a part of the groups is being loaded, the answer is an error.

func serveListGroups(h *Handler, c call, req *kmsg.ListGroupsRequest, answer func(kmsg.Response)) {
	list := &group.ListRequest{States: onlyKnown(req.StatesFilter, groupStates), Types: onlyKnown(req.TypesFilter, groupTypes)}
	// There may be a million groups. Their answer is not made by whoever brings the last of them, which may be what all producers wait for.
	type collected struct {
		responses []any
		err       error
	}
	all := make(chan collected, 1)
	h.Groups.All(list, func(responses []any, err error) { all <- collected{responses, err} })
	h.pending.Go(func() {
		if groups := <-all; groups.err != nil {
			resp := kmsg.NewPtrListGroupsResponse()
			resp.ErrorCode = int16(coordinatorCode(groups.err))
			answer(resp)
		} else {
			answer(listed(c, groups.responses))
		}
	})
}

// listed is nil when there is no memory for the answer.
func listed(c call, responses []any) kmsg.Response {
	n, size := 0, 0
	for _, r := range responses {
		groups := r.(*group.ListResponse).Groups
		n += len(groups)
		for _, g := range groups {
			size += len(g.Group) + len(g.ProtocolType) + 32
		}
	}
	if !c.take(int64(n)*int64(unsafe.Sizeof(kmsg.ListGroupsResponseGroup{})) + int64(size)) {
		return nil
	}
	resp := kmsg.NewPtrListGroupsResponse()
	resp.Groups = make([]kmsg.ListGroupsResponseGroup, 0, n)
	for _, r := range responses {
		for _, g := range r.(*group.ListResponse).Groups {
			resp.Groups = append(resp.Groups, kmsg.ListGroupsResponseGroup{
				Group: g.Group, ProtocolType: g.ProtocolType, GroupState: g.State, GroupType: g.Type,
			})
		}
	}
	return resp
}

// The states and types of groups that Kafka has, in lower case.
var (
	groupStates = []string{"preparingrebalance", "completingrebalance", "stable", "dead", "empty", "assigning", "reconciling", "notready"}
	groupTypes  = []string{"classic", "consumer", "share", "streams"}
)

// onlyKnown drops from a filter what no group has, and what is named twice, so that the machines compare with few names however
// many a client sends. A filter of which nothing is left still lets nothing pass.
func onlyKnown(filter, known []string) []string {
	if len(filter) == 0 {
		return nil
	}
	kept := make([]string, 0, len(known))
	for _, name := range filter {
		if name = strings.ToLower(name); slices.Contains(known, name) && !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	if len(kept) == 0 {
		kept = append(kept, "")
	}
	return kept
}
