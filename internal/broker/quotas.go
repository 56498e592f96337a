package broker

import (
	"time"

	"github.com/moldau/moldau/internal/config"
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
			host = a.String()
		}
		l.Hosts[host] = limit
	}
	b.connections.Limit(now.MaxConnectionRate, rates)
	return l
}
