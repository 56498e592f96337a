package partition

import (
	"slices"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/replica"
)

// asLog is the replica's log as the machine sees it: the one that there is, also after a move.
type asLog Partition

func (l *asLog) LogStart() int64  { return l.log.Load().LogStart() }
func (l *asLog) LogEnd() int64    { return l.log.Load().LogEnd() }
func (l *asLog) SyncedEnd() int64 { return l.log.Load().SyncedEnd() }

func (l *asLog) LatestEpoch() (commitlog.LeaderEpoch, bool) { return l.log.Load().LatestEpoch() }

func (l *asLog) EndOffsetFor(e commitlog.LeaderEpoch) (commitlog.LeaderEpoch, int64) {
	return l.log.Load().EndOffsetFor(e)
}

func (p *Partition) now() time.Time {
	if p.host.Clock == nil {
		return clock.Real.Now()
	}
	return p.host.Clock.Now()
}

// Synced is called by the log when more of it has become durable.
func (p *Partition) Synced(int64) {
	p.advance()
	if p.role.Load().is == replica.Follower {
		p.host.changed(p)
	}
}

// advance tells the machine that the log moved, and those who waited what follows from it. It does not take roleMu: an append that
// syncs (flush.messages) comes here while it holds it.
func (p *Partition) advance() {
	if p.role.Load().deleted {
		return
	}
	p.mu.Lock()
	if p.mu.carrying {
		p.mu.Unlock()
		return
	}
	var now time.Time
	if !p.mu.machine.Alone() {
		now = p.now()
	}
	var out replica.Out
	p.mu.machine.Advance(now, &out)
	ready := p.settleLocked()
	p.mu.Unlock()
	p.tell(ready, out.Alter)
}

// step lets the machine make another step than Advance, one that does not change the role.
func (p *Partition) step(do func(*replica.Machine, time.Time, *replica.Out)) {
	now := p.now()
	p.turn.Lock()
	if p.role.Load().deleted {
		p.turn.Unlock()
		return
	}
	p.mu.Lock()
	var out replica.Out
	do(p.mu.machine, now, &out)
	ready := p.settleLocked()
	p.mu.Unlock()
	p.turn.Unlock()
	p.tell(ready, out.Alter)
}

// settleLocked takes over the offsets as the machine and the log have them, wakes the readers who see something of it, and returns the
// producers that need not wait any more. mu is held.
func (p *Partition) settleLocked() (ready []*Wait) {
	log := p.Log()
	o := &p.mu.offsets
	before := *o
	o.highWatermark = p.mu.machine.HighWatermark()
	o.logStart = min(log.LogStart(), o.highWatermark)
	o.lastStable = max(o.logStart, min(o.highWatermark, log.LastStable(o.highWatermark)))
	o.logEnd = log.LogEnd() // after the high watermark, which it is never below
	o.check()
	// The log end alone is nothing to readers: they see it when it is committed.
	moved := before.highWatermark != o.highWatermark || before.lastStable != o.lastStable || before.logStart != o.logStart
	if before.highWatermark != o.highWatermark {
		p.highWatermark.Store(o.highWatermark)
		n := 0
		for n < len(p.mu.waits) && p.mu.waits[n].End <= o.highWatermark {
			n++
		}
		if n > 0 {
			ready = slices.Clone(p.mu.waits[:n])
			p.mu.waits = slices.Delete(p.mu.waits, 0, n)
		}
	}
	ended := before.logEnd != o.logEnd
	for _, w := range p.mu.watchers {
		switch {
		case w.follower && (ended || moved):
			w.tell(ended)
		case moved:
			w.wake() // also who waits for the low watermark: the own log start is part of it
		}
	}
	return ready
}

// tell answers producers and passes on a proposal. No lock of the partition is taken.
func (p *Partition) tell(ready []*Wait, alter *replica.AlterPartition) {
	for _, w := range ready {
		w.Done(nil)
	}
	if alter != nil && p.host.Alter != nil {
		p.host.Alter(p, alter)
	}
}

// Registered gives the broker epoch of this incarnation of the broker. It takes effect with the next Apply.
func (p *Partition) Registered(brokerEpoch int64) {
	p.mu.Lock()
	p.mu.machine.Registered(brokerEpoch)
	p.mu.Unlock()
}

// Apply takes over what the metadata say: the brokers, which are asked later too, and the partition, nil where it is none any more or has
// no replica here. An older partition epoch than the present one is passed over.
func (p *Partition) Apply(brokers replica.Brokers, state *metadata.Partition) {
	p.apply(func(m *replica.Machine, now time.Time, out *replica.Out) { m.Apply(now, brokers, state, out) })
}

// Altered takes what became of a proposal: the partition as it is now, or why not, as package replica names it. After ErrNoAnswer the same
// proposal is made again, at once.
func (p *Partition) Altered(a *replica.AlterPartition, now *metadata.Partition, err error) {
	p.apply(func(m *replica.Machine, at time.Time, out *replica.Out) { m.Altered(at, a, now, err, out) })
}

// apply makes a step that may change the role.
func (p *Partition) apply(do func(*replica.Machine, time.Time, *replica.Out)) {
	now := p.now()
	p.turn.Lock()
	p.roleMu.Lock()
	was := p.role.Load()
	if was.deleted {
		p.roleMu.Unlock()
		p.turn.Unlock()
		return
	}
	p.mu.Lock()
	var out replica.Out
	do(p.mu.machine, now, &out)
	var left []*Wait
	is := p.publishLocked(was)
	if was.is == replica.Leader && is.is != replica.Leader {
		left = p.dropLocked()
	}
	if is.is == replica.Leader && (was.is != replica.Leader || is.epoch != was.epoch) && len(is.of.Replicas) > 1 {
		p.refused.Store(&now) // others did
	}
	ready := p.settleLocked()
	p.wakeLowLocked() // who counts as alive may have changed
	p.mu.Unlock()
	p.roleMu.Unlock()
	p.turn.Unlock()
	// What a follower is to do with its log by this step comes out of its next one again.
	p.tell(ready, out.Alter)
	for _, w := range left {
		w.Done(ErrNotLeader)
	}
	if is.is != was.is || is.epoch != was.epoch || is.is == replica.Follower && is.of != was.of { // who has left the ISR has to say more
		p.host.changed(p)
	}
}

// publishLocked makes the role that of the machine. All locks are held.
func (p *Partition) publishLocked(was *role) *role {
	m := p.mu.machine
	r := *was
	r.is, r.epoch = m.Role()
	if r.of = m.Partition(); r.is == was.is && r.epoch == was.epoch && r.of == was.of {
		return was
	}
	p.role.Store(&r)
	return &r
}

// Tick lets the time pass: a follower that says nothing must leave the ISR. It is to be called a few times in LagMax of a partition with
// more than one replica, and is nothing to others.
func (p *Partition) Tick() {
	if p.role.Load().is != replica.Leader {
		return
	}
	p.step(func(m *replica.Machine, now time.Time, out *replica.Out) { m.Tick(now, out) })
}

// Died says that the broker of that epoch is known to be dead: it leaves the ISR at once. A false alarm costs no more than that.
func (p *Partition) Died(broker int32, brokerEpoch int64) {
	if p.role.Load().is != replica.Leader {
		return
	}
	p.step(func(m *replica.Machine, now time.Time, out *replica.Out) { m.Died(now, broker, brokerEpoch, out) })
}
