package handler

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/quota"
	"github.com/moldau/moldau/internal/server"
)

// anonymous is the user of every connection until there is SASL, as in Kafka on a PLAINTEXT listener.
const anonymous = "ANONYMOUS"

// meter counts one request for its client (KIP-13, KIP-124, KIP-219): who is over a quota is answered at once and told for how long, and
// the connection is not read from until then. A meter without a client, and a nil one, count nothing.
type meter struct {
	client    *quota.Client
	mutations *quota.Mutations // of the request, where it has some

	begun time.Time
	spent atomic.Int64 // on the request by the time its connection went on, in nanoseconds; 0 while it has not
}

// clientOf returns what counts for the client of a request, nil if nothing does.
func (h *Handler) clientOf(req *server.Request) *quota.Client {
	if !h.Quotas.Any() {
		return nil
	}
	known, _ := req.Conn.State.(*quota.Client)
	now := h.Quotas.Client(anonymous, req.Header.ClientID, known)
	if now != known {
		req.Conn.State = now
	}
	return now
}

// begin starts the meter of a request, and returns the context of its connection, which knows the meter where time counts.
func (m *meter) begin(h *Handler, req *server.Request) context.Context {
	m.client, m.mutations = h.clientOf(req), nil
	m.spent.Store(0)
	if m.client.Limits(quota.Request) {
		m.begun = h.Clock.Now()
		return context.WithValue(req.Conn.Context(), meterKey{}, m)
	}
	return req.Conn.Context()
}

// meter starts a meter where anybody has a quota. While nobody has, a request pays no more than the look.
func (h *Handler) meter(req *server.Request) (*meter, context.Context) {
	if !h.Quotas.Any() {
		return nil, req.Conn.Context()
	}
	m := new(meter)
	return m, m.begin(h, req)
}

type meterKey struct{}

// untimed is the controller for requests whose time counts: waiting for it does not.
type untimed struct {
	h *Handler
	Controller
}

func (u untimed) Do(ctx context.Context, req controller.Request) (controller.Response, error) {
	if m, ok := ctx.Value(meterKey{}).(*meter); ok {
		m.leave(u.h)
	}
	return u.Controller.Do(ctx, req)
}

// leave notes that what follows is waiting, which does not count.
func (m *meter) leave(h *Handler) {
	if m != nil && m.client.Limits(quota.Request) && m.spent.Load() == 0 {
		m.spent.CompareAndSwap(0, max(1, int64(h.Clock.Now().Sub(m.begun))))
	}
}

// time records the time that the request took, and returns the throttle time for it. Sockets do not count, only what is done here.
func (m *meter) time(h *Handler) time.Duration {
	if !m.client.Limits(quota.Request) {
		return 0
	}
	m.leave(h)
	return m.client.Take(quota.Request, m.spent.Load())
}

// throttle holds the client back for the longer of two throttle times, that of the request's time and another one, and returns it in
// milliseconds, for the answer.
func (m *meter) throttle(h *Handler, reply server.Reply, request time.Duration, kind quota.Kind, other time.Duration) int32 {
	longest := max(request, other)
	if longest <= 0 {
		return 0
	}
	if request >= other {
		kind = quota.Request
	}
	h.Quotas.Throttled(kind, longest)
	reply.Throttle(longest)
	return int32(longest.Milliseconds())
}

// settle counts a request that has no quota but for its time, and maybe for changes to partitions, and completes the answer to it.
func (m *meter) settle(h *Handler, reply server.Reply, resp kmsg.Response) {
	if m == nil || m.client == nil {
		return
	}
	ms := m.throttle(h, reply, m.time(h), quota.Mutation, m.mutations.Throttle())
	if ms > 0 {
		if told, ok := resp.(kmsg.SetThrottleResponse); ok {
			told.SetThrottle(ms)
		}
	}
}

// changes returns the quota of a request that creates or deletes partitions: clients of newer versions understand that they are refused.
func (c call) changes(strictSince int16) *quota.Mutations {
	if c.meter == nil {
		return nil
	}
	c.meter.mutations = c.meter.client.Mutations(c.version >= strictSince)
	return c.meter.mutations
}

// changesUntold returns the quota of changes that a request causes without asking for them: those beyond it are not made, and the answer does not
// say why or for how long, as in Kafka.
func (c call) changesUntold() *quota.Mutations {
	if c.meter == nil {
		return nil
	}
	return c.meter.client.Mutations(true)
}
