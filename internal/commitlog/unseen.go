package commitlog

import (
	"fmt"

	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/record"
)

// unseen is what was known of the producers before a start walked over batches of which some were damaged.
type unseen struct {
	state *producer.State
	from  int64
}

// seeProducers has the state of the producers made anew from the batches that a start walked, once those that it did not see are whole.
func (l *Log) seeProducers() error {
	l.mu.Lock()
	u, cuts := l.mu.unseen, l.mu.cuts
	l.mu.Unlock()
	if u == nil || cuts > 0 { // a truncation has read them meanwhile
		return nil
	}
	for _, s := range l.segments() {
		if s.End() > u.from && len(s.Damages()) > 0 {
			return nil // they are another repair's
		}
	}
	state, at := u.state.Clone(), u.from
	walk := func() error {
		for _, s := range l.segments() {
			if s.End() <= at {
				continue
			}
			err := s.Headers(at, func(b record.Batch, _ int64) bool {
				if b.BaseOffset() >= at {
					state.Update(b)
					at = b.NextOffset()
				}
				return true
			})
			if err != nil {
				return fmt.Errorf("read producers: %w", err)
			}
		}
		return nil
	}
	if err := walk(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.mu.cuts > 0 || l.mu.state != present {
		l.mu.Unlock()
		return nil
	}
	err := walk() // what was appended meanwhile
	if err == nil {
		l.mu.producers, l.mu.unseen = *state, nil
		l.unstable.Store(true) // LastStable finds out
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.snapshotNow()
}
