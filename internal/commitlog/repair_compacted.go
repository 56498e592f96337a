package commitlog

import (
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// prefix replaces all segments of a compacted log up to the damaged one, and to the end of what this replica may have compacted.
func (r *repair) prefix(at int, places []segment.Damage) error {
	l := r.l
	v := l.view.Load()
	if at >= len(v.segments) {
		return ErrDisturbed
	}
	at = max(at, v.floor(max(l.Cleaned()-1, 0)))
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
	if err := r.replace(group, places); err != nil {
		return err
	}
	l.mu.Lock()
	l.marks.cleaned.Store(0) // the other may have compacted less
	l.mu.Unlock()
	return nil
}
