package commitlog

import (
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// prefix replaces all segments of a compacted log below the high watermark; an active one only where it is damaged. Fewer would not do. Another replica may have compacted
// anything in them before it gave it, and one of two replicas may have a value that the other has lost together with its tombstone.
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
	sum, err := r.all(start, end, func(b record.Batch) error {
		if _, err := r.judge(b, segment.Damage{}); err != nil {
			return err
		}
		return r.write(b)
	})
	if err != nil {
		return err
	}
	if took := l.env.Clock.Now().Sub(began); took > r.cfg.DeleteRetention {
		// The other one may have forgotten tombstones of what it gave at first, as a consumer that reads for so long sees too. What it gives twice it had all at once in between.
		again, err := r.all(start, end, func(record.Batch) error { return nil })
		if err == nil && again != sum {
			err = fmt.Errorf("the other replica was compacted while it was read, in %s, and deletions are kept for %s", took, r.cfg.DeleteRetention)
		}
		if err != nil {
			return err
		}
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

// all shows take what the other replica has from one offset to another, and returns a hash of its headers, CRCs among them.
func (r *repair) all(start, end int64, take func(record.Batch) error) (sum uint64, err error) {
	h := fnv.New64a()
	for next, first, through := start, true, false; next < end && !through; {
		err := r.fetch(next, func(b record.Batch) (bool, error) {
			if b.BaseOffset() >= end {
				through = true // compaction left nothing before
				return false, nil
			}
			if b.NextOffset() <= next || b.NextOffset() > end || b.BaseOffset() < next && !first {
				return false, fmt.Errorf("%w: batch %d to %d, wanted %d to %d", ErrForeign, b.BaseOffset(), b.NextOffset()-1, next, end-1)
			}
			next, first = b.NextOffset(), false
			_, _ = h.Write(b[:record.HeaderSize])
			return next < end, take(b)
		})
		if none := (*nothingThere)(nil); errors.As(err, &none) && none.to >= end {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	return h.Sum64(), nil
}
