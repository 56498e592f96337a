package commitlog

import (
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// unseen is what was known of the producers before a start walked over batches of which some were damaged. As long as there is one, no snapshot of the producers
// is written until derivedEvery bytes ask for it: the next start would believe it, and not look again at what a repair may have brought back by then.
type unseen struct {
	state *producer.State
	from  int64
}

// giveUpUnseen is called before retention takes what lies below an offset. Where that takes batches that are to be looked at again, what is known of the producers stays as
// it is: read from what is left it would lack those whose batches went.
func (l *Log) giveUpUnseen(below int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.mu.unseen; u == nil || below <= u.from {
		return nil
	}
	l.mu.unseen = nil
	if err := l.view.Load().active().WriteIndexes(false); err != nil {
		return l.env.fail(fmt.Errorf("write indexes of %s: %w", l.id, err))
	}
	l.snapshotLocked(l.marks.logEnd.Load())
	return nil
}

// seeProducers has the state of the producers, and the lists of aborted transactions, made anew from the batches that a start walked, once those that it did not
// see are whole. Where it fails the next repair tries again.
func (l *Log) seeProducers() error {
	release := l.hold()
	seen, err := l.seeHeld()
	release()
	if err != nil || !seen {
		return err
	}
	return l.snapshotNow()
}

// seeHeld is seeProducers for who holds the log, without the snapshot.
func (l *Log) seeHeld() (seen bool, err error) {
	l.mu.Lock()
	u := l.mu.unseen
	l.mu.Unlock()
	if u == nil {
		return false, nil
	}
	for _, s := range l.segments() {
		if s.End() > u.from && len(s.Damages()) > 0 {
			return false, nil // they are another repair's
		}
	}
	state, at, aborted := u.state.Clone(), u.from, map[*segment.Segment][]segment.Aborted{}
	walk := func() error {
		for _, s := range l.segments() {
			if s.End() <= at {
				continue
			}
			err := s.Headers(at, func(b record.Batch, _ int64) bool {
				if b.BaseOffset() >= at {
					if a, ok := state.Update(b); ok {
						aborted[s] = append(aborted[s], segment.Aborted(a))
					}
					at = b.NextOffset()
				}
				return true
			})
			if err != nil {
				return fmt.Errorf("read producers of %s: %w", l.id, err)
			}
		}
		return nil
	}
	if err := walk(); err != nil {
		return false, err
	}
	if err := l.dropSnapshots(u.from); err != nil { // that say what was seen
		return false, l.env.fail(fmt.Errorf("remove producer snapshots of %s: %w", l.id, err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.state != present {
		return false, nil
	}
	if err := walk(); err != nil { // what was appended meanwhile
		return false, err
	}
	for _, s := range l.segments() {
		if s.End() <= u.from || !s.ListsAborted() && len(aborted[s]) == 0 {
			continue
		}
		if err := s.RelistAborted(u.from, aborted[s]); err != nil {
			return false, l.env.fail(fmt.Errorf("list aborted transactions of %s: %w", l.id, err))
		}
		l.mu.sealed = append(l.mu.sealed, s)
	}
	l.mu.producers, l.mu.unseen, l.mu.pending = *state, nil, nil
	l.unstable.Store(true) // LastStable finds out
	return true, nil
}
