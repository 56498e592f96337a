package commitlog

import (
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// Slice is a run of whole batches in one segment. It pins the file until Release, which must be called exactly once; the zero Slice
// need not be released. Its bytes change only if a truncation cuts them off and something is appended there, which never happens
// below the high watermark.
type Slice = segment.Slice

// Read returns whole batches from the one that contains offset (it may begin below it), before the exclusive bound end, at most
// maxBytes; the first one even if it is larger when atLeastOne. It is empty at the log end and at offset >= end. One call stays
// within one segment and takes no lock that an append holds while it writes.
func (l *Log) Read(offset, maxBytes, end int64, atLeastOne bool) (Slice, error) {
	slice, _, err := l.readEither(offset, maxBytes, end, atLeastOne, false)
	return slice, err
}

// ReadCommitted is Read for who passes over the records of aborted transactions. It also lists those that overlap [offset, end): asked for afterwards they
// could be missed, where retention or compaction has taken the segments meanwhile that were read.
func (l *Log) ReadCommitted(offset, maxBytes, end int64, atLeastOne bool) (Slice, []AbortedTxn, error) {
	return l.readEither(offset, maxBytes, end, atLeastOne, true)
}

func (l *Log) readEither(offset, maxBytes, end int64, atLeastOne, committed bool) (slice Slice, aborted []AbortedTxn, err error) {
	for {
		cuts := l.cuts.Load()
		if start, logEnd := l.LogStart(), l.LogEnd(); offset < start || offset > logEnd {
			return Slice{}, nil, fmt.Errorf("read %s at %d, have %d to %d: %w", l.id, offset, start, logEnd, ErrOffsetOutOfRange)
		} else if offset == logEnd || offset >= end {
			return Slice{}, nil, nil
		}
		if err := l.use(); err != nil {
			return Slice{}, nil, err
		}
		slice, err = l.read(offset, maxBytes, end, atLeastOne)
		if committed && err == nil && slice.Bytes > 0 {
			aborted, err = l.aborted(offset, end)
		}
		l.leave()
		disturbed := cuts != l.cuts.Load()
		if !disturbed && err == nil {
			return slice, aborted, nil
		}
		slice.Release()
		if !disturbed {
			return Slice{}, nil, l.readError(fmt.Errorf("read %s at %d: %w", l.id, offset, err))
		}
		// Segments went away meanwhile: what was found may be wrong, and files may have been missed. Each repetition has a removal behind it, which takes much
		// longer than a read, so that there are few.
	}
}

// readError is what a reader is told: of a log that was closed or deleted meanwhile no more than that, since its files are on their way out.
func (l *Log) readError(err error) error {
	if err != nil && l.ended() {
		return fmt.Errorf("read %s: %w", l.id, ErrClosed)
	}
	return err
}

func (l *Log) read(offset, maxBytes, end int64, atLeastOne bool) (Slice, error) {
	v := l.view.Load()
	if v == nil {
		return Slice{}, nil
	}
	for i := v.floor(offset); i < len(v.segments); i++ {
		slice, ok, err := v.segments[i].Read(offset, maxBytes, end, atLeastOne)
		if err != nil {
			return Slice{}, err
		}
		if ok {
			slice.More = slice.More || i+1 < len(v.segments) && v.segments[i+1].Base() < end
			return slice, nil
		}
	}
	return Slice{}, nil
}

// LatestEpoch is the last leader epoch that the log knows.
func (l *Log) LatestEpoch() (LeaderEpoch, bool) {
	l.enter(inside)
	defer l.leave()
	if r := l.rest.Load(); r != nil {
		return LeaderEpoch(r.Epoch), r.Epoch >= 0
	}
	return l.latestAwake()
}

// latestAwake is LatestEpoch of a log that does not rest.
func (l *Log) latestAwake() (LeaderEpoch, bool) {
	c := l.epochs.Load()
	if c == nil {
		return epoch.None, false
	}
	e, ok := c.Latest()
	return LeaderEpoch(e), ok
}

// EndOffsetFor answers OffsetForLeaderEpoch: the largest known epoch <= e and where the next one begins; for the latest epoch the
// log end; (-1, -1) for one above it or -1; for one below all known ones itself and the first known start (KIP-279).
func (l *Log) EndOffsetFor(e LeaderEpoch) (LeaderEpoch, int64) {
	if r := l.rest.Load(); r != nil && e >= 0 && LeaderEpoch(r.Epoch) == e {
		return e, r.End // what followers ask after a start, of every log: none needs to be opened for it. The log may be awake by now, and longer
	}
	if l.use() == nil { // what is refused knows no epochs
		defer l.leave()
	}
	end := l.LogEnd() // before the epochs: an epoch that begins meanwhile begins at or above it
	c := l.epochs.Load()
	if c == nil {
		return epoch.None, epoch.None
	}
	got, offset := c.EndOffset(int32(e), end)
	return LeaderEpoch(got), offset
}

// EpochAt is the leader epoch of the record at offset.
func (l *Log) EpochAt(offset int64) (LeaderEpoch, bool) {
	if l.use() == nil {
		defer l.leave()
	}
	c := l.epochs.Load()
	if c == nil {
		return epoch.None, false
	}
	e, ok := c.At(offset)
	return LeaderEpoch(e), ok
}

// Epochs lists all leader epochs, for tools and tests.
func (l *Log) Epochs() []epoch.Entry {
	if l.use() == nil {
		defer l.leave()
	}
	if c := l.epochs.Load(); c != nil {
		return append([]epoch.Entry(nil), c.Entries()...)
	}
	return nil
}

// changeEpochsLocked replaces the epochs by what change makes of a copy; change says whether it did anything.
func (l *Log) changeEpochsLocked(change func(c *epoch.Cache) bool) {
	var next epoch.Cache
	if c := l.epochs.Load(); c != nil {
		next = *c
	}
	if change(&next) {
		l.epochs.Store(&next)
		l.mu.newEpochs = true
	}
}

// found is the answer of a search: a record's offset and timestamp and the leader epoch of its batch. All are -1 for none.
type found struct {
	Offset, Timestamp int64
	Epoch             LeaderEpoch
}

var notFound = found{-1, -1, -1}

// OffsetForTimestamp finds the first record whose timestamp is at least ts. ok is false when there is none below end; a timestamp
// of a batch with log append time is that of the batch.
func (l *Log) OffsetForTimestamp(ts, end int64) (offset, timestamp int64, epoch LeaderEpoch, ok bool, err error) {
	if err := l.use(); err != nil {
		return -1, -1, -1, false, err
	}
	defer l.leave()
	f, err := undisturbed(l, func() (found, error) { return l.searchTime(ts, end) })
	return f.Offset, f.Timestamp, f.Epoch, f != notFound && err == nil, err
}

// undisturbed repeats a search while segments are removed under it, as a read does.
func undisturbed[T any](l *Log, search func() (T, error)) (T, error) {
	for {
		cuts := l.cuts.Load()
		found, err := search()
		if cuts == l.cuts.Load() {
			return found, l.readError(err)
		}
	}
}

func (l *Log) searchTime(ts, end int64) (found, error) {
	start := l.LogStart()
	for _, s := range l.segments() {
		if s.End() <= start {
			continue
		}
		largest, err := s.MaxTimestamp()
		if err != nil {
			return notFound, fmt.Errorf("search %s for timestamp %d: %w", l.id, ts, err)
		}
		if largest < ts {
			continue
		}
		r, b, err := firstAt(s, ts, start)
		if err != nil {
			return notFound, fmt.Errorf("search %s for timestamp %d: %w", l.id, ts, err)
		}
		if b == nil {
			continue
		}
		if r.Offset >= end {
			break
		}
		return found{r.Offset, r.Timestamp, LeaderEpoch(b.LeaderEpoch())}, nil
	}
	return notFound, nil
}

// firstAt finds the first record of a segment, not below start, with a timestamp of at least ts. The batch is nil when there is none.
func firstAt(s *segment.Segment, ts, start int64) (record.Record, record.Batch, error) {
	pos, ok, err := s.FindTime(ts, start)
	for ok && err == nil {
		var b record.Batch
		if b, pos, ok, err = s.Batch(pos); !ok || err != nil {
			break
		}
		if b.MaxTimestamp() < ts {
			continue
		}
		for r, err := range b.Records(maxSearchBytes) {
			if err != nil {
				return record.Record{}, nil, fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
			}
			if r.Timestamp >= ts && r.Offset >= start {
				return record.Record{Offset: r.Offset, Timestamp: r.Timestamp}, b, nil
			}
		}
	}
	return record.Record{}, nil, err
}

// maxSearchBytes bounds what one batch may decompress to in a search. The batch was accepted under the topic's own, smaller limit.
const maxSearchBytes = 1 << 30

// MaxTimestamp finds the first record with the largest timestamp; ok is false for an empty log or if it is not below end.
func (l *Log) MaxTimestamp(end int64) (offset, timestamp int64, epoch LeaderEpoch, ok bool, err error) {
	if err := l.use(); err != nil {
		return -1, -1, -1, false, err
	}
	defer l.leave()
	f, err := undisturbed(l, func() (found, error) {
		largest := int64(segment.NoTimestamp)
		for _, s := range l.segments() {
			ts, err := s.MaxTimestamp()
			if err != nil {
				return notFound, fmt.Errorf("search %s for its largest timestamp: %w", l.id, err)
			}
			largest = max(largest, ts)
		}
		if largest < 0 {
			return notFound, nil
		}
		f, err := l.searchTime(largest, all)
		if f == notFound && err == nil {
			// A batch that compaction emptied keeps its timestamp, and records below the log start are not served.
			if largest, err = l.largestServed(); err == nil && largest >= 0 {
				f, err = l.searchTime(largest, all)
			}
		}
		if f.Offset >= end {
			f = notFound
		}
		return f, err
	})
	return f.Offset, f.Timestamp, f.Epoch, f != notFound && err == nil, err
}

// largestServed is the largest timestamp of the batches that hold records and end at or above the log start. It walks all headers.
func (l *Log) largestServed() (int64, error) {
	largest, start := int64(segment.NoTimestamp), l.LogStart()
	for _, s := range l.segments() {
		err := s.Headers(max(start, s.Base()), func(b record.Batch, _ int64) bool {
			if b.Count() > 0 && b.LastOffset() >= start {
				largest = max(largest, b.MaxTimestamp())
			}
			return true
		})
		if err != nil {
			return largest, fmt.Errorf("search %s for its largest timestamp: %w", l.id, err)
		}
	}
	return largest, nil
}

// LastStable is the LSO for a high watermark: the start of the first transaction that is open or whose marker is not below it.
func (l *Log) LastStable(highWatermark int64) int64 {
	if !l.unstable.Load() {
		return highWatermark
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if first, ok := l.mu.producers.FirstUnstable(highWatermark); ok {
		return min(highWatermark, first)
	}
	l.unstable.Store(false)
	return highWatermark
}

// AbortedTxn is one aborted transaction: its producer and the offset of its first record.
type AbortedTxn struct{ ProducerID, First int64 }

// aborted lists the aborted transactions that overlap [from, to).
func (l *Log) aborted(from, to int64) ([]AbortedTxn, error) {
	v := l.view.Load()
	if v == nil {
		return nil, nil
	}
	var out []AbortedTxn
	for i := v.floor(from); i < len(v.segments); i++ {
		found, more, err := v.segments[i].Aborted(from, to)
		if err != nil {
			return nil, fmt.Errorf("list aborted transactions of %s: %w", l.id, err)
		}
		for _, a := range found {
			out = append(out, AbortedTxn{a.ProducerID, a.First})
		}
		if !more {
			break
		}
	}
	return out, nil
}
