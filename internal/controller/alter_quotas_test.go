package controller

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// setQuotas alters quotas of one entity and gives the result.
func (b *bench) setQuotas(entity []QuotaPart, changes ...QuotaChange) Error {
	b.t.Helper()
	return b.do(&AlterQuotas{Alterations: []QuotaAlteration{{Entity: entity, Changes: changes}}}).(*AlterQuotasResponse).Entities[0].Error
}

func TestAlterQuotas(t *testing.T) {
	b := newBench(t, 1, 1)
	me := []QuotaPart{{QuotaUser, new("me")}}
	entity := metadata.QuotaEntity{User: metadata.QuotaOf("me")}
	rate := func(v float64) QuotaChange { return QuotaChange{metadata.QuotaProducerByteRate, &v} }
	remove := QuotaChange{Name: metadata.QuotaProducerByteRate}

	if err := b.setQuotas(me, rate(1000), QuotaChange{metadata.QuotaRequestPercentage, new(0.5)}); err.Failed() || len(b.records) != 2 {
		t.Fatalf("%+v, %d records", err, len(b.records))
	}
	if got := b.img.Quotas(entity); !maps.Equal(got, map[string]float64{metadata.QuotaProducerByteRate: 1000, metadata.QuotaRequestPercentage: 0.5}) {
		t.Fatal(got)
	}
	if err := b.setQuotas(me, rate(1000)); err.Failed() || len(b.records) != 0 {
		t.Fatalf("what is set already: %+v, %d records", err, len(b.records))
	}
	if err := b.setQuotas(me, rate(2000), QuotaChange{"nobody_knows", new(1.0)}); !err.Failed() || len(b.records) != 0 {
		t.Fatalf("one of two is wrong: %+v, %d records", err, len(b.records))
	}
	dry := b.do(&AlterQuotas{ValidateOnly: true, Alterations: []QuotaAlteration{{Entity: me, Changes: []QuotaChange{remove}}}}).(*AlterQuotasResponse)
	if dry.Entities[0].Error.Failed() || len(b.records) != 0 {
		t.Fatalf("a dry run: %+v, %d records", dry, len(b.records))
	}
	if err := b.setQuotas(me, remove, QuotaChange{Name: "never_set"}); err.Failed() || len(b.records) != 1 {
		t.Fatalf("removal: %+v, %d records", err, len(b.records))
	}
	if err := b.setQuotas(me, remove, QuotaChange{Name: metadata.QuotaRequestPercentage}); err.Failed() || b.img.QuotaCount() != 0 {
		t.Fatalf("removal of all: %+v", err)
	}
}

// TestAlterQuotasTwice has one entity several times; the first change stands.
func TestAlterQuotasTwice(t *testing.T) {
	b := newBench(t, 1, 1)
	me, you := []QuotaPart{{QuotaClientID, new("me")}}, []QuotaPart{{QuotaClientID, nil}}
	set := func(v float64) []QuotaChange { return []QuotaChange{{metadata.QuotaConsumerByteRate, &v}} }
	r := b.do(&AlterQuotas{Alterations: []QuotaAlteration{{Entity: me, Changes: set(1)}, {Entity: you, Changes: set(2)}, {Entity: me, Changes: set(3)}}}).(*AlterQuotasResponse)
	if len(r.Entities) != 2 || r.Entities[1].Error.Failed() ||
		r.Entities[0].Error != (Error{protocol.InvalidRequest, "Ignoring duplicate entity ClientQuotaEntity(entries={client-id=me})"}) {
		t.Errorf("%+v", r)
	}
	for name, want := range map[metadata.QuotaName]float64{metadata.QuotaOf("me"): 1, metadata.QuotaDefault: 2} {
		if got := b.img.Quotas(metadata.QuotaEntity{ClientID: name})[metadata.QuotaConsumerByteRate]; got != want {
			t.Errorf("%+v has %v, want %v", name, got, want)
		}
	}
	// A name that reads like the parts of another entity is not that entity.
	a, c := []QuotaPart{{QuotaClientID, new("a, user=b")}}, []QuotaPart{{QuotaClientID, new("a")}, {QuotaUser, new("b")}}
	r = b.do(&AlterQuotas{Alterations: []QuotaAlteration{{Entity: a, Changes: set(1)}, {Entity: c, Changes: set(1)}}}).(*AlterQuotasResponse)
	if len(r.Entities) != 2 || r.Entities[0].Error.Failed() || r.Entities[1].Error.Failed() {
		t.Errorf("%+v", r)
	}
}

func TestAlterQuotasRefusals(t *testing.T) {
	b := newBench(t, 1, 1)
	user, address := []QuotaPart{{QuotaUser, new("me")}}, []QuotaPart{{QuotaIP, new("192.0.2.1")}}
	for _, c := range []struct {
		entity []QuotaPart
		name   string
		value  float64
		want   string
	}{
		{user, metadata.QuotaProducerByteRate, 0, "Quota producer_byte_rate must be greater than 0"},
		{user, metadata.QuotaProducerByteRate, math.Copysign(0, -1), "Quota producer_byte_rate must be greater than 0"},
		{user, metadata.QuotaProducerByteRate, 1.5, "producer_byte_rate cannot be a fractional value."},
		{user, metadata.QuotaProducerByteRate, 1.0000001, ""},
		{user, metadata.QuotaProducerByteRate, math.MaxInt64, ""},
		{user, metadata.QuotaProducerByteRate, math.Nextafter(math.MaxInt64, math.Inf(1)), "Proposed value for producer_byte_rate is too large for a LONG."},
		{user, metadata.QuotaProducerByteRate, math.NaN(), "Quota producer_byte_rate must be a finite number"},
		{user, metadata.QuotaRequestPercentage, math.Inf(1), "Quota request_percentage must be a finite number"},
		{user, metadata.QuotaControllerMutationRate, math.MaxFloat64, ""},
		{user, metadata.QuotaConnectionCreationRate, 1, "Invalid configuration key connection_creation_rate"},
		{address, metadata.QuotaConnectionCreationRate, math.MaxInt32, ""},
		{address, metadata.QuotaConnectionCreationRate, math.MaxInt32 + 1, "Proposed value for connection_creation_rate is too large for an INT."},
		{address, metadata.QuotaProducerByteRate, 1, "Invalid configuration key producer_byte_rate"},
		{nil, metadata.QuotaProducerByteRate, 1, "Invalid empty client quota entity"},
		{[]QuotaPart{{QuotaUser, new("")}}, "", 0, "Empty user not supported"},
		{[]QuotaPart{{"group", nil}, {QuotaUser, nil}}, "", 0, "Unhandled client quota entity type: group"},
		{[]QuotaPart{{QuotaIP, nil}, {QuotaUser, nil}}, "", 0, "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId"},
	} {
		want := Error{}
		if c.want != "" {
			want = Error{protocol.InvalidRequest, c.want}
		}
		if got := b.setQuotas(c.entity, QuotaChange{c.name, &c.value}); got != want {
			t.Errorf("%s=%v: %+v, want %q", c.name, c.value, got, c.want)
		}
	}
	r := b.do(&AlterQuotas{Alterations: []QuotaAlteration{{Entity: []QuotaPart{{QuotaIP, new("nowhere")}}, NoAddress: true}}}).(*AlterQuotasResponse)
	if r.Entities[0].Error.Message != "nowhere is not a valid IP or resolvable host." {
		t.Errorf("%+v", r)
	}
}

// TestAlterQuotasIsBounded changes as much as one request may, and then more.
func TestAlterQuotasIsBounded(t *testing.T) {
	b := newBench(t, 1, 1)
	r := new(AlterQuotas)
	for i := range maxRecordsPerRequest {
		r.Alterations = append(r.Alterations, QuotaAlteration{Entity: []QuotaPart{{QuotaUser, new(fmt.Sprint("user-", i))}},
			Changes: []QuotaChange{{metadata.QuotaProducerByteRate, new(float64(i + 1))}}})
	}
	failed := func(e QuotaAltered) bool { return e.Error.Code == protocol.PolicyViolation }
	if resp := b.do(r).(*AlterQuotasResponse); slices.ContainsFunc(resp.Entities, failed) || b.img.QuotaCount() != maxRecordsPerRequest {
		t.Fatalf("%d entities have quotas", b.img.QuotaCount())
	}
	for i := range r.Alterations {
		r.Alterations[i].Changes[0].Name = metadata.QuotaConsumerByteRate
	}
	r.Alterations = append(r.Alterations, QuotaAlteration{Entity: []QuotaPart{{QuotaUser, nil}}, Changes: r.Alterations[0].Changes})
	if resp := b.do(r).(*AlterQuotasResponse); !failed(resp.Entities[0]) || !failed(resp.Entities[maxRecordsPerRequest]) || len(b.records) != 0 {
		t.Errorf("%d records", len(b.records))
	}
}
