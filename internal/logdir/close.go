package logdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir/journal"
)

// Close stops cleanly: every log is synced and closed with a snapshot, the checkpoints are written, the journal is removed, and at
// last the clean-shutdown file says so, so that the next start scans nothing. If anything of that fails, the file is not
// written and the next start recovers.
func (d *Dir) Close() error {
	if !d.closing() {
		return ErrClosed
	}
	d.sweeper.close()
	d.stop()
	err := d.closeClean()
	return errors.Join(err, d.during(d.lock.Close))
}

// Abort stops as if the process had been killed, for tests and for a broker that must not write any more.
func (d *Dir) Abort() error {
	if !d.closing() {
		return ErrClosed
	}
	d.sweeper.close()
	d.stop()
	return errors.Join(d.closeLogs(false), d.committer.journal.Close(), d.closeUnopened(), d.lock.Close())
}

func (d *Dir) closing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.mu.closed
	d.mu.closed = true
	return !was
}

// stop ends the goroutines that Open started so far.
func (d *Dir) stop() {
	if d.committer != nil {
		d.committer.close()
	}
	if d.background != nil {
		_ = d.during(func() error { // for one step, as the removal of a file
			d.background.close()
			return nil
		})
	}
}

func (d *Dir) closeClean() error {
	clean := !d.offline()
	if err := errors.Join(d.closeLogs(clean), d.during(d.committer.journal.Close), d.during(d.closeUnopened)); err != nil || !clean {
		return err
	}
	if d.unrecovered() {
		return nil // what recovery could not open is not clean, and the journal may be needed for it
	}
	if err := d.Checkpoint(); err != nil {
		return err
	}
	if err := d.noteAtEnd(); err != nil && !lacks(err) { // without space the next start opens logs, and that is all
		return err
	}
	if err := d.during(func() error { return journal.Remove(d.opts.FS, filepath.Join(d.opts.Path, journalDir)) }); err != nil {
		return err
	}
	for _, st := range d.states() {
		if st.removing.Load() { // without a journal nothing brings it back; the next start removes what is in it
			rename := func() error {
				_, err := d.rename(st, deleteSuffix)
				return err
			}
			if err := d.during(rename); err != nil && !lacks(err) {
				return err
			}
		}
	}
	if d.doubtful.Load() {
		return nil // the next start must not rely on the copy
	}
	return d.during(d.writeCleanShutdown)
}

func (d *Dir) closeLogs(clean bool) error {
	states := append(d.states(), d.copies()...)
	if clean && unsynced(states) >= d.opts.manyUnsynced {
		err := d.during(d.lock.SyncFS)
		if !errors.Is(err, errors.ErrUnsupported) {
			return d.closeTogether(states, err)
		}
	}
	var errs problems
	each(states, d.opts.SyncWorkers, func(st *state) {
		st.opening.Lock()
		defer st.opening.Unlock()
		if l := st.log.Load(); l != nil {
			errs.add(d.during(func() error { return l.Close(clean) }))
		}
	})
	return errors.Join(errs.all...)
}

func unsynced(states []*state) (n int) {
	for _, st := range states {
		if l := st.log.Load(); l != nil && l.UnflushedBytes() > 0 {
			n++
		}
	}
	return n
}

// problems are what concurrent closes of logs came to.
type problems struct {
	sync.Mutex
	all []error
}

func (p *problems) add(err error) {
	if err != nil && !errors.Is(err, commitlog.ErrClosed) {
		p.Lock()
		defer p.Unlock()
		p.all = append(p.all, err)
	}
}

// closeTogether closes all logs cleanly, step by step, with a sync of the file system after each. What lies on it and is not ours is synced as well, and
// an error with that counts like one of ours: the stop is not clean then, and the next start looks at what is there. synced is what the
// sync before the first step said.
func (d *Dir) closeTogether(states []*state, synced error) error {
	var errs problems
	var mu sync.Mutex
	endings := make(map[*state]*commitlog.Ending, len(states))
	begin := func(st *state) {
		st.opening.Lock()
		defer st.opening.Unlock()
		l := st.log.Load()
		if l == nil {
			return
		}
		var e *commitlog.Ending
		errs.add(d.during(func() (err error) {
			e, err = l.BeginClose()
			return err
		}))
		if e != nil {
			mu.Lock()
			endings[st] = e
			mu.Unlock()
		}
	}
	step := func(f func(*commitlog.Ending) error) func(*state) {
		return func(st *state) {
			mu.Lock()
			e := endings[st]
			mu.Unlock()
			if e == nil {
				return
			}
			if err := d.during(func() error { return f(e) }); err != nil {
				errs.add(err)
				mu.Lock()
				delete(endings, st)
				mu.Unlock()
			}
		}
	}
	for _, f := range []func(*state){begin, step((*commitlog.Ending).Describe), step((*commitlog.Ending).Complete)} {
		if synced != nil {
			break
		}
		each(states, d.opts.SyncWorkers, f)
		synced = d.during(d.lock.SyncFS)
	}
	if synced != nil {
		synced = fmt.Errorf("sync the file system of %s: %w", d.opts.Path, synced)
		d.fail(synced)
		errs.add(synced)
	}
	each(states, d.opts.SyncWorkers, step(func(e *commitlog.Ending) error {
		e.End(synced)
		return nil
	}))
	if synced != nil {
		each(states, d.opts.SyncWorkers, func(st *state) {
			if l := st.log.Load(); l != nil {
				_ = d.during(func() error { return l.Close(false) }) // those that had not begun
			}
		})
	}
	return errors.Join(errs.all...)
}
