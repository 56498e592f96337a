package quorum

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"go.etcd.io/raft/v3"
)

const snapshotSent = raft.SnapshotFinish

// proposal is an entry that somebody waits for.
type proposal struct {
	term   uint64
	entry  []byte
	urgent bool
	done   chan error // receives once
}

func (p *proposal) answer(err error) { p.done <- err }

// Propose appends an entry if this node leads in that term (see Lead) and returns once it is committed and applied here. After
// ErrNotLeader and ErrFull it is not in the log; after ErrLeadershipLost, ErrStopped and the context's error that is not known.
// An urgent entry is one that a node with a full disk needs to start, or to get out of its need: it may use the log's reserve.
func (n *Node) Propose(ctx context.Context, term uint64, entry []byte, urgent bool) error {
	p := &proposal{term: term, entry: entry, urgent: urgent, done: make(chan error, 1)}
	select {
	case n.proposals <- p:
	case <-n.done:
		return stopped(n.Err())
	case <-ctx.Done():
		return ctx.Err()
	}
	return wait(ctx, n, p.done)
}

// wait returns the answer, or why there will be none.
func wait(ctx context.Context, n *Node, answer <-chan error) error {
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-n.done:
		select {
		case err := <-answer:
			return err
		default:
			return stopped(n.Err())
		}
	}
}

// proposeAll appends the proposal and those behind it, so that they share one sync.
func (n *Node) proposeAll(p *proposal) error {
	for range proposeOnce {
		tag, err := n.core.propose(p.term, p.entry, p.urgent)
		switch {
		case err == nil:
			n.status.await(n.waiting, tag, p)
		case isAnswer(err):
			p.answer(err)
			n.tellFull(n.full || errors.Is(err, ErrFull))
		default:
			p.answer(stopped(err))
			return err
		}
		select {
		case p = <-n.proposals:
		default:
			return nil
		}
	}
	return nil
}

// tellFull tells of the beginning and of the end of a time without space.
func (n *Node) tellFull(full bool) {
	if n.full != full && n.options.OnFull != nil {
		n.options.OnFull(full)
	}
	n.full = full
}

// look returns the channel that says when to look for space again; it is nil while none is missing.
func (n *Node) look() <-chan time.Time {
	switch {
	case !n.core.storage.wal.short():
		n.looking = nil
	case n.looking == nil:
		n.looking = n.options.Clock.After(lookForSpace)
	}
	return n.looking
}

// refill fills up the reserve of the log where there is space again.
func (n *Node) refill() error {
	n.looking = nil
	if err := n.core.storage.wal.refill(); err != nil {
		return err
	}
	n.tellFull(n.full && n.core.storage.wal.short())
	return nil
}

// lostLeadership answers proposals of terms that are over.
func (n *Node) lostLeadership() {
	n.status.Lock()
	defer n.status.Unlock()
	for tag, p := range n.waiting {
		if !n.core.leads() || p.term != n.core.hard.term {
			delete(n.waiting, tag)
			p.answer(ErrLeadershipLost)
		}
	}
}

// answer answers the proposal that became this entry; the applier calls it.
func (n *Node) answer(term uint64, data []byte) {
	if len(data) < tagBytes {
		return
	}
	tag := binary.BigEndian.Uint64(data)
	n.status.Lock()
	defer n.status.Unlock()
	if p := n.waiting[tag]; p != nil && p.term == term {
		delete(n.waiting, tag)
		p.answer(nil)
	}
}

// call runs f on the main goroutine.
func (n *Node) call(ctx context.Context, f func()) error {
	ran := make(chan struct{})
	select {
	case n.calls <- func() { f(); close(ran) }:
		<-ran
		return nil
	case <-n.done:
		return stopped(n.Err())
	case <-ctx.Done():
		return ctx.Err()
	}
}
