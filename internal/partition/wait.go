package partition

import (
	"errors"
	"slices"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/replica"
)

// Wait is a producer that waits until the high watermark reaches End.
type Wait struct {
	End int64
	// Epoch is the leader epoch in which the records below End were appended, as Append says it. Whoever led in between may have cut them
	// off and others have come in their place. NoEpoch: any.
	Epoch commitlog.LeaderEpoch
	// Done is called once, with nil when End is committed, from whichever goroutine moved the high watermark. It must not
	// block.
	Done func(error)
}

// Committed says whether what this replica appended as leader of an epoch, up to an end, is known to be committed. It takes no lock. The role is looked at last: the high
// watermark was the leader's of that epoch then. A later one says nothing of these records, which others may have come in the place of.
func (p *Partition) Committed(end int64, epoch commitlog.LeaderEpoch) bool {
	if p.HighWatermark() < end {
		return false
	}
	r := p.role.Load()
	return r.is == replica.Leader && r.epoch == epoch
}

// Await registers w, or returns true at once, without calling Done, when its end is committed already.
func (p *Partition) Await(w *Wait) (committed bool, err error) {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	if err := p.checkLeaderLocked(w.Epoch); errors.Is(err, ErrFencedLeaderEpoch) {
		return false, ErrNotLeader
	} else if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.End <= p.mu.offsets.highWatermark {
		return true, nil
	}
	if err := p.role.Load().failed; err != nil {
		return false, err
	}
	// Ends arrive nearly in order: look from the back.
	i := len(p.mu.waits)
	for i > 0 && p.mu.waits[i-1].End > w.End {
		i--
	}
	p.mu.waits = slices.Insert(p.mu.waits, i, w)
	return false, nil
}

// Cancel takes w back. It returns false when Done was or is about to be called.
func (p *Partition) Cancel(w *Wait) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.mu.waits, w)
	if i < 0 {
		return false
	}
	p.mu.waits = slices.Delete(p.mu.waits, i, i+1)
	return true
}

// Watcher is a reader that waits until one of several partitions changes: more to read, another role, deleted.
type Watcher struct {
	C        chan struct{}     // of who waits for the low watermark: receives after a change; capacity one, so a wake-up is never lost and never blocks
	tell     func(urgent bool) // of all others
	follower bool              // it sees more than is committed
	low      bool              // it waits for the low watermark alone
}

// NewWatcher returns a watcher that watches nothing yet. tell is called after a change with a lock of the partition held: it must not wait, and not call
// the partition.
func NewWatcher(tell func()) *Watcher { return &Watcher{tell: func(bool) { tell() }} }

// NewLowWatcher returns a watcher for who waits for the low watermark, which depends on followers and on who of them is alive.
func NewLowWatcher() *Watcher { return &Watcher{C: make(chan struct{}, 1), low: true} }

// wakeLowLocked wakes those who wait for the low watermark. mu is held.
func (p *Partition) wakeLowLocked() {
	for _, w := range p.mu.watchers {
		if w.low {
			w.wake()
		}
	}
}

// NewFollowerWatcher returns a watcher for a follower, which sees more than is committed, and watches one partition for long. tell is called
// after a change with a lock of the partition held: it must not wait, and not call the partition. What is not urgent, because there is nothing more to
// read, may be told to the follower with the next answer.
func NewFollowerWatcher(tell func(urgent bool)) *Watcher { return &Watcher{tell: tell, follower: true} }

func (w *Watcher) wake() {
	if w.tell != nil {
		w.tell(true)
		return
	}
	select {
	case w.C <- struct{}{}:
	default: // a wake-up is pending already
	}
}

// Watch adds w to the partition's watchers. The caller reads again after it, so that no change is missed.
func (p *Partition) Watch(w *Watcher) {
	p.mu.Lock()
	p.mu.watchers = append(p.mu.watchers, w)
	p.mu.Unlock()
}

// Unwatch removes w.
func (p *Partition) Unwatch(w *Watcher) {
	p.mu.Lock()
	if i := slices.Index(p.mu.watchers, w); i >= 0 {
		last := len(p.mu.watchers) - 1
		p.mu.watchers[i] = p.mu.watchers[last]
		p.mu.watchers[last] = nil
		p.mu.watchers = p.mu.watchers[:last]
	}
	if len(p.mu.watchers) == 0 {
		p.mu.watchers = nil // an idle partition holds nothing
	}
	p.mu.Unlock()
}

// fail answers every waiting producer with err and wakes every reader.
func (p *Partition) fail(err error) {
	p.mu.Lock()
	waits := p.dropLocked()
	p.mu.Unlock()
	for _, w := range waits {
		w.Done(err)
	}
}

// dropLocked wakes every reader and returns the producers, who wait no more and are to be answered. mu is held.
func (p *Partition) dropLocked() []*Wait {
	waits := p.mu.waits
	p.mu.waits = nil
	for _, w := range p.mu.watchers {
		w.wake()
	}
	return waits
}
