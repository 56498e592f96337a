package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/peer"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/server"
)

// Serve answers a private request; its connection came in by a listener for controllers. It does not wait.
func (n *Node) Serve(req *server.Request, reply server.Reply) {
	switch req.Header.Key {
	case protocol.KeyRaftMessage:
		if err := n.receive(req.Body); err != nil {
			reply.Close(err)
			return
		}
		reply.None()
	case protocol.KeyNodeInfo:
		n.later(req, reply, func(context.Context) ([]byte, error) { return toJSON(n.infoNow()), nil })
	case protocol.KeyControllerRequest:
		if !req.Charge(4 * int64(len(req.Body))) { // what JSON takes when it is decoded
			reply.Close(protocol.ErrNoMemory)
			return
		}
		a := new(ask)
		if err := decode(req.Body, requestMax, a); err != nil {
			reply.Close(err)
			return
		}
		n.later(req, reply, func(ctx context.Context) ([]byte, error) { return toJSON(n.carryOut(ctx, a)), nil })
	case protocol.KeyMetadataPull:
		p, err := decodePull(req.Body)
		if err != nil {
			reply.Close(err)
			return
		}
		n.later(req, reply, func(ctx context.Context) ([]byte, error) { return n.give(ctx, p) })
	case protocol.KeyNodeHeartbeat:
		b := beat{}
		if err := decode(req.Body, infoMax, &b); err != nil {
			reply.Close(err)
			return
		}
		n.answer(req, reply, toJSON(n.takeBeat(b, req.Conn)))
	case protocol.KeyQuorumState:
		n.later(req, reply, func(ctx context.Context) ([]byte, error) {
			state, err := n.ownState(ctx)
			return toJSON(state), err
		})
	default:
		reply.Close(&protocol.UnsupportedError{Key: req.Header.Key, Version: req.Header.Version})
	}
}

func (n *Node) answer(req *server.Request, reply server.Reply, body []byte) {
	reply.SendBytes(append(req.AppendHeader(req.Buffer[:0]), body...))
}

// later answers from a goroutine of its own, which ends with the connection and with the node.
func (n *Node) later(req *server.Request, reply server.Reply, f func(context.Context) ([]byte, error)) {
	ok := n.spawn(func() {
		ctx, cancel := n.within(req.Conn.Context(), doTimeout)
		defer cancel()
		body, err := f(ctx)
		switch {
		case n.life.Err() != nil:
			reply.Close(server.ErrShutdown)
			return
		case err != nil:
			reply.Close(err)
			return
		}
		n.answer(req, reply, body)
	})
	if !ok {
		reply.Close(server.ErrShutdown)
	}
}

// remoteQuota keeps the quota of a client of another node, which counts there what is counted here.
type remoteQuota struct {
	allowed bool
	counted int
}

// Record implements controller.Quota.
func (q *remoteQuota) Record(n int) bool {
	if q.allowed {
		q.counted += n
	}
	return q.allowed
}

// carryOut carries out a request that another node passed on.
func (n *Node) carryOut(ctx context.Context, a *ask) *told {
	if !n.started.Load() || n.loop == nil {
		return &told{Refused: "the node does not vote, or is starting", NotDone: true}
	}
	request, err := controller.Decode(a.Name, a.Body)
	if err != nil {
		return &told{Refused: err.Error(), NotDone: true}
	}
	quota := &remoteQuota{allowed: a.Allowed}
	if a.Limited {
		controller.WithQuota(request, quota)
	}
	response, err := n.loop.Do(ctx, request)
	if err != nil {
		return &told{Refused: err.Error(), NotDone: errors.Is(err, controller.ErrNotDone), NoSpace: errors.Is(err, controller.ErrNoSpace)}
	}
	body, err := controller.EncodeResponse(response)
	if err != nil {
		return &told{Refused: err.Error()}
	}
	return &told{Index: n.Images.Image().Index(), Counted: quota.counted, Body: body}
}

// Do carries out a request to the controller, here or on the node that leads the quorum, with the promises of controller.Loop's Do: the
// metadata that the response speaks of are applied on this node.
func (n *Node) Do(ctx context.Context, request controller.Request) (controller.Response, error) {
	ctx, cancel := n.within(ctx, doTimeout)
	defer cancel()
	last := error(controller.ErrNotDone)
	for {
		leader, changed := n.Leader()
		var response controller.Response
		err := last
		switch l := n.linkTo(leader); {
		case leader == n.NodeID && n.loop != nil:
			response, err = n.loop.Do(ctx, request)
		case leader >= 0 && l != nil:
			response, err = n.passOn(ctx, l, changed, request)
		}
		if err == nil || !errors.Is(err, controller.ErrNotDone) {
			return response, err
		}
		last = err
		select {
		case <-changed:
		case <-n.Clock.After(retryPause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: no controller was found: %w: %w", controller.ErrNotController, last, context.Cause(ctx))
		}
	}
}

// passOn sends a request to the node that leads the quorum. It does not wait longer than that is so.
func (n *Node) passOn(ctx context.Context, l *link, changed <-chan struct{}, request controller.Request) (controller.Response, error) {
	var a ask
	var err error
	var body []byte
	if a.Name, body, err = controller.Encode(request); err != nil {
		return nil, fmt.Errorf("%w: %w", controller.ErrNotController, err)
	}
	a.Body = json.RawMessage(body)
	quota := controller.QuotaOf(request)
	if quota != nil {
		a.Limited, a.Allowed = true, quota.Record(0)
	}
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n.endWith(call, l, changed, cancel)
	answer, err := l.asks.Call(call, protocol.KeyControllerRequest, toJSON(a))
	if err != nil {
		return nil, sendError(err)
	}
	t := new(told)
	if err := decode(answer, requestMax, t); err != nil {
		return nil, fmt.Errorf("%w: %w", controller.ErrNotController, err)
	}
	if quota != nil && t.Counted > 0 {
		quota.Record(t.Counted)
	}
	switch {
	case t.NoSpace:
		return nil, fmt.Errorf("%w: %s", controller.ErrNoSpace, t.Refused)
	case t.NotDone:
		return nil, fmt.Errorf("%w: %w: %s", controller.ErrNotController, controller.ErrNotDone, t.Refused)
	case t.Refused != "":
		return nil, fmt.Errorf("%w: %s", controller.ErrNotController, t.Refused)
	}
	response, err := controller.DecodeResponse(a.Name, t.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", controller.ErrNotController, err)
	}
	if err := n.Images.Await(ctx, t.Index); err != nil {
		return nil, fmt.Errorf("%w: it was carried out, but is not known here yet: %w", controller.ErrNotController, context.Cause(ctx))
	}
	return response, nil
}

// sendError says of a request that got no answer whether it may have been carried out.
func sendError(err error) error {
	if errors.Is(err, peer.ErrNotSent) {
		return fmt.Errorf("%w: %w: %w", controller.ErrNotController, controller.ErrNotDone, err)
	}
	return fmt.Errorf("%w: %w", controller.ErrNotController, err)
}

// endWith ends a call when another node leads than the one that was asked.
func (n *Node) endWith(ctx context.Context, l *link, changed <-chan struct{}, cancel context.CancelCauseFunc) {
	n.spawn(func() {
		for {
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
			var leader int32
			if leader, changed = n.Leader(); leader != l.node.Load() {
				cancel(errors.New("another node leads the quorum"))
				return
			}
		}
	})
}
