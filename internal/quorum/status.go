package quorum

import (
	"context"
	"errors"
	"sync"
	"time"
)

// status is what the goroutines of a node and its callers share.
type status struct {
	tick <-chan time.Time // of the main goroutine alone

	sync.Mutex // guards all below, and the map waiting of the node

	changed      chan struct{} // closed and replaced whenever one of the following changes
	leads        bool
	term         uint64
	leader       uint64 // raft id, 0 while none is known
	appliedIndex uint64
	appliedTerm  uint64
	stopped      bool
	err          error
}

func (s *status) init() { s.changed = make(chan struct{}) }

func (s *status) wakeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// lead takes over what the core says about leadership.
func (s *status) lead(c *core) {
	s.Lock()
	defer s.Unlock()
	if s.leads == c.leads() && s.term == c.hard.term && s.leader == c.soft.Lead {
		return
	}
	s.leads, s.term, s.leader = c.leads(), c.hard.term, c.soft.Lead
	s.wakeLocked()
}

// apply takes over how far the state machine is.
func (s *status) apply(index, term uint64) {
	s.Lock()
	defer s.Unlock()
	wake := s.appliedTerm != term
	s.appliedIndex, s.appliedTerm = index, term
	if wake {
		s.wakeLocked()
	}
}

func (s *status) await(waiting map[uint64]*proposal, tag uint64, p *proposal) {
	s.Lock()
	defer s.Unlock()
	waiting[tag] = p
}

// stop answers all that still waits. It comes after the applier's end, so that what was applied has been answered as such.
func (s *status) stop(n *Node, err error) {
	s.Lock()
	defer s.Unlock()
	s.stopped, s.err, s.leads = true, err, false
	for tag, p := range n.waiting {
		delete(n.waiting, tag)
		p.answer(stopped(err))
	}
	s.wakeLocked()
}

// Status is where a node stands.
type Status struct {
	ID      uint64
	Leader  uint64 // 0 while none is known
	Leads   bool
	Ready   bool // it leads, and has applied everything that was committed before it did
	Term    uint64
	Applied uint64 // index of the last entry that the state machine has
}

// Status returns where the node stands.
func (n *Node) Status() Status {
	st, _ := n.Watch()
	return st
}

// Watch is Status, and a channel that is closed when another leads, or the term or that of what is applied has changed.
func (n *Node) Watch() (Status, <-chan struct{}) {
	s := &n.status
	s.Lock()
	defer s.Unlock()
	return Status{ID: n.core.id, Leader: s.leader, Leads: s.leads, Ready: s.leads && s.appliedTerm == s.term, Term: s.term, Applied: s.appliedIndex}, s.changed
}

// Err says why the node stopped; nil while it runs and after a clean stop.
func (n *Node) Err() error {
	n.status.Lock()
	defer n.status.Unlock()
	return n.status.err
}

// Lead waits until this node leads the quorum and its state machine has everything that was committed before it did. It returns
// the term, in which Propose may then be called.
func (n *Node) Lead(ctx context.Context) (term uint64, err error) { return n.lead(ctx, true) }

// LeadNow is Lead where another node may be asked instead: a node that does not lead returns ErrNotLeader and does not wait to.
func (n *Node) LeadNow(ctx context.Context) (term uint64, err error) { return n.lead(ctx, false) }

func (n *Node) lead(ctx context.Context, wait bool) (term uint64, err error) {
	for {
		s := &n.status
		s.Lock()
		if s.stopped {
			defer s.Unlock()
			return 0, stopped(s.err)
		}
		if s.leads && s.appliedTerm == s.term {
			defer s.Unlock()
			return s.term, nil
		}
		if !s.leads && !wait {
			defer s.Unlock()
			return 0, ErrNotLeader
		}
		changed := s.changed
		s.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// isAnswer says that an error of a proposal is for its caller and does not end the node.
func isAnswer(err error) bool { return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrFull) }
