package logdir

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/uuid"
)

// futureSuffix ends the name of the directory of a copy that is being made: topic-partition.<32 hex digits>-future. It is Kafka's.
const futureSuffix = "-future"

// FutureNameLength is the length of the names of copies of a partition's log. Where it is too much for a file name, the partition cannot be
// moved, as in Kafka.
func FutureNameLength(id commitlog.ID) int { return len(id.DirName()) + 1 + 32 + len(futureSuffix) }

// Future is a copy of a log of another data directory, on its way into this one (KIP-113).
//
// # How a log moves
//
//  1. The copy grows in a directory of another name, synced in its files. It never goes through the journal, which is replayed by the
//     partition's name, nor has it a part in the checkpoints, which are kept by that name too.
//  2. Ready: all of the copy is synced, the number of moves is written beside it (see movesFile), and the recovery point and log start
//     of the copy are noted in the checkpoints. They mean nothing while no folder of that name is there.
//  3. Nothing is appended to the log for a moment. The copy takes what is left, is synced, and gets the partition's name; sync of the
//     directory. From here on the copy is the log: a start that finds both folders keeps the one with the higher number.
//  4. Appends go on, into the new log. The old one's journal entries are settled and its folder goes.
//
// A crash before the name is durable leaves the log where it was, and the copy is dropped or goes on; afterwards the old folder is
// removed by FinishMoves. Where the sync of step 3 fails nobody knows which it was: then the old folder gets a number that is higher still.
type Future struct {
	d    *Dir
	name string
	st   *state // of the log that it will be; log is nil while a start has only found it

	// For the one who makes the copy.
	source  *commitlog.Log
	aligned bool
	cuts    int   // truncations of source that the copy has seen
	copied  int64 // bytes since the last sync
	moves   int64 // the number beside the copy; 0: not written yet
	point   int64 // the copy's recovery point that was noted in the checkpoints
	buf     []byte

	announced bool // in the checkpoints; guarded by Dir.mu
}

// parseFutureName splits "orders-0.0123456789abcdef0123456789abcdef-future".
func parseFutureName(name string) (id commitlog.ID, ok bool) {
	name, ok = strings.CutSuffix(name, futureSuffix)
	at := len(name) - 33
	if !ok || at < 0 || name[at] != '.' {
		return id, false
	}
	if _, err := hex.DecodeString(name[at+1:]); err != nil {
		return id, false
	}
	id.Topic, id.Partition, ok = parseDirName(name[:at])
	return id, ok
}

// Futures returns the partitions of which a copy was begun, by a start before this one or since.
func (d *Dir) Futures() []commitlog.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []commitlog.ID
	for _, f := range d.mu.futures {
		ids = append(ids, f.st.id)
	}
	return ids
}

// Begin begins a copy of a log of another directory, or goes on with one that a clean stop left. It makes its directory at once.
// Compaction must be kept from the log (commitlog's Copying) for as long as the copy is made.
func (d *Dir) Begin(id commitlog.ID, cfg *commitlog.Config, source *commitlog.Log) (*Future, error) {
	if err := d.env.Err(); err != nil {
		return nil, err
	}
	if err := d.touch(); err != nil {
		return nil, err
	}
	if err := d.clearName(id); err != nil {
		return nil, err
	}
	f, err := d.resume(id, cfg, source)
	if f == nil && err == nil {
		f, err = d.beginAnew(id, cfg, source)
	}
	if err != nil {
		return nil, fmt.Errorf("copy log %s to %s: %w", id, d.opts.Path, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.futures[f.name] = f
	return f, nil
}

// clearName makes sure that no log has the partition's name here: one may be left by a move away that could not end, or by a topic of
// that name which is no more.
func (d *Dir) clearName(id commitlog.ID) error {
	d.mu.Lock()
	st, closed := d.mu.logs[keyOf(id)], d.mu.closed
	d.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case st == nil:
		return nil
	case st.handed.Load():
		return fmt.Errorf("log %s is in use in %s", id, d.opts.Path)
	case samePartition(st.id, id):
		err := d.Remove(st.id)
		if err == nil && d.lookup(st.id) == st { // it is tried again, and the copy could not get the name
			err = fmt.Errorf("%w: what was left of log %s in %s is not removed yet", commitlog.ErrReadOnly, id, d.opts.Path)
		}
		return err
	}
	return d.setAside(st)
}

// resume opens a copy that was begun before, where it can be relied on. All others of the partition go.
func (d *Dir) resume(id commitlog.ID, cfg *commitlog.Config, source *commitlog.Log) (found *Future, err error) {
	d.mu.Lock()
	var all []*Future
	for _, f := range d.mu.futures {
		if f.st.id.Topic == id.Topic && f.st.id.Partition == id.Partition && f.st.log.Load() == nil {
			all = append(all, f)
		}
	}
	d.mu.Unlock()
	// A copy of a compacted log is only good if no pass came in between, which nobody wrote down.
	if f := slices.IndexFunc(all, func(f *Future) bool { return f.st.id == id }); f >= 0 && d.clean && source.Cleaned() == 0 && !cfg.Compact {
		found = all[f]
	}
	if found != nil {
		if err := found.open(cfg, source, commitlog.Recovery{Clean: true}); err != nil {
			d.opts.Warn(fmt.Errorf("go on with the copy of %s: %w: it begins anew", id, err))
			found = nil
		}
	}
	for _, f := range all {
		if f != found {
			if err := f.Drop(); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

func (d *Dir) beginAnew(id commitlog.ID, cfg *commitlog.Config, source *commitlog.Log) (*Future, error) {
	unique := uuid.New(d.opts.Random)
	f := &Future{d: d, name: id.DirName() + "." + hex.EncodeToString(unique[:]) + futureSuffix, st: &state{id: id}}
	if err := f.open(cfg, source, commitlog.Recovery{Missing: true, LogStart: source.LogStart()}); err != nil {
		return nil, err
	}
	if err := f.st.log.Load().MakeFiles(); err != nil {
		return nil, err
	}
	return f, nil
}

// open opens the copy's log. Nothing of it is deleted, compacted or announced to the committer before it is complete.
func (f *Future) open(cfg *commitlog.Config, source *commitlog.Log, found commitlog.Recovery) error {
	own := *cfg
	own.Durable, own.Delete, own.Compact = false, false, false
	own.FlushMessages, own.FlushInterval, own.FileDeleteDelay = 0, 0, 0
	l, err := commitlog.New(f.st.id, commitlog.Options{Env: f.d.env, Config: &own, OnSynced: f.st.synced, Recovery: found, DirName: f.name})
	if err != nil {
		return err
	}
	f.source = source
	f.st.log.Store(l)
	return nil
}

// ID names the partition.
func (f *Future) ID() commitlog.ID { return f.st.id }

// Log is the copy so far, for those who describe it.
func (f *Future) Log() *commitlog.Log { return f.st.log.Load() }

// align makes the copy the beginning of the log again, after the log was cut, lost its first segments, or was opened with a copy from before.
func (f *Future) align() error {
	l := f.Log()
	cuts := f.source.Cuts()
	if err := f.renounce(); err != nil {
		return err
	}
	if end := f.source.LogEnd(); l.LogEnd() > end {
		if err := l.TruncateTo(end); err != nil {
			return err
		}
	}
	fits, err := l.Continues(f.source)
	if err != nil {
		return err
	}
	if !fits {
		if err := l.TruncateFullyAt(f.source.LogStart()); err != nil {
			return err
		}
	}
	f.aligned, f.cuts = true, cuts
	return l.MakeFiles()
}

// spareBytes is what a copy leaves free on the disk for those who cannot wait.
const spareBytes = 64 << 20

// syncEvery is how much is copied before it is synced, so that the disk is never busy for long with what nobody waits for.
const syncEvery = 16 << 20

// Copy copies about as many bytes as it is allowed to. It returns how many, 0 where the copy has all that the log has; commitlog.ErrNoRoom
// or commitlog.ErrReadOnly where the disk has no room for more at the moment, and any other error where the copy is to be given up.
func (f *Future) Copy(maxBytes int64) (n int64, err error) {
	l := f.Log()
	if err := f.d.env.Err(); err != nil {
		return 0, err
	}
	if free, err := f.d.opts.FS.Free(f.d.opts.Path); err == nil && free < spareBytes+uint64(maxBytes) {
		return 0, fmt.Errorf("%w: %d bytes are free in %s", commitlog.ErrNoRoom, free, f.d.opts.Path)
	}
	for attempt := 0; ; attempt++ {
		if !f.aligned || f.cuts != f.source.Cuts() || l.LogEnd() < f.source.LogStart() {
			if err := f.align(); err != nil {
				return 0, fmt.Errorf("copy log %s to %s: %w", f.st.id, f.d.opts.Path, err)
			}
		}
		n, _, f.buf, err = l.CopyFrom(f.source, maxBytes, f.buf)
		if !errors.Is(err, commitlog.ErrOffsetOutOfRange) || attempt == 8 {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("copy log %s to %s: %w", f.st.id, f.d.opts.Path, err)
	}
	if f.copied += n; f.copied >= syncEvery {
		return n, f.sync()
	}
	return n, nil
}

// sync makes the copy durable and lets go what the log has let go.
func (f *Future) sync() error {
	l := f.Log()
	f.copied = 0
	if err := l.AdvanceLogStart(min(f.source.LogStart(), l.LogEnd())); err != nil {
		return err
	}
	if _, err := l.DeleteOld(f.d.opts.Clock.Now(), l.LogEnd()); err != nil {
		return err
	}
	if _, err := l.SyncFiles(); err != nil {
		return fmt.Errorf("sync the copy of %s: %w", f.st.id, err)
	}
	return nil
}

// Ready does step 2: the copy is as good as complete, and the log is in from.
func (f *Future) Ready(from *Dir) error {
	if err := f.sync(); err != nil {
		return err
	}
	if err := f.Log().Learn(f.source); err != nil {
		return err
	}
	if f.moves == 0 {
		n, err := from.movesIn(f.st.id.DirName())
		if err != nil {
			return err
		}
		if err := f.d.setMoves(f.name, n+1); err != nil {
			return err
		}
		f.moves = n + 1
	}
	f.point = f.Log().RecoveryPoint()
	f.d.mu.Lock()
	f.announced = true
	f.d.mu.Unlock()
	if err := f.d.checkpointRecovery(); err != nil {
		return err
	}
	for range readyPieces { // what came meanwhile, so that Finish has little left to do
		if n, err := f.Copy(maxPiece); n == 0 || err != nil {
			return err
		}
	}
	return f.sync()
}

// readyPieces bounds what Ready copies in the end, where the log grows as fast as it is copied.
const readyPieces = 8

// Rest gives up the memory that copying took.
func (f *Future) Rest() { f.buf = nil }

// renounce takes the copy out of the checkpoints.
func (f *Future) renounce() error {
	f.d.mu.Lock()
	was := f.announced
	f.announced = false
	f.d.mu.Unlock()
	if !was {
		return nil
	}
	f.d.checkpoints.gone.Add(1)
	return f.d.refresh()
}

// ErrBehind says that the copy is not complete: the log was cut, has grown by more than producers should wait for, or compaction has been
// where the copy may not rely on its recovery point.
var ErrBehind = errors.New("copy is not complete")

// Finish does step 3: it puts the copy, which was Ready, in the place of the log in from, and returns the log that it is now. Nothing is
// appended to the log meanwhile, and it is not in use afterwards but for reading, until it is removed from there. After an error the
// log is where it was; if the error wraps commitlog.ErrOffline one of the directories is offline.
func (f *Future) Finish(from *Dir, cfg *commitlog.Config, onSynced func(end int64)) (*commitlog.Log, error) {
	l := f.Log()
	for copied := int64(0); ; {
		n, err := f.Copy(maxPiece)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		if copied += n; copied > f.d.opts.finishMax {
			return nil, ErrBehind
		}
	}
	if !f.isAnnounced() || f.point < f.source.Cleaned() {
		return nil, ErrBehind
	}
	if err := l.TakeOver(f.source); err != nil {
		return nil, err
	}
	if _, err := l.SyncFiles(); err != nil {
		return nil, err
	}
	if l.RecoveryPoint() < f.source.LogEnd() {
		return nil, ErrBehind
	}
	err := l.Rename(f.st.id.DirName())
	if err == nil {
		if err = f.d.opts.FS.SyncDir(f.d.opts.Path); err != nil {
			f.d.fail(err)
			err = fmt.Errorf("%w: sync %s: %w", commitlog.ErrOffline, f.d.opts.Path, err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.revoke(from))
	}
	f.d.mu.Lock()
	delete(f.d.mu.futures, f.name)
	f.st.handed.Store(true)
	f.d.addLocked(f.st)
	f.d.mu.Unlock()
	if onSynced != nil {
		f.st.onSynced.Store(&onSynced)
	}
	f.d.committer.add(f.st)
	l.Configure(cfg)
	if old := from.lookup(f.st.id); old != nil {
		old.handed.Store(false) // it belongs to no partition any more
	}
	return l, nil
}

// maxPiece is how much is read of a log at once.
const maxPiece = 1 << 20

func (f *Future) isAnnounced() bool {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.announced
}

// revoke makes the log in from the one that counts, whatever became of the copy's name. If that fails both directories are offline: nothing
// is acknowledged any more, and each of both folders has all that was.
func (f *Future) revoke(from *Dir) error {
	defer func() { f.moves = 0 }() // the copy's number is too low from now on: another Ready writes one that is higher again
	err := f.source.MakeFiles()
	if err == nil {
		err = from.setMoves(f.st.id.DirName(), f.moves+1)
	}
	if err == nil {
		err = from.opts.FS.SyncDir(from.opts.Path) // the folder's own name may be as new
	}
	if err != nil {
		from.fail(err)
	}
	return err
}

// Drop ends the copy and removes it in the background.
func (f *Future) Drop() error {
	d := f.d
	d.mu.Lock()
	delete(d.mu.futures, f.name)
	if f.announced {
		f.announced = false
		d.checkpoints.gone.Add(1)
	}
	d.mu.Unlock()
	if l := f.Log(); l != nil {
		if err := l.Delete(); err != nil {
			d.doubtful.Store(true) // what is left is not synced
			return fmt.Errorf("drop the copy of %s: %w", f.st.id, err)
		}
		return nil
	}
	to, err := d.renameTo(f.name, f.st.id, deleteSuffix)
	if err != nil {
		return fmt.Errorf("drop the copy of %s: %w", f.st.id, err)
	}
	d.background.run(0, commitlog.RemoveDir(d.opts.FS, to))
	return nil
}

// Leave ends the copy and leaves its files, where the directory is offline or the log that it is of may be lost.
func (f *Future) Leave() {
	f.d.mu.Lock()
	delete(f.d.mu.futures, f.name)
	if f.announced {
		f.announced = false
		f.d.checkpoints.gone.Add(1)
	}
	f.d.mu.Unlock()
	l := f.Log()
	if l == nil {
		return
	}
	offline := f.d.offline()
	if err := l.Close(!offline); err != nil && !offline {
		f.d.doubtful.Store(true)
	}
}

// DropFutures removes the copies that a start found for which want says no. A copy whose log is in none of the directories is set aside
// instead: it may be all that is left.
func (d *Dir) DropFutures(want func(commitlog.ID) (copyOf bool, wanted bool)) error {
	d.mu.Lock()
	var all []*Future
	for _, f := range d.mu.futures {
		if f.st.log.Load() == nil {
			all = append(all, f)
		}
	}
	d.mu.Unlock()
	var errs []error
	for _, f := range all {
		has, wanted := want(f.st.id)
		if wanted {
			continue
		}
		if err := d.touch(); err != nil {
			return err
		}
		if has {
			errs = append(errs, f.Drop())
			continue
		}
		to, err := d.renameTo(f.name, f.st.id, straySuffix)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.mu.Lock()
		delete(d.mu.futures, f.name)
		d.mu.Unlock()
		d.opts.Warn(fmt.Errorf("copy of log %s: the log is in none of the data directories: set aside as %s", f.st.id, to))
	}
	return errors.Join(errs...)
}

// findFutureLocked notes a copy that a start before this one began.
func (d *Dir) findFutureLocked(name string, id commitlog.ID) *Future {
	f := &Future{d: d, name: name, st: &state{id: id}}
	d.mu.futures[name] = f
	return f
}

// checkpointed returns the logs and copies that are in the checkpoints, at one moment: a copy that becomes a log meanwhile is there as the
// one or the other. Without its recovery point a log that was compacted would be scanned, and cut at the first gap. The list is good until the next
// call; checkpoints.writing is held.
func (d *Dir) checkpointed() []*state {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := append(d.checkpoints.states[:0], d.mu.order...)
	for _, f := range d.mu.futures {
		if f.announced {
			all = append(all, f.st)
		}
	}
	clear(all[len(all):cap(all)]) // those that are gone
	d.checkpoints.states = all
	return all
}

// copies returns the copies that are being made.
func (d *Dir) copies() (all []*state) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.mu.futures {
		if f.st.log.Load() != nil {
			all = append(all, f.st)
		}
	}
	return all
}
