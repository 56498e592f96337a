// Package producer keeps what a log knows of the producers that wrote to it: epochs, the last five batches of each, open and
// decided transactions (KIP-98, KIP-890). It owns the rules of idempotence, and the format of the snapshot file; it
// reads and writes no file itself, and has no lock: the log's lock guards it.
package producer

import "github.com/moldau/moldau/internal/record"

// retained is how many batches per producer are remembered for the duplicate test. It is why clients have at most five
// requests in flight.
const retained = 5

// None stands for "no epoch", "no sequence" and "no transaction".
const None = -1

// batch is what is remembered of one batch.
type batch struct {
	lastSeq    int32
	delta      int32 // last offset minus first offset, and last sequence minus first
	lastOffset int64
	timestamp  int64 // the batch's max timestamp
}

func (b batch) firstSeq() int32    { return record.AddSequence(b.lastSeq, -b.delta) }
func (b batch) firstOffset() int64 { return b.lastOffset - int64(b.delta) }

// entry is the state of one producer id.
type entry struct {
	epoch            int16
	n                uint8 // batches in use
	next             uint8 // where the next batch goes
	abridged         bool  // it is from a snapshot, and the log may have batches of this epoch before these
	coordinatorEpoch int32
	timestamp        int64 // of the last batch or marker
	seen             int64 // when Expire first found that batch or marker; 0: it has not yet
	txnFirst         int64 // first offset of the open transaction, or None
	batches          [retained]batch
}

func newEntry() *entry {
	return &entry{epoch: None, coordinatorEpoch: None, timestamp: record.NoTimestamp, txnFirst: None}
}

// last returns the newest batch; ok is false when there is none of this epoch.
func (e *entry) last() (b batch, ok bool) {
	if e.n == 0 {
		return batch{}, false
	}
	return e.batches[(e.next+retained-1)%retained], true
}

// list is the batches that are remembered, oldest first.
func (e *entry) list() []batch {
	all := make([]batch, 0, retained)
	for i := e.n; i > 0; i-- {
		all = append(all, e.batches[(e.next+retained-i)%retained])
	}
	return all
}

// oldest is the first of them; there is one.
func (e *entry) oldest() batch { return e.batches[(e.next+retained-e.n)%retained] }

func (e *entry) lastSeq() int32 {
	if b, ok := e.last(); ok {
		return b.lastSeq
	}
	return record.NoSequence
}

// duplicate returns the remembered batch with exactly these sequences.
func (e *entry) duplicate(epoch int16, first, last int32) (batch, bool) {
	if epoch != e.epoch {
		return batch{}, false
	}
	for i := uint8(0); i < e.n; i++ {
		if b := e.batches[(e.next+retained-1-i)%retained]; b.lastSeq == last && b.firstSeq() == first {
			return b, true
		}
	}
	return batch{}, false
}

// setEpoch takes over a producer epoch; another one than before forgets the batches.
func (e *entry) setEpoch(epoch int16) {
	if e.epoch != epoch {
		e.epoch, e.n, e.next, e.abridged = epoch, 0, 0, false
	}
}

func (e *entry) add(b batch) {
	e.batches[e.next] = b
	e.next = (e.next + 1) % retained
	e.n = min(e.n+1, retained)
}
