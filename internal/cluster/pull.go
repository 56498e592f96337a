package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/quorum"
)

// observer is a node that pulls metadata, as the voter that gives them knows it.
type observer struct {
	applied  uint64
	asked    time.Time
	caughtUp time.Time
}

// pullBytes bounds the entries of one answer; one that is larger goes alone.
const pullBytes = 1 << 20

// give answers a pull: with what is committed from its index on, or when that is nothing for a while.
func (n *Node) give(ctx context.Context, p pull) ([]byte, error) {
	if !n.started.Load() || n.quorum == nil {
		return (&pulled{leader: -1}).encode(nil), nil
	}
	n.observe(p)
	wait, cancel := n.within(ctx, min(time.Duration(p.wait)*time.Millisecond, answerWithin))
	err := n.Images.Await(wait, p.from)
	cancel()
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	leader, _ := n.Leader()
	answer := &pulled{leader: leader, term: n.quorum.Status().Term}
	answer.entries, err = n.quorum.Committed(p.from, pullBytes)
	if errors.Is(err, quorum.ErrCompacted) {
		answer.index, answer.snapshot = n.Images.Snapshot()
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return answer.encode(nil), nil
}

func (n *Node) observe(p pull) {
	now, end := n.Clock.Now(), n.Images.Image().Index()
	n.mu.Lock()
	defer n.mu.Unlock()
	o, ok := n.observers[p.node]
	if !ok && len(n.observers) >= known {
		return
	}
	o.applied, o.asked = p.from-1, now
	if o.applied >= end {
		o.caughtUp = now
	}
	n.observers[p.node] = o
}

// pullAll brings committed metadata to a node that does not vote, from the node that leads the quorum, or another voter.
func (n *Node) pullAll() {
	for at := 0; ; {
		leader, _ := n.Leader()
		l := n.linkTo(leader)
		for ; l == nil; at++ {
			all := n.everyone()
			if l = all[at%len(all)]; l == nil && len(all) == 1 {
				return
			}
		}
		if is := l.node.Load(); is < 0 || leader >= 0 && is != leader { // who it is, and where the one is that leads
			if _, err := n.askInfo(n.life, l); err != nil && !n.pause(askPause) {
				return
			}
		}
		err := n.pullFrom(l)
		if n.life.Err() != nil {
			return
		}
		var fatal *applyError
		if errors.As(err, &fatal) {
			n.Fail(fatal)
			return
		}
		if err != nil {
			n.tell(-1, 0)
			if !n.pause(askPause) {
				return
			}
		}
	}
}

// applyError is metadata that this node cannot apply.
type applyError struct{ err error }

func (e *applyError) Error() string { return fmt.Sprintf("apply metadata: %v", e.err) }
func (e *applyError) Unwrap() error { return e.err }

var errNoLeader = errors.New("the voter knows no leader")

// pullFrom pulls once. It waits as long as something comes: a snapshot may be large, and the network slow.
func (n *Node) pullFrom(l *link) error {
	from := n.Images.Image().Index() + 1
	body, err := l.pulls.Call(n.life, protocol.KeyMetadataPull, pull{n.NodeID, from, uint32(pullWait.Milliseconds())}.encode())
	if err != nil {
		return err
	}
	got, err := decodePulled(body)
	if err != nil {
		return err
	}
	if got.snapshot != nil && got.index >= from {
		if err := n.Images.Restore(got.index, got.snapshot); err != nil {
			return &applyError{err}
		}
	}
	for _, e := range got.entries {
		if e.Index != n.Images.Image().Index()+1 {
			return fmt.Errorf("%w: entry %d after %d", protocol.ErrMalformed, e.Index, n.Images.Image().Index())
		}
		if err := n.Images.Apply(e.Index, e.Data); err != nil {
			return &applyError{err}
		}
	}
	if got.leader < 0 {
		return errNoLeader
	}
	n.tell(got.leader, got.term)
	return nil
}
