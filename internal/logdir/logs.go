package logdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// Log returns the log of a partition, opening it if need be; a partition without files gets some with its first append. onSynced
// is called each time the log's SyncedEnd rises, by the goroutine that synced it: it must not block, nor call back into the Dir. A
// truncation may be faster than the call, so the receiver asks the log for its SyncedEnd where the log is cut at all.
//
// A directory of the same name that belongs to another topic id, and that nobody asked for, is set aside. A log that could not be opened for lack of
// space or descriptors is tried again by each call.
func (d *Dir) Log(id commitlog.ID, cfg *commitlog.Config, onSynced func(end int64)) (*commitlog.Log, error) {
	if err := d.touch(); err != nil {
		return nil, err
	}
	st, err := d.stateOf(id)
	if err != nil {
		return nil, err
	}
	st.opening.Lock()
	defer st.opening.Unlock()
	if st.going.Load() { // its partition has come back before there was room to remove it
		return nil, fmt.Errorf("log %s: %w", id, errGoing)
	}
	if st.err != nil {
		if err := d.reopen(st); err != nil {
			return nil, fmt.Errorf("log %s: %w", id, err)
		}
	}
	if onSynced != nil {
		st.onSynced.Store(&onSynced)
	}
	l := st.log.Load()
	if l != nil {
		l.Configure(cfg)
	} else if l, err = d.newLog(st, cfg); err != nil {
		return nil, err
	} else {
		if found := l.Recovered(); found.Lost {
			d.opts.Warn(fmt.Errorf("log %s ends at offset %d, although more was synced once: its last %d bytes are damaged and were cut off",
				id, l.LogEnd(), found.TruncatedBytes))
		}
		st.log.Store(l)
		st.rest = nil // the log has it
		d.committer.add(st)
		if l.UnflushedBytes() > 0 {
			d.committer.flush(st) // it was recovered just now
		}
	}
	return l, nil
}

func (d *Dir) newLog(st *state, cfg *commitlog.Config) (*commitlog.Log, error) {
	l, err := commitlog.New(st.id, commitlog.Options{Env: d.env, Config: cfg, OnSynced: st.synced, Recovery: st.found, Rest: st.rest})
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", st.id, err)
	}
	if st.found.Clean && l.LogEnd() < st.found.Point {
		d.opts.Warn(fmt.Errorf("log %s ends at offset %d, but ended at %d when it was last closed: its files were damaged meanwhile", st.id, l.LogEnd(), st.found.Point))
		if !d.fallsShort(st) {
			return nil, errors.Join(fmt.Errorf("open log %s: %w", st.id, errLostLate), l.Close(false))
		}
	}
	return l, nil
}

// fallsShort notes that a log has less than it had, unless all that is so was told already.
func (d *Dir) fallsShort(st *state) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.checkpoints.told {
		d.checkpoints.short[st.key()] = st.found.Point
	}
	return !d.checkpoints.told
}

// Short says whether a log has less than what was synced, of which Recovery need not tell: a start looks into no log after a clean stop, but when Log is called.
func (d *Dir) Short(id commitlog.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, short := d.checkpoints.short[keyOf(id)]
	return short
}

// Told says that the controller knows what Recovery and Short tell. Until then every start tells it. A log that is found to have less afterwards is opened by the next start.
func (d *Dir) Told() error {
	d.mu.Lock()
	c := &d.checkpoints
	none := len(c.lost)+len(c.short) == 0
	clear(c.lost)
	clear(c.short)
	c.told = true
	d.mu.Unlock()
	if none {
		return nil
	}
	return d.Checkpoint()
}

// stateOf finds or makes the log's state and marks it as handed out.
func (d *Dir) stateOf(id commitlog.ID) (*state, error) {
	for {
		d.mu.Lock()
		if d.mu.closed {
			d.mu.Unlock()
			return nil, ErrClosed
		}
		st := d.mu.logs[keyOf(id)]
		if st == nil && d.checkpoints.stale() {
			d.mu.Unlock()
			if err := d.refresh(); err != nil {
				return nil, err
			}
			continue
		}
		if st == nil {
			st = &state{id: id, found: commitlog.Recovery{Missing: true}}
			d.addLocked(st)
		}
		if st.id.TopicID.IsZero() && st.log.Load() == nil {
			st.id.TopicID = id.TopicID // Kafka of old wrote none; a crash may have lost it
		}
		if st.id.TopicID == id.TopicID {
			st.handed.Store(true)
			d.mu.Unlock()
			return st, nil
		}
		d.mu.Unlock()
		if st.handed.Load() {
			return nil, fmt.Errorf("log %s of topic id %s: the directory is in use for topic id %s", id, id.TopicID, st.id.TopicID)
		}
		if err := d.setAside(st); err != nil {
			return nil, err
		}
		d.fallsShort(st) // its topic id may be damaged
	}
}

func (d *Dir) lookup(id commitlog.ID) *state {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.mu.logs[keyOf(id)]
	if st == nil || st.id.TopicID != id.TopicID {
		return nil
	}
	return st
}

// Remove deletes the log of a partition whose topic was deleted: it is gone when Remove returns, its files go in the background. Nothing may
// use the log any more. Removing one that is not there is no error. What finds no space or descriptor is tried again every second, and by
// Close: a removal needs a little of both before it makes room.
func (d *Dir) Remove(id commitlog.ID) error {
	if st := d.lookup(id); st != nil {
		return d.removeSoon(st)
	}
	return nil
}

// RemoveMoved removes what a move to another directory left. A log that has come back meanwhile is in use, and stays.
func (d *Dir) RemoveMoved(id commitlog.ID) error {
	if st := d.lookup(id); st != nil && !st.handed.Load() {
		return d.removeSoon(st)
	}
	return nil
}

func (d *Dir) removeSoon(st *state) error {
	err := d.remove(st)
	if lacks(err) {
		st.removing.Store(true)
		st.going.Store(true)
		d.opts.Warn(fmt.Errorf("%w: tried again until it succeeds", err))
		d.removeLater(st)
		return nil
	}
	return err
}

// Passes says that err is for lack of space or descriptors, after which the same may be tried again.
func Passes(err error) bool { return lacks(err) }

// errGoing is why a log is not there yet that is to be removed first.
var errGoing = errors.New("what is left of it is not removed yet, for lack of space or descriptors")

// lacks says that err is one of those that pass.
func lacks(err error) bool {
	return !errors.Is(err, commitlog.ErrOffline) && (errors.Is(err, errGoing) || errors.Is(err, commitlog.ErrReadOnly) ||
		vfs.NoSpace(err) || vfs.NoDescriptors(err))
}

func (d *Dir) removeLater(st *state) {
	d.opts.Clock.AfterFunc(time.Second, func() {
		d.background.add(func() (bool, error) {
			err := d.remove(st)
			if lacks(err) {
				d.removeLater(st)
				return false, nil
			}
			return false, err
		})
	})
}

func (d *Dir) remove(st *state) error {
	id := st.id
	if err := d.touch(); err != nil {
		return fmt.Errorf("remove log %s: %w", id, err)
	}
	st.opening.Lock()
	defer st.opening.Unlock()
	if st.gone {
		return nil
	}
	if err := d.release(st); err != nil {
		return fmt.Errorf("remove log %s: %w", id, err)
	}
	if err := d.dropUnopened(st); err != nil {
		return fmt.Errorf("remove log %s: %w", id, err)
	}
	if l := st.log.Load(); l != nil {
		if err := l.Delete(); err != nil {
			return fmt.Errorf("remove log %s: %w", id, err)
		}
	}
	// The folder of a log that was never opened is there still, and so is one that was made for files for which there was no space.
	if _, err := d.opts.FS.Stat(filepath.Join(d.opts.Path, id.DirName())); err == nil {
		to, err := d.rename(st, deleteSuffix)
		if err != nil {
			return fmt.Errorf("remove log %s: %w", id, err)
		}
		d.background.run(0, commitlog.RemoveDir(d.opts.FS, to))
	}
	st.err, st.gone = commitlog.ErrClosed, true
	d.drop(st)
	return nil
}

// release makes sure that the journal never writes to the log again, nor replays what it wrote.
func (d *Dir) release(st *state) error {
	if st.log.Load() == nil && st.committing.last == 0 {
		return nil
	}
	d.committer.remove(st)
	return d.committer.settle(st) // once, however often the rest is tried
}

// Quarantine sets the directory of a log aside that the metadata does not know, by renaming it as Kafka does. It is never
// removed: metadata that is missing is no reason to delete records.
func (d *Dir) Quarantine(id commitlog.ID) error {
	st := d.lookup(id)
	if st == nil {
		return nil
	}
	return d.setAside(st)
}

func (d *Dir) setAside(st *state) error {
	if err := d.touch(); err != nil {
		return fmt.Errorf("set %s aside: %w", st.id, err)
	}
	st.opening.Lock()
	defer st.opening.Unlock()
	if err := d.keepUnopened(st); err != nil { // the next start makes a folder of its own for them
		return fmt.Errorf("set %s aside: %w", st.id, err)
	}
	if l := st.log.Load(); l != nil { // what only the journal has must be in the files before it is void there
		if _, err := l.SyncFiles(); err != nil {
			return fmt.Errorf("set %s aside: %w", st.id, err)
		}
	}
	if err := d.release(st); err != nil {
		return fmt.Errorf("set %s aside: %w", st.id, err)
	}
	if l := st.log.Load(); l != nil {
		if err := l.Close(true); err != nil && !errors.Is(err, commitlog.ErrClosed) {
			return fmt.Errorf("set %s aside: %w", st.id, err)
		}
	}
	to, err := d.rename(st, straySuffix)
	if err != nil {
		return fmt.Errorf("set %s aside: %w", st.id, err)
	}
	d.opts.Warn(fmt.Errorf("log %s of topic id %s belongs to no partition: set aside as %s", st.id, st.id.TopicID, to))
	st.err = commitlog.ErrClosed
	d.drop(st)
	return nil
}

// rename moves a partition's directory to topic-partition.<32 hex digits><suffix>, as Kafka names it, durably.
func (d *Dir) rename(st *state, suffix string) (string, error) {
	return d.renameTo(st.id.DirName(), st.id, suffix)
}

// renameTo is rename for a directory of another name.
func (d *Dir) renameTo(folder string, partition commitlog.ID, suffix string) (string, error) {
	to := filepath.Join(d.opts.Path, partition.AsideName(suffix, d.opts.Random))
	if err := d.opts.FS.Rename(filepath.Join(d.opts.Path, folder), to); err != nil {
		return "", d.judge(err)
	}
	// Without a descriptor to sync with, a crash may bring the old name back, as that of a log nobody knows; another log of that name syncs
	// the directory before anything in it is durable.
	if err := d.opts.FS.SyncDir(d.opts.Path); err != nil && !vfs.NoDescriptors(err) {
		return "", d.gone(err)
	}
	return to, nil
}
