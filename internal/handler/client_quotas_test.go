package handler

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

func alterAddresses(names ...string) *kmsg.AlterClientQuotasRequest {
	req := kmsg.NewPtrAlterClientQuotasRequest()
	for i := range names {
		req.Entries = append(req.Entries, kmsg.AlterClientQuotasRequestEntry{
			Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "ip", Name: &names[i]}},
			Ops:    []kmsg.AlterClientQuotasRequestEntryOp{{Key: metadata.QuotaConnectionCreationRate, Value: 5}},
		})
	}
	return req
}

// TestQuotasOfHosts looks hosts up by name, and stops when that takes too long.
func TestQuotasOfHosts(t *testing.T) {
	r := newRig(t, "")
	now := clock.NewManual(time.Unix(1000, 0))
	r.h.Clock = now
	var asked []string
	r.h.Resolve = func(_ context.Context, host string) (netip.Addr, error) {
		asked = append(asked, host)
		switch host {
		case "here":
			return netip.MustParseAddr("192.0.2.1"), nil
		case "slow":
			now.Advance(lookupsMax + 1)
		}
		return netip.Addr{}, errors.New("no such host")
	}
	resp := roundTrip[*kmsg.AlterClientQuotasResponse](r.dial(), 1, alterAddresses("here", "nowhere", "slow", "here2"))
	for i, want := range []protocol.ErrorCode{protocol.None, protocol.InvalidRequest, protocol.InvalidRequest, protocol.InvalidRequest} {
		if got := protocol.ErrorCode(resp.Entries[i].ErrorCode); got != want {
			t.Errorf("%s: %v, want %v", *resp.Entries[i].Entity[0].Name, got, want)
		}
	}
	if len(asked) != 3 {
		t.Errorf("asked for %q", asked)
	}
	if got := r.controller.images.Image().Quotas(metadata.QuotaEntity{IP: metadata.QuotaOf("here")}); got[metadata.QuotaConnectionCreationRate] != 5 {
		t.Errorf("kept: %v", got)
	}
}

func TestAlterQuotasWithoutController(t *testing.T) {
	r := newRig(t, "")
	r.h.Resolve = func(context.Context, string) (netip.Addr, error) { return netip.Addr{}, nil }
	r.controller.fail = errors.New("no controller")
	resp := roundTrip[*kmsg.AlterClientQuotasResponse](r.dial(), 0, alterAddresses("a", "b"))
	if len(resp.Entries) != 2 || *resp.Entries[1].Entity[0].Name != "b" || resp.Entries[1].ErrorCode != int16(protocol.NotController) {
		t.Errorf("%+v", resp.Entries)
	}
}

// An entity may have as many parts as a request holds, in any order; of those of a kind the last one counts.
func TestManyPartsOfAnEntity(t *testing.T) {
	const many = 1 << 19
	entity := make([]kmsg.AlterClientQuotasRequestEntryEntity, 0, many+1)
	for i := range many {
		entity = append(entity, kmsg.AlterClientQuotasRequestEntryEntity{Type: fmt.Sprintf("%06d", many-i)})
	}
	entity = append(entity, kmsg.AlterClientQuotasRequestEntryEntity{Type: "000007", Name: new("last")})
	sorted := make(chan []controller.QuotaPart)
	go func() { sorted <- quotaParts(entity) }()
	select {
	case parts := <-sorted:
		if len(parts) != many || parts[0].Kind != "000001" || parts[6].Name == nil || *parts[6].Name != "last" || parts[many-1].Kind != "524288" {
			t.Errorf("%d parts, from %v to %v", len(parts), parts[0], parts[many-1])
		}
	case <-time.After(30 * time.Second):
		t.Fatal("not sorted in 30 seconds")
	}
}

// What DescribeClientQuotas answers is taken out of the budget, with the names.
func TestNamesOfQuotasArePaidFor(t *testing.T) {
	r := newRig(t, "")
	v := 1.0
	for i := range 3 {
		r.controller.apply(t, &metadata.QuotaRecord{Name: metadata.QuotaProducerByteRate, Value: &v,
			Entity: metadata.QuotaEntity{ClientID: metadata.QuotaOf(strings.Repeat(fmt.Sprint(i), 30_000))}})
	}
	paid := int64(0)
	resp := serveDescribeClientQuotas(r.h, call{version: 1, charge: func(n int64) bool { paid += n; return true }}, kmsg.NewPtrDescribeClientQuotasRequest())
	resp.SetVersion(1)
	if n := int64(len(resp.AppendTo(nil))); paid < n {
		t.Errorf("%d bytes are taken out of the budget for an answer of %d", paid, n)
	}
}
