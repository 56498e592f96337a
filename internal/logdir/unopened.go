package logdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir/journal"
)

// unopenedDir is a second journal, in the format of the first, for logs that recovery could not open: their entries must outlive the files
// of the journal, which is to use them again. Before it does, they are copied. Whoever opens the log, be it the next start, replays them before the journal's own,
// and once the log is open and its files are synced a settle entry voids them here. With the last of them the folder goes.
const unopenedDir = "journal-unopened"

// unopened are the entries of logs that recovery could not open.
type unopened struct {
	sync.Mutex
	scan    *journal.Scan
	writer  *journal.Writer            // nil until something is written
	waiting map[*state][]journal.Entry // in the journal, and not copied yet
	kept    map[*state]bool            // entries of it are here
}

func (d *Dir) unopenedPath() string { return filepath.Join(d.opts.Path, unopenedDir) }

// openUnopened reads what earlier runs left.
func (d *Dir) openUnopened() error {
	scan, err := journal.Open(d.opts.FS, d.unopenedPath(), d.meta.directory)
	d.unopened.scan = scan
	d.unopened.waiting, d.unopened.kept = map[*state][]journal.Entry{}, map[*state]bool{}
	return err
}

// writerLocked returns the writer of the second journal.
func (d *Dir) writerLocked() *journal.Writer {
	u := &d.unopened
	if u.writer == nil {
		u.writer = journal.NewWriter(journal.Options{
			FS: d.opts.FS, Clock: d.opts.Clock, Random: d.opts.Random, Dir: d.unopenedPath(), Directory: d.meta.directory, Files: 1 << 20, FirstFile: 1 << 20,
		}, u.scan)
	}
	return u.writer
}

// settleUnopened voids what is kept of the logs that are open now and synced. foreign says that there is more, of logs that are not here.
func (d *Dir) settleUnopened(logs []*state, foreign bool) error {
	u := &d.unopened
	u.Lock()
	defer u.Unlock()
	switch {
	case len(u.scan.Entries) == 0 && len(logs) == 0:
		return nil
	case len(u.kept) == 0 && !foreign:
		err := journal.Remove(d.opts.FS, d.unopenedPath())
		if err == nil {
			u.scan, err = journal.Open(d.opts.FS, d.unopenedPath(), d.meta.directory)
		}
		return err
	}
	// A kill may have come before the sync of the last group, and what it voids must stay void.
	if err := u.scan.Sync(); err != nil || len(logs) == 0 {
		return err
	}
	for _, st := range logs {
		d.writerLocked().Settle(journal.LogID(st.id))
	}
	if err := u.writer.CommitSettles(); err != nil {
		return fmt.Errorf("%w: %w", errUnsettled, d.judgeKept(err))
	}
	return nil
}

// judgeKept judges an error of the second journal. After a failed sync it takes nothing more, whatever that failed for.
func (d *Dir) judgeKept(err error) error {
	if w := d.unopened.writer; w != nil && w.Broken() {
		return d.gone(err)
	}
	return d.judge(err)
}

// errUnsettled says that what is kept of a log could not be voided.
var errUnsettled = errors.New("note that the files of a log have what was kept of it")

// putBack takes a log back that was opened just now, all of which is synced.
func (d *Dir) putBack(st *state) error {
	l := st.log.Swap(nil)
	d.committer.mu.Lock()
	delete(d.committer.mu.states, l)
	d.committer.mu.Unlock()
	d.rests.forget(st)
	return l.Close(false)
}

// keepUnopened copies what the journal has of a log that could not be opened; nil: of all. It is durable afterwards. Where it cannot be, the
// directory is full, or offline: what was acknowledged would be lost. For lack of descriptors too it is to be called again, and goes on where it was.
func (d *Dir) keepUnopened(only *state) error {
	u := &d.unopened
	u.Lock()
	defer u.Unlock()
	for st := range u.waiting {
		if only != nil && st != only {
			continue
		}
		if err := d.copyLocked(st); err != nil {
			return fmt.Errorf("keep what the journal has of %s, which could not be opened: %w", st.id, d.judgeKept(err))
		}
		delete(u.waiting, st)
	}
	return nil
}

// copyLocked copies what waits of a log. What it has copied waits no more when it fails: copied again and again it would fill the disk.
func (d *Dir) copyLocked(st *state) error {
	u := &d.unopened
	w := d.writerLocked()
	reader := u.scan.NewReader()
	defer reader.Close()
	for len(u.waiting[st]) > 0 {
		e := u.waiting[st][0]
		err := d.during(func() error {
			_, err := w.Append(journal.LogID(st.id), func(dst []byte) ([]byte, int64, error) {
				dst, err := reader.Read(dst, e)
				return dst, e.Base, err
			})
			if err != nil {
				return err
			}
			return w.Commit()
		})
		if err != nil {
			return err
		}
		u.waiting[st], u.kept[st] = u.waiting[st][1:], true
	}
	return nil
}

// dropUnopened forgets the entries of a log that is removed; those in the journal were settled.
func (d *Dir) dropUnopened(st *state) error {
	d.unopened.Lock()
	defer d.unopened.Unlock()
	return d.dropLocked(st)
}

// dropLocked voids what there is of a log that needs it no more.
func (d *Dir) dropLocked(st *state) error {
	u := &d.unopened
	delete(u.waiting, st)
	if !u.kept[st] {
		return nil
	}
	d.writerLocked().Settle(journal.LogID(st.id))
	if err := u.writer.CommitSettles(); err != nil {
		return d.judgeKept(err)
	}
	delete(u.kept, st)
	return nil
}

// unrecovered says whether there are logs that recovery could not open, nor anybody since.
func (d *Dir) unrecovered() bool {
	for _, st := range d.states() {
		st.opening.Lock()
		unrecovered := st.unrecovered
		st.opening.Unlock()
		if unrecovered {
			return true
		}
	}
	return false
}

// reopen opens a log that could not be for lack of space or descriptors, if there may be some again. It does what recovery would have done; what was
// acknowledged is in the files, and synced there, before it is served. The caller holds opening.
func (d *Dir) reopen(st *state) error {
	if !lacks(st.err) {
		return st.err
	}
	if d.offline() {
		return d.env.Err()
	}
	if d.env.Err() != nil {
		return st.err // the disk is full still
	}
	if !st.unrecovered {
		st.err = nil // it was not even looked at
		return nil
	}
	d.mu.Lock()
	closed := d.mu.closed
	d.mu.Unlock()
	if closed {
		return ErrClosed // and Close has been through, perhaps
	}
	l, err := d.recoverLate(st)
	if err != nil {
		st.err = fmt.Errorf("tried again: %w", err)
		return st.err
	}
	st.log.Store(l)
	d.committer.add(st)
	d.rests.synced(st)
	st.err, st.unrecovered = nil, false
	return nil
}

// recoverLate is recovery of one log. Meanwhile nothing is copied out of the journal, whose files therefore stay as they are.
func (d *Dir) recoverLate(st *state) (*commitlog.Log, error) {
	u := &d.unopened
	u.Lock()
	defer u.Unlock()
	var entries []journal.Entry
	if u.kept[st] {
		scan, err := journal.Open(d.opts.FS, d.unopenedPath(), d.meta.directory)
		if err != nil {
			return nil, err
		}
		entries = unsettled(scan.Entries)[journal.LogID(st.id)]
	}
	entries = append(entries, u.waiting[st]...)
	st.found.Missing = false // an attempt before this one may have made files
	r := &recovery{d: d, late: true, scan: u.scan, replay: map[*state][]journal.Entry{st: entries}}
	defer r.closeReaders()
	l, _, err := r.open(st)
	if err != nil {
		return nil, err
	}
	if err := d.dropLocked(st); err != nil {
		return nil, errors.Join(err, l.Close(false))
	}
	return l, nil
}

func (d *Dir) closeUnopened() error {
	u := &d.unopened
	u.Lock()
	defer u.Unlock()
	if u.writer == nil {
		return nil
	}
	return u.writer.Close()
}
