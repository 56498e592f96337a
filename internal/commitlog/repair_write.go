package commitlog

import (
	"fmt"
	"slices"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// create begins a new segment.
func (r *repair) create(base int64) error {
	if _, err := r.l.room(0); err != nil {
		return err
	}
	s, err := segment.CreateCleaned(r.l.env.Files, r.l.env.FS, r.l.folder(), base)
	if err != nil {
		return r.l.judge(err)
	}
	r.made = append(r.made, s)
	return nil
}

func (r *repair) to() *segment.Segment { return r.made[len(r.made)-1] }

// write takes a batch behind the one before.
func (r *repair) write(b record.Batch) error {
	if r.next > b.BaseOffset() {
		return fmt.Errorf("%w: batch %d to %d behind offset %d", ErrCorrupt, b.BaseOffset(), b.NextOffset()-1, r.next-1)
	}
	s, size := r.to(), int64(len(b))
	taken := s.Size() + int64(len(r.out))
	if r.whole && taken > 0 && (taken+size > r.cfg.SegmentBytes || !s.Fits(b.LastOffset()) || s.IndexFull(r.cfg.SegmentIndexBytes)) {
		if err := r.finish(r.next); err != nil {
			return err
		}
		if err := r.create(r.next); err != nil {
			return err
		}
	}
	if !r.to().Fits(b.LastOffset()) && b.BaseOffset() >= r.to().Base() {
		return fmt.Errorf("%w: batch %d to %d does not fit into the segment", ErrForeign, b.BaseOffset(), b.NextOffset()-1)
	}
	if len(r.out) > 0 && len(r.out)+len(b) > r.opts.Buffer {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if r.state != nil {
		r.done.Fetched += size
		if b.HasProducerID() {
			if a, ok := r.state.Update(b); ok {
				r.to().NoteAborted(segment.Aborted(a))
			}
		}
	}
	r.out = append(r.out, b...)
	r.next, r.epoch = b.NextOffset(), b.LeaderEpoch()
	return nil
}

func (r *repair) flush() error {
	if len(r.out) == 0 {
		return nil
	}
	more, err := r.l.room(len(r.out))
	if err != nil {
		return err
	}
	s, limits := r.to(), r.cfg.limits()
	limits.SegmentBytes = min(limits.SegmentBytes, s.Size()+int64(len(r.out))+more) // to allocate blocks ahead
	if err := s.Append(r.out, limits); err != nil {
		return r.l.judge(fmt.Errorf("write %s: %w", s.Path(), err))
	}
	s.WriteBack()
	r.out = r.out[:0]
	return nil
}

// finish completes the segment that is written, and makes it durable.
func (r *repair) finish(end int64) error {
	if err := r.flush(); err != nil {
		return err
	}
	return r.l.judge(r.to().Finish(end))
}

func (r *repair) replace(group []*segment.Segment, places []segment.Damage) error {
	l := r.l
	made := r.made
	r.made = nil // they are abandoned there, or stay
	if err := l.replace(group, made, r.cuts, func() bool { return true }); err != nil {
		return err
	}
	r.done.Places = places
	l.repairs.Add(1)
	l.mu.Lock()
	l.mu.oldest = oldest{}
	l.learnEpochsLocked(r.found)
	l.mu.Unlock()
	return l.seeProducers()
}

// learnEpochsLocked puts the beginnings of leader epochs right that were read off batches while some were missing.
func (l *Log) learnEpochsLocked(found []epoch.Entry) {
	c := l.epochs.Load()
	if len(found) == 0 || c == nil {
		return
	}
	all := append(slices.Clone(c.Entries()), found...)
	slices.SortStableFunc(all, func(a, b epoch.Entry) int {
		if a.Epoch != b.Epoch {
			return int(a.Epoch) - int(b.Epoch)
		}
		return int(min(max(a.Start-b.Start, -1), 1))
	})
	l.takeEpochsLocked(slices.CompactFunc(all, func(a, b epoch.Entry) bool { return a.Epoch == b.Epoch }))
}
