package quota

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/metadata"
)

// Connections measures new connections: of all listeners together, of each of them, and of each address that has a quota (KIP-612).
type Connections struct {
	Options
	start time.Time
	kept  measures[netip.Addr]

	mu        sync.Mutex // guards what follows
	limit     float64    // a second, of all listeners
	all       rate
	listeners map[string]*listener
	addresses map[netip.Addr]float64
	hosts     map[string]host // quotas that name a host
	others    float64         // of each address without a quota of its own; 0: none
	version   uint64
}

type listener struct {
	limit float64
	rate  rate
}

type host struct {
	limit float64
	at    netip.Addr // invalid until it is known
}

// NewConnections returns Connections without any limit.
func NewConnections(o Options) *Connections {
	return &Connections{Options: o, start: o.Clock.Now(), kept: measures[netip.Addr]{max: measuresMax}, limit: math.MaxInt32, listeners: map[string]*listener{},
		addresses: map[netip.Addr]float64{}, hosts: map[string]host{}}
}

// Limit sets how many new connections a second there may be on all listeners together and on each (max.connection.creation.rate).
func (c *Connections) Limit(all int, each map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = float64(all)
	for name, limit := range each {
		c.listenerLocked(name).limit = float64(limit)
	}
}

func (c *Connections) listenerLocked(name string) *listener {
	l := c.listeners[name]
	if l == nil {
		l = &listener{limit: math.MaxInt32}
		c.listeners[name] = l
	}
	return l
}

// Follow is a subscriber of the metadata. It returns the hosts that quotas have been set of, whose addresses it must be told (Found): until
// then these quotas do not act.
func (c *Connections) Follow(_, after *metadata.Image, delta *metadata.Delta) (unknown []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range delta.Quotas {
		if !e.IP.Set {
			continue
		}
		c.version++
		limit, set := after.Quotas(e)[metadata.QuotaConnectionCreationRate]
		if e.IP.Any {
			c.others = limit
			continue
		}
		address, ok := Address(e.IP.Name)
		switch was := c.hosts[e.IP.Name]; {
		case ok && set:
			c.addresses[address] = limit
		case ok:
			delete(c.addresses, address)
		case set:
			c.hosts[e.IP.Name] = host{limit, was.at}
			if was.at.IsValid() {
				c.addresses[was.at] = limit
			}
			unknown = append(unknown, e.IP.Name)
		default:
			delete(c.hosts, e.IP.Name)
			delete(c.addresses, was.at)
		}
	}
	return unknown
}

// Found says which address a host has.
func (c *Connections) Found(name string, at netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.hosts[name]
	if !ok {
		return // its quota is gone again
	}
	c.version++
	delete(c.addresses, h.at)
	h.at = at.Unmap().WithZone("")
	c.hosts[name], c.addresses[h.at] = h, h.limit
}

// Address reads an address as connections and quotas name it.
func Address(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	return a.Unmap().WithZone(""), err == nil
}

// Accept records a connection that has come on a listener, and returns how long it has to wait before it may be taken: until it keeps the
// rates of its listener and of all, one window at most. A protected listener has only its own.
func (c *Connections) Accept(name string, protected bool) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, throttle := c.now(), time.Duration(0)
	if !protected {
		c.all.record(c.Windows, 1, now)
		throttle = c.all.throttle(c.Windows, c.limit, now)
	}
	l := c.listenerLocked(name)
	l.rate.record(c.Windows, 1, now)
	throttle = max(throttle, l.rate.throttle(c.Windows, l.limit, now))
	return min(throttle, c.Windows.Size)
}

// From records a connection from an address. Where that is one too many for the address, it returns for how long the connection
// must be kept waiting before it is closed, one window at most, and it counts nowhere.
func (c *Connections) From(name string, protected bool, host string) time.Duration {
	address, ok := Address(host)
	if !ok {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	limit, set := c.addresses[address]
	if !set {
		limit = c.others
	}
	if limit == 0 {
		return 0
	}
	now := c.now()
	m := c.kept.get(c.Windows, address, limit, c.version, now)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = now
	m.rate.record(c.Windows, 1, now)
	throttle := min(m.rate.throttle(c.Windows, m.limit, now), c.Windows.Size)
	if throttle > 0 {
		m.rate.record(c.Windows, -1, now)
		if !protected {
			c.all.record(c.Windows, -1, now)
		}
		c.listenerLocked(name).rate.record(c.Windows, -1, now)
	}
	return throttle
}

func (c *Connections) now() int64 { return c.Clock.Now().Sub(c.start).Milliseconds() }
