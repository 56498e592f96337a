package compact

import "github.com/moldau/moldau/internal/record"

// MaxBytes bounds what one batch may decompress to. It was accepted under the topic's own, smaller limit.
const MaxBytes = 1 << 30

// Last is what a log knows of the end of a producer: the last offset of its newest batch of records, -1 if it remembers none of its
// epoch.
type Last struct {
	Offset int64
	Epoch  int16
}

// Map enters the keys of records from offset from on, in the order of the log, until the map is full. It is one walk.
type Map struct {
	Keys   *Keys
	From   int64
	Mapped int64 // everything up to and including this offset is in Keys

	txns *transactions
	w    record.Rewriter
}

// NewMap returns a walk that begins at from; aborted are the transactions that overlap what it will see.
func NewMap(keys *Keys, from int64, aborted []Aborted) *Map {
	return &Map{Keys: keys, From: from, Mapped: from - 1, txns: newTransactions(aborted)}
}

// Add takes the next batch. It is full, true, when a key found no room: what lies from there on is left to another pass.
func (m *Map) Add(b record.Batch) (full bool, err error) {
	if b.IsControl() {
		if _, _, err := marker(m.txns, &m.w, b); err != nil {
			return false, err
		}
	} else if !m.txns.data(b) {
		err := m.w.Each(b, MaxBytes, func(e record.Entry) bool {
			if e.Offset < m.From || e.Key == nil {
				return true
			}
			if !m.Keys.Put(e.Key, e.Offset) {
				full = true
				m.Mapped = max(m.Mapped, e.Offset-1)
			}
			return !full
		})
		if err != nil || full {
			return full, err
		}
	}
	m.Mapped = max(m.Mapped, b.LastOffset())
	return false, nil
}

// marker has the transactions take the next batch, which is a control batch.
func marker(t *transactions, w *record.Rewriter, b record.Batch) (idle bool, keep *Aborted, err error) {
	kind := emptyBatch
	err = w.Each(b, MaxBytes, func(e record.Entry) bool {
		kind = 1 << 16 // unknown: it stays
		if len(e.Key) >= 4 {
			kind = int(e.Key[2])<<8 | int(e.Key[3])
		}
		return false
	})
	if err != nil {
		return false, nil, err
	}
	idle, keep = t.marker(b, kind)
	return idle, keep, nil
}

// Filter decides what stays of each batch. Its rules are Kafka's.
//
//   - Of the records of a key the one with the largest offset stays; where that one is not in the map yet, all from the map's end on.
//   - A tombstone that stays gets a delete horizon, the batch's, and goes in a pass after that time.
//   - A record without a key goes.
//   - Records of aborted transactions go. A marker stays while a batch of its transaction is there; then it gets a horizon too.
//   - A batch of which nothing stays goes, unless it is the last of a producer that may go on, or the end of what is cleaned.
type Filter struct {
	Keys      *Keys
	Mapped    int64          // offsets above are not in Keys
	End       int64          // where what is cleaned ends
	Now       int64          // in milliseconds
	Horizon   int64          // the delete horizon to stamp, in milliseconds
	Producers map[int64]Last // what the log knows of its producers

	RecordsBefore, RecordsAfter int64
	Keyless                     int64 // records that went because they had no key

	// Newest says whether the record at offset is the newest of its key, whose largest known offset is newest. Nil: it is
	// unless a larger one is known. Tests put a mistake here.
	Newest func(offset, newest int64) bool

	txns *transactions
	w    record.Rewriter
}

// Begin starts the walk from the first batch of the log; aborted are the transactions that overlap what it will see.
func (f *Filter) Begin(aborted []Aborted) { f.txns = newTransactions(aborted) }

// Batch takes the next batch and returns what is left of it: b itself, something that is valid until the next call, or nil. keep is an
// entry for the list of aborted transactions.
func (f *Filter) Batch(b record.Batch) (out record.Batch, keep *Aborted, err error) {
	discard, idle := false, false
	if b.IsControl() {
		if idle, keep, err = marker(f.txns, &f.w, b); err != nil {
			return nil, nil, err
		}
		discard = idle && b.HasDeleteHorizon() && b.BaseTimestamp() <= f.Now
	} else {
		discard = f.txns.data(b)
	}
	kept, err := f.w.Keep(b, MaxBytes, f.Horizon, idle, func(e record.Entry) bool { return !discard && (b.IsControl() || f.stays(b, e)) })
	if err != nil {
		return nil, nil, err
	}
	f.RecordsBefore += int64(kept.Read)
	f.RecordsAfter += int64(kept.Records)
	switch {
	case kept.Batch != nil:
		return kept.Batch, keep, nil
	case f.lastOfProducer(b) || b.NextOffset() == f.End:
		if b.Count() == 0 {
			return b, keep, nil
		}
		return f.w.Empty(b), keep, nil
	}
	return nil, keep, nil
}

func (f *Filter) stays(b record.Batch, e record.Entry) bool {
	if e.Offset > f.Mapped {
		return true
	}
	if e.Key == nil {
		f.Keyless++
		return false
	}
	if newest, ok := f.Keys.Newest(e.Key); ok {
		is := e.Offset >= newest
		if f.Newest != nil {
			is = f.Newest(e.Offset, newest)
		}
		if !is {
			return false
		}
	}
	return !e.Tombstone || !b.HasDeleteHorizon() || f.Now < b.BaseTimestamp()
}

// lastOfProducer says whether the log needs the batch to know its producer: the last one with records, or, where it knows of none
// in this epoch, a marker of it.
func (f *Filter) lastOfProducer(b record.Batch) bool {
	if !b.HasProducerID() {
		return false
	}
	last, ok := f.Producers[b.ProducerID()]
	if !ok {
		return false
	}
	if last.Offset >= 0 {
		return b.LastOffset() == last.Offset
	}
	return b.IsControl() && b.ProducerEpoch() == last.Epoch
}
