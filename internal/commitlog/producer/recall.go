package producer

import "github.com/moldau/moldau/internal/record"

// Recall completes a state that was read from a snapshot, which keeps only the last batch of each producer, by batches from before it.
// Without them a producer that had five batches in flight when the broker was killed would be told that the first of them are
// out of order, and would send them again as new ones.
type Recall struct {
	state   *State
	earlier map[int64][]batch
}

// NewRecall returns a Recall for s.
func NewRecall(s *State) *Recall { return &Recall{state: s, earlier: map[int64][]batch{}} }

// Add takes a batch of the log; they come in the order of the log.
func (r *Recall) Add(b record.Batch) {
	id := b.ProducerID()
	e := r.state.entries[id]
	if e == nil || b.IsControl() || b.ProducerEpoch() != e.epoch || e.n == 0 || e.n == retained {
		return
	}
	oldest := e.batches[(e.next+retained-e.n)%retained]
	if b.LastOffset() < oldest.firstOffset() {
		r.earlier[id] = append(r.earlier[id], batch{b.LastSequence(), b.LastOffsetDelta(), b.LastOffset(), b.MaxTimestamp()})
	}
}

// End puts what was added before what the state had, as far as the sequences join and there is room.
func (r *Recall) End() {
	for id, earlier := range r.earlier {
		e := r.state.entries[id]
		known := make([]batch, 0, retained)
		for i := e.n; i > 0; i-- {
			known = append(known, e.batches[(e.next+retained-i)%retained])
		}
		for k := len(earlier) - 1; k >= 0 && len(known) < retained; k-- {
			if record.AddSequence(earlier[k].lastSeq, 1) != known[0].firstSeq() {
				break
			}
			known = append([]batch{earlier[k]}, known...)
		}
		e.n, e.next = 0, 0
		for _, b := range known {
			e.add(b)
		}
	}
}
