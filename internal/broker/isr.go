package broker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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
	log   *slog.Logger
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

// invalidPause passes before another proposal in the place of one that the controller takes for invalid, which it hardly is by chance.
const invalidPause = time.Second

// heldAnswers are given to their partitions after a pause.
type heldAnswers struct {
	pause time.Duration
	over  <-chan time.Time // nil: there are none
	all   []heldAnswer
}

type heldAnswer struct {
	proposal
	err error
}

func (h *heldAnswers) hold(clk clock.Clock, q proposal, err error) {
	if h.all = append(h.all, heldAnswer{q, err}); h.over == nil {
		h.over = clk.After(h.pause)
	}
}

func (h *heldAnswers) give() {
	for _, a := range h.all {
		a.p.Altered(a.a, nil, a.err)
	}
	h.all, h.over = h.all[:0], nil
}

// run carries proposals to the controller until ctx ends.
func (c *isrChanges) run(ctx context.Context, to decider) {
	passing, invalid := heldAnswers{pause: proposalPause}, heldAnswers{pause: invalidPause}
	for {
		select {
		case <-ctx.Done():
			return
		case <-passing.over:
			passing.give()
			continue
		case <-invalid.over:
			invalid.give()
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
			results := alter(ctx, to, waiting[:n])
			c.tell(waiting[:n], results)
			for i, result := range results {
				err := refusedISR(result.Error)
				if err == nil && result.Partition == nil {
					err = replica.ErrNoAnswer // an answer that says nothing
				}
				switch err {
				case replica.ErrNoAnswer, replica.ErrIneligibleReplica:
					passing.hold(c.clock, waiting[i], err)
				case replica.ErrInvalidProposal:
					invalid.hold(c.clock, waiting[i], err)
				default:
					waiting[i].p.Altered(waiting[i].a, result.Partition, err)
				}
			}
			waiting = waiting[n:]
		}
	}
}

// tell logs what became of proposals that were not taken, once for a request and error code: there may be thousands, of one broker that died.
func (c *isrChanges) tell(proposals []proposal, results []controller.PartitionAltered) {
	refused := map[protocol.ErrorCode]int{}
	for _, r := range results {
		if r.Error.Failed() {
			refused[r.Error.Code]++
		}
	}
	for code, n := range refused {
		i := slices.IndexFunc(results, func(r controller.PartitionAltered) bool { return r.Error.Code == code })
		level, what := slog.LevelInfo, "the controller refuses ISRs that this broker proposes"
		switch refusedISR(results[i].Error) {
		case replica.ErrNoAnswer:
			level, what = slog.LevelDebug, "ISRs are proposed again: the controller gives no answer"
		case replica.ErrInvalidProposal:
			level = slog.LevelWarn
		}
		isr := make([]int32, len(proposals[i].a.ISR))
		for j, m := range proposals[i].a.ISR {
			isr[j] = m.ID
		}
		c.log.Log(context.Background(), level, what, "code", code.String(), "why", results[i].Error.Message, "partitions", n, "first", proposals[i].p.ID().String(), "isr", isr)
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
	if response, err := to.Do(ctx, request); err != nil {
		all.Message = err.Error()
	} else {
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
	case protocol.UnknownTopicID, protocol.UnknownTopicOrPartition:
		return errPartitionGone
	}
	return replica.ErrInvalidProposal
}

// errPartitionGone says that the controller knows no such partition any more, and neither will this broker.
var errPartitionGone = errors.New("the partition is deleted")

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

// brokerEpoch is that of this incarnation; -1: it is not registered yet.
func (r *replicas) brokerEpoch() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch
}

// registered gives the broker epoch of this incarnation. Until then replicas do nothing.
func (r *replicas) registered(epoch int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch = epoch
	for p := range r.all() {
		p.Registered(epoch)
		now := r.applied.Partition(p.ID().TopicID, p.ID().Partition)
		p.Apply(&r.brokers, now)
		if now != nil && !metadata.Has(now.Replicas, r.brokerID) {
			r.applyTopic(metadata.TopicChange{New: r.applied.TopicByID(p.ID().TopicID)}) // it went away, by metadata that may be gone by now
		}
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
		if diedIn(c) && c.Old.ID != r.brokerID {
			r.Died(c.Old.ID, c.Old.Epoch)
		}
	}
}

// diedIn says whether a broker counts for dead by a change.
func diedIn(c metadata.BrokerChange) bool {
	return c.Old != nil && !c.Old.Fenced && (c.New == nil || c.New.Fenced || c.New.Epoch != c.Old.Epoch)
}
