package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/uuid"
)

// places are the replicas of which the metadata do not know in which data directory they are: they were made, found or moved there since.
type places struct {
	wake chan struct{}

	mu   sync.Mutex // taken after replicas.mu, and held for moments
	news []controller.AssignDirectory
}

func (p *places) add(news ...controller.AssignDirectory) {
	p.mu.Lock()
	p.news = append(p.news, news...)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // one signal is enough
	}
}

// placedLocked notes where a replica is, if the metadata say otherwise; replicas.mu is held.
func (r *replicas) placedLocked(topic uuid.UUID, number int32, p *metadata.Partition, dir uint16) {
	at := slices.Index(p.Replicas, r.brokerID)
	if id := r.dirs[dir].ID(); at >= len(p.Directories) || p.Directories[at] != id {
		r.places.add(controller.AssignDirectory{TopicID: topic, Number: number, Directory: id})
	}
}

const (
	placesMax   = 1000        // in one request
	placesPause = time.Second // before a request that failed is repeated
)

// tellPlaces tells the controller of places until ctx ends. Those of the newest request count.
func (b *Broker) tellPlaces(ctx context.Context) {
	p := &b.replicas.places
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		p.mu.Lock()
		news := p.news
		p.news = nil
		p.mu.Unlock()
		for some := range slices.Chunk(news, placesMax) {
			if _, err := b.control.Do(ctx, &controller.AssignDirectories{Broker: b.opts.Config.NodeID, Replicas: some}); err == nil {
				continue
			} else if ctx.Err() != nil {
				return
			}
			p.mu.Lock()
			p.news = append(slices.Clone(some), p.news...) // what came meanwhile is newer
			p.mu.Unlock()
			b.opts.Clock.AfterFunc(placesPause, func() { p.add() })
		}
	}
}
