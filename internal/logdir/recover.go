package logdir

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/vfs"
)

// Report says what Open found.
type Report struct {
	Logs           int // in the directory
	Recovered      int // opened and scanned, because the last stop was not clean
	ScannedBytes   int64
	TruncatedBytes int64 // torn, cut off
	ReplayedBytes  int64 // in the journal, whether the segments had them or not
	Took           time.Duration
	Lost           []commitlog.ID // logs that end below their recovery point even so: synced records are gone
	// Short are other logs that have less than they had, without topic ids, as far as Open knows: the checkpoints speak of them and they are not there, and may
	// be in another directory, or a start before this one found them so.
	Short  []commitlog.ID
	Failed int // logs that could not be opened
}

// recovery is the work of recover, shared by its goroutines.
type recovery struct {
	d       *Dir
	late    bool // of a log that Open could not open; the Dir is in use
	scan    *journal.Scan
	replay  map[*state][]journal.Entry
	kept    map[*state]int // so many of those are from earlier runs, which could not open the log
	foreign bool           // there are more, of logs that have another topic id here

	mu      sync.Mutex // guards the fields below
	keep    bool       // files of logs lack what the journal has, or are not synced yet: its files stay
	report  Report
	readers []*journal.Reader // that nobody uses, each with a file open
}

func (r *recovery) takeReader() *journal.Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.readers) - 1
	if last < 0 {
		return r.scan.NewReader()
	}
	reader := r.readers[last]
	r.readers = r.readers[:last]
	return reader
}

func (r *recovery) putReader(reader *journal.Reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers = append(r.readers, reader)
}

func (r *recovery) closeReaders() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reader := range r.readers {
		reader.Close()
	}
	r.readers = nil
}

// recover brings the logs to what was acknowledged, in the order that the package comment gives. After a clean stop it
// opens no log.
func (d *Dir) recover() error {
	began := d.opts.Clock.Now()
	dir := filepath.Join(d.opts.Path, journalDir)
	scan, err := journal.Open(d.opts.FS, dir, d.meta.directory)
	if err != nil {
		return err
	}
	if err := d.openUnopened(); err != nil {
		return err
	}
	for _, m := range slices.Concat(d.unopened.scan.Mended, scan.Mended) {
		d.opts.Warn(fmt.Errorf("a flipped bit of the journal, %s, was put right in what is read of it", m))
	}
	r := &recovery{d: d, scan: scan, replay: map[*state][]journal.Entry{}, kept: map[*state]int{}}
	r.sort()
	states := d.states()
	for _, st := range states {
		if _, st.lost = d.checkpoints.lost[st.key()]; st.lost {
			r.report.Lost = append(r.report.Lost, st.id)
		}
	}
	if !d.clean || len(r.replay) > 0 {
		d.clean = false
		if err := d.touch(); err != nil {
			return err
		}
		each(states, d.opts.SyncWorkers, r.log)
		r.closeReaders()
	}
	if d.offline() {
		return d.env.Err()
	}
	if err := r.settleKept(); err != nil {
		return err
	}
	r.report.Logs, r.report.Took = len(states), d.opts.Clock.Now().Sub(began)
	d.report = r.report
	d.noteLosses()
	d.forgetFound()
	if err := d.checkpointRecovery(); err != nil && !vfs.NoSpace(err) {
		return err // without space it stays as it is, and the next recovery scans more
	}
	if err := d.checkpointCleaned(); err != nil && !vfs.NoSpace(err) {
		return err
	}
	opts := d.opts.journal
	opts.FS, opts.Clock, opts.Random, opts.Dir, opts.Directory = d.opts.FS, d.opts.Clock, d.opts.Random, dir, d.meta.directory
	if r.keep {
		if err := scan.Sync(); err != nil { // a kill may have come before the sync of the last group, which was replayed too
			return err
		}
		d.committer.journal = journal.NewWriter(opts, scan)
		r.pin()
		return nil
	}
	d.committer.journal = journal.NewWriter(opts, nil)
	return journal.Remove(d.opts.FS, dir)
}

// sort gives each log the entries that it may need: those after its last settle entry, which is one of the same journal. What was kept is
// void there before anything settles the log in the other.
func (r *recovery) sort() {
	d := r.d
	kept, byID := unsettled(d.unopened.scan.Entries), unsettled(r.scan.Entries)
	for of, entries := range kept {
		byID[of] = append(entries, byID[of]...)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for of, entries := range byID {
		id := commitlog.ID(of)
		st := d.mu.logs[keyOf(id)]
		switch {
		case st == nil: // its directory did not survive
			st = &state{id: id}
			d.checkpoints.take(st)
			st.found.Missing, st.found.Cleaned = true, 0
			d.addLocked(st)
		case st.id.TopicID.IsZero():
			st.id.TopicID = id.TopicID
		case st.id.TopicID != id.TopicID:
			d.opts.Warn(fmt.Errorf("pass over %d journal entries of %s: they are of topic id %s, the directory is of %s",
				len(entries), id, id.TopicID, st.id.TopicID))
			r.foreign = r.foreign || len(kept[of]) > 0
			continue
		}
		if n := len(kept[of]); n > 0 {
			r.kept[st] = n
		}
		if st.rest != nil && below(entries, st.rest.End) {
			st.committing.last = r.scan.Sequence() // should the journal's files stay, a cut must settle
			continue
		}
		st.rest = nil
		// A replica may begin anew above 0 before it has a folder. If that, or the segment in it, is not there any more, the log begins there even
		// so: from 0 on it would have a hole in place of what was deleted, and what a crash tears at its beginning would count as synced.
		st.found.Begins, st.found.Synced = entries[0].Base, syncedFiles(entries)
		r.replay[st] = entries
	}
}

// unsettled returns the entries of each log after its last settle entry.
func unsettled(entries []journal.Entry) map[journal.LogID][]journal.Entry {
	byID := map[journal.LogID][]journal.Entry{}
	for _, e := range entries {
		if e.Kind == journal.KindSettle {
			delete(byID, e.Log)
			continue
		}
		byID[e.Log] = append(byID[e.Log], e)
	}
	return byID
}

// syncedFiles returns up to where a log's files were synced, as its entries tell. No group takes batches before all below are synced, in the
// journal or in the files: what the entries lack is in the files, and so is what lies before it.
func syncedFiles(entries []journal.Entry) int64 {
	synced, end := entries[0].Base, entries[0].End
	for _, e := range entries[1:] {
		if e.Base > end {
			synced = e.Base
		}
		end = e.End
	}
	return synced
}

// below says that the files have all that the journal holds of a log that rests. What was journaled before it came to rest ends there at
// most, and what was journaled later begins there at least.
func below(entries []journal.Entry, end int64) bool {
	for _, e := range entries {
		if e.Base >= end {
			return false
		}
	}
	return true
}

// log recovers one log.
func (r *recovery) log(st *state) {
	if st.rest != nil {
		return // synced to its end, and replayed to it
	}
	if st.err == nil && st.id.TopicID.IsZero() {
		return // nothing in it was acknowledged, or Kafka of old wrote it: recovered when it is asked for
	}
	if len(r.replay[st]) > 0 {
		st.committing.last = r.scan.Sequence() // until the files are removed; if they stay, a cut or a removal must settle
	}
	trusted := false
	if st.err == nil {
		var l *commitlog.Log
		if l, trusted, st.err = r.open(st); st.err == nil {
			st.log.Store(l)
			r.d.committer.add(st)
			if !trusted {
				r.d.rests.synced(st)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if st.err == nil {
		r.report.Recovered++
		return
	}
	r.failedLocked(st)
	if vfs.NoSpace(st.err) || errors.Is(st.err, commitlog.ErrReadOnly) {
		r.keep = true
	}
	if entries := r.replay[st]; len(entries) > 0 {
		if entries = entries[r.kept[st]:]; len(entries) > 0 {
			r.keep = true
			r.d.unopened.waiting[st] = entries
		}
		if r.kept[st] > 0 {
			r.d.unopened.kept[st] = true
		}
		st.err = fmt.Errorf("%w; %d journal entries of it are kept %s", st.err, len(r.replay[st]), keptUntil(st.err))
	}
	r.d.opts.Warn(fmt.Errorf("recover log %s: %w", st.id, st.err))
}

// failedLocked notes a log that could not be opened.
func (r *recovery) failedLocked(st *state) {
	st.unrecovered = true
	r.report.Failed++
}

// keptUntil says when a log is tried again that could not be opened.
func keptUntil(err error) string {
	if lacks(err) {
		return "until there is what it lacks"
	}
	return "for the next start"
}

// recoveryConfig is that of a log while it is recovered. What the journal has of it was acknowledged, and has a right to the last space.
var recoveryConfig = &commitlog.Config{Durable: true, Reserved: true}

// errLostLate is why a log is not served before the next start that lacks what was synced: whoever heard of this one was not told so.
var errLostLate = errors.New("records that were durable are gone, which the next start tells")

// open returns the log with what the journal has of it. It is synced in its files unless trusted says that the journal, which must stay, has what they
// may lack.
func (r *recovery) open(st *state) (l *commitlog.Log, trusted bool, err error) {
	l, err = r.d.newLog(st, recoveryConfig)
	if err != nil {
		return nil, false, err
	}
	ended, found := l.LogEnd(), l.Recovered()
	// That the log begins where the journal does, with nothing below it, does not make good for what was synced there.
	gone := ended == st.found.Begins && min(st.found.Begins, st.found.Point) > max(st.found.LogStart, 0)
	point := max(st.found.Point, st.found.Synced)
	lost := found.Lost && (ended < point || gone)
	if lost && !st.lost {
		if r.late { // nothing was replayed, so that the next start finds it so
			return nil, false, errors.Join(fmt.Errorf("%w: it ends at offset %d, below its recovery point %d", errLostLate, ended, point), l.Close(false))
		}
		st.lost = true
		r.mu.Lock()
		r.report.Lost = append(r.report.Lost, st.id)
		r.mu.Unlock()
		r.d.opts.Warn(fmt.Errorf("log %s ends at offset %d, below its recovery point %d: records that were durable are gone", st.id, ended, point))
	}
	if err := r.replayAll(st, l); err != nil {
		return nil, false, errors.Join(err, l.Close(false))
	}
	// What the journal has need not be synced now: the journal stays until the files are, as those of any log.
	now := r.late || r.kept[st] > 0 // then the files must have all before it is served: what is kept is void from then on
	// Nor does a journal stay that was mended.
	full := false
	trusted = len(r.replay[st]) > 0 && !now && len(r.scan.Mended) == 0 && l.TrustReplayed()
	if !trusted {
		_, err = l.SyncFiles()
		full = err != nil && !now && r.d.committer.later(st, err) // reads go on, and the journal stays until there is space
		if err != nil && !full {
			return nil, false, errors.Join(err, l.Close(false))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep = r.keep || full || trusted
	r.report.ScannedBytes += found.ScannedBytes
	r.report.TruncatedBytes += found.TruncatedBytes
	if !lost && found.TruncatedBytes > 0 {
		r.d.opts.Warn(fmt.Errorf("log %s: %d bytes from offset %d on are torn and were cut off, as a crash leaves them behind what is known to be synced; with the journal it ends at offset %d",
			st.id, found.TruncatedBytes, ended, l.LogEnd()))
	}
	return l, trusted, nil
}

func (r *recovery) replayAll(st *state, l *commitlog.Log) error {
	reader := r.takeReader()
	defer r.putReader(reader)
	var buf []byte
	for _, e := range r.replay[st] {
		var err error
		if buf, err = reader.Read(buf[:0], e); err != nil {
			return err
		}
		if err := l.Replay(buf); err != nil {
			return fmt.Errorf("replay %d bytes from offset %d: %w", e.Bytes, e.Base, err)
		}
		r.mu.Lock()
		r.report.ReplayedBytes += e.Bytes
		r.mu.Unlock()
	}
	return nil
}

// settleKept voids what was kept of logs that are open now. Without room for that they are not: what is kept would come back behind whatever cuts them.
func (r *recovery) settleKept() error {
	d := r.d
	var open []*state
	for st := range r.kept {
		if st.err == nil {
			open = append(open, st)
		}
	}
	err := d.settleUnopened(open, r.foreign)
	if !errors.Is(err, errUnsettled) || !lacks(err) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, st := range open {
		if closeErr := d.putBack(st); closeErr != nil {
			return errors.Join(err, closeErr)
		}
		st.err = err
		r.failedLocked(st)
		r.report.Recovered--
		d.unopened.kept[st] = true
		d.opts.Warn(fmt.Errorf("recover log %s: %w", st.id, err))
	}
	return nil
}

// pin keeps the journal's files until the logs with entries in them are synced, as if they had been written just now.
func (r *recovery) pin() {
	c := r.d.committer
	c.mu.Lock()
	defer c.mu.Unlock()
	for sequence := r.scan.Oldest(); sequence <= r.scan.Sequence(); sequence++ {
		c.mu.files[sequence] = nil
	}
	for st, entries := range r.replay {
		l := st.log.Load()
		if l == nil {
			continue // it could not be opened
		}
		st.committing.journaled = l.LogEnd()
		in := uint64(0)
		for _, e := range entries[r.kept[st]:] {
			if e.Sequence != in { // they come in the order of the files
				in = e.Sequence
				c.mu.files[in] = append(c.mu.files[in], st)
			}
		}
	}
}

// noteLosses notes what the recovery points tell that were found, until Told.
func (d *Dir) noteLosses() {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &d.checkpoints
	for _, st := range d.mu.order {
		if st.lost {
			c.lost[st.key()] = st.found.Point
		}
	}
	maps.Copy(c.short, c.recovery)
	for key := range c.short {
		d.report.Short = append(d.report.Short, commitlog.ID{Topic: key.topic, Partition: key.partition})
	}
}

// forgetFound drops what the checkpoints say of partitions that have no log.
func (d *Dir) forgetFound() {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &d.checkpoints
	if len(c.recovery)+len(c.logStart)+len(c.highWatermark)+len(c.cleaner) > 0 {
		c.gone.Add(1)
	}
	c.recovery, c.logStart, c.highWatermark, c.cleaner = nil, nil, nil, nil
}
