package handler

import (
	"context"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/controller"
)

// FindCoordinator makes __consumer_offsets, and names the leader of one of its partitions as soon as the broker that was asked knows it. The client
// may be there before the leader has heard of the topic, and clients that do not ask twice would fail for it. So a broker of several that knows of no
// such topic looks whether it is behind before it says that it keeps no groups.

// catchUpMax is for how long a request waits for that; the client is told to look elsewhere then.
const catchUpMax = 2 * time.Second

// catchUp are requests that wait for the newest metadata. Those that come while the controller is being asked wait for the next time: what
// they know of may be newer than the answer.
type catchUp struct {
	mu      sync.Mutex // guards what follows
	waiting []func()
	asking  bool
}

// mayBeBehind says whether other brokers may know of groups' coordinators that this one has not heard of.
func (h *Handler) mayBeBehind() bool {
	img := h.Metadata.Image()
	return img.Topic(offsetsTopic) == nil && len(img.Brokers()) > 1
}

// caughtUp calls then when this broker knows of __consumer_offsets, or has the metadata that the controller had after caughtUp was called, or
// could not get them. It does not wait.
func (h *Handler) caughtUp(then func()) {
	if !h.mayBeBehind() {
		then()
		return
	}
	c := &h.catchUp
	c.mu.Lock()
	c.waiting = append(c.waiting, then)
	first := !c.asking
	c.asking = true
	c.mu.Unlock()
	if first {
		h.pending.Go(h.catchUpAll)
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
		h.hearNews()
		for _, then := range waiting {
			then()
		}
	}
}

// hearNews asks the controller for nothing: when that is answered, the metadata that it had are known here.
func (h *Handler) hearNews() {
	if !h.mayBeBehind() {
		return
	}
	ctx, cancel := context.WithCancel(h.life)
	timer := h.Clock.AfterFunc(catchUpMax, cancel)
	_, _ = h.Controller.Do(ctx, &controller.CreateTopics{ValidateOnly: true}) // a failure leaves what is known
	timer.Stop()
	cancel()
}
