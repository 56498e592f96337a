package handler

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
)

// AlterClientQuotas, versions 0 and 1: sets and removes quotas of users, client ids and addresses (KIP-546, addresses KIP-612).
//
// Version 1 is flexible. Of several changes of an entity that are wrong the first of the request is named, and entities are answered in the
// order of the request; Kafka's order is that of hash maps. The name of an address may be a host's, which is looked up here, and again
// where its quota acts.

// lookupsMax bounds how long one request may wait for names of hosts.
const lookupsMax = 5 * time.Second

func serveAlterClientQuotas(h *Handler, c call, req *kmsg.AlterClientQuotasRequest) kmsg.Response {
	var size int64
	for i := range req.Entries {
		e := &req.Entries[i]
		size += int64(len(e.Entity)*3+len(e.Ops)*2+3) * itemSize
		for j := range e.Entity {
			size += int64(len(e.Entity[j].Type)) * 2 // messages repeat them
			if name := e.Entity[j].Name; name != nil {
				size += int64(len(*name)) * 2
			}
		}
	}
	if !c.charge(size) {
		return nil
	}
	alter := &controller.AlterQuotas{ValidateOnly: req.ValidateOnly, Alterations: make([]controller.QuotaAlteration, len(req.Entries))}
	lookups := h.Clock.Now().Add(lookupsMax)
	for i := range req.Entries {
		e, a := &req.Entries[i], &alter.Alterations[i]
		a.Entity = quotaParts(e.Entity)
		if len(a.Entity) == 1 && a.Entity[0].Kind == controller.QuotaIP && a.Entity[0].Name != nil {
			a.NoAddress = !h.isAddress(c.ctx, *a.Entity[0].Name, lookups)
		}
		a.Changes = make([]controller.QuotaChange, len(e.Ops))
		for j := range e.Ops {
			op := &e.Ops[j]
			a.Changes[j].Name = op.Key
			if !op.Remove {
				a.Changes[j].Value = &op.Value
			}
		}
	}
	resp := kmsg.NewPtrAlterClientQuotasResponse()
	add := func(entity []controller.QuotaPart, code int16, message *string) {
		entry := kmsg.NewAlterClientQuotasResponseEntry()
		entry.ErrorCode, entry.ErrorMessage = code, message
		for _, p := range entity {
			entry.Entity = append(entry.Entity, kmsg.AlterClientQuotasResponseEntryEntity{Type: p.Kind, Name: p.Name})
		}
		resp.Entries = append(resp.Entries, entry)
	}
	done, err := h.Controller.Do(c.ctx, alter)
	if err != nil {
		code, message := h.unanswered("alter client quotas", err)
		for i := range alter.Alterations {
			add(alter.Alterations[i].Entity, code, message)
		}
		return resp
	}
	for _, e := range done.(*controller.AlterQuotasResponse).Entities {
		code, message := failure(e.Error)
		add(e.Entity, code, message)
	}
	return resp
}

// quotaParts puts the parts of an entity in order. Of a kind that stands there twice the last one counts, as in Kafka.
func quotaParts(entity []kmsg.AlterClientQuotasRequestEntryEntity) []controller.QuotaPart {
	parts := make([]controller.QuotaPart, len(entity))
	for i := range entity {
		parts[i] = controller.QuotaPart{Kind: entity[i].Type, Name: entity[i].Name}
	}
	slices.SortStableFunc(parts, func(a, b controller.QuotaPart) int { return strings.Compare(a.Kind, b.Kind) })
	kept := parts[:0]
	for i, p := range parts {
		if i+1 == len(parts) || parts[i+1].Kind != p.Kind {
			kept = append(kept, p)
		}
	}
	return kept
}

// isAddress says whether a name is an address or a host's that has one.
func (h *Handler) isAddress(ctx context.Context, name string, until time.Time) bool {
	if name == "" || h.Resolve == nil || h.Clock.Now().After(until) {
		return name == "" // which is refused for being empty
	}
	_, err := h.Resolve(ctx, name)
	return err == nil
}
