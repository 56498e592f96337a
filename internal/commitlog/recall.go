package commitlog

import (
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// How far before the oldest batch that is known of a producer the log is looked through for earlier ones: at first not far, and then further, up to five of the
// largest batches between those of many others. Of small batches it is not as far: what is read while the log is locked, and with it the time, is bounded.
const (
	recallNear = 256 << 10
	recallFar  = 64 << 20
	recallRead = 8 << 20
	recallSkip = 32 << 10 // of a batch that is larger only the header is read, and a page with it
)

// recallLocked looks up what a snapshot did not keep of a producer. It reads the log on the way of an append, but once for each producer of a snapshot, and only
// for one that has sent a batch again, or one out of order.
func (l *Log) recallLocked(r *producer.Recall) error {
	v, before := l.view.Load(), r.Before()
	if v == nil || before <= v.segments[0].Base() {
		r.End()
		return nil
	}
	segments := v.segments[:v.floor(before-1)+1]
	seen, read := before, int64(0) // what is at or above was looked at already
	for span := int64(recallNear); ; span *= 2 {
		first, from, err := spanBefore(segments, before, span)
		if from == segments[0].Base() {
			from = 0 // the first batch of a log may begin below it: a follower, or a copy, starts inside a batch
		}
		if err == nil {
			err = headersBetween(segments[first:], from, seen, func(b record.Batch) bool {
				r.Add(b)
				if n := segment.Length(b); n < recallSkip {
					read += n
				} else {
					read += 4 << 10
				}
				return read < recallRead
			})
		}
		if err != nil {
			return fmt.Errorf("look for repeated batches in %s: %w", l.id, err)
		}
		seen = from
		if r.Enough() || span >= recallFar || read >= recallRead || from <= segments[0].Base() {
			r.End()
			return nil
		}
	}
}

// spanBefore is where batches begin that lie so many bytes before an offset, in which segment and at which offset; or where the segments begin.
func spanBefore(segments []*segment.Segment, offset, bytes int64) (i int, from int64, err error) {
	for i = len(segments) - 1; ; i-- {
		from, bytes, err = segments[i].OffsetBefore(offset, bytes)
		if err != nil || i == 0 || bytes == 0 {
			return i, from, err
		}
		offset = from
	}
}

// headersBetween shows visit the batches from one offset to another, until it says no.
func headersBetween(segments []*segment.Segment, from, to int64, visit func(record.Batch) bool) error {
	for more := true; more && len(segments) > 0 && segments[0].Base() < to; segments = segments[1:] {
		err := segments[0].Headers(max(from, segments[0].Base()), func(b record.Batch, _ int64) bool {
			if b.BaseOffset() >= from {
				more = b.BaseOffset() < to && visit(b)
			}
			return more
		})
		if err != nil {
			return err
		}
	}
	return nil
}
