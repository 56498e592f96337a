package handler

import (
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// DescribeClientQuotas, versions 0 and 1: the quotas of users, client ids and addresses that a filter matches (KIP-546, addresses
// KIP-612).
//
// Version 1 is flexible. Entities and quotas come in order; Kafka's order is that of hash maps.

func serveDescribeClientQuotas(h *Handler, c call, req *kmsg.DescribeClientQuotasRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeClientQuotasResponse()
	filter, err := quotaFilterOf(req)
	if err.Failed() {
		resp.ErrorCode, resp.ErrorMessage = failure(err)
		return resp
	}
	img := h.Metadata.Image()
	var found []metadata.QuotaEntity
	var size int64
	for e, values := range img.QuotaEntities() {
		if filter.matches(e) {
			found = append(found, e)
			size += int64(len(values)+3)*itemSize + int64(len(e.User.Name)+len(e.ClientID.Name)+len(e.IP.Name))
		}
	}
	if !c.charge(size) {
		return nil
	}
	slices.SortFunc(found, metadata.QuotaEntity.Compare)
	resp.ErrorMessage, resp.Entries = &noMessage, make([]kmsg.DescribeClientQuotasResponseEntry, 0, len(found))
	for _, e := range found {
		entry := kmsg.NewDescribeClientQuotasResponseEntry()
		for i, name := range quotaNames(e) {
			if name.Set {
				part := kmsg.DescribeClientQuotasResponseEntryEntity{Type: quotaKinds[i]}
				if !name.Any {
					part.Name = &name.Name
				}
				entry.Entity = append(entry.Entity, part)
			}
		}
		values := img.Quotas(e)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			entry.Values = append(entry.Values, kmsg.DescribeClientQuotasResponseEntryValue{Key: key, Value: values[key]})
		}
		resp.Entries = append(resp.Entries, entry)
	}
	return resp
}

// quotaKinds are the kinds of the parts of an entity, in the order of quotaNames.
var quotaKinds = [...]string{controller.QuotaClientID, controller.QuotaIP, controller.QuotaUser}

func quotaNames(e metadata.QuotaEntity) [3]metadata.QuotaName {
	return [...]metadata.QuotaName{e.ClientID, e.IP, e.User}
}

// How a component of a filter matches. The numbers are the protocol's.
const (
	quotaMatchExact   = 0
	quotaMatchDefault = 1
	quotaMatchAny     = 2
)

// quotaFilter says for each kind, in the order of quotaKinds, what its part must be.
type quotaFilter struct {
	parts  [len(quotaKinds)]quotaFilterPart
	strict bool // an entity has no other parts
}

type quotaFilterPart struct {
	asked bool
	any   bool // whatever it is
	name  metadata.QuotaName
}

func (f *quotaFilter) matches(e metadata.QuotaEntity) bool {
	for i, name := range quotaNames(e) {
		switch p := &f.parts[i]; {
		case !p.asked:
			if name.Set && f.strict {
				return false
			}
		case !name.Set, !p.any && name != p.name:
			return false
		}
	}
	return true
}

// quotaFilterOf judges the components one after the other, and then what they are together.
func quotaFilterOf(req *kmsg.DescribeClientQuotasRequest) (f quotaFilter, _ controller.Error) {
	f.strict = req.Strict
	refuse := func(message string) (quotaFilter, controller.Error) {
		return f, controller.Error{Code: protocol.InvalidRequest, Message: message}
	}
	for i := range req.Components {
		c := &req.Components[i]
		kind := slices.Index(quotaKinds[:], c.EntityType)
		switch {
		case c.EntityType == "":
			return refuse("Invalid empty entity type.")
		case kind < 0:
			return f, controller.Error{Code: protocol.UnsupportedVersion, Message: "Unsupported entity type " + c.EntityType}
		case f.parts[kind].asked:
			return refuse("Entity type " + c.EntityType + " cannot appear more than once in the filter.")
		}
		p := &f.parts[kind]
		p.asked = true
		switch c.MatchType {
		case quotaMatchExact:
			if c.Match == nil {
				return refuse("Request specified MATCH_TYPE_EXACT, but set match string to null.")
			}
			p.name = metadata.QuotaOf(*c.Match)
		case quotaMatchDefault:
			if c.Match != nil {
				return refuse("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
			}
			p.name = metadata.QuotaDefault
		case quotaMatchAny:
			if c.Match != nil {
				return refuse("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
			}
			p.any = true
		default:
			return refuse("Unknown match type " + strconv.Itoa(int(c.MatchType)))
		}
	}
	if client, ip, user := f.parts[0], f.parts[1], f.parts[2]; ip.asked && (client.asked || user.asked) {
		return refuse("Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.")
	}
	return f, controller.Error{}
}
