package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/replica"
)

// decider is the active controller, wherever it runs. An error means that there is no answer.
type decider interface {
	Do(ctx context.Context, request controller.Request) (controller.Response, error)
}

// knownBrokers are the brokers of the newest image that the replicas have been given. They share it, so that none keeps an old image.
type knownBrokers struct {
	img atomic.Pointer[metadata.Image]
}

func (k *knownBrokers) Broker(id int32) *metadata.Broker { return k.img.Load().Broker(id) }

// proposal is an ISR that the leader of a partition proposes.
type proposal struct {
	p *partition.Partition
	a *replica.AlterPartition
}

// isrChanges take the proposals of all partitions that this broker leads to the controller: those that wait together in one request.
type isrChanges struct {
	clock clock.Clock
	wake  chan struct{}

	mu struct { // held for moments, taken last
		sync.Mutex
		waiting []proposal
	}
}

// propose is what partition.Host.Alter asks for.
func (c *isrChanges) propose(p *partition.Partition, a *replica.AlterPartition) {
	c.mu.Lock()
	c.mu.waiting = append(c.mu.waiting, proposal{p, a})
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // one signal is enough
	}
}

// proposalPause passes before a proposal that the controller did not answer is made again, or another in place of one with a broker that
// the controller knows to be gone and this one does not yet.
const proposalPause = 50 * time.Millisecond

// run carries proposals to the controller until ctx ends.
func (c *isrChanges) run(ctx context.Context, to decider) {
	type answer struct {
		proposal
		err error
	}
	var held []answer // to be given once soon fires
	var soon <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-soon:
			soon = nil
			for _, h := range held {
				h.p.Altered(h.a, nil, h.err)
			}
			held = held[:0]
			continue
		case <-c.wake:
		}
		c.mu.Lock()
		waiting := c.mu.waiting
		c.mu.waiting = nil
		c.mu.Unlock()
		for len(waiting) > 0 {
			n := 1
			for n < len(waiting) && n < proposalsMax && waiting[n].a.BrokerEpoch == waiting[0].a.BrokerEpoch {
				n++
			}
			for i, result := range alter(ctx, to, waiting[:n]) {
				err := refusedISR(result.Error)
				if err == nil && result.Partition == nil {
					err = replica.ErrNoAnswer // an answer that says nothing
				}
				switch {
				case err == replica.ErrNoAnswer, err == replica.ErrIneligibleReplica:
					held = append(held, answer{waiting[i], err})
				default:
					waiting[i].p.Altered(waiting[i].a, result.Partition, err)
				}
			}
			waiting = waiting[n:]
		}
		if len(held) > 0 && soon == nil {
			soon = c.clock.After(proposalPause)
		}
	}
}

// proposalsMax bounds the partitions of one request.
const proposalsMax = 5000

// alter asks the controller, for partitions of one incarnation of this broker, and returns an answer for each.
func alter(ctx context.Context, to decider, proposals []proposal) []controller.PartitionAltered {
	request := &controller.AlterPartition{Broker: proposals[0].a.Leader, Epoch: proposals[0].a.BrokerEpoch,
		Partitions: make([]controller.ProposedISR, len(proposals))}
	for i, q := range proposals {
		proposed := controller.ProposedISR{TopicID: q.p.ID().TopicID, Number: q.p.ID().Partition,
			LeaderEpoch: int32(q.a.LeaderEpoch), PartitionEpoch: q.a.PartitionEpoch, ISR: make([]controller.ISRMember, len(q.a.ISR))}
		for j, m := range q.a.ISR {
			proposed.ISR[j] = controller.ISRMember{ID: m.ID, Epoch: m.BrokerEpoch}
		}
		request.Partitions[i] = proposed
	}
	all := controller.Error{Code: protocol.NotController} // for an answer that is none too
	if response, err := to.Do(ctx, request); err == nil {
		r := response.(*controller.AlterPartitionResponse)
		if len(r.Partitions) == len(proposals) {
			return r.Partitions
		}
		if r.Error.Failed() {
			all = r.Error
		}
	}
	results := make([]controller.PartitionAltered, len(proposals))
	for i := range results {
		results[i].Error = all
	}
	return results
}

// refusedISR is what the controller's code means to a leader.
func refusedISR(e controller.Error) error {
	switch e.Code {
	case protocol.None:
		return nil
	case protocol.NotController:
		return replica.ErrNoAnswer // it may have been taken all the same
	case protocol.StaleBrokerEpoch:
		return replica.ErrStaleBrokerEpoch
	case protocol.FencedLeaderEpoch:
		return replica.ErrFencedLeaderEpoch
	case protocol.InvalidUpdateVersion:
		return replica.ErrInvalidUpdateVersion
	case protocol.IneligibleReplica:
		return replica.ErrIneligibleReplica
	}
	return fmt.Errorf("the controller refuses an ISR: %s: %s", e.Code, e.Message)
}

// followed are the replicas of partitions that have others on other brokers.
type followed struct {
	wake chan struct{} // signalled by the first

	mu struct { // held for moments
		sync.Mutex
		all map[*partition.Partition]struct{}
	}
}

func (s *followed) set(p *partition.Partition, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !is {
		delete(s.mu.all, p)
		return
	}
	if s.mu.all == nil {
		s.mu.all = make(map[*partition.Partition]struct{})
	}
	s.mu.all[p] = struct{}{}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *followed) list() []*partition.Partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*partition.Partition, 0, len(s.mu.all))
	for p := range s.mu.all {
		all = append(all, p)
	}
	return all
}

const (
	ticksInLag = 4                     // how often a leader looks for followers that lag, in replica.lag.time.max.ms
	tickLeast  = 10 * time.Millisecond // however short that is
)

// tick lets the time pass for partitions with followers, until ctx ends. Where there are none it sleeps.
func (r *replicas) tick(ctx context.Context, clk clock.Clock) {
	for {
		all := r.followed.list()
		for _, p := range all {
			p.Tick()
		}
		if len(all) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-r.followed.wake:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-clk.After(max(lagMax(r.live.now())/ticksInLag, tickLeast)):
		}
	}
}

// Died says that a broker of that epoch is known to be dead: its connection is lost, and nobody listens at its address.
func (r *replicas) Died(broker int32, brokerEpoch int64) {
	for _, p := range r.followed.list() {
		p.Died(broker, brokerEpoch)
	}
}

// registered gives the broker epoch of this incarnation. Until then replicas do nothing.
func (r *replicas) registered(epoch int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch = epoch
	for p := range r.all() {
		p.Registered(epoch)
		p.Apply(&r.brokers, r.applied.Partition(p.ID().TopicID, p.ID().Partition))
	}
}

// meetLocked tells the replicas of brokers that changed: those that share their partition with others, and all where it is this one.
func (r *replicas) meetLocked(changes []metadata.BrokerChange, img *metadata.Image) {
	if len(changes) == 0 {
		return
	}
	defer r.buryLocked(changes)
	for _, c := range changes {
		if c.New != nil && c.New.ID == r.brokerID || c.Old != nil && c.Old.ID == r.brokerID {
			for p := range r.all() {
				p.Apply(&r.brokers, img.Partition(p.ID().TopicID, p.ID().Partition))
			}
			return
		}
	}
	for _, p := range r.followed.list() {
		p.Apply(&r.brokers, img.Partition(p.ID().TopicID, p.ID().Partition))
	}
}

// buryLocked tells leaders of brokers that the controller has fenced: it knows them to be dead, or they were silent for a session.
func (r *replicas) buryLocked(changes []metadata.BrokerChange) {
	for _, c := range changes {
		if c.Old != nil && !c.Old.Fenced && (c.New == nil || c.New.Fenced || c.New.Epoch != c.Old.Epoch) && c.Old.ID != r.brokerID {
			r.Died(c.Old.ID, c.Old.Epoch)
		}
	}
}
