package commitlog

import (
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// prefix replaces all segments of a compacted log below the high watermark but the active one, where that is not damaged: what another replica had
// compacted before it gave it may lie anywhere in them, and of two replicas one may have a value that the other has lost together with its tombstone.
func (r *repair) prefix(at int, places []segment.Damage) error {
	l := r.l
	v := l.view.Load()
	if at >= len(v.segments) {
		return ErrDisturbed
	}
	at = max(at, v.floor(max(l.Cleaned()-1, 0)))
	for at+2 < len(v.segments) && v.segments[at+1].End() <= r.opts.HighWatermark {
		at++
	}
	group, err := r.group(v.segments[0].Base(), v.segments[at].Base())
	if err != nil {
		return err
	}
	end, start := group[len(group)-1].End(), l.LogStart()
	if end > r.opts.HighWatermark {
		return fmt.Errorf("offsets to %d of %s, high watermark %d: %w", end-1, l.id, r.opts.HighWatermark, ErrUncommitted)
	}
	if err := r.create(group[0].Base()); err != nil {
		return err
	}
	r.state = &producer.State{}
	began := l.env.Clock.Now()
	for next, through := start, false; next < end && !through; {
		err := r.fetch(next, func(b record.Batch) (bool, error) {
			if b.BaseOffset() >= end {
				through = true // compaction left nothing before
				return false, nil
			}
			if b.NextOffset() <= next || b.NextOffset() > end || b.BaseOffset() < next && r.next >= 0 {
				return false, fmt.Errorf("%w: batch %d to %d, wanted %d to %d", ErrForeign, b.BaseOffset(), b.NextOffset()-1, next, end-1)
			}
			if _, err := r.judge(b, segment.Damage{}); err != nil {
				return false, err
			}
			next = b.NextOffset()
			return next < end, r.write(b)
		})
		if none := (*nothingThere)(nil); errors.As(err, &none) && none.to >= end {
			break
		}
		if err != nil {
			return err
		}
	}
	if took := l.env.Clock.Now().Sub(began); took > r.cfg.DeleteRetention {
		// The other one may have forgotten tombstones of what it gave at first, as a consumer that reads for so long sees too.
		return fmt.Errorf("it took %s to fetch what is compacted, longer than the %s for which deletions are kept: %w", took, r.cfg.DeleteRetention, ErrDisturbed)
	}
	if err := r.finish(end); err != nil {
		return err
	}
	// The other may have compacted less. A mark above that would, after a crash, have a pass drop a tombstone and leave what it deletes; so it goes
	// first, and durably.
	l.mu.Lock()
	l.marks.cleaned.Store(0)
	l.mu.Unlock()
	if l.env.OnClean != nil {
		if err := l.env.OnClean(l); err != nil {
			return err
		}
	}
	return r.replace(group, places)
}
