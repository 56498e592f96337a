package broker

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/quota"
	"github.com/moldau/moldau/internal/server"
)

// quotaOptions says over what time quotas are measured.
func quotaOptions(o Options) quota.Options {
	return quota.Options{Clock: o.Clock, Windows: windows(o.Config, "quota.window."), Mutations: windows(o.Config, "controller.quota.window.")}
}

func windows(c *config.Config, prefix string) quota.Windows {
	return quota.Windows{Samples: int(c.Number(prefix + "num")), Size: time.Duration(c.Number(prefix+"size.seconds")) * time.Second}
}

// connectionLimits says how many connections there may be, and tells of the rates of new ones.
func (b *Broker) connectionLimits(now *config.Config) server.Limits {
	l := server.Limits{All: now.MaxConnections, PerHost: now.MaxConnectionsPerIP, Listeners: map[string]int{}, Hosts: map[string]int{}}
	rates := map[string]int{}
	for _, at := range now.ControllerListeners {
		l.Apart = append(l.Apart, at.Name)
		l.Listeners[at.Name], rates[at.Name] = now.ListenerLimits(at.Name)
	}
	for _, at := range now.Listeners {
		l.Listeners[at.Name], rates[at.Name] = now.ListenerLimits(at.Name)
	}
	if len(now.Listeners) > 1 {
		l.Protected = now.InterBrokerListener // brokers reach one another while clients take all connections
	}
	for host, limit := range now.ConnectionsOfHosts {
		if a, ok := quota.Address(host); ok {
			l.Hosts[a.String()] = limit
		} else if a := b.hosts.known(host); a.IsValid() {
			l.Hosts[a.String()] = limit
		} else {
			b.hosts.find(host, func(netip.Addr) { b.limit() })
		}
	}
	b.connections.Limit(now.MaxConnectionRate, rates)
	return l
}

// followAddresses is a metadata subscriber: it lets quotas of addresses act, those of hosts when they have been looked up.
func (b *Broker) followAddresses(before, after *metadata.Image, delta *metadata.Delta) {
	for _, host := range b.connections.Follow(before, after, delta) {
		b.hosts.find(host, func(at netip.Addr) { b.connections.Found(host, at) })
	}
}

// hosts looks up the addresses of hosts that limits of connections name, one after another: the metadata log does not wait for it.
type hosts struct {
	log  *slog.Logger
	ctx  context.Context
	end  context.CancelFunc
	busy sync.WaitGroup

	mu      sync.Mutex // guards what follows
	queue   []lookup
	running bool
	found   map[string]netip.Addr
}

type lookup struct {
	host string
	then func(netip.Addr)
}

func (h *hosts) start(log *slog.Logger) {
	h.log, h.found = log, map[string]netip.Addr{}
	h.ctx, h.end = context.WithCancel(context.Background())
}

func (h *hosts) stop() {
	h.mu.Lock() // nobody begins a look-up from here on
	h.end()
	h.mu.Unlock()
	h.busy.Wait()
}

// known returns the address of a host that was found; one that is not valid if it was not.
func (h *hosts) known(host string) netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.found[host]
}

// find looks a host up, and calls then if it has an address.
func (h *hosts) find(host string, then func(netip.Addr)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return
	}
	h.queue = append(h.queue, lookup{host, then})
	if !h.running {
		h.running = true
		h.busy.Go(h.run)
	}
}

func (h *hosts) run() {
	for {
		h.mu.Lock()
		if len(h.queue) == 0 || h.ctx.Err() != nil {
			h.running = false
			h.mu.Unlock()
			return
		}
		next := h.queue[0]
		h.queue = h.queue[1:]
		h.mu.Unlock()
		at, err := network.Resolve(h.ctx, next.host)
		if err != nil {
			h.log.Warn("look up a host that a limit of connections names: the limit does not act", "host", next.host, "error", err)
			continue
		}
		h.mu.Lock()
		h.found[next.host] = at.Unmap()
		h.mu.Unlock()
		next.then(at)
	}
}
