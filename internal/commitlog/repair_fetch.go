package commitlog

import (
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// fill has the batches of a place from another replica.
func (r *repair) fill(s *segment.Segment, d segment.Damage) error {
	start := r.l.LogStart()
	at, least := max(d.First, start), d.First
	if first := r.l.segments()[0]; first.Base() == s.Base() && d.From == 0 {
		least = 0 // the first batch of a log may begin below it: a follower starts inside a batch
	}
	doubt := false
	for first := true; at < d.Next; first = false {
		err := r.fetch(at, func(b record.Batch) (more bool, err error) {
			if base := b.BaseOffset(); base > at || base < at && !(first && base >= least && b.NextOffset() > at) {
				return false, fmt.Errorf("%w: batch %d to %d, wanted %d", ErrForeign, base, b.NextOffset()-1, at)
			}
			if b.NextOffset() > d.Next {
				return false, fmt.Errorf("%w: batch %d to %d, wanted none behind %d", ErrForeign, b.BaseOffset(), b.NextOffset()-1, d.Next-1)
			}
			known, err := r.judge(b, d)
			if err != nil {
				return false, err
			}
			doubt, first, at = doubt || !known, false, b.NextOffset()
			r.done.Fetched += int64(len(b))
			return at < d.Next, r.write(b)
		})
		if err != nil {
			return err
		}
	}
	if doubt {
		return r.joins(d.Next)
	}
	return nil
}

// judge compares a batch's leader epoch with what the log knows. known says that it knows it; else it may have read its epochs off what lies around the place.
func (r *repair) judge(b record.Batch, d segment.Damage) (known bool, err error) {
	l := r.l
	e, ok := l.EpochAt(max(b.BaseOffset(), l.LogStart()))
	if int32(e) == b.LeaderEpoch() || !ok && b.LeaderEpoch() < 0 {
		return true, nil
	}
	before, _ := l.EpochAt(d.First - 1)
	behind, _ := l.EpochAt(d.Next)
	if r.whole || b.LeaderEpoch() < max(int32(before), r.epoch) || b.LeaderEpoch() > int32(behind) {
		return false, fmt.Errorf("%w: batch %d to %d is of leader epoch %d, here that is %d", ErrForeign, b.BaseOffset(), b.NextOffset()-1, b.LeaderEpoch(), e)
	}
	if k := len(r.found); k == 0 || r.found[k-1].Epoch != b.LeaderEpoch() {
		r.found = append(r.found, epoch.Entry{Epoch: b.LeaderEpoch(), Start: b.BaseOffset()})
	}
	return false, nil
}

// joins looks whether the other replica has, behind a place, the batch that this one has: then all before it is the same, too.
func (r *repair) joins(offset int64) error {
	own, err := r.l.batchAt(offset)
	if err != nil {
		return err
	}
	if own == nil || offset >= r.opts.HighWatermark {
		return fmt.Errorf("%w: nothing behind offset %d tells of which leader epochs it was", ErrForeign, offset-1)
	}
	return r.fetch(offset, func(b record.Batch) (bool, error) {
		if b.BaseOffset() != own.BaseOffset() || b.LeaderEpoch() != own.LeaderEpoch() || b.CRC() != own.CRC() {
			return false, fmt.Errorf("%w: batch %d to %d of leader epoch %d lies behind, here it is %d to %d of %d", ErrForeign, b.BaseOffset(), b.NextOffset()-1, b.LeaderEpoch(),
				own.BaseOffset(), own.NextOffset()-1, own.LeaderEpoch())
		}
		return false, nil
	})
}

// fetch asks the other replica once and shows take what it gives, whose CRCs are right, until it wants no more.
func (r *repair) fetch(offset int64, take func(record.Batch) (more bool, err error)) error {
	batches, hw, err := r.opts.Fetch(offset)
	if err != nil {
		return err
	}
	if len(batches) == 0 {
		return &nothingThere{offset, hw}
	}
	if err := r.opts.Throttle(len(batches)); err != nil {
		return err
	}
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err == nil {
			err = b.CheckCRC()
		}
		if err == nil && b.NextOffset() <= b.BaseOffset() {
			err = fmt.Errorf("batch %d to %d", b.BaseOffset(), b.NextOffset()-1)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrForeign, err)
		}
		if more, err := take(b); err != nil || !more {
			return err
		}
		batches = rest
	}
	return nil
}

// nothingThere is an ErrForeign: the other replica has no batch from an offset up to its high watermark.
type nothingThere struct{ from, to int64 }

func (e *nothingThere) Error() string {
	return fmt.Sprintf("%v: it has none from offset %d to its high watermark %d", ErrForeign, e.from, e.to)
}

func (e *nothingThere) Unwrap() error { return ErrForeign }
