package compact

import (
	"slices"

	"github.com/moldau/moldau/internal/record"
)

// Aborted is one aborted transaction: its producer, its first offset, that of its marker, and the last stable offset then.
type Aborted struct {
	ProducerID, First, Last, LastStable int64
}

// transactions follows a walk over the batches of a log and knows which of them belong to aborted transactions, and which markers
// end a transaction of which no batch is left.
type transactions struct {
	pending   []Aborted // not met yet, by first offset
	aborted   map[int64]*walked
	committed map[int64]bool // producers with a transaction that commits, of which a batch was met
}

// walked is an aborted transaction that the walk is in.
type walked struct {
	Aborted
	seen bool // a batch of it is in the log
}

// newTransactions returns the state before the first batch, for a walk over a range that these aborted transactions overlap.
func newTransactions(aborted []Aborted) *transactions {
	sorted := slices.Clone(aborted)
	slices.SortStableFunc(sorted, func(a, b Aborted) int { return int(min(max(a.First-b.First, -1), 1)) })
	return &transactions{pending: sorted, aborted: map[int64]*walked{}, committed: map[int64]bool{}}
}

// reach takes up the aborted transactions that begin at or below offset.
func (t *transactions) reach(offset int64) {
	for len(t.pending) > 0 && t.pending[0].First <= offset {
		a := t.pending[0]
		t.pending = t.pending[1:]
		if t.aborted[a.ProducerID] == nil {
			t.aborted[a.ProducerID] = &walked{Aborted: a}
		}
	}
}

// data takes the next batch, which is no control batch, and says whether it was aborted.
func (t *transactions) data(b record.Batch) bool {
	t.reach(b.LastOffset())
	if !b.IsTransactional() {
		return false
	}
	if w := t.aborted[b.ProducerID()]; w != nil {
		w.seen = true
		return true
	}
	t.committed[b.ProducerID()] = true
	return false
}

// Types of control records. Frozen: they are Kafka's.
const (
	abortMarker  = 0
	commitMarker = 1
)

// marker takes the next batch, which is a control batch of the given type, -1 where it is empty. It says whether nothing of the
// transaction is left, so that the marker may go, and which entry of the list of aborted transactions has to stay.
func (t *transactions) marker(b record.Batch, kind int) (idle bool, keep *Aborted) {
	t.reach(b.LastOffset())
	id := b.ProducerID()
	switch kind {
	case abortMarker:
		w := t.aborted[id]
		delete(t.aborted, id)
		if w != nil && w.seen {
			return false, &w.Aborted
		}
		return true, nil
	case commitMarker:
		was := t.committed[id]
		delete(t.committed, id)
		return !was, nil
	case emptyBatch:
		return true, nil
	}
	return false, nil
}

// emptyBatch is the type of a control batch that an earlier cleaning emptied.
const emptyBatch = -1
