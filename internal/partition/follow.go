package partition

import (
	"fmt"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/replica"
)

// FollowerRead is a leader's answer to a follower, and the batches for it. Slice must be released.
type FollowerRead struct {
	replica.FetchAnswer // without Batches, which the follower finds in the bytes
	LastStable          int64
	Slice               commitlog.Slice
	More                bool // maxBytes kept batches back
}

// ReadFollower is a follower's fetch, on its leader: it counts what the follower has, and reads from there up to the log end, in batches of
// maxBytes in all, but one at least with atLeastOne. A follower whose log diverges is told where, and gets no batches. With an error, which is
// in the answer too, log start and log end of the answer are right, and say to whom was out of range where to begin.
func (p *Partition) ReadFollower(r replica.FetchRequest, maxBytes int, atLeastOne bool) (FollowerRead, error) {
	return p.readFollower(r, false, maxBytes, atLeastOne)
}

// RereadFollower is ReadFollower for a fetch that was counted before, and has waited since: that it waits says nothing of the follower.
func (p *Partition) RereadFollower(r replica.FetchRequest, maxBytes int, atLeastOne bool) (FollowerRead, error) {
	return p.readFollower(r, true, maxBytes, atLeastOne)
}

func (p *Partition) readFollower(r replica.FetchRequest, counted bool, maxBytes int, atLeastOne bool) (FollowerRead, error) {
	if latest, ok := p.Log().LatestEpoch(); ok && r.LastEpoch != latest {
		_ = p.Log().Wake() // not under mu; what is refused knows no epochs
	}
	res, done, err := p.countFollower(r, counted)
	p.tell(done.ready, done.alter)
	if err != nil || res.Diverging != nil {
		return res, err
	}
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	if now := p.role.Load(); now.is != replica.Leader || now.epoch != res.LeaderEpoch {
		res.Err = p.checkLeaderLocked(r.LeaderEpoch)
		return res, res.Err
	}
	limit := p.Log().LogEnd()
	if r.Offset >= limit {
		return res, nil
	}
	if maxBytes <= 0 && !atLeastOne {
		res.More = true
		return res, nil
	}
	slice, err := p.Log().Read(r.Offset, int64(maxBytes), limit, atLeastOne)
	if err != nil {
		res.Err = err
		return res, err
	}
	res.Slice, res.More = slice, slice.More
	return res, nil
}

// outcome is what is to be told after a step.
type outcome struct {
	ready []*Wait
	alter *replica.AlterPartition
}

func (p *Partition) countFollower(r replica.FetchRequest, counted bool) (res FollowerRead, done outcome, err error) {
	now := p.now()
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	if p.role.Load().deleted {
		return FollowerRead{FetchAnswer: replica.FetchAnswer{Err: ErrDeleted, LeaderEpoch: NoEpoch, HighWatermark: -1, LogStart: -1, LogEnd: -1}, LastStable: -1}, done, ErrDeleted
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if counted {
		res.FetchAnswer, res.LastStable = p.mu.machine.Look(r), p.mu.offsets.lastStable
		return res, done, res.Err
	}
	var out replica.Out
	low := int64(-1)
	if len(p.mu.watchers) > 0 {
		low, _ = p.mu.machine.LowWatermark()
	}
	res.FetchAnswer = p.mu.machine.Fetch(now, r, &out)
	if res.LastStable = p.mu.offsets.lastStable; res.Err != nil {
		return res, done, res.Err
	}
	done.ready, done.alter = p.settleLocked(), out.Alter
	if after, _ := p.mu.machine.LowWatermark(); len(p.mu.watchers) > 0 && after != low {
		p.wakeLowLocked()
	}
	res.LastStable = p.mu.offsets.lastStable
	return res, done, nil
}

// NextFetch is what this follower is to ask its leader next, its synced end included; false where it follows nobody, or is at work on the last
// answer. The same again with a higher synced end may be sent while the leader still keeps the first.
func (p *Partition) NextFetch() (leader int32, r replica.FetchRequest, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.role.Load(); p.mu.carrying || now.deleted || now.failed != nil {
		return metadata.NoLeader, r, false
	}
	return p.mu.machine.NextFetch()
}

// AppendAsFollower takes a leader's answer to a fetch of this follower, and the batches that came with it, as they are. It appends them, with
// their offsets and epochs, truncates where the leader's log diverges, or begins anew where the leader has nothing to go on from, and takes
// over high watermark and log start. An answer of another leader epoch, or to another fetch than what NextFetch says now, changes nothing.
// After an error the log may have some of the batches; NextFetch says how it stands.
func (p *Partition) AppendAsFollower(r replica.FetchRequest, a replica.FetchAnswer, batches []byte) error {
	if a.Diverging != nil {
		_ = p.Log().Wake() // not under mu
	}
	var ends []int
	a.Batches, ends = frame(batches)
	p.takeTurn()
	defer p.turn.Unlock()
	if p.role.Load().deleted {
		return ErrDeleted
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var out replica.Out
	p.mu.machine.Answered(now, r, a, &out)
	for changes(&out) {
		p.mu.carrying = true
		p.mu.Unlock()
		exact, err := p.carry(&out, batches, ends)
		p.mu.Lock()
		p.mu.carrying = false
		if !exact {
			p.mu.machine.Resume()
		}
		if err != nil {
			p.settleLocked()
			return fmt.Errorf("follow broker %d: %w", p.role.Load().of.Leader, err)
		}
		out = replica.Out{}
		p.mu.machine.Advance(now, &out)
	}
	p.settleLocked()
	return nil
}

// takeTurn takes turn for who is going to change the log, once that does not move.
func (p *Partition) takeTurn() {
	p.turn.Lock()
	for p.role.Load().moving != nil {
		moved := p.role.Load().moving
		p.turn.Unlock()
		<-moved
		p.turn.Lock()
	}
}

// frame finds the batches in what a leader sent; a torn one at the end is none. An end is where a batch ends in the bytes.
func frame(batches []byte) (all []replica.Batch, ends []int) {
	for rest := batches; len(rest) > 0; {
		b, behind, err := record.Next(rest)
		if err != nil {
			break
		}
		all = append(all, replica.Batch{Base: b.BaseOffset(), End: b.NextOffset(), LeaderEpoch: commitlog.LeaderEpoch(b.LeaderEpoch())})
		rest = behind
		ends = append(ends, len(batches)-len(rest))
	}
	return all, ends
}

// changes says whether a step asks for a change of the log.
func changes(out *replica.Out) bool {
	return out.Truncate != nil || out.Reset != nil || out.Append > 0 || out.LogStart != nil
}

// carry does to the log what a step asks for. exact says that it is as the step supposes.
func (p *Partition) carry(out *replica.Out, batches []byte, ends []int) (exact bool, err error) {
	log := p.Log()
	exact = true
	if out.Truncate != nil {
		if err := log.TruncateTo(*out.Truncate); err != nil {
			return false, err
		}
		exact = log.LogEnd() == *out.Truncate // a batch goes whole
	}
	if out.Reset != nil {
		if err := log.TruncateFullyAt(*out.Reset); err != nil {
			return false, err
		}
	}
	if out.Append > 0 {
		if _, err := log.AppendReplica(batches[:ends[out.Append-1]]); err != nil {
			return false, err
		}
	}
	if out.LogStart != nil {
		if err := log.AdvanceLogStart(*out.LogStart); err != nil {
			return false, err
		}
	}
	return exact, nil
}
