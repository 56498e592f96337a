package commitlog

import "sync"

// hold is there while somebody writes derived files of the log or cuts it. It is no lock, since a sync may run meanwhile.
//
// Whoever cuts the log asks its owner to void what the journal has of it, and the owner may first have to free a file of the journal, by
// syncing logs, this one among them. So a sync does not wait for the cut: all that it would sync is synced, and the cut has its marks void.
type hold struct {
	cutting bool      // by who has synced the log, and asks its owner
	changed sync.Cond // cutting, or the end of the hold
}

// hold keeps others from writing derived files and from cutting the log, until the returned function is called.
func (l *Log) hold() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.mu.hold != nil {
		l.mu.hold.changed.Wait()
	}
	return l.holdLocked()
}

// holdLocked is hold for a log that nobody holds.
func (l *Log) holdLocked() (release func()) {
	h := &hold{changed: sync.Cond{L: &l.mu}}
	l.mu.hold = h
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.mu.hold = nil
		h.changed.Broadcast()
	}
}

// cuttingLocked is called by who holds the log to cut it, once all of it is synced.
func (l *Log) cuttingLocked() {
	l.mu.hold.cutting = true
	l.mu.hold.changed.Broadcast()
}
