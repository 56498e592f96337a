package metadata

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
)

// Names of quotas. They are Kafka's, and frozen: clients set them by name.
const (
	QuotaProducerByteRate       = "producer_byte_rate"       // bytes a second that are produced
	QuotaConsumerByteRate       = "consumer_byte_rate"       // bytes a second that are fetched
	QuotaRequestPercentage      = "request_percentage"       // percent of one thread's time
	QuotaControllerMutationRate = "controller_mutation_rate" // partitions a second that are created or deleted
	QuotaConnectionCreationRate = "connection_creation_rate" // connections a second; of an address alone
)

// QuotaName is one part of a QuotaEntity: the zero value where the entity has no such part.
type QuotaName struct {
	Set  bool   // the entity has this part
	Any  bool   // it is the default, of all that have no quota of their own; Name is empty then
	Name string // as clients send it
}

// QuotaDefault is the default of a kind of entity, which clients name with null.
var QuotaDefault = QuotaName{Set: true, Any: true}

// QuotaOf names one user, client id or address.
func QuotaOf(name string) QuotaName { return QuotaName{Set: true, Name: name} }

// QuotaEntity is whose quotas they are. The controller sees to it that either IP alone is set, or User, ClientID or both.
type QuotaEntity struct{ User, ClientID, IP QuotaName }

// QuotaRecord sets one quota of an entity, or removes it where Value is nil.
type QuotaRecord struct {
	Entity QuotaEntity
	Name   string
	Value  *float64
}

func (*QuotaRecord) kind() uint64 { return kindQuota }

// Quotas returns the quotas that are set of exactly this entity; nil where there is none.
func (img *Image) Quotas(entity QuotaEntity) map[string]float64 {
	values, _ := img.quotas.get(entity.shard(), entity)
	return values
}

// QuotaCount is the number of entities that have quotas.
func (img *Image) QuotaCount() int { return img.quotas.len }

// QuotaEntities yields every entity that has quotas, with its quotas, in no order.
func (img *Image) QuotaEntities() iter.Seq2[QuotaEntity, map[string]float64] { return img.quotas.all() }

func (e QuotaEntity) shard() uint { return uint(maphash.Comparable(shardSeed, e)) }

// Compare orders entities: by user, then client id, then address; of each, what has none before the default before the names.
func (e QuotaEntity) Compare(other QuotaEntity) int {
	return cmp.Or(e.User.compare(other.User), e.ClientID.compare(other.ClientID), e.IP.compare(other.IP))
}

func (n QuotaName) compare(other QuotaName) int {
	return cmp.Or(cmp.Compare(n.form(), other.form()), strings.Compare(n.Name, other.Name))
}

// Forms of a QuotaName as they are written. They are frozen.
const (
	quotaNameNone    = 0
	quotaNameDefault = 1
	quotaNameNamed   = 2
)

func (n QuotaName) form() byte {
	switch {
	case !n.Set:
		return quotaNameNone
	case n.Any:
		return quotaNameDefault
	}
	return quotaNameNamed
}

// appendQuotaEntity writes user, client id and address: a byte for the form of each, then the name where it has one.
func appendQuotaEntity(dst []byte, e QuotaEntity) []byte {
	for _, n := range [...]QuotaName{e.User, e.ClientID, e.IP} {
		if dst = append(dst, n.form()); n.form() == quotaNameNamed {
			dst = appendString(dst, n.Name)
		}
	}
	return dst
}

func (d *decoder) quotaEntity() (e QuotaEntity) {
	for _, n := range [...]*QuotaName{&e.User, &e.ClientID, &e.IP} {
		b := d.take(1)
		switch {
		case len(b) == 0:
		case b[0] == quotaNameNone:
		case b[0] == quotaNameDefault:
			*n = QuotaDefault
		case b[0] == quotaNameNamed:
			*n = QuotaOf(d.string())
		default:
			d.fail("unknown form of a name with quotas")
		}
	}
	return e
}

// appendFloat writes the 8 bytes of an IEEE 754 double, the highest first.
func appendFloat(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}

func (d *decoder) float() float64 {
	b := d.take(8)
	if len(b) < 8 {
		return 0
	}
	v := math.Float64frombits(binary.BigEndian.Uint64(b))
	if math.IsNaN(v) || math.IsInf(v, 0) {
		d.fail("a quota that is no finite number") // the controller takes none
		return 0
	}
	return v
}

// appendQuotas writes all quotas, for a snapshot.
func (img *Image) appendQuotas(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(img.quotas.len))
	entities := make([]QuotaEntity, 0, img.quotas.len)
	for e := range img.QuotaEntities() {
		entities = append(entities, e)
	}
	slices.SortFunc(entities, QuotaEntity.Compare)
	for _, e := range entities {
		values := img.Quotas(e)
		dst = binary.AppendUvarint(appendQuotaEntity(dst, e), uint64(len(values)))
		for _, name := range slices.Sorted(maps.Keys(values)) {
			dst = appendFloat(appendString(dst, name), values[name])
		}
	}
	return dst
}

// readQuotas reads what appendQuotas wrote.
func (e *editor) readQuotas(d *decoder) {
	var last QuotaEntity
	for i := range d.count(13) {
		entity := d.quotaEntity()
		if i > 0 && last.Compare(entity) >= 0 {
			d.fail("entities with quotas out of order")
		}
		last = entity
		n := d.count(9)
		values := make(map[string]float64, n)
		for range n {
			name := d.string()
			values[name] = d.float()
		}
		if n == 0 || len(values) != n {
			d.fail("an entity without quotas, or with one twice")
		}
		if d.err != nil {
			return
		}
		e.quotas.set(entity.shard(), entity, values)
	}
}

// setQuota applies a QuotaRecord; it says whether there was a quota to remove.
func (e *editor) setQuota(r *QuotaRecord) bool {
	before, _ := e.quotas.get(r.Entity.shard(), r.Entity)
	if _, ok := before[r.Name]; r.Value == nil && !ok {
		return false
	}
	if e.ownQuotas == nil {
		e.ownQuotas = make(map[QuotaEntity]bool)
	}
	e.ownQuotas[r.Entity] = true
	values := cloneMap(before) // a handful of names
	if r.Value != nil {
		values[r.Name] = *r.Value
	} else {
		delete(values, r.Name)
	}
	if len(values) == 0 {
		e.quotas.remove(r.Entity.shard(), r.Entity)
	} else {
		e.quotas.set(r.Entity.shard(), r.Entity, values)
	}
	return true
}

// diffQuotas returns whose quotas differ between two images.
func diffQuotas(before, after *Image) (changed []QuotaEntity) {
	for e, values := range before.QuotaEntities() {
		if !maps.Equal(values, after.Quotas(e)) {
			changed = append(changed, e)
		}
	}
	for e := range after.QuotaEntities() {
		if before.Quotas(e) == nil {
			changed = append(changed, e)
		}
	}
	slices.SortFunc(changed, QuotaEntity.Compare)
	return changed
}
