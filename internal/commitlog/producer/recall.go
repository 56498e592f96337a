package producer

import (
	"cmp"
	"slices"

	"github.com/moldau/moldau/internal/record"
)

// Recall looks for the earlier ones of a producer's last five batches, which a snapshot does not keep: it has only the last one. A producer that had five
// in flight when a broker was stopped or killed may send all of them again, to this broker or, if they were never acknowledged, to whoever leads next.
// Without the earlier ones it would be told that they are out of order, and give up.
type Recall struct {
	e       *entry
	id      int64
	earlier []batch
}

// Recall returns one for a producer of whom a snapshot has told and more may be known, and nil for any other.
func (s *State) Recall(id int64) *Recall {
	if e := s.entries[id]; e != nil && e.abridged && 0 < e.n && e.n < retained {
		return &Recall{e: e, id: id}
	}
	return nil
}

// Before is the offset before which the batches lie that are looked for.
func (r *Recall) Before() int64 { return r.e.oldest().firstOffset() }

// Add takes a batch of the log, whoever sent it. Each comes once, in any order.
func (r *Recall) Add(b record.Batch) {
	if b.ProducerID() == r.id && b.ProducerEpoch() == r.e.epoch && !b.IsControl() && b.LastOffset() < r.Before() {
		r.earlier = append(r.earlier, batch{b.LastSequence(), b.LastOffsetDelta(), b.LastOffset(), b.MaxTimestamp()})
	}
}

// Enough says that there are as many as are remembered.
func (r *Recall) Enough() bool { return int(r.e.n)+len(r.earlier) >= retained }

// End puts what was added before what the state has, as far as the sequences join and there is room. No other Recall of the producer is needed before
// the next snapshot is read.
func (r *Recall) End() {
	slices.SortFunc(r.earlier, func(a, b batch) int { return cmp.Compare(a.lastOffset, b.lastOffset) })
	known := r.e.list()
	for k := len(r.earlier) - 1; k >= 0 && len(known) < retained; k-- {
		if record.AddSequence(r.earlier[k].lastSeq, 1) != known[0].firstSeq() {
			break
		}
		known = slices.Insert(known, 0, r.earlier[k])
	}
	r.e.n, r.e.next, r.e.abridged = 0, 0, false
	for _, b := range known {
		r.e.add(b)
	}
}
