package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// ErrReplaced means that another process has registered as this broker.
var ErrReplaced = errors.New("another process has registered with this node.id")

// Broker is this node's registration, which heartbeats keep alive.
type Broker struct {
	node        *Node
	request     func() *controller.RegisterBroker
	incarnation uuid.UUID
	told        func(epoch int64)
	epoch       atomic.Int64
	ready       bool
	heard       atomic.Pointer[heard] // nil before Beat; one goroutine changes it
}

// taken is a heartbeat that the active controller took.
type taken struct {
	sent  time.Time
	index uint64 // of the metadata that the controller had
}

// heard is the last one whose metadata are applied here, which has no time while there is none, and one that came later, whose metadata may be applied by now.
type heard struct{ applied, newer taken }

// at is the last one whose metadata are applied in an image with this index.
func (h *heard) at(index uint64) taken {
	if index >= h.newer.index {
		return h.newer
	}
	return h.applied
}

// Register registers this node as a broker, which is fenced until Beat, and again whenever that must be done anew; told hears of each epoch. request is
// asked each time, by any goroutine, and always of the same incarnation.
func (n *Node) Register(ctx context.Context, request func() *controller.RegisterBroker, told func(epoch int64)) (*Broker, error) {
	b := &Broker{node: n, request: request, incarnation: request().Incarnation, told: told}
	return b, b.register(ctx)
}

func (b *Broker) register(ctx context.Context) error {
	defer b.node.sayWaiting()()
	for {
		response, err := b.node.Do(ctx, b.request())
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if b.node.life.Err() != nil {
				return errClosed
			}
			b.node.Log.Warn("register with the controller", "error", err) // it may have been done; it is the same when it is repeated
			if !b.node.pause(retryPause) {
				return errClosed
			}
			continue
		}
		r := response.(*controller.RegisterBrokerResponse)
		if r.Error.Failed() {
			return fmt.Errorf("register broker %d: %s: %s", b.node.NodeID, r.Error.Code, r.Error.Message)
		}
		b.epoch.Store(r.Epoch)
		b.told(r.Epoch)
		return nil
	}
}

// Beat starts heartbeats, which end with the node: the broker is ready to serve. Nobody lets it serve before one of them was taken, so metadata that have it among
// those that serve confirm it as of now, also where they are here before the answer.
func (b *Broker) Beat() {
	b.ready = true
	b.heard.Store(&heard{newer: taken{sent: b.node.Clock.Now()}})
	b.node.spawn(b.beat)
}

// Doubtful says that others may lead this broker's partitions by now, and it has not heard: it is not among those that serve, or it has not been confirmed by the
// active controller for so long that its session may be over there. That is counted from when a heartbeat was sent, and an election time-out less than a session,
// for as long may one who leads the quorum no more take heartbeats. A heartbeat confirms only metadata that are at least those which the controller had when it took
// it: after a silence they say who leads by now, and that this broker was fenced. No record that is acknowledged with acks=all depends on it, since the epochs of
// leaders see to those.
func (b *Broker) Doubtful() bool {
	n, h := b.node, b.heard.Load()
	img := n.Images.Image()
	if h == nil || !b.serves(img) {
		return true
	}
	return n.Clock.Now().Sub(h.at(img.Index()).sent) >= max(n.Session-electionTicks(n.ElectionTimeout)*tick, n.Session/2)
}

// serves says whether the broker is not fenced.
func (b *Broker) serves(img *metadata.Image) bool {
	own := img.Broker(b.node.NodeID)
	return own != nil && !own.Fenced && own.Incarnation == b.incarnation
}

// took notes a heartbeat that the active controller took. One that waits for its metadata stays, however many come after it.
func (b *Broker) took(t taken) {
	h, index := b.heard.Load(), b.node.Images.Image().Index()
	if index >= h.newer.index {
		b.heard.Store(&heard{applied: h.newer, newer: t})
	}
}

// AwaitServing returns when the broker is not fenced any more.
func (b *Broker) AwaitServing(ctx context.Context) error {
	for {
		img, changed := b.node.Images.Watch()
		if b.serves(img) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// beat sends heartbeats to the active controller.
func (b *Broker) beat() {
	n := b.node
	for n.life.Err() == nil {
		leader, changed := n.Leader()
		pause, sent := n.Heartbeat, n.Clock.Now()
		answer, err := b.once(leader)
		if err == nil && !answer.NotController && !answer.StaleEpoch {
			b.took(taken{sent, answer.Index})
		}
		switch {
		case err != nil || answer.NotController:
			pause = min(pause, askPause)
		case answer.StaleEpoch:
			if err := b.again(); err != nil && n.life.Err() == nil {
				n.Fail(err)
				return
			}
			continue
		}
		select {
		case <-changed:
		case <-n.Clock.After(pause):
		case <-n.life.Done():
		}
	}
}

// once sends one heartbeat.
func (b *Broker) once(leader int32) (beaten, error) {
	n := b.node
	message := beat{Node: n.NodeID, Epoch: b.epoch.Load(), Ready: b.ready}
	if leader == n.NodeID && n.quorum != nil {
		return n.ownBeat(message), nil
	}
	l := n.linkTo(leader)
	if leader < 0 || l == nil {
		return beaten{NotController: true}, nil
	}
	ctx, cancel := n.within(n.life, max(n.Heartbeat, answerWithin/4))
	defer cancel()
	body, err := l.beats.Call(ctx, protocol.KeyNodeHeartbeat, toJSON(message))
	if err != nil {
		return beaten{}, err
	}
	var answer beaten
	return answer, decode(body, infoMax, &answer)
}

// again registers anew, unless another process has taken the place.
func (b *Broker) again() error {
	own := b.node.Images.Image().Broker(b.node.NodeID)
	if own != nil && own.Incarnation != b.incarnation && own.Epoch > b.epoch.Load() {
		return fmt.Errorf("%w %d", ErrReplaced, b.node.NodeID)
	}
	b.node.Log.Info("the controller does not know this broker's registration: it registers anew")
	return b.register(b.node.life)
}

// Leave asks for a controlled shutdown and returns when the broker leads nothing any more, or the context ends.
func (b *Broker) Leave(ctx context.Context) error {
	response, err := b.node.Do(ctx, &controller.AlterBroker{ID: b.node.NodeID, Epoch: b.epoch.Load(), State: controller.ControlledShutdown})
	if err != nil {
		return err
	}
	if e := response.(*controller.AlterBrokerResponse).Error; e.Failed() {
		return fmt.Errorf("leave the cluster: %s: %s", e.Code, e.Message)
	}
	for {
		img, changed := b.node.Images.Watch()
		leads := false
		for t := range img.Topics() {
			for _, p := range t.Partitions {
				leads = leads || p.Leader == b.node.NodeID
			}
		}
		if !leads {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func hostPort(host string, port int) string { return config.Listener{Host: host, Port: port}.Address() }
