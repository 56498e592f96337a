package controller

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// Kinds of the parts of entities with quotas, as clients write them.
const (
	QuotaUser     = "user"
	QuotaClientID = "client-id"
	QuotaIP       = "ip"
)

// maxRecordsPerRequest bounds what one request may change. The number is Kafka's.
const maxRecordsPerRequest = 10000

type (
	// AlterQuotas sets and removes quotas; each entity succeeds or fails alone. Response: AlterQuotasResponse.
	AlterQuotas struct {
		Alterations  []QuotaAlteration
		ValidateOnly bool
	}

	// QuotaAlteration changes quotas of one entity.
	QuotaAlteration struct {
		Entity    []QuotaPart // each kind once, by kind
		NoAddress bool        // the name of the address is none, and no host's
		Changes   []QuotaChange
	}

	// QuotaPart is one part of an entity, with any kind that a client may send. Without a name it is the default.
	QuotaPart struct {
		Kind string
		Name *string
	}

	// QuotaChange sets a quota, or removes it where Value is nil.
	QuotaChange struct {
		Name  string
		Value *float64
	}

	// AlterQuotasResponse has a result for each entity of the request, in the order in which they first stand there.
	AlterQuotasResponse struct{ Entities []QuotaAltered }

	// QuotaAltered is the result for one entity.
	QuotaAltered struct {
		Entity []QuotaPart
		Error  Error
	}
)

func (*AlterQuotas) urgent() bool { return false }

func (r *AlterQuotas) step(s *step) Response {
	response := new(AlterQuotasResponse)
	places := make(map[string]int)
	for i := range r.Alterations {
		a := &r.Alterations[i]
		key := quotaKey(a.Entity)
		place, again := places[key]
		if !again {
			place = len(response.Entities)
			places[key] = place
			response.Entities = append(response.Entities, QuotaAltered{Entity: a.Entity})
		}
		result := &response.Entities[place].Error
		// What an entity was changed by before stands, though its result is an error then: so it is in Kafka, which says the same of an
		// entity with one quota twice.
		if again || quotaTwice(a.Changes) {
			*result = Error{protocol.InvalidRequest, "Ignoring duplicate entity " + quotaText(a.Entity)}
			continue
		}
		*result = a.decide(s)
	}
	if len(s.records) > maxRecordsPerRequest {
		s.drop()
		for i := range response.Entities {
			response.Entities[i].Error = Error{protocol.PolicyViolation, "Request parameters do not satisfy the configured policy."}
		}
	}
	if r.ValidateOnly {
		s.drop()
	}
	return response
}

// decide adds the records of one alteration, or none where a change is wrong.
func (a *QuotaAlteration) decide(s *step) Error {
	entity, err := a.entity()
	if err.Failed() {
		return err
	}
	before := s.img.Quotas(entity)
	var records []metadata.Record
	for _, c := range a.Changes {
		value, set := before[c.Name]
		switch {
		case c.Value == nil:
			if set {
				records = append(records, &metadata.QuotaRecord{Entity: entity, Name: c.Name})
			}
			continue
		case entity.IP.Set:
			err = checkAddressQuota(c.Name, *c.Value)
		default:
			err = checkClientQuota(c.Name, *c.Value)
		}
		if err.Failed() {
			return err
		}
		if !set || value != *c.Value {
			records = append(records, &metadata.QuotaRecord{Entity: entity, Name: c.Name, Value: c.Value})
		}
	}
	s.add(records...)
	return Error{}
}

// entity judges whose quotas are to be changed.
func (a *QuotaAlteration) entity() (entity metadata.QuotaEntity, _ Error) {
	refuse := func(message string) (metadata.QuotaEntity, Error) {
		return metadata.QuotaEntity{}, Error{protocol.InvalidRequest, message}
	}
	if len(a.Entity) == 0 {
		return refuse("Invalid empty client quota entity")
	}
	for _, p := range a.Entity {
		name := metadata.QuotaDefault
		if p.Name != nil {
			name = metadata.QuotaOf(*p.Name)
		}
		switch p.Kind {
		case QuotaUser:
			entity.User = name
		case QuotaClientID:
			entity.ClientID = name
		case QuotaIP:
			entity.IP = name
		default:
			return refuse("Unhandled client quota entity type: " + p.Kind)
		}
		if p.Name != nil && *p.Name == "" {
			return refuse("Empty " + p.Kind + " not supported")
		}
	}
	if entity.IP.Set {
		if entity.User.Set || entity.ClientID.Set {
			return refuse("Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId") // Kafka's spelling
		}
		if a.NoAddress {
			return refuse(entity.IP.Name + " is not a valid IP or resolvable host.")
		}
	}
	return entity, Error{}
}

// checkClientQuota judges a quota of users and client ids.
func checkClientQuota(name string, value float64) Error {
	switch name {
	case metadata.QuotaProducerByteRate, metadata.QuotaConsumerByteRate:
		return checkQuota(name, value, math.MaxInt64, "a LONG")
	case metadata.QuotaRequestPercentage, metadata.QuotaControllerMutationRate:
		return checkQuota(name, value, 0, "")
	}
	return Error{protocol.InvalidRequest, "Invalid configuration key " + name}
}

// checkAddressQuota judges a quota of addresses.
func checkAddressQuota(name string, value float64) Error {
	if name == metadata.QuotaConnectionCreationRate {
		return checkQuota(name, value, math.MaxInt32, "an INT")
	}
	return Error{protocol.InvalidRequest, "Invalid configuration key " + name}
}

// checkQuota judges a value. One with a limit is an integer, or so close to one that Kafka takes it for one.
func checkQuota(name string, value, limit float64, what string) Error {
	message := ""
	switch {
	case math.IsNaN(value) || math.IsInf(value, 0):
		message = "Quota " + name + " must be a finite number"
	case value <= 0:
		message = "Quota " + name + " must be greater than 0"
	case limit == 0:
	case value > limit:
		message = "Proposed value for " + name + " is too large for " + what + "."
	case math.Mod(value, 1) > 1e-6:
		message = name + " cannot be a fractional value."
	}
	if message == "" {
		return Error{}
	}
	return Error{protocol.InvalidRequest, message}
}

func quotaTwice(changes []QuotaChange) bool {
	seen := make(map[string]bool, len(changes))
	for _, c := range changes {
		if seen[c.Name] {
			return true
		}
		seen[c.Name] = true
	}
	return false
}

// quotaKey tells entities apart, whatever is in their names.
func quotaKey(entity []QuotaPart) string {
	var key []byte
	for _, p := range entity {
		key = append(strconv.AppendQuote(key, p.Kind), '=')
		if p.Name != nil {
			key = strconv.AppendQuote(key, *p.Name)
		}
	}
	return string(key)
}

// quotaText is an entity as Kafka's messages show it.
func quotaText(entity []QuotaPart) string {
	parts := make([]string, len(entity))
	for i, p := range entity {
		name := "null"
		if p.Name != nil {
			name = *p.Name
		}
		parts[i] = p.Kind + "=" + name
	}
	return fmt.Sprintf("ClientQuotaEntity(entries={%s})", strings.Join(parts, ", "))
}
