package logdir

import (
	"errors"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// TestRemovedLogIsOwedNothing: on a full disk the tests' world does not wait for an acknowledgement. One that comes while the log is being removed, since its group
// is being synced just then, is none that a check may ask for.
func TestRemovedLogIsOwedNothing(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	mem := vfs.NewMem()
	w := newWorld()
	must(t, w.open(options(vfs.NewFault(mem, func(op vfs.Op) error {
		if op.Kind == vfs.OpDatasync && strings.HasSuffix(op.Name, ".journal") {
			reached <- struct{}{}
			<-release
		}
		return nil
	}))))
	w.giveUp()
	must(t, w.append(5, 300, 1, true, true))
	<-reached // by the group of the append
	removed := make(chan error)
	go func() { removed <- w.remove(5) }()
	c := w.d.committer
	until(t, "the removal settles the log", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.mu.settles) > 0
	})
	release <- struct{}{} // it is acknowledged before it is removed
	<-reached
	release <- struct{}{}
	must(t, <-removed)
	left := mem.Peek(vfs.LoseUnsynced, 1)
	must(t, w.d.Abort())
	must(t, w.check(options(left)))
}

// TestNobodyWaitsForAFailedJournal: who finds the journal full just when its directory has failed is refused; nobody would free a file for him.
func TestNobodyWaitsForAFailedJournal(t *testing.T) {
	w := newWorld()
	must(t, w.open(options(vfs.NewMem())))
	must(t, w.append(5, 300, 1, true, true))
	c := w.d.committer
	c.mu.Lock()
	st := c.mu.states[w.logs[5]]
	c.mu.Unlock()
	w.d.fail(errors.New("broken"))
	s := &settle{st: st, done: make(chan error, 1)}
	c.mu.Lock()
	c.blockLocked([]*settle{s})
	c.mu.Unlock()
	if err := <-s.done; !errors.Is(err, commitlog.ErrOffline) {
		t.Errorf("it is told %v", err)
	}
	must(t, w.d.Abort())
}
