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

// catchUpMax is for how long a request of groups waits for the controller; the client is told to look elsewhere, or to come again, then.
const catchUpMax = 2 * time.Second

// catchUp are requests that wait for the newest metadata. Those that come while the controller is being asked wait for the next time: what
// they know of may be newer than the answer. Where there is no answer they wait no longer: they would wait for the same controller.
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
		if !h.hearNews() {
			c.mu.Lock()
			waiting, c.waiting = append(waiting, c.waiting...), nil
			c.mu.Unlock()
		}
		for _, then := range waiting {
			then()
		}
	}
}

// hearNews asks the controller for nothing: when that is answered, the metadata that it had are known here. It says whether it was.
func (h *Handler) hearNews() bool {
	if !h.mayBeBehind() {
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
