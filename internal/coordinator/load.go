package coordinator

import (
	"fmt"
	"time"

	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/record"
)

// recordBytesMax bounds what one batch of the internal topic may decompress to.
const recordBytesMax = 1 << 30

// load makes a machine and replays the log into it, up to its end: what is not committed yet is decided all the same, since this
// replica leads. The answers wait for it.
func (s *shard) load() error {
	if !s.empty() {
		select {
		case s.c.loads <- struct{}{}:
			defer func() { <-s.c.loads }()
		case <-s.stop:
			return ErrNotCoordinator
		}
	}
	began := s.c.opts.Clock.Now()
	s.machine, s.parked = s.c.opts.Machine(s.index), map[*Call]struct{}{}
	r := replay{machine: s.machine}
	logStart, _, _, logEnd := s.partition.Offsets()
	offset := logStart
	for offset < logEnd {
		if s.stopped() {
			return ErrNotCoordinator
		}
		next, err := s.replayFrom(offset, &r)
		if err != nil {
			return fmt.Errorf("load partition %d at offset %d: %w", s.index, offset, err)
		}
		if next == offset {
			break
		}
		offset = next
	}
	s.logEnd = logEnd
	now := s.c.opts.Clock.Now()
	s.machine.Loaded(now, &s.out)
	s.collect(now)
	if s.c.opts.Loaded != nil {
		if err := s.tellFirst(s.c.opts.Loaded()); err != nil {
			return err
		}
	}
	s.enter(active)
	s.nudge()
	if r.records > 0 {
		s.c.opts.Log.Info("coordinator: loaded", "partition", s.index, "epoch", s.epoch, "records", r.records,
			"bytes", r.bytes, "took", s.c.opts.Clock.Now().Sub(began).Round(time.Microsecond))
	}
	return nil
}

// tellFirst puts a request before all that waits already.
func (s *shard) tellFirst(request any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.phase == ended {
		return ErrNotCoordinator
	}
	s.first = &Call{Request: request}
	s.mu.queue = append([]*Call{s.first}, s.mu.queue...)
	return nil
}

// replayFrom reads a run of batches and replays them; next is where the following one begins.
func (s *shard) replayFrom(offset int64, r *replay) (next int64, err error) {
	res, err := s.partition.Read(partition.ReadRequest{Offset: offset, MaxBytes: s.c.opts.LoadBytes, AtLeastOne: true,
		Isolation: partition.ReadAll, LeaderEpoch: s.epoch, LastFetchedEpoch: partition.NoEpoch})
	if err != nil {
		return offset, err
	}
	buf := r.buf[:0]
	if res.Slice.Bytes > 0 {
		buf, err = res.Slice.Span.AppendTo(buf)
	}
	res.Slice.Release()
	if err != nil {
		return offset, err
	}
	r.buf, r.bytes = buf, r.bytes+int64(len(buf))
	for next = offset; len(buf) > 0; {
		var b record.Batch
		if b, buf, err = record.Next(buf); err != nil {
			return next, err
		}
		if err := r.batch(b, offset); err != nil {
			return next, err
		}
		next = b.NextOffset()
	}
	return next, nil
}

// replay hands the records of a log to a machine. Those of a transaction wait for its end: a producer that was told that its
// transaction was aborted has written nothing.
type replay struct {
	machine Machine
	buf     []byte
	open    map[int64][]Record // by producer id
	records int
	bytes   int64
}

func (r *replay) batch(b record.Batch, from int64) error {
	if err := b.CheckCRC(); err != nil {
		return err
	}
	if b.IsControl() {
		return r.marker(b)
	}
	for rec, err := range b.Records(recordBytesMax) {
		switch {
		case err != nil:
			return err
		case rec.Offset < from: // the batch that holds the log start may begin below it
			continue
		case b.IsTransactional():
			if r.open == nil {
				r.open = map[int64][]Record{}
			}
			r.open[b.ProducerID()] = append(r.open[b.ProducerID()],
				Record{append([]byte(nil), rec.Key...), cloneValue(rec.Value), rec.Timestamp})
			continue
		}
		if err := r.one(Record{rec.Key, rec.Value, rec.Timestamp}); err != nil {
			return fmt.Errorf("record at offset %d: %w", rec.Offset, err)
		}
	}
	return nil
}

func (r *replay) one(rec Record) error {
	r.records++
	return r.machine.Replay(rec)
}

// cloneValue copies a value; a tombstone stays one.
func cloneValue(v []byte) []byte {
	if v == nil {
		return nil
	}
	return append([]byte{}, v...)
}

// marker ends a transaction: its records count if it was committed.
func (r *replay) marker(b record.Batch) error {
	committed := false
	for rec, err := range b.Records(recordBytesMax) {
		if err != nil {
			return err
		}
		// The key is a version and a type, 16 bits each; type 1 is commit.
		committed = len(rec.Key) >= 4 && rec.Key[2] == 0 && rec.Key[3] == 1
	}
	open := r.open[b.ProducerID()]
	delete(r.open, b.ProducerID())
	if !committed {
		return nil
	}
	for _, rec := range open {
		if err := r.one(rec); err != nil {
			return fmt.Errorf("record of the transaction that ends at offset %d: %w", b.BaseOffset(), err)
		}
	}
	return nil
}
