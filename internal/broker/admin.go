package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/admin"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/metrics"
)

// listenAdmin opens the listener for metrics and health, if the configuration names one. It answers from then on: a start that recovers
// large logs can be watched.
func (b *Broker) listenAdmin() error {
	cfg := b.opts.Config.Admin()
	if cfg.Listener == nil {
		return nil
	}
	socket, err := b.opts.Network.Listen(context.Background(), cfg.Listener.Address())
	if err != nil {
		return fmt.Errorf("listen on %s for metrics and health (admin.listener): %w", cfg.Listener.Address(), err)
	}
	b.adminSocket = socket
	b.admin = admin.New(admin.Options{
		Hosts: cfg.Hosts, Clock: b.opts.Clock, Log: b.opts.Log,
		Metrics: b.scrape, ContentType: metrics.ContentType, Healthy: b.healthy, Ready: b.ready,
	})
	b.watching.Go(func() {
		if err := b.admin.Serve(socket); err != nil {
			b.opts.Log.Error("metrics and health are gone", "error", err) // the clients of the broker do not need them
		}
	})
	return nil
}

// AdminAddress returns where metrics and health are answered, "" where nothing is open.
func (b *Broker) AdminAddress() string {
	if b.adminSocket == nil {
		return ""
	}
	return b.adminSocket.Addr().String()
}

func (b *Broker) stopAdmin() {
	if b.admin != nil {
		b.admin.Close()
		b.watching.Wait()
	}
}

// healthy says why the process must be started anew.
func (b *Broker) healthy() error { return context.Cause(b.failed) }

// ready says what it takes for the broker to serve, and what is not so.
func (b *Broker) ready() []admin.Check {
	switch {
	case b.failed.Err() != nil:
		return []admin.Check{{Name: "running", Err: context.Cause(b.failed)}}
	case b.stopping.Load():
		return []admin.Check{{Name: "running", Err: errors.New("the broker is stopping")}}
	case !b.up.Load():
		return []admin.Check{{Name: "registered", Err: errors.New("the broker is starting")}}
	}
	checks := []admin.Check{{Name: "registered"}, b.groupsReady(), b.disksReady()}
	if node := b.together.node; node != nil {
		if why := node.Waits(); why != "" {
			checks = append(checks, admin.Check{Name: "votes", Note: "this node does not: " + why})
		}
		if leader, _ := node.Leader(); leader < 0 {
			checks = append(checks, admin.Check{Name: "controller", Note: "no node leads the quorum of the metadata: records are served, but nothing changes"})
		}
	}
	for _, l := range slices.Concat(b.opts.Config.Listeners, b.opts.Config.ControllerListeners) {
		if !l.Loopback() { // as the warning at the start says
			checks = append(checks, admin.Check{Name: "listener " + l.String(), Note: "open to other machines, with neither TLS nor SASL"})
		}
	}
	return checks
}

func (b *Broker) groupsReady() admin.Check {
	c := admin.Check{Name: "groups loaded"}
	if n := b.groups.Loading(); n > 0 {
		c.Err = fmt.Errorf("%d partitions of %s are being loaded", n, offsetsTopic)
	}
	return c
}

// disksReady asks for one directory that can be written: with another one lost, Kafka serves on too.
func (b *Broker) disksReady() admin.Check {
	c := admin.Check{Name: "disk writable"}
	var hurt []string
	for _, d := range b.dirs {
		if now := d.Condition(); now != logdir.Online {
			hurt = append(hurt, fmt.Sprintf("%s is %s", d.Path(), now))
		}
	}
	here := len(hurt) < len(b.dirs)
	for _, a := range b.absent {
		hurt = append(hurt, fmt.Sprintf("%s is %s since the start", a.path, logdir.Offline))
	}
	c.Note = strings.Join(hurt, ", ")
	if !here {
		c.Err = errors.New(c.Note)
	}
	return c
}
