package broker

import (
	"time"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/fetcher"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
)

// Bounds of settings that may be anything: who never waits would ask all the time.
const (
	waitLeast    = 10 * time.Millisecond
	timeoutLeast = time.Second
)

// newFetcher makes what lets replicas of this broker follow others. It hears of each replica that has something to ask.
func (b *Broker) newFetcher() {
	cfg := b.opts.Config
	b.fetcher = fetcher.New(fetcher.Options{
		Broker: cfg.NodeID, Network: b.opts.Network, Clock: b.opts.Clock, Log: b.opts.Log, Address: b.brokerAddress,
		Settings: fetchSettings(cfg),
	})
	b.replicas.host.Changed = func(p *partition.Partition) { b.fetcher.Changed(p) }
}

// fetchSettings is what followers go by.
func fetchSettings(cfg *config.Config) fetcher.Settings {
	return fetcher.Settings{
		WaitMax: max(cfg.Millis("replica.fetch.wait.max.ms"), waitLeast), MinBytes: int(cfg.Number("replica.fetch.min.bytes")),
		MaxBytes: int(cfg.Number("replica.fetch.max.bytes")), ResponseMaxBytes: int(cfg.Number("replica.fetch.response.max.bytes")),
		Backoff: cfg.Millis("replica.fetch.backoff.ms"), Timeout: max(cfg.Millis("replica.socket.timeout.ms"), timeoutLeast),
	}
}

// followFenced is a metadata subscriber, behind the replicas: they have heard by then that a broker counts for dead.
func (b *Broker) followFenced(_, _ *metadata.Image, delta *metadata.Delta) {
	t := &b.together
	if len(delta.Brokers) == 0 {
		return
	}
	kafka := t.take(nil)
	if kafka == nil {
		return // the node starts or stops: there is no session yet, or none any more
	}
	defer t.give(nil)
	for _, c := range delta.Brokers {
		if diedIn(c) {
			kafka.Fenced(c.Old.ID)
		}
	}
}

// brokerAddress is where another broker takes the requests of brokers.
func (b *Broker) brokerAddress(id int32) (string, bool) {
	other := b.replicas.brokers.Broker(id)
	if other == nil {
		return "", false
	}
	at, ok := other.Listener(b.opts.Config.InterBrokerListener)
	return config.Listener{Host: at.Host, Port: int(at.Port)}.Address(), ok
}
