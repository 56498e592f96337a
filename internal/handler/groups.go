package handler

import (
	"context"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/moldau/moldau/internal/protocol"
)

// What the APIs of groups have in common.

// invalidGroup says that no group can have this id: Kafka refuses the empty one, and bytes that are no text would come back as another id.
func invalidGroup(id string) bool { return id == "" || !utf8.ValidString(id) }

// ask hands a request to the machine of a group and passes its response on, or the code that says why there is none.
func ask[R any](h *Handler, group string, request any, then func(*R, protocol.ErrorCode)) {
	if h.mayBeBehind(noGroups) {
		h.caughtUp(noGroups, func() { askNow(h, group, request, then) })
		return
	}
	askNow(h, group, request, then)
}

func askNow[R any](h *Handler, group string, request any, then func(*R, protocol.ErrorCode)) {
	h.Groups.Do(group, request, func(response any, err error) {
		if err != nil {
			then(nil, coordinatorCode(err))
			return
		}
		then(response.(*R), protocol.None)
	})
}

// askedAtOnce bounds how many questions of one request wait in the machines' queues, so that others get their turn between them.
const askedAtOnce = 64

// askEach asks about each of the groups, and calls then when got was called for all of them, one at a time, in no certain
// order. request makes the question about one, in order. It does not wait.
func askEach[R any](h *Handler, groups []string, request func(i int) any, got func(i int, r *R, code protocol.ErrorCode), then func()) {
	switch len(groups) {
	case 0:
		then()
		return
	case 1:
		ask(h, groups[0], request(0), func(r *R, code protocol.ErrorCode) {
			got(0, r, code)
			then()
		})
		return
	}
	many := func() {
		var mu sync.Mutex // got is called by the goroutines of several shards
		var open sync.WaitGroup
		places := make(chan struct{}, askedAtOnce)
		for i, group := range groups {
			select {
			case places <- struct{}{}:
			case <-h.life.Done(): // nobody will read the answer
				mu.Lock()
				got(i, nil, protocol.CoordinatorNotAvailable)
				mu.Unlock()
				continue
			}
			open.Add(1)
			askNow(h, group, request(i), func(r *R, code protocol.ErrorCode) {
				mu.Lock()
				got(i, r, code)
				mu.Unlock()
				<-places
				open.Done()
			})
		}
		open.Wait()
		then()
	}
	h.caughtUp(noGroups, func() { h.pending.Go(many) })
}

// untilGone is for requests that may wait for minutes: when the connection ends before the answer is there, gone gives one, so that what
// the request holds is free. first is true for the one who may answer.
func untilGone(ctx context.Context, gone func()) (first func() bool) {
	var answered atomic.Bool
	stop := context.AfterFunc(ctx, func() {
		if answered.CompareAndSwap(false, true) {
			gone()
		}
	})
	return func() bool {
		stop()
		return answered.CompareAndSwap(false, true)
	}
}

// take charges for memory that an answer needs; nil takes nothing, as in DecodeCold.
func (c call) take(bytes int64) bool { return c.charge == nil || c.charge(bytes) }

// parks gives the memory of the request back while it waits for others.
func (c call) parks() {
	if c.park != nil {
		c.park()
	}
}

// maxReason is how much is kept of a reason that a client gives for the log, in bytes; Kafka's own clients send no more either.
const maxReason = 255

// reasonOf returns what a client gives as its reason, "" for none.
func reasonOf(s *string) string {
	text := orEmpty(s)
	return text[:min(len(text), maxReason)]
}

// orEmpty returns the string, "" for null.
func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
