package broker

import (
	"context"
	"fmt"
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
	lost []uuid.UUID // data directories that are offline, which is told after the news: only then the controller knows which replicas were there
}

func (p *places) add(news ...controller.AssignDirectory) {
	p.mu.Lock()
	p.news = append(p.news, news...)
	p.mu.Unlock()
	p.signal()
}

// lose adds data directories that are offline.
func (p *places) lose(lost ...uuid.UUID) {
	p.mu.Lock()
	p.lost = append(p.lost, lost...)
	p.mu.Unlock()
	p.signal()
}

func (p *places) signal() {
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

// tellPlaces tells the controller of places, and of those that are offline, until ctx ends. Of places those of the newest request count.
func (b *Broker) tellPlaces(ctx context.Context) {
	p := &b.replicas.places
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		p.mu.Lock()
		news, lost := p.news, p.lost
		p.news, p.lost = nil, nil
		p.mu.Unlock()
		again := false
		for some := range slices.Chunk(news, placesMax) {
			if _, err := b.control.Do(ctx, &controller.AssignDirectories{Broker: b.opts.Config.NodeID, Replicas: some}); err == nil {
				continue
			} else if ctx.Err() != nil {
				return
			}
			p.mu.Lock()
			p.news = append(slices.Clone(some), p.news...) // what came meanwhile is newer
			p.mu.Unlock()
			again = true
		}
		if len(lost) > 0 && (again || !b.tellLost(ctx, lost)) {
			p.mu.Lock()
			p.lost = append(p.lost, lost...)
			p.mu.Unlock()
			again = true
		}
		if again {
			b.opts.Clock.AfterFunc(placesPause, p.signal)
		}
	}
}

// tellLost tells the controller of data directories that are offline, and says whether it knows.
func (b *Broker) tellLost(ctx context.Context, lost []uuid.UUID) bool {
	response, err := b.control.Do(ctx, &controller.LoseDirectories{Broker: b.opts.Config.NodeID, Epoch: b.replicas.brokerEpoch(), Directories: lost})
	if err == nil {
		if e := response.(*controller.LoseDirectoriesResponse).Error; e.Failed() {
			err = fmt.Errorf("%s: %s", e.Code, e.Message)
		}
	}
	if err != nil && ctx.Err() == nil {
		b.opts.Log.Warn("tell the controller of directories that are offline", "error", err)
	}
	return err == nil
}
