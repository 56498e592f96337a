package commitlog

import (
	"errors"
	"fmt"
	"time"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// AppendInfo answers an append.
type AppendInfo struct {
	First, Last int64       // offsets of the batch; of the original for a duplicate
	LogStart    int64       // log start offset, for the produce response
	Timestamp   int64       // max timestamp of the batch; of the original for a duplicate
	Epoch       LeaderEpoch // of the leader that took it; for who waits that it is committed
	Duplicate   bool        // the producer had sent exactly this batch before; nothing was appended
}

// Append appends one validated batch as leader of epoch: it checks the producer's state, then stamps base offset and leader
// epoch into b and writes it with one call. Control batches skip the sequence check.
func (l *Log) Append(b record.Batch, epoch LeaderEpoch) (AppendInfo, error) {
	cfg := l.config.Load()
	if int64(len(b)) > cfg.SegmentBytes && !cfg.Reserved { // what a broker writes itself goes into a segment of its own then
		return AppendInfo{}, fmt.Errorf("append %d bytes to %s: %w of %d", len(b), l.id, ErrTooLargeForSegment, cfg.SegmentBytes)
	}
	if err := l.env.admit(cfg); err != nil {
		return AppendInfo{}, err
	}
	if err := l.use(); err != nil {
		return AppendInfo{}, err
	}
	defer l.leave()
	for {
		l.mu.Lock()
		info, err := l.appendLocked(b, epoch, cfg)
		if err != nil || info.Duplicate {
			l.mu.Unlock()
			if err == errNamesFirst {
				if err = l.syncNames(); err == nil {
					continue
				}
			}
			return info, err
		}
		todo := l.announceLocked(cfg)
		l.mu.Unlock()
		return info, l.afterAppend(cfg, todo)
	}
}

func (l *Log) appendLocked(b record.Batch, epoch LeaderEpoch, cfg *Config) (AppendInfo, error) {
	if l.mu.state == closed {
		return AppendInfo{}, ErrClosed
	}
	if latest, ok := l.LatestEpoch(); ok && epoch < latest {
		return AppendInfo{}, fmt.Errorf("append to %s in epoch %d, last was %d: %w", l.id, epoch, latest, ErrStaleLeaderEpoch)
	}
	first := l.marks.logEnd.Load()
	info := AppendInfo{First: first, Last: first + int64(b.LastOffsetDelta()), LogStart: l.marks.logStart.Load(), Timestamp: b.MaxTimestamp()}
	if b.HasProducerID() {
		dup, isDup, err := l.mu.producers.Check(b, first)
		if errors.Is(err, ErrOutOfOrderSequence) {
			if r := l.mu.producers.Recall(b.ProducerID()); r != nil {
				if err := l.recallLocked(r); err != nil {
					return AppendInfo{}, err
				}
				dup, isDup, err = l.mu.producers.Check(b, first)
			}
		}
		if err != nil {
			return AppendInfo{}, fmt.Errorf("append to %s: %w", l.id, err)
		}
		if isDup {
			return AppendInfo{First: dup.First, Last: dup.Last, LogStart: info.LogStart, Timestamp: dup.Timestamp, Duplicate: true}, nil
		}
	}
	b.SetBaseOffset(first)
	b.SetLeaderEpoch(int32(epoch))
	return info, l.writeLocked(b, b, int64(len(b)), cfg)
}

// writeLocked writes a run of batches that goes into one segment; last is the last of them. It rolls before if need be.
func (l *Log) writeLocked(run []byte, last record.Batch, size int64, cfg *Config) error {
	first := record.Batch(run)
	active, err := l.activeFor(first, last, size, cfg)
	if err == errNamesFirst {
		return err
	}
	if err != nil {
		return l.env.fail(fmt.Errorf("roll %s: %w", l.id, err))
	}
	limits := cfg.limits()
	limits.Ahead = l.env.ahead()
	if err := active.Append(run, limits); err != nil {
		return l.env.fail(fmt.Errorf("append to %s: %w", active.Path(), err))
	}
	for rest := run; len(rest) > 0; {
		n := segment.Length(rest)
		l.appendedLocked(record.Batch(rest[:n]), active)
		rest = rest[n:]
	}
	l.marks.size.Add(size)
	l.marks.written.Add(size)
	l.env.took(size)
	l.mu.sinceDerived += size
	l.marks.logEnd.Store(last.LastOffset() + 1)
	return nil
}

// appendedLocked enters a batch that is in the file into the epochs and producers.
func (l *Log) appendedLocked(b record.Batch, active *segment.Segment) {
	l.assignEpochLocked(b.LeaderEpoch(), max(b.BaseOffset(), l.marks.logStart.Load()))
	if !b.HasProducerID() {
		return
	}
	if a, ok := l.mu.producers.Update(b); ok {
		active.NoteAborted(segment.Aborted(a))
	}
	if b.IsTransactional() {
		l.unstable.Store(true)
	}
}

func (l *Log) assignEpochLocked(e int32, start int64) {
	if latest, ok := l.LatestEpoch(); ok && int32(latest) >= e {
		return
	}
	l.changeEpochsLocked(func(c *epoch.Cache) bool { return c.Assign(e, start) })
}

// activeFor returns the segment that takes the batches from first to last, a new one if the active one is full, old, or its indexes
// are. The rules are Kafka's.
func (l *Log) activeFor(first, last record.Batch, size int64, cfg *Config) (*segment.Segment, error) {
	v := l.view.Load()
	if v == nil { // the first segment is named after the log start, so that this is known to the next start
		base := l.marks.logEnd.Load()
		if last.LastOffset()-base > maxRelative {
			base = first.BaseOffset()
		}
		return l.rollLocked(base, cfg)
	}
	s := v.active()
	have := s.Size()
	full := have > cfg.SegmentBytes-size || s.IndexFull(cfg.SegmentIndexBytes) || !s.Fits(last.LastOffset())
	if !full && have > 0 {
		old, err := l.oldLocked(s, last.MaxTimestamp(), cfg)
		if err != nil {
			return nil, err
		}
		full = old
	}
	if have == 0 && s.Fits(last.LastOffset()) {
		return s, nil // a batch goes into an empty segment whatever the limits say
	}
	if full {
		base := l.marks.logEnd.Load()
		if last.LastOffset()-base > maxRelative {
			base = first.BaseOffset() // Kafka's name; the log end is as good, and keeps the names without gaps
		}
		return l.rollLocked(base, cfg)
	}
	if s.IndexesWait() {
		if err := s.WriteIndexes(false); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// oldLocked says whether the span of timestamps in the segment has reached segment.ms; without timestamps its age counts.
func (l *Log) oldLocked(s *segment.Segment, ts int64, cfg *Config) (bool, error) {
	limit := cfg.rollAge() - l.mu.jitter
	age, ok, err := s.Age(ts)
	if err != nil {
		return false, err
	}
	if ok {
		return age > limit.Milliseconds(), nil
	}
	return l.env.Clock.Now().Sub(l.mu.created) > limit, nil
}

// followUp is what an append leaves to be done without the lock.
type followUp struct {
	notify  bool // tell the committer
	derive  bool // a roll left work
	segment *segment.Segment
}

func (l *Log) announceLocked(cfg *Config) followUp {
	todo := followUp{derive: l.mu.derive, segment: l.view.Load().active()}
	l.mu.derive = false
	if cfg.FlushInterval > 0 && l.mu.dirtySince.IsZero() {
		l.mu.dirtySince = l.env.Clock.Now()
	}
	if cfg.Durable && !l.mu.notified && l.env.Committer != nil {
		l.mu.notified, todo.notify = true, true
	}
	return todo
}

func (l *Log) afterAppend(cfg *Config, todo followUp) error {
	if todo.notify {
		l.env.Committer.Dirty(l)
	}
	if todo.derive {
		l.env.background(0, l.derive)
	}
	todo.segment.WriteBack()
	if n := cfg.FlushMessages; n > 0 && l.LogEnd()-l.RecoveryPoint() >= n {
		// Kafka flushes in the append too, and answers after it.
		_, err := l.SyncFiles()
		return err
	}
	return nil
}

// FlushDue says that records have been unflushed for longer than the topic's flush.ms.
func (l *Log) FlushDue(now time.Time) bool {
	every := l.config.Load().FlushInterval
	if every <= 0 || l.UnflushedBytes() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.mu.dirtySince.IsZero() && now.Sub(l.mu.dirtySince) >= every
}

// AppendReplica appends batches as a follower: offsets and epochs as they come, CRCs checked, sequences not. A batch that begins
// below the log end is ErrUnexpectedOffset, unless the log is empty. Batches before a failing one stay appended; the result
// covers them. First is -1 if there are none.
func (l *Log) AppendReplica(batches []byte) (AppendInfo, error) {
	cfg := l.config.Load()
	if err := l.env.admit(cfg); err != nil {
		return AppendInfo{First: -1, Last: -1}, err
	}
	if err := l.use(); err != nil {
		return AppendInfo{First: -1, Last: -1}, err
	}
	defer l.leave()
	info := AppendInfo{First: -1, Last: -1, Timestamp: record.NoTimestamp, LogStart: l.LogStart()}
	for {
		l.mu.Lock()
		before := info.Last
		rest, err := l.appendReplicaLocked(&info, batches, cfg)
		if info.Last == before {
			l.mu.Unlock()
		} else {
			todo := l.announceLocked(cfg)
			l.mu.Unlock()
			if afterErr := l.afterAppend(cfg, todo); afterErr != nil {
				err = afterErr
			}
		}
		if err == errNamesFirst {
			err = l.syncNames()
		}
		if batches = rest; err != nil || len(batches) == 0 {
			return info, err
		}
	}
}

// appendReplicaLocked appends run by run and returns what is left after an error.
func (l *Log) appendReplicaLocked(info *AppendInfo, batches []byte, cfg *Config) (rest []byte, err error) {
	if l.mu.state == closed {
		return batches, ErrClosed
	}
	for len(batches) > 0 {
		run, last, rest, runErr := l.replicaRun(batches, cfg)
		if len(run) > 0 {
			first := record.Batch(run).BaseOffset()
			if err := l.writeLocked(run, last, int64(len(run)), cfg); err != nil {
				return batches, err
			}
			if info.First < 0 {
				info.First = first
			}
			info.Last, info.Timestamp = last.LastOffset(), max(info.Timestamp, last.MaxTimestamp())
		}
		if runErr != nil {
			return rest, runErr
		}
		batches = rest
	}
	return nil, nil
}

// replicaRun returns the batches at the start of b that go into one segment together. An error concerns the batch behind them.
func (l *Log) replicaRun(b []byte, cfg *Config) (run []byte, last record.Batch, rest []byte, err error) {
	end := l.marks.logEnd.Load()
	empty := l.marks.size.Load() == 0 || end == l.marks.logStart.Load()
	have, base := int64(0), int64(-1)
	if v := l.view.Load(); v != nil {
		have, base = v.active().Size(), v.active().Base()
	}
	rest = b
	for len(rest) > 0 {
		next, behind, err := record.Next(rest)
		if err == nil {
			err = next.CheckCRC()
		}
		if err == nil && next.BaseOffset() < end && !(empty && next.LastOffset() >= end) {
			err = fmt.Errorf("%w: batch %d to %d, log end %d", ErrUnexpectedOffset, next.BaseOffset(), next.LastOffset(), end)
		}
		if err == nil && next.LastOffset() < next.BaseOffset() {
			err = fmt.Errorf("%w: batch %d to %d", ErrCorrupt, next.BaseOffset(), next.LastOffset())
		}
		if err != nil {
			if errors.Is(err, record.ErrCorrupt) {
				err = fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			return b[:len(b)-len(rest)], last, rest, fmt.Errorf("append replicated batch to %s: %w", l.id, err)
		}
		taken := int64(len(b) - len(rest))
		if taken > 0 && (have+taken+int64(len(next)) > cfg.SegmentBytes || taken+int64(len(next)) > cfg.SegmentBytes ||
			base >= 0 && next.LastOffset()-base > maxRelative || next.LastOffset()-record.Batch(b).BaseOffset() > maxRelative) {
			break
		}
		last, rest, end, empty = next, behind, next.LastOffset()+1, false
	}
	return b[:len(b)-len(rest)], last, rest, nil
}

// maxRelative is the largest distance of an offset from its segment's base.
const maxRelative = 1<<31 - 1
