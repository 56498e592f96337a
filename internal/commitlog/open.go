package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// ErrTopicID says that a directory belongs to another topic of the same name.
var ErrTopicID = errors.New("directory belongs to another topic id")

// listing is what lies in a partition directory.
type listing struct {
	bases     []int64
	snapshots []int64
	sizes     map[string]int64 // by name; 0 where nobody asks for it
	doomed    []doomedFile     // left over from deletions and replaced files
	cleaned   []string         // files of a cleaning that did not come to its end
	swaps     []string         // files of one that did, and must be put in place
}

// list reads the directory; exists is false when there is none.
func (l *Log) list() (ls listing, exists bool, err error) {
	entries, err := l.env.FS.ReadDir(l.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return ls, false, nil
	}
	if err != nil {
		return ls, false, err
	}
	ls.sizes = make(map[string]int64, len(entries))
	logs := 0
	for _, e := range entries {
		if _, ok := segment.ParseName(e.Name(), segment.LogSuffix); ok {
			logs++
		}
	}
	for _, e := range entries {
		name := e.Name()
		if !e.Type().IsRegular() && isOurs(name) {
			// A link would have the size of its name and be written through, a pipe would be waited for.
			return ls, true, fmt.Errorf("%w: %s is no regular file", ErrCorrupt, filepath.Join(l.dir(), name))
		}
		if e.IsDir() {
			continue
		}
		ls.sizes[name] = 0
		// The indexes of the last segment are read whole, like every small file. To ask for all sizes would be most of what the opening of a log with one segment
		// leaves behind.
		if logs > 1 || strings.HasSuffix(name, segment.LogSuffix) || strings.HasSuffix(name, segment.SwapSuffix) {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				delete(ls.sizes, name)
				continue
			}
			if err != nil {
				return ls, true, err
			}
			ls.sizes[name] = info.Size()
		}
		if base, ok := segment.ParseName(name, segment.LogSuffix); ok {
			ls.bases = append(ls.bases, base)
		}
		if at, ok := segment.ParseName(name, segment.SnapshotSuffix); ok {
			ls.snapshots = append(ls.snapshots, at)
		}
		if strings.HasSuffix(name, ".tmp") { // at once, for soon another is written under that name
			_ = l.env.FS.Remove(filepath.Join(l.dir(), name))
		}
		switch {
		case strings.HasSuffix(name, segment.CleanedSuffix):
			ls.cleaned = append(ls.cleaned, name)
		case strings.HasSuffix(name, segment.SwapSuffix):
			ls.swaps = append(ls.swaps, name)
		}
		if strings.HasSuffix(name, segment.DeletedSuffix) {
			ls.doomed = append(ls.doomed, doomedFile{path: filepath.Join(l.dir(), name)})
		}
	}
	slices.Sort(ls.bases)
	slices.Sort(ls.snapshots)
	return ls, true, nil
}

// isOurs says whether a name in a partition directory is one that the log reads and writes under.
func isOurs(name string) bool {
	for _, suffix := range []string{segment.LogSuffix, segment.IndexSuffix, segment.TimeSuffix, segment.SnapshotSuffix, segment.AbortedSuffix} {
		if _, ok := segment.ParseName(name, suffix); ok {
			return true
		}
	}
	return name == epoch.Name || name == metadataName
}

// open reads the directory of the log, if there is one, and recovers what is in it. The owner is the log itself, or the one that rested.
func (l *Log) open(r Recovery, owner *Log) error {
	ls, exists, err := l.list()
	if err == nil && len(ls.swaps)+len(ls.cleaned) > 0 {
		if err = l.finishSwaps(ls); err == nil {
			ls, exists, err = l.list()
		}
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", l.id, err)
	}
	if !exists {
		l.recovered.Lost = r.Point > max(r.LogStart, 0)
		return nil
	}
	l.mu.state = present
	if !r.Identified {
		if err := l.checkTopicID(); err != nil {
			return fmt.Errorf("open %s: %w", l.id, err)
		}
	}
	if len(ls.doomed) > 0 {
		owner.removeLater(0, ls.doomed)
	}
	o := opening{l: l, owner: owner, ls: ls, r: r, point: r.Point, synced: max(r.Point, r.Synced), examine: -1}
	if r.Clean {
		o.point, o.synced = all, all
	}
	if err := o.run(); err != nil {
		return fmt.Errorf("open %s: %w", l.id, err)
	}
	return nil
}

// checkTopicID compares partition.metadata with the id that the log is opened for; a file that a crash left out is written again.
func (l *Log) checkTopicID() error {
	have, err := ReadTopicID(l.env.FS, l.dir())
	switch {
	case err == nil && have == l.id.TopicID, err == nil && l.id.TopicID.IsZero():
		l.id.TopicID = have
		return nil
	case err == nil:
		return fmt.Errorf("%w: %s, not %s", ErrTopicID, have, l.id.TopicID)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrCorrupt):
		l.recovered.Rebuilt++
		l.mu.newDir, l.mu.newFiles = true, true
		o := opening{l: l}
		return o.tolerate(writeFile(l.env.FS, filepath.Join(l.dir(), metadataName), encodeMetadata(l.id.TopicID)))
	}
	return err
}

// opening is the state of one recovery.
type opening struct {
	l        *Log
	owner    *Log // whose segments they will be
	ls       listing
	r        Recovery
	point    int64 // recovery point; above every offset after a clean stop
	synced   int64 // the same for records: nothing below is torn
	known    int64 // what is derived is believed below this offset: that of the snapshot
	first    int   // the segment in which known lies
	segments []*segment.Segment
	state    *producer.State
	epochs   epoch.Cache
	filed    []epoch.Entry // what the epochs' file says
	stopped  *epoch.Cache  // the same
	rescan   bool          // the epochs must be read from all batches
	end      int64

	before    *producer.State // what state was before segments with damage were walked
	lastEpoch int32           // of the batch walked last
	examine   int64           // base of the segment that is looked through first, since it was found damaged; -1: none is
}

func (o *opening) run() error {
	l := o.l
	if len(o.ls.bases) == 0 {
		return o.empty()
	}
	if err := o.dropEmpty(); err != nil {
		return err
	}
	for {
		o.chooseSnapshot()
		if o.examine >= 0 {
			o.before = o.state.Clone()
			if err := o.dropNewer(); err != nil {
				return err
			}
		}
		o.loadEpochs()
		if err := o.loadSegments(); err != nil {
			if o.damaged(err) {
				continue
			}
			return err
		}
		if o.end >= o.known || o.known <= o.ls.bases[0] {
			break
		}
		// The log ends below the snapshot that was believed: it lost more than it should. Start again with an older one.
		o.dropSnapshots(o.known - 1)
	}
	if o.r.LogStart > o.end && o.r.Clean && 0 < o.r.Point && o.r.Point <= o.end {
		// The log is whole and ends where it ended. No stop leaves a log start above that: what is wrong is the checkpoint, and not the log, which
		// would have to go.
		o.r.LogStart = 0
		l.recovered.Rebuilt++
	}
	l.view.Store(&view{o.segments})
	l.mu.producers = *o.state
	l.unstable.Store(true)
	if o.before != nil && slices.ContainsFunc(o.segments, o.passedOver) {
		l.mu.unseen = &unseen{o.before, o.known}
	}
	o.setMarks()
	if n := o.walked(); n > 0 {
		l.mu.sinceDerived = n
	}
	if err := o.finishEpochs(); err != nil {
		return err
	}
	if o.r.LogStart > o.end {
		// Everything that was to be served is gone.
		l.recovered.Lost = true
		return l.truncateFully(o.r.LogStart)
	}
	removed := len(o.ls.snapshots)
	o.dropSnapshots(o.end)
	l.mu.snapshots = o.ls.snapshots
	if removed != len(o.ls.snapshots) {
		return l.env.FS.SyncDir(l.dir()) // one that came back later would contradict what is appended now
	}
	return nil
}

// walked is how many bytes the next start walks, and who wakes the log when it rests, as long as no newer snapshot is written.
func (o *opening) walked() (n int64) {
	if o.known >= o.end {
		return 0
	}
	for _, s := range o.segments[o.first:] {
		n += s.Size()
	}
	if pos, ok, err := o.segments[o.first].Find(o.known); err == nil && ok {
		n -= pos
	}
	return n
}

// passedOver says whether a segment has damage where its batches were walked.
func (o *opening) passedOver(s *segment.Segment) bool {
	return slices.ContainsFunc(s.Damages(), func(d segment.Damage) bool { return d.Next > o.known })
}

// damaged says whether the segments should be loaded again, and one of them be looked through for damage before it is recovered.
func (o *opening) damaged(err error) bool {
	if !errors.Is(err, segment.ErrDamaged) || len(o.segments) == 0 {
		return false
	}
	base := o.segments[len(o.segments)-1].Base()
	if base <= o.examine {
		return false
	}
	o.examine = base
	return true
}

// empty opens a directory without segments: its making was interrupted, or its removal.
func (o *opening) empty() error {
	l := o.l
	l.recovered.Lost = !o.r.Clean && o.r.Point > max(o.r.LogStart, 0)
	removed := len(o.ls.snapshots)
	o.dropSnapshots(-1)
	l.mu.lastGrowth = growth{}
	if removed > 0 {
		if err := l.env.FS.SyncDir(l.dir()); err != nil {
			return err
		}
	}
	l.mu.newDir, l.mu.newFiles = true, true
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.rollLocked(l.marks.logEnd.Load(), l.config.Load())
	return o.tolerate(err) // without a segment the first append makes one
}

// dropSnapshots removes the snapshot files above offset.
func (o *opening) dropSnapshots(offset int64) {
	k := len(o.ls.snapshots)
	for ; k > 0 && o.ls.snapshots[k-1] > offset; k-- {
		_ = o.l.env.FS.Remove(o.l.snapshotPath(o.ls.snapshots[k-1]))
	}
	o.ls.snapshots = o.ls.snapshots[:k]
}

// dropNewer removes the snapshots above the one that was chosen before batches with damage among them are walked: what is derived from those is not what they vouch for.
func (o *opening) dropNewer() error {
	have := len(o.ls.snapshots)
	if o.dropSnapshots(o.known); len(o.ls.snapshots) == have {
		return nil
	}
	return o.l.env.FS.SyncDir(o.l.dir())
}

func (l *Log) readSnapshot(offset int64) (*producer.State, error) {
	b, err := vfs.ReadFile(l.env.FS, l.snapshotPath(offset))
	if err != nil {
		return nil, err
	}
	return producer.Decode(b)
}

// chooseSnapshot takes the newest readable snapshot at or below the recovery point, but none below the first segment: what such a one
// lacks is not in the log any more. That at the base of the first segment is good in any case, since everything is walked then.
func (o *opening) chooseSnapshot() {
	o.state, o.known, o.first = &producer.State{}, o.ls.bases[0], 0
	for i := len(o.ls.snapshots) - 1; i >= 0; i-- {
		at := o.ls.snapshots[i]
		if at > o.point && at != o.ls.bases[0] || at < o.ls.bases[0] {
			continue
		}
		state, err := o.l.readSnapshot(at)
		if err != nil {
			o.l.recovered.Rebuilt++
			_ = o.l.env.FS.Remove(o.l.snapshotPath(at))
			o.ls.snapshots = slices.Delete(o.ls.snapshots, i, i+1)
			continue
		}
		o.state, o.known = state, at
		break
	}
	for o.first+1 < len(o.ls.bases) && o.ls.bases[o.first+1] <= o.known {
		o.first++
	}
}

// loadEpochs reads the epochs' file.
func (o *opening) loadEpochs() {
	b, err := vfs.ReadFile(o.l.env.FS, filepath.Join(o.l.dir(), epoch.Name))
	if err == nil {
		var c *epoch.Cache
		if c, err = epoch.Decode(b); err == nil {
			o.filed = slices.Clone(c.Entries())
			o.stopped = c.Clone()
			o.epochs, o.rescan = *c, false
			// What begins above the snapshot comes back from the batches; the file may be older than a truncation there.
			o.epochs.TruncateEnd(o.known)
			if o.known == o.ls.bases[0] {
				o.epochs.Clear() // all batches are walked; what the file has may be older than TruncateFullyAt
			}
			return
		}
	}
	o.epochs, o.rescan = epoch.Cache{}, true
}

// loadSegments opens the segments; those from known on are walked.
func (o *opening) loadSegments() error {
	l := o.l
	o.segments, o.end, o.lastEpoch, l.mu.sealed = nil, o.ls.bases[0], 0, nil
	limits := l.config.Load().limits()
	for i, base := range o.ls.bases {
		last := i == len(o.ls.bases)-1
		size, end := o.ls.sizes[segment.Name(base, segment.LogSuffix)], base
		if !last {
			end = o.ls.bases[i+1]
		}
		s := segment.Open(l.env.Files, l.env.FS, o.owner.folder(), base, size, end)
		if size == 0 && last && base < o.end {
			// Left by a roll that found no space; the segment before it went on.
			if err := l.discard([]*segment.Segment{s}); err != nil {
				return l.env.fail(err)
			}
			o.ls.bases = o.ls.bases[:i]
			return o.segments[i-1].Reactivate()
		}
		o.segments = append(o.segments, s)
		if i < o.first {
			if !s.Check(o.ls.sizes) {
				l.recovered.Rebuilt++
				if err := o.tolerate(s.Rebuild()); err != nil {
					return err
				}
			}
			o.end = end
			continue
		}
		cut, err := o.walk(s, size, limits)
		if err != nil {
			return err
		}
		if !last && (cut || o.ls.bases[i+1] > max(o.end, o.synced) && !l.config.Load().Compact) {
			// Above the recovery point segments join without a gap, so what is missing was lost, be it at the edge of a batch. Not so
			// in a compacted log whose recovery point was lost, or that was brought here without: what lies behind a gap is kept.
			return o.dropBehind(i + 1)
		}
		if !last {
			if err := o.tolerate(s.Seal()); err != nil {
				return err
			}
			s.Retire()
			s.ExtendTo(o.ls.bases[i+1]) // compaction may have taken its last batches
			l.mu.sealed = append(l.mu.sealed, s)
		}
	}
	return nil
}

// dropEmpty removes empty segments before the last one. They are left by rolls that found no space.
func (o *opening) dropEmpty() error {
	var gone []*segment.Segment
	last := o.ls.bases[len(o.ls.bases)-1]
	o.ls.bases = slices.DeleteFunc(o.ls.bases, func(base int64) bool {
		empty := base != last && base != o.ls.bases[0] && o.ls.sizes[segment.Name(base, segment.LogSuffix)] == 0
		if empty {
			gone = append(gone, segment.Open(o.l.env.Files, o.l.env.FS, o.owner.folder(), base, 0, base))
		}
		return empty
	})
	return o.l.env.fail(o.l.discard(gone))
}

// tolerate lets a full disk pass: the log is served all the same, with its derived state in memory.
func (o *opening) tolerate(err error) error {
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	if err = o.l.env.fail(err); errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrOffline) {
		return nil
	}
	return err
}

// walk recovers one segment; cut says that its end was torn off.
func (o *opening) walk(s *segment.Segment, size int64, limits segment.Limits) (cut bool, err error) {
	l := o.l
	if s.Base() < o.end {
		return false, fmt.Errorf("%w: segment %s begins below offset %d, where the one before ends", ErrCorrupt, s.Path(), o.end)
	}
	if s.Base() <= o.examine {
		end, last := max(o.r.Point, o.r.Synced), true // where the log ended, at least
		for _, base := range o.ls.bases {
			if base > s.Base() {
				end, last = base, false
				break
			}
		}
		if err := s.Examine(size, o.synced, end, last && !o.r.Clean, last && size == o.r.Bytes); err != nil {
			return false, err
		}
	}
	s.NotTorn(o.synced)
	res, err := s.Recover(size, o.known, o.point, limits, func(b record.Batch) error { return o.visit(s, b) })
	if err != nil {
		return false, err
	}
	last, end, ended := o.ls.bases[len(o.ls.bases)-1] == s.Base(), s.End(), max(o.r.Point, o.r.Synced)
	if last && ended > 0 && o.examine < s.Base() && (end < ended || end > ended && o.r.Clean) {
		return false, fmt.Errorf("%w: %s ends at offset %d, the log ended at %d", segment.ErrDamaged, s.Path(), end, ended)
	}
	l.recovered.ScannedBytes += res.Scanned
	l.recovered.TruncatedBytes += res.Truncated
	if res.Rebuilt && size > 0 {
		l.recovered.Rebuilt++
	}
	o.end = s.End()
	return res.Truncated > 0, nil
}

// visit enters a batch into epochs and producers. Leader epochs never fall along a log: where they do above what is known to be synced, the batch
// is left from before a truncation that the disk forgot, behind one that was written after it.
func (o *opening) visit(s *segment.Segment, b record.Batch) error {
	e, synced := b.LeaderEpoch(), o.r.Clean || b.NextOffset() <= o.r.Point
	if synced {
		e = o.likelyEpoch(b)
	}
	if e >= 0 {
		if e < o.lastEpoch {
			return fmt.Errorf("%w: %s: epoch %d at offset %d after epoch %d", ErrCorrupt, s.Path(), e, b.BaseOffset(), o.lastEpoch)
		}
		o.lastEpoch = e
	}
	if latest, ok := o.epochs.Latest(); !ok || e > latest {
		o.epochs.Assign(e, max(b.BaseOffset(), o.r.LogStart))
	}
	if b.BaseOffset() < o.known || !b.HasProducerID() {
		return nil
	}
	if a, ok := o.state.Update(b); ok {
		s.NoteAborted(segment.Aborted(a))
	}
	return nil
}

// dropBehind removes the segments behind a torn one: the log is a prefix of what was appended.
func (o *opening) dropBehind(i int) error {
	l := o.l
	var gone []*segment.Segment
	for _, base := range o.ls.bases[i:] {
		size := o.ls.sizes[segment.Name(base, segment.LogSuffix)]
		l.recovered.TruncatedBytes += size
		gone = append(gone, segment.Open(l.env.Files, l.env.FS, o.owner.folder(), base, size, base))
	}
	o.ls.bases = o.ls.bases[:i]
	return l.env.fail(l.discardNewest(gone))
}

func (o *opening) setMarks() {
	l := o.l
	m := &l.marks
	size, flushed := int64(0), int64(0)
	point := min(max(o.point, o.ls.bases[0]), o.end) // what is gone need not be synced
	for _, s := range o.segments {
		size += s.Size()
		if s.End() <= point {
			flushed += s.Size()
		} else if pos, ok, err := s.Find(point); err == nil && ok {
			flushed += pos
		}
	}
	m.logStart.Store(min(max(o.r.LogStart, o.ls.bases[0], 0), o.end))
	m.logEnd.Store(o.end)
	m.recovery.Store(point)
	m.synced.Store(point)
	m.size.Store(size)
	m.written.Store(size)
	m.durable.Store(flushed)
	m.flushed.Store(flushed)
	l.recovered.Lost = o.r.Clean && l.recovered.TruncatedBytes > 0 // nothing was torn by a clean stop
	if !o.r.Clean {
		if last := o.segments[len(o.segments)-1]; size > flushed || last.Base() == o.end {
			l.mu.newDir, l.mu.newFiles = true, true // who made these files may have been killed before they had synced names
		}
		l.recovered.Lost = o.end < o.synced
		l.mu.sinceDerived = size - flushed + 1 // a clean close has something to write
	}
}
