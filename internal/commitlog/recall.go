package commitlog

import (
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// How far before the oldest batch that is known of a producer the log is looked through for earlier ones: at first not far, and then further, up to five of the
// largest batches between as many of others.
const (
	recallNear = 256 << 10
	recallFar  = 16 << 20
)

// recallLocked looks up what a snapshot did not keep of a producer. It reads the log on the way of an append, but once for each producer of a snapshot, and only
// for one that has sent a batch again, or one out of order.
func (l *Log) recallLocked(r *producer.Recall) error {
	segments, before := l.segments(), r.Before()
	if len(segments) == 0 || before <= segments[0].Base() {
		r.End()
		return nil
	}
	last := l.view.Load().floor(before - 1)
	seen := before // what is at or above was looked at already
	for span := int64(recallNear); ; span *= 8 {
		first, from, err := spanBefore(segments[:last+1], before, span)
		if err == nil {
			err = recallBetween(segments[first:last+1], from, seen, r)
		}
		if err != nil {
			return fmt.Errorf("look for repeated batches in %s: %w", l.id, err)
		}
		seen = from
		if r.Enough() || span >= recallFar || from <= segments[0].Base() {
			r.End()
			return nil
		}
	}
}

// spanBefore is where batches begin that lie so many bytes before an offset, in which segment and at which offset; or where the segments begin.
func spanBefore(segments []*segment.Segment, offset, bytes int64) (i int, from int64, err error) {
	for i = len(segments) - 1; ; i-- {
		s := segments[i]
		if from, err = s.OffsetBefore(offset, bytes); err != nil || i == 0 || from > s.Base() {
			return i, from, err
		}
		if bytes -= s.Size(); bytes <= 0 {
			return i, from, nil
		}
		offset = s.Base()
	}
}

// recallBetween adds the batches from one offset to another.
func recallBetween(segments []*segment.Segment, from, to int64, r *producer.Recall) error {
	for _, s := range segments {
		if s.Base() >= to {
			break
		}
		err := s.Headers(max(from, s.Base()), func(b record.Batch, _ int64) bool {
			if b.BaseOffset() >= to {
				return false
			}
			if b.BaseOffset() >= from {
				r.Add(b)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}
