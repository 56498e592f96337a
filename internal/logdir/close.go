package logdir

import (
	"errors"
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
	return errors.Join(err, d.lock.Close())
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
		d.background.close()
	}
}

func (d *Dir) closeClean() error {
	clean := !d.offline()
	if err := errors.Join(d.closeLogs(clean), d.committer.journal.Close(), d.closeUnopened()); err != nil || !clean {
		return err
	}
	if len(d.report.Failed) > 0 {
		return nil // what recovery could not open is not clean, and the journal may be needed for it
	}
	if err := d.Checkpoint(); err != nil {
		return err
	}
	if err := d.noteAtEnd(); err != nil && !lacks(err) { // without space the next start opens logs, and that is all
		return err
	}
	if err := journal.Remove(d.opts.FS, filepath.Join(d.opts.Path, journalDir)); err != nil {
		return err
	}
	for _, st := range d.states() {
		if st.removing.Load() { // without a journal nothing brings it back; the next start removes what is in it
			if _, err := d.rename(st, deleteSuffix); err != nil && !lacks(err) {
				return err
			}
		}
	}
	if d.doubtful.Load() {
		return nil // the next start must not rely on the copy
	}
	return d.writeCleanShutdown()
}

func (d *Dir) closeLogs(clean bool) error {
	var mu sync.Mutex
	var errs []error
	each(append(d.states(), d.copies()...), d.opts.SyncWorkers, func(st *state) {
		st.opening.Lock()
		defer st.opening.Unlock()
		l := st.log.Load()
		if l == nil {
			return
		}
		if err := l.Close(clean); err != nil && !errors.Is(err, commitlog.ErrClosed) {
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		}
	})
	return errors.Join(errs...)
}
