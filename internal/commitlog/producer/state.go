package producer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/moldau/moldau/internal/record"
)

// Answers of Check.
var (
	ErrOutOfOrderSequence = errors.New("out of order sequence number")
	ErrInvalidEpoch       = errors.New("producer epoch is older than the last seen")
	ErrInvalidTxnState    = errors.New("expected a transactional write")
	ErrCoordinatorFenced  = errors.New("transaction coordinator epoch is older than the last seen")
)

// txn is a transaction that is open, or decided by a marker that the high watermark has not passed.
type txn struct {
	producerID  int64
	first, last int64 // last is the marker's offset once it is decided
}

// State is what a log knows of its producers. The zero value is empty and ready.
type State struct {
	entries map[int64]*entry
	open    []txn // by first offset
	decided []txn // by first offset
}

// Empty says whether nothing is known, so that Check has nothing to say.
func (s *State) Empty() bool { return len(s.entries) == 0 && len(s.open) == 0 && len(s.decided) == 0 }

// Clone returns a copy that shares nothing with s.
func (s *State) Clone() *State {
	c := &State{open: slices.Clone(s.open), decided: slices.Clone(s.decided)}
	if s.entries != nil {
		c.entries = make(map[int64]*entry, len(s.entries))
		for id, e := range s.entries {
			same := *e
			c.entries[id] = &same
		}
	}
	return c
}

// Learn takes over the producers that s does not know and o does, whose last batch lies below an offset. It says whether there were any.
func (s *State) Learn(o *State, below int64) (any bool) {
	for id, e := range o.entries {
		if b, ok := e.last(); s.entries[id] != nil || ok && b.lastOffset >= below {
			continue
		}
		any = true
		*s.entry(id) = *e
	}
	return any
}

// Knows says whether s knows every producer that o knows.
func (s *State) Knows(o *State) bool {
	for id := range o.entries {
		if s.entries[id] == nil {
			return false
		}
	}
	return true
}

// KnowsID says whether s knows a producer.
func (s *State) KnowsID(id int64) bool { return s.entries[id] != nil }

// Len is the number of producer ids.
func (s *State) Len() int { return len(s.entries) }

// Duplicate is the batch that a repeated one equals.
type Duplicate struct{ First, Last, Timestamp int64 }

// Check tells whether a leader may append b, which has a producer id; first is the offset that it would get. A batch that is exactly one
// of the last five is a duplicate.
func (s *State) Check(b record.Batch, first int64) (dup Duplicate, isDup bool, err error) {
	id, epoch := b.ProducerID(), b.ProducerEpoch()
	e := s.entries[id]
	if e == nil {
		return Duplicate{}, false, nil
	}
	if b.IsControl() {
		return Duplicate{}, false, s.checkMarker(e, b, first)
	}
	if d, ok := e.duplicate(epoch, b.BaseSequence(), b.LastSequence()); ok {
		return Duplicate{d.firstOffset(), d.lastOffset, d.timestamp}, true, nil
	}
	if err := e.checkEpoch(id, epoch, first); err != nil {
		return Duplicate{}, false, err
	}
	if err := e.checkSequence(id, epoch, b.BaseSequence(), first); err != nil {
		return Duplicate{}, false, err
	}
	if e.txnFirst != None && !b.IsTransactional() {
		return Duplicate{}, false, fmt.Errorf("%w from producer %d at offset %d", ErrInvalidTxnState, id, first)
	}
	return Duplicate{}, false, nil
}

func (e *entry) checkEpoch(id int64, epoch int16, offset int64) error {
	if epoch < e.epoch {
		return fmt.Errorf("%w: epoch of producer %d at offset %d is %d, which is smaller than the last seen epoch %d",
			ErrInvalidEpoch, id, offset, epoch, e.epoch)
	}
	return nil
}

func (e *entry) checkSequence(id int64, epoch int16, seq int32, offset int64) error {
	if epoch != e.epoch {
		if seq != 0 && e.epoch != None {
			return fmt.Errorf("%w: new epoch %d of producer %d at offset %d begins with sequence %d, its epoch was %d",
				ErrOutOfOrderSequence, epoch, id, offset, seq, e.epoch)
		}
		return nil
	}
	last := e.lastSeq()
	if int64(seq) == int64(last)+1 || seq == 0 && last == math.MaxInt32 {
		return nil
	}
	return fmt.Errorf("%w: producer %d at offset %d: %d (incoming seq. number), %d (current end sequence number)",
		ErrOutOfOrderSequence, id, offset, seq, last)
}

func (s *State) checkMarker(e *entry, b record.Batch, offset int64) error {
	if err := e.checkEpoch(b.ProducerID(), b.ProducerEpoch(), offset); err != nil {
		return err
	}
	if m, ok := parseMarker(b); ok && m.coordinatorEpoch < e.coordinatorEpoch {
		return fmt.Errorf("%w: producer %d at offset %d: %d (zombie), %d (current)", ErrCoordinatorFenced, b.ProducerID(), offset,
			m.coordinatorEpoch, e.coordinatorEpoch)
	}
	return nil
}

// Aborted is a transaction that a marker just aborted.
type Aborted struct{ ProducerID, First, Last, LastStable int64 }

// Update enters a batch that was appended: its header, or the whole of it if it is a control batch. It tells when the batch
// aborts a transaction.
func (s *State) Update(b record.Batch) (aborted Aborted, isAborted bool) {
	id := b.ProducerID()
	if id < 0 {
		return Aborted{}, false
	}
	if b.IsControl() {
		return s.updateMarker(id, b)
	}
	e := s.entry(id)
	e.setEpoch(b.ProducerEpoch())
	e.add(batch{lastSeq: b.LastSequence(), delta: b.LastOffsetDelta(), lastOffset: b.LastOffset(), timestamp: b.MaxTimestamp()})
	e.timestamp, e.seen = b.MaxTimestamp(), 0
	if e.txnFirst == None && b.IsTransactional() {
		e.txnFirst = b.BaseOffset()
		insert(&s.open, txn{producerID: id, first: b.BaseOffset()})
	}
	return Aborted{}, false
}

func (s *State) entry(id int64) *entry {
	e := s.entries[id]
	if e == nil {
		if s.entries == nil {
			s.entries = make(map[int64]*entry)
		}
		e = newEntry()
		s.entries[id] = e
	}
	return e
}

func (s *State) updateMarker(id int64, b record.Batch) (aborted Aborted, isAborted bool) {
	m, ok := parseMarker(b)
	if !ok { // emptied by compaction: the whole transaction is gone
		return Aborted{}, false
	}
	e := s.entry(id)
	first := e.txnFirst
	e.setEpoch(b.ProducerEpoch())
	e.coordinatorEpoch, e.timestamp, e.seen, e.txnFirst = m.coordinatorEpoch, m.timestamp, 0, None
	if first == None {
		return Aborted{}, false
	}
	last := b.LastOffset()
	stable := last + 1
	for _, t := range s.open {
		if t.producerID != id {
			stable = t.first
			break
		}
	}
	if i := slices.IndexFunc(s.open, func(t txn) bool { return t.first == first && t.producerID == id }); i >= 0 {
		s.open = slices.Delete(s.open, i, i+1)
		insert(&s.decided, txn{id, first, last})
	}
	return Aborted{id, first, last, stable}, !m.commit
}

func insert(txns *[]txn, t txn) {
	at := sort.Search(len(*txns), func(i int) bool { return (*txns)[i].first > t.first })
	*txns = slices.Insert(*txns, at, t)
}

// FirstUnstable returns the first offset of a transaction that is open, or whose marker is not below highWatermark; ok is false when
// there is none. Decided ones below are forgotten.
func (s *State) FirstUnstable(highWatermark int64) (offset int64, ok bool) {
	s.decided = slices.DeleteFunc(s.decided, func(t txn) bool { return t.last < highWatermark })
	offset = math.MaxInt64
	if len(s.open) > 0 {
		offset = s.open[0].first
	}
	if len(s.decided) > 0 {
		offset = min(offset, s.decided[0].first)
	}
	return offset, offset != math.MaxInt64
}

// Stable says that there is no transaction which FirstUnstable would have to know of, for any high watermark.
func (s *State) Stable() bool { return len(s.open)+len(s.decided) == 0 }

// Expire forgets the producers that were silent since before and have no open transaction. Timestamps are the clients', and who copies old records is not silent: what came since
// the last call came now.
func (s *State) Expire(before, now int64) {
	for id, e := range s.entries {
		if e.seen == 0 {
			e.seen = now
		}
		if e.txnFirst == None && max(e.timestamp, e.seen) <= before {
			delete(s.entries, id)
		}
	}
	if len(s.entries) == 0 {
		s.entries = nil // a map keeps its size for ever
	}
}

// Past is what no file says of a state without transactions: when its producers were last heard of, as Expire has it.
type Past struct{ heard []heard }

type heard struct{ id, at int64 }

// Past lists all producers, for Restore.
func (s *State) Past(now int64) *Past {
	p := &Past{make([]heard, 0, len(s.entries))}
	for id, e := range s.entries {
		at := e.seen
		if at == 0 {
			at = now
		}
		p.heard = append(p.heard, heard{id, at})
	}
	return p
}

// Restore makes a state that was read anew what it was in the past: who had been forgotten does not come back, who was silent has been so since then, and no
// transaction waits for the high watermark.
func (s *State) Restore(p *Past) {
	var known map[int64]*entry
	for _, h := range p.heard {
		if e := s.entries[h.id]; e != nil {
			if known == nil {
				known = make(map[int64]*entry, len(p.heard))
			}
			e.seen, known[h.id] = h.at, e
		}
	}
	s.entries, s.decided = known, nil
}

// Clear forgets all.
func (s *State) Clear() { *s = State{} }

// marker is the content of a control record that ends a transaction.
type marker struct {
	commit           bool
	coordinatorEpoch int32
	timestamp        int64
}

// parseMarker reads the first record of a control batch: key version (2 bytes) and type (2 bytes: 0 abort, 1 commit), value
// version (2) and coordinator epoch (4).
func parseMarker(b record.Batch) (marker, bool) {
	if b.Count() == 0 {
		return marker{}, false
	}
	for r, err := range b.Records(1 << 10) {
		if err != nil || len(r.Key) < 4 || len(r.Value) < 6 {
			return marker{}, false
		}
		kind := int16(uint16(r.Key[2])<<8 | uint16(r.Key[3]))
		v := r.Value[2:6]
		epoch := int32(uint32(v[0])<<24 | uint32(v[1])<<16 | uint32(v[2])<<8 | uint32(v[3]))
		return marker{kind == 1, epoch, r.Timestamp}, kind == 0 || kind == 1
	}
	return marker{}, false
}

// LastBatches shows of each producer the last offset of its newest batch of records in the present epoch, -1 if none is remembered, and
// the epoch.
func (s *State) LastBatches(each func(id, offset int64, epoch int16)) {
	for id, e := range s.entries {
		offset := int64(None)
		if b, ok := e.last(); ok {
			offset = b.lastOffset
		}
		each(id, offset, e.epoch)
	}
}

// Active is what is known of one producer, for those who describe it. LastSeq, CoordinatorEpoch and TxnStart are None where there is none.
type Active struct {
	ID               int64
	Epoch            int16
	LastSeq          int32
	Timestamp        int64 // of its last batch or marker
	CoordinatorEpoch int32
	TxnStart         int64 // first offset of the open transaction
}

// Active lists the producers by id.
func (s *State) Active() []Active {
	all := make([]Active, 0, len(s.entries))
	for id, e := range s.entries {
		all = append(all, Active{id, e.epoch, e.lastSeq(), e.timestamp, e.coordinatorEpoch, e.txnFirst})
	}
	slices.SortFunc(all, func(a, b Active) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
