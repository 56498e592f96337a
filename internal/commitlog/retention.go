package commitlog

import (
	"errors"
	"fmt"
	"github.com/moldau/moldau/internal/commitlog/producer"
	"time"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
)

// Deleted is how many segments DeleteOld removed, by reason. One that several reasons allow to go counts for the first of them.
type Deleted struct {
	BelowStart int // wholly below the log start
	BySize     int // the log was larger than retention.bytes without it
	ByAge      int // all of it was older than retention.ms
}

// Segments is how many went in all.
func (d Deleted) Segments() int { return d.BelowStart + d.BySize + d.ByAge }

// DeleteOld removes segments below the log start and, where the topic says so, by size and age; never at or above highWatermark. It
// returns how many went, and why.
//
// Age is that of the segment's largest timestamp, as in Kafka, with two guards against wrong clocks. A timestamp more than an hour
// ahead of now is not believed: the file's modification time counts in its place. And the active segment goes only if nothing was
// appended for as long as the retention, measured by the monotonic clock.
func (l *Log) DeleteOld(now time.Time, highWatermark int64) (Deleted, error) {
	if err := l.env.offline(); err != nil {
		return Deleted{}, err
	}
	if r := l.rest.Load(); r != nil && l.idleRest(r, now) {
		return Deleted{}, nil
	}
	if err := l.glance(); err != nil {
		return Deleted{}, err
	}
	defer l.leave()
	if l.view.Load() == nil {
		return Deleted{}, nil
	}
	defer l.kick()
	release := l.hold()
	defer func() { release() }()
	cfg := l.config.Load()
	old, err := l.countOld(cfg, now, highWatermark)
	n := old.Segments()
	if n == 0 || err != nil {
		return Deleted{}, err
	}
	if n == len(l.segments()) {
		if err := l.roll(); err != nil {
			return Deleted{}, err
		}
	}
	if err := l.giveUpUnseen(l.segments()[n].Base()); err != nil {
		return Deleted{}, err
	}
	if l.hasPending() {
		// What is known of the producers whose batches go must be on the disk before; where that has no room, space is worth more.
		release()
		_, err := l.derive()
		release = l.hold()
		if err != nil && (!errors.Is(err, ErrReadOnly) || errors.Is(err, ErrOffline)) {
			return Deleted{}, err
		}
		if old, err = l.countOld(cfg, now, highWatermark); err != nil || old.Segments() == 0 {
			return Deleted{}, err
		}
		if n = old.Segments(); n == len(l.segments()) {
			return Deleted{}, nil // it was appended to meanwhile, and is old already: the next call's
		}
	}
	if l.segments()[n-1].End() > l.RecoveryPoint() {
		// Should a crash bring one of them back it must be whole, or recovery would take what follows for the torn end.
		if err := l.syncHeld(); err != nil {
			return Deleted{}, err
		}
	}
	l.mu.Lock()
	if l.mu.state != present {
		l.mu.Unlock()
		return Deleted{}, nil
	}
	dropped := l.dropLocked(n)
	l.mu.Unlock()
	if err := l.discard(dropped); err != nil {
		return Deleted{}, l.env.fail(fmt.Errorf("retention of %s: %w", l.id, err))
	}
	return old, nil
}

// hasPending says whether snapshots of the producers wait to be written.
func (l *Log) hasPending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.pending) > 0
}

// countOld counts the segments that DeleteOld removes. It takes the lock only for a moment, since it may have to read indexes.
func (l *Log) countOld(cfg *Config, now time.Time, highWatermark int64) (old Deleted, err error) {
	l.mu.Lock()
	if end := l.marks.logEnd.Load(); l.mu.lastGrowth.at.IsZero() || l.mu.lastGrowth.end != end {
		l.mu.lastGrowth = growth{end, now}
	}
	idle := now.Sub(l.mu.lastGrowth.at)
	l.mu.Unlock()
	segments := l.segments()
	old.BelowStart = l.belowStart(segments)
	if !cfg.Delete {
		return old, nil
	}
	old.BySize = max(l.beyondSize(segments, cfg, highWatermark)-old.BelowStart, 0)
	aged, err := l.beyondAge(segments, cfg, now, idle, highWatermark)
	if err != nil {
		return Deleted{}, fmt.Errorf("retention of %s: %w", l.id, err)
	}
	old.ByAge = max(aged-old.Segments(), 0)
	return old, nil
}

// belowStart counts the segments that lie wholly below the log start. The active one is kept.
func (l *Log) belowStart(segments []*segment.Segment) (n int) {
	start := l.marks.logStart.Load()
	for n+1 < len(segments) && segments[n+1].Base() <= start {
		n++
	}
	return n
}

// beyondSize counts the oldest segments without which the log is still at least as large as retention.bytes.
func (l *Log) beyondSize(segments []*segment.Segment, cfg *Config, highWatermark int64) (n int) {
	excess := l.marks.size.Load() - cfg.RetentionBytes
	if cfg.RetentionBytes < 0 {
		return 0
	}
	for i, s := range segments {
		if s.End() > highWatermark || !passable(segments, i) || excess-s.Size() < 0 {
			break
		}
		if excess -= s.Size(); s.Size() > 0 {
			n = i + 1
		}
	}
	return n
}

// passable says whether retention may look at and beyond segment i: not at an empty active one. One that compaction emptied goes with
// the next that goes.
func passable(segments []*segment.Segment, i int) bool {
	return segments[i].Size() > 0 || i < len(segments)-1
}

// beyondAge counts the oldest segments whose records are all older than retention.ms.
func (l *Log) beyondAge(segments []*segment.Segment, cfg *Config, now time.Time, idle time.Duration, highWatermark int64) (n int, err error) {
	if cfg.RetentionAge < 0 {
		return 0, nil
	}
	for i, s := range segments {
		if s.End() > highWatermark || !passable(segments, i) || i == len(segments)-1 && idle < cfg.RetentionAge {
			break
		}
		if s.Size() == 0 {
			continue
		}
		newest, err := l.newest(s, now)
		if err != nil {
			return 0, err
		}
		if now.UnixMilli()-newest <= cfg.RetentionAge.Milliseconds() {
			break
		}
		n = i + 1
	}
	return n, nil
}

// newest is the time of the newest record of a segment, or what has to stand for it.
func (l *Log) newest(s *segment.Segment, now time.Time) (int64, error) {
	ts, err := s.MaxTimestamp()
	if err != nil {
		return 0, err
	}
	if ts >= 0 && ts <= now.Add(time.Hour).UnixMilli() {
		return ts, nil
	}
	info, err := l.env.FS.Stat(s.Path())
	if err != nil {
		return 0, err
	}
	return info.ModTime().UnixMilli(), nil
}

// dropLocked takes the first n segments out of view and raises the log start; the caller removes the files. The snapshots at their bases go too; they are harmless where
// they come back, since recovery uses none below the first segment.
func (l *Log) dropLocked(n int) []*segment.Segment {
	segments := l.segments()
	dropped, rest := segments[:n:n], segments[n:]
	first := rest[0].Base()
	l.advanceLocked(first) // before they go: who finds the new segments must not look below them
	l.cuts.Add(1)
	l.view.Store(&view{append([]*segment.Segment(nil), rest...)})
	l.cuts.Add(1) // a read that began in between, and has the old ones, must not believe that it misses their files
	size := int64(0)
	for _, s := range dropped {
		size += s.Size()
	}
	l.marks.size.Add(-size)
	if l.marks.recovery.Load() < first { // what is gone need not be synced
		l.marks.recovery.Store(first)
		l.marks.flushed.Store(l.marks.written.Load() - l.marks.size.Load())
	}
	if l.marks.synced.Load() < first {
		l.marks.synced.Store(first)
		l.marks.durable.Store(l.marks.written.Load() - l.marks.size.Load())
		l.mu.synced = mark{}
	}
	l.changeEpochsLocked(func(c *epoch.Cache) bool { return c.TruncateStart(l.marks.logStart.Load()) })
	for len(l.mu.snapshots) > 0 && l.mu.snapshots[0] < first {
		_ = l.env.FS.Remove(l.snapshotPath(l.mu.snapshots[0]))
		l.mu.snapshots = l.mu.snapshots[1:]
	}
	return dropped
}

// ExpireProducers forgets producer ids that were silent since before; it is to be called now and then. Those of a log that rests wait until it is open.
func (l *Log) ExpireProducers(before, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mu.producers.Empty() {
		l.mu.producers.Expire(before.UnixMilli(), now.UnixMilli())
	}
}

// Producers is the number of producer ids that the log remembers.
func (l *Log) Producers() int {
	if l.use() == nil { // what is refused knows none
		defer l.leave()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.producers.Len()
}

// KnowsProducer says whether the log remembers a producer id.
func (l *Log) KnowsProducer(id int64) bool {
	if l.use() == nil {
		defer l.leave()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.producers.KnowsID(id)
}

// ActiveProducers describes the producers that the log remembers, by id.
func (l *Log) ActiveProducers() []producer.Active {
	if l.use() == nil {
		defer l.leave()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.producers.Active()
}
