package quota

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/metrics"
)

// Kind is what a quota is of.
type Kind uint8

// The kinds of quotas of users and client ids.
const (
	Produce  Kind = iota // bytes of Produce requests a second
	Fetch                // bytes of Fetch responses a second
	Request              // percent of a thread's time
	Mutation             // partitions created and deleted a second
	kinds
)

// names are those under which the metadata keep the kinds.
var names = [kinds]string{
	Produce: metadata.QuotaProducerByteRate, Fetch: metadata.QuotaConsumerByteRate,
	Request: metadata.QuotaRequestPercentage, Mutation: metadata.QuotaControllerMutationRate,
}

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Produce, Fetch, Request, Mutation} }

// String names the kind where it is counted.
func (k Kind) String() string {
	return [kinds]string{Produce: "produce", Fetch: "fetch", Request: "request", Mutation: "controller_mutation"}[k]
}

// Options configures Clients and Connections. All fields are required.
type Options struct {
	Clock     clock.Clock
	Windows   Windows // of rates (quota.window.*)
	Mutations Windows // of the token buckets of changes to partitions (controller.quota.window.*); Connections have none
}

// Clients keeps the quotas of users and client ids, and measures those who have one.
type Clients struct {
	Options
	start   time.Time
	current atomic.Pointer[quotas] // nil while nobody has a quota
	kept    measures[owner]
	stats   Stats

	mu     sync.Mutex // guards what follows: quotas change one after another
	counts [kinds]int // entities that have a quota of the kind
	latest uint64     // version
}

// quotas is one state of all quotas.
type quotas struct {
	image   *metadata.Image
	version uint64
	counts  [kinds]int
}

// Stats counts what was held back.
type Stats struct {
	Throttled   [kinds]metrics.Counter // requests
	ThrottledMs [kinds]metrics.Counter // their throttle times together
}

// owner is who shares a measure: a quota of a user alone is shared by the user's clients, and one of client ids by the users.
type owner struct {
	kind         Kind
	user, client name
}

// NewClients returns Clients that know no quota yet.
func NewClients(o Options) *Clients {
	return &Clients{Options: o, start: o.Clock.Now(), kept: measures[owner]{max: measuresMax}}
}

// Stats returns the counters, which go on.
func (q *Clients) Stats() *Stats { return &q.stats }

// Measures returns how many measures are kept.
func (q *Clients) Measures() int { return q.kept.len() }

// Follow is a subscriber of the metadata. Quotas that it brings count from the next request of any connection on.
func (q *Clients) Follow(before, after *metadata.Image, delta *metadata.Delta) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range delta.Quotas {
		had, has := before.Quotas(e), after.Quotas(e)
		for k, name := range names {
			if _, ok := had[name]; ok {
				q.counts[k]--
			}
			if _, ok := has[name]; ok {
				q.counts[k]++
			}
		}
	}
	if len(delta.Quotas) > 0 {
		q.latest++
	}
	switch {
	case q.counts == [kinds]int{}:
		q.current.Store(nil)
	case len(delta.Quotas) > 0 || q.current.Load() == nil || q.current.Load().image != after:
		q.current.Store(&quotas{image: after, version: q.latest, counts: q.counts}) // also without a change: an old image is not kept alive
	}
}

// Any says whether anybody has a quota. While nobody has, there is nothing to measure.
func (q *Clients) Any() bool { return q.current.Load() != nil }

// Client is what counts for one client id of one user. It is good until quotas change: Clients.Client says which one is.
type Client struct {
	all      *Clients
	version  uint64
	user, id string
	limits   [kinds]*limited // nil: no quota
}

// limited is a quota that a client has, and what it is measured by.
type limited struct {
	owner owner
	limit float64
	held  atomic.Pointer[measure]
}

// Client returns what counts for a client now: known, if it is that still, which costs nothing. It returns nil where nobody has a quota.
func (q *Clients) Client(user, id string, known *Client) *Client {
	now := q.current.Load()
	if now == nil {
		return nil
	}
	if known != nil && known.version == now.version && known.id == id && known.user == user {
		return known
	}
	c := &Client{all: q, version: now.version, user: user, id: id}
	for k := range kinds {
		if now.counts[k] == 0 {
			continue
		}
		if o, limit, ok := now.resolve(k, user, id); ok {
			c.limits[k] = &limited{owner: o, limit: limit}
		}
	}
	return c
}

// resolve finds the quota that counts for a client, the most specific, and who is measured together. A client without an id has no quotas
// of client ids, not even the default, as in Kafka.
func (q *quotas) resolve(kind Kind, user, id string) (owner, float64, bool) {
	of := func(user, id metadata.QuotaName) (float64, bool) {
		v, ok := q.image.Quotas(metadata.QuotaEntity{User: user, ClientID: id})[names[kind]]
		return v, ok
	}
	own, mine := metadata.QuotaOf(user), metadata.QuotaOf(id)
	var none metadata.QuotaName
	for _, rule := range [...]struct {
		user, id         metadata.QuotaName
		byUser, byClient bool // what is measured together
	}{
		{own, mine, true, true},
		{own, metadata.QuotaDefault, true, true},
		{own, none, true, false},
		{metadata.QuotaDefault, mine, true, true},
		{metadata.QuotaDefault, metadata.QuotaDefault, true, true},
		{metadata.QuotaDefault, none, true, false},
		{none, mine, false, true},
		{none, metadata.QuotaDefault, false, true},
	} {
		if rule.byClient && id == "" {
			continue
		}
		if limit, ok := of(rule.user, rule.id); ok {
			o := owner{kind: kind}
			if rule.byUser {
				o.user = nameOf(user)
			}
			if rule.byClient {
				o.client = nameOf(id)
			}
			return o, limit, true
		}
	}
	return owner{}, 0, false
}

func (q *Clients) windows(k Kind) Windows {
	if k == Mutation {
		return q.Mutations
	}
	return q.Windows
}

func (q *Clients) now() int64 { return q.Clock.Now().Sub(q.start).Milliseconds() }

// with calls f with the measure of a quota, which it may change until it returns.
func (c *Client) with(k Kind, f func(m *measure, w Windows, now int64)) {
	l, w, now := c.limits[k], c.all.windows(k), c.all.now()
	for {
		m := l.held.Load()
		if m == nil {
			m = c.all.kept.get(w, l.owner, l.limit, c.version, now)
			l.held.Store(m)
		}
		m.mu.Lock()
		if m.gone {
			m.mu.Unlock()
			l.held.CompareAndSwap(m, nil)
			continue
		}
		m.last = max(m.last, now)
		f(m, w, now)
		m.mu.Unlock()
		return
	}
}

// Limits says whether the client has a quota of the kind. A nil client has none.
func (c *Client) Limits(k Kind) bool { return c != nil && c.limits[k] != nil }

// Take records that the client has taken n of a kind, and returns how long it must be left alone to come down to its quota. It is a rate
// that is measured: bytes, or for Request nanoseconds; of changes to partitions see Mutations.
func (c *Client) Take(k Kind, n int64) (throttle time.Duration) {
	if !c.Limits(k) {
		return 0
	}
	v := float64(n)
	if k == Request {
		v *= 100 / float64(time.Second)
	}
	c.with(k, func(m *measure, w Windows, now int64) {
		m.rate.record(w, v, now)
		throttle = m.rate.throttle(w, m.limit, now)
	})
	if k == Request {
		throttle = min(throttle, c.all.Windows.Size) // what a thread does is not as even as bytes: nobody waits longer for it
	}
	return throttle
}

// GiveBack takes n back that Take has recorded, because the client was not given it after all.
func (c *Client) GiveBack(k Kind, n int64) {
	if c.Limits(k) {
		c.with(k, func(m *measure, w Windows, now int64) { m.rate.record(w, -float64(n), now) })
	}
}

// Most is what the client may take at once when it has taken nothing for long. Who takes more is throttled in any case.
func (c *Client) Most(k Kind) int64 {
	if !c.Limits(k) {
		return math.MaxInt64
	}
	w := c.all.windows(k)
	most := c.limits[k].limit * float64(w.Samples-1) * w.Size.Seconds()
	if most >= math.MaxInt64 { // which is 1<<63 as a float, and no int64
		return math.MaxInt64
	}
	return int64(most)
}

// Throttled counts a request that was held back for a quota of the kind.
func (q *Clients) Throttled(k Kind, throttle time.Duration) {
	q.stats.Throttled[k].Inc()
	q.stats.ThrottledMs[k].Add(throttle.Milliseconds())
}
