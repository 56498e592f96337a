package handler

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
)

// FindCoordinator makes __consumer_offsets, and names the leader of one of its partitions as soon as the broker that was asked knows it. The client
// may be there before the leader has heard of the topic, and clients that do not ask twice would fail for it. So a broker of several that knows of no
// such topic looks whether it is behind before it says that it keeps no groups. So it does where a group commits, fetches or deletes offsets of a topic of which
// it has not heard: most clients take it for final that there is none, and the one that they ask is mostly not the one that made the topic. And so it does where records
// come for such a topic: with acks=0 they would be lost, and others would come again only a back-off and new metadata later.

// catchUpMax is for how long a request of groups waits for the controller; the client is told to look elsewhere, or to come again, then.
const catchUpMax = 2 * time.Second

// catchUp are requests that wait for the newest metadata. Those that come while the controller is being asked wait for the next time: what
// they know of may be newer than the answer. Where there is no answer they wait no longer: they would wait for the same controller.
type catchUp struct {
	mu      sync.Mutex // guards what follows
	waiting []waitsForNews
	asking  bool
}

// waitsForNews is a request that goes on when the metadata lack nothing of what it names any more, or are those of the controller.
type waitsForNews struct {
	lacks func(*metadata.Image) bool
	then  func()
}

// noGroups says whether there are no coordinators of groups.
func noGroups(img *metadata.Image) bool { return img.Topic(offsetsTopic) == nil }

// mayBeBehind says whether other brokers may know of what this one lacks. It may not have heard of them either.
func (h *Handler) mayBeBehind(lacks func(*metadata.Image) bool) bool {
	return h.Several && lacks(h.Metadata.Image())
}

// caughtUp calls then when this broker lacks nothing, or has the metadata that the controller had after caughtUp was called, or could not get them. It does
// not wait.
func (h *Handler) caughtUp(lacks func(*metadata.Image) bool, then func()) {
	if !h.mayBeBehind(lacks) {
		then()
		return
	}
	c := &h.catchUp
	c.mu.Lock()
	c.waiting = append(c.waiting, waitsForNews{lacks, then})
	first := !c.asking
	c.asking = true
	c.mu.Unlock()
	if first {
		h.pending.Go(h.catchUpAll)
	}
}

// catchUpFirst is caughtUp that waits, for requests of a connection that must come one after the other.
func (h *Handler) catchUpFirst(ctx context.Context, m *meter, lacks func(*metadata.Image) bool) {
	if !h.mayBeBehind(lacks) {
		return
	}
	m.leave(h)
	done := make(chan struct{})
	h.caughtUp(lacks, func() { close(done) })
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func (h *Handler) catchUpAll() {
	c := &h.catchUp
	for {
		c.mu.Lock()
		waiting := c.waiting
		c.waiting, c.asking = nil, len(waiting) > 0
		c.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		if !h.hearNews(waiting) {
			c.mu.Lock()
			waiting, c.waiting = append(waiting, c.waiting...), nil
			c.mu.Unlock()
		}
		for _, w := range waiting {
			w.then()
		}
	}
}

// hearNews asks the controller for nothing, unless what is waited for has come meanwhile: when that is answered, the metadata that it had are known here. It says
// whether it was.
func (h *Handler) hearNews(waiting []waitsForNews) bool {
	if !slices.ContainsFunc(waiting, func(w waitsForNews) bool { return h.mayBeBehind(w.lacks) }) {
		return true
	}
	_, err := h.askController(&controller.CreateTopics{ValidateOnly: true})
	return err == nil
}

// askController asks for what a request of groups waits for. Without a controller the client's other requests would wait behind it.
func (h *Handler) askController(request controller.Request) (controller.Response, error) {
	ctx, cancel := context.WithCancel(h.life)
	defer cancel()
	defer h.Clock.AfterFunc(catchUpMax, cancel).Stop()
	return h.Controller.Do(ctx, request)
}
