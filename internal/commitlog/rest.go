package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/vfs"
)

// Rest is what has to be known of a log whose files are not open: that all of it is synced in them, where it ends, and when something is
// to be done about it. A log that was made with one rests: it has its offsets and its size, and opens its directory, with the recovery that New
// describes, for the first call that needs more. Nobody waits for that at a start, be it after a clean stop or after a crash. One that nobody has used for a
// while returns to rest (LetRest), and needs no more memory than after a start.
//
// What a Rest says was true when the log said it. It is true as long as the directory and the file of the active segment are as they were
// then (Holds), and the recovery point is still End. For whatever changes a log appends to the active segment, or cuts it, before which the
// recovery point is lowered, or makes, removes or renames files. Bytes below the recovery point are not looked at by a start
// without Rest either; readers check each batch.
type Rest struct {
	End      int64 // the log end, and the recovery point
	Base     int64 // of the active segment
	Bytes    int64 // in its .log file
	Written  int64 // modification time of that file, in nanoseconds
	Changed  int64 // that of the directory
	Size     int64 // bytes in all segments
	Segments int32
	Epoch    int32 // the last leader epoch; -1: none

	First       int64 // base of the first segment
	FirstBytes  int64
	FirstEnd    int64 // base of the second; End if there is none
	FirstNewest int64 // largest timestamp in the first; below 0: not known, or none
}

// oldest is what the first segment knew when it was closed.
type oldest struct {
	base, newest int64
	sealed       bool // it is not the active one, so that this does not change
}

// quiet is how long a log must not have been changed when it is described: a later change has another time then, however coarse times are.
const quiet = time.Second

// Holds says whether the files in a log's directory are those that the Rest was of. It looks at two of them and opens none.
func (r *Rest) Holds(fsys vfs.FS, dir string) bool {
	d, err := fsys.Stat(dir)
	if err != nil || !d.IsDir() || d.ModTime().UnixNano() != r.Changed {
		return false
	}
	f, err := fsys.Stat(filepath.Join(dir, segment.Name(r.Base, segment.LogSuffix)))
	return err == nil && f.Mode().IsRegular() && f.Size() == r.Bytes && f.ModTime().UnixNano() == r.Written
}

// lie lets the log rest. Nobody uses it yet.
func (l *Log) lie(r *Rest, clean bool) {
	start := min(max(l.marks.logStart.Load(), r.First), r.End)
	l.marks.size.Store(r.Size)
	l.marks.written.Store(r.Size)
	l.setEnds(r.End)
	l.marks.logStart.Store(start)
	l.marks.cleaned.Store(min(l.marks.cleaned.Load(), r.End))
	l.mu.state = present
	l.mu.atClean = clean
	l.rest.Store(r)
	l.marks.check()
}

// A log's uses are two counts and a bit: in the upper half how often its files were needed since it was made, in the lower how many calls are under way that a
// return to rest would disturb, and whether one is under way.
const (
	inside = 1
	lying  = 1 << 31
	needed = 1 << 32
)

// use is Wake for a call that needs the log to stay awake until it says leave.
func (l *Log) use() error { return l.awake(inside + needed) }

// glance is use for those who look time and again whether there is something to be done: they keep no log from its rest for longer than they look.
func (l *Log) glance() error { return l.awake(inside) }

func (l *Log) awake(n uint64) error {
	for {
		l.enter(n)
		if l.rest.Load() == nil {
			return nil
		}
		l.leave()
		if err := l.wake(); err != nil {
			return err
		}
	}
}

// enter keeps the log as it is, awake or at rest, until leave; one at rest may wake. It never waits for a disk.
func (l *Log) enter(n uint64) {
	for l.uses.Add(n)&lying != 0 {
		l.leave()
		l.ended() // waits for the lock, under which it comes to rest
	}
}

func (l *Log) leave() { l.uses.Add(^uint64(inside - 1)) }

// Uses changes whenever somebody needs the log's files.
func (l *Log) Uses() uint64 { return l.uses.Load() }

// LetRest lets the log return to rest, with what Rest said of it since, unless somebody has used it since Uses was so much, or does. It says whether the log
// rests. It touches no file: one whose indexes, snapshots or names wait to be written stays awake, and so does one that would be woken soon.
func (l *Log) LetRest(r *Rest, uses uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uses&(needed-1) != 0 || !l.uses.CompareAndSwap(uses, uses|lying) {
		return false
	}
	defer l.uses.Add(^uint64(lying - 1)) // others may have tried to enter
	if !l.mayRestLocked(r) {
		return false
	}
	segments := l.segments()
	l.rest.Store(r)
	l.view.Store(nil)
	l.epochs.Store(nil)
	l.unstable.Store(false)
	past := l.mu.producers.Past(l.env.Clock.Now().UnixMilli())
	l.replaceLocked(inner{state: present, past: past}) // not as a clean stop leaves it: a snapshot may be missing, and the end of the indexes
	for _, s := range segments {
		s.Close()
	}
	return true
}

// replaceLocked takes another inner, of a log that returns to rest or wakes, but for what outlasts both.
func (l *Log) replaceLocked(next inner) {
	is := &l.mu.inner
	next.names, next.cuts, next.created, next.jitter, next.lastGrowth = is.names, is.cuts, is.created, is.jitter, is.lastGrowth
	l.mu.inner = next
}

// mayRestLocked says whether the log is as the Rest says, and can be opened anew as it is, for little.
func (l *Log) mayRestLocked(r *Rest) bool {
	is, _, ok := l.describeLocked()
	is.Changed, is.Written = r.Changed, r.Written
	m := &l.mu.inner
	switch {
	case !ok, is != *r, m.state != present, m.newDir, m.newFiles, m.unseen != nil, len(m.sealed)+len(m.pending) > 0:
		return false
	case m.sinceDerived > walkedMax, !l.idleRestLocked(r, l.env.Clock.Now()), !l.cleanRest(r):
		return false
	}
	for _, s := range l.segments() {
		if len(s.Damages()) > 0 || s.InUse() { // a file that a reader has is removed in another way than others
			return false
		}
	}
	return true
}

// walkedMax is how much was appended at most since the last snapshot to a log that returns to rest: whoever uses it next waits until that was walked.
const walkedMax = 1 << 20

// Rests says whether the files of the log are not open, since nobody needs them.
func (l *Log) Rests() bool { return l.rest.Load() != nil }

// Rest describes the log so that it may rest at the next start. ok is false while something of it is not synced or changed just now, and for a log of whose
// transactions readers must know. A closed log is described as its end left it; nobody changes it any more.
func (l *Log) Rest() (r Rest, ok bool) {
	if r := l.rest.Load(); r != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return *r, l.mu.refused == nil
	}
	if !l.ended() {
		l.rememberOldest()
	}
	r, active, ok := l.describe()
	if !ok {
		return Rest{}, false
	}
	dir, err := l.env.FS.Stat(l.dir())
	if err != nil {
		return Rest{}, false
	}
	file, err := l.env.FS.Stat(active.Path())
	if err != nil || file.Size() != r.Bytes {
		return Rest{}, false
	}
	if before := l.env.Clock.Now().Add(-quiet); !l.ended() && (dir.ModTime().After(before) || file.ModTime().After(before)) {
		return Rest{}, false
	}
	r.Changed, r.Written = dir.ModTime().UnixNano(), file.ModTime().UnixNano()
	return r, true
}

// describe is what memory knows of it.
func (l *Log) describe() (r Rest, active *segment.Segment, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.describeLocked()
}

func (l *Log) describeLocked() (r Rest, active *segment.Segment, ok bool) {
	v := l.view.Load()
	if v == nil || l.doomed.Load() > 0 || l.mu.newEpochs || l.UnflushedBytes() > 0 || l.marks.recovery.Load() != l.marks.logEnd.Load() {
		return Rest{}, nil, false
	}
	if !l.mu.producers.Stable() {
		return Rest{}, nil, false
	}
	first, active := v.segments[0], v.active()
	r = Rest{
		End: l.marks.logEnd.Load(), Base: active.Base(), Bytes: active.Size(), Size: l.marks.size.Load(), Segments: int32(len(v.segments)), Epoch: -1,
		First: first.Base(), FirstBytes: first.Size(), FirstEnd: first.End(), FirstNewest: segment.NoTimestamp,
	}
	if e, known := l.latestAwake(); known {
		r.Epoch = int32(e)
	}
	if l.mu.oldest.base == r.First {
		r.FirstNewest = l.mu.oldest.newest
	}
	return r, active, true
}

// rememberOldest keeps for Rest what only open files tell.
func (l *Log) rememberOldest() {
	segments := l.segments()
	if len(segments) == 0 {
		return
	}
	first := segments[0]
	l.mu.Lock()
	known := len(segments) > 1 && l.mu.oldest.base == first.Base() && l.mu.oldest.sealed
	l.mu.Unlock()
	if known {
		return
	}
	if ts, err := first.MaxTimestamp(); err == nil {
		l.mu.Lock()
		l.mu.oldest = oldest{first.Base(), ts, len(segments) > 1}
		l.mu.Unlock()
	}
}

// Wake opens the files of a log that rests. Every method that needs them does so by itself; it is for callers that want to know before.
// Files that are not what they were are refused, with ErrCorrupt, until the next start, which recovers them.
func (l *Log) Wake() error {
	if err := l.use(); err != nil {
		return err
	}
	l.leave()
	return nil
}

func (l *Log) wake() error {
	defer l.hold()()
	r := l.rest.Load()
	if r == nil {
		return nil
	}
	l.mu.Lock()
	ended, refused, clean := l.mu.state == closed, l.mu.refused, l.mu.atClean
	l.mu.Unlock()
	if refused != nil {
		return refused
	}
	if ended {
		return ErrClosed
	}
	err := l.openRested(r, clean)
	switch {
	case err == nil:
		l.env.woken(l, nil)
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrTopicID):
		l.mu.Lock()
		l.mu.refused = err
		l.mu.Unlock()
		l.env.woken(l, err)
	}
	return err
}

// openRested opens the log anew, as another one that nobody sees, and takes over what that found.
func (l *Log) openRested(r *Rest, clean bool) error {
	opened := &Log{id: l.id, env: l.env}
	opened.name.Store(l.name.Load())
	opened.config.Store(l.config.Load())
	opened.setEnds(l.LogStart())
	found := Recovery{Clean: clean, Point: r.End, LogStart: l.LogStart(), Bytes: r.Bytes}
	err := opened.open(found, l)
	if errors.Is(err, ErrTopicID) {
		// Nothing covers the id in that file, and there is another witness: who noted that the log rests. It is written anew.
		if err = l.env.FS.Remove(filepath.Join(l.dir(), metadataName)); err == nil {
			err = opened.open(found, l)
		}
	}
	if err != nil {
		return err
	}
	if end := opened.LogEnd(); end != r.End || opened.UnflushedBytes() > 0 || opened.view.Load() == nil {
		for _, s := range opened.segments() {
			s.Close()
		}
		return fmt.Errorf("open %s: %w: it ended at offset %d, and now ends at %d", l.id, ErrCorrupt, r.End, end)
	}
	opened.marks.check()
	if latest, known := opened.latestAwake(); r.Epoch >= 0 && (!known || int32(latest) < r.Epoch) {
		// It began where the log ends and has no record yet: a start forgets such a one, but this may be that of who leads now.
		opened.changeEpochsLocked(func(c *epoch.Cache) bool { return c.Assign(r.Epoch, r.End) })
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.past != nil {
		opened.mu.producers.Restore(l.mu.past)
	}
	l.replaceLocked(opened.mu.inner)
	l.epochs.Store(opened.epochs.Load())
	l.unstable.Store(true) // LastStable finds out
	l.marks.size.Store(opened.Size())
	l.marks.written.Store(opened.Size())
	l.marks.durable.Store(opened.Size())
	l.marks.flushed.Store(opened.Size())
	l.marks.logStart.Store(max(l.LogStart(), opened.LogStart()))
	l.view.Store(opened.view.Load())
	l.rest.Store(nil)
	l.marks.check()
	return nil
}

// idleRest says whether retention has nothing to do for a log that rests: what could go is what countOld counts.
func (l *Log) idleRest(r *Rest, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idleRestLocked(r, now)
}

func (l *Log) idleRestLocked(r *Rest, now time.Time) bool {
	if l.mu.lastGrowth.at.IsZero() || l.mu.lastGrowth.end != r.End {
		l.mu.lastGrowth = growth{r.End, now}
	}
	idle := now.Sub(l.mu.lastGrowth.at)
	cfg := l.config.Load()
	if r.Segments > 1 && r.FirstEnd <= l.LogStart() {
		return false
	}
	if !cfg.Delete || r.Size == 0 {
		return true
	}
	if cfg.RetentionBytes >= 0 && r.Size-cfg.RetentionBytes >= r.FirstBytes {
		return false
	}
	if cfg.RetentionAge < 0 || r.Segments == 1 && idle < cfg.RetentionAge {
		return true
	}
	believed := r.FirstBytes > 0 && r.FirstNewest >= 0 && r.FirstNewest <= now.Add(time.Hour).UnixMilli()
	return believed && now.UnixMilli()-r.FirstNewest <= cfg.RetentionAge.Milliseconds()
}

// cleanRest says whether compaction has nothing to do for a log that rests.
func (l *Log) cleanRest(r *Rest) bool {
	return !l.config.Load().Compact || r.Base <= max(l.Cleaned(), l.LogStart())
}
