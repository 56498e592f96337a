package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/commitlog/segment"
)

// # How segments that were written anew take their place
//
// Compaction makes one segment of a group, a repair one of one, or several of several.
//
//	1. NNN.log.cleaned and its indexes are written and synced.            a crash leaves .cleaned files: they go
//	2. They are renamed to NNN.log.swap, the .log last, the first segment after all others; sync of the directory.   a crash leaves both: all of it goes
//	3. The files of the old segments are renamed to .deleted; sync.       a crash leaves .swap: the start goes on from here
//	4. NNN.log.swap is renamed to NNN.log; sync.                          likewise
//
// Suffixes and the rules for a start are Kafka's, so that either may open what the other left. Readers see the old segments up to the end of
// step 4, which are held open and need no name, and then the new one.

// replace puts segments in the place of the group that they were made of, unless the log was cut since, or is being copied, or wanted says no.
func (l *Log) replace(group, made []*segment.Segment, cuts int, wanted func() bool) (err error) {
	defer l.hold()()
	abandon := func(err error) error {
		for _, s := range made {
			_ = s.Abandon() // where files stay the next pass removes them
		}
		return err
	}
	l.mu.Lock()
	disturbed := l.mu.cuts != cuts || l.mu.state != present || l.copied.Load()
	l.mu.Unlock()
	disturbed = disturbed || !wanted()
	if _, gone := l.view.Load().without(group); gone || disturbed {
		return abandon(ErrDisturbed)
	}
	if err := l.env.offline(); err != nil {
		return abandon(err)
	}
	pinned := 0
	defer func() {
		for _, s := range group[:pinned] {
			s.Unpin()
		}
	}()
	for _, s := range group {
		if err := s.Pin(); err != nil {
			return abandon(err)
		}
		pinned++
	}
	doomed, err := l.exchange(group, made)
	if err != nil {
		// Nobody knows which names the disk has now; a start finds out.
		return l.env.failHalfway(fmt.Errorf("replace segments of %s: %w", l.id, err))
	}
	l.mu.Lock()
	l.exchangedLocked(group, made)
	useless := l.forgetSnapshotsLocked(group, made)
	l.mu.Unlock()
	for _, s := range group {
		s.Close()
	}
	for _, at := range useless {
		_ = l.env.FS.Remove(l.snapshotPath(at)) // harmless where it stays: it is true, only older
	}
	l.removeLater(l.config.Load().FileDeleteDelay, doomed)
	return nil
}

// exchange does what the table above says from step 2 on.
func (l *Log) exchange(group, made []*segment.Segment) (doomed []doomedFile, err error) {
	fsys := l.env.FS
	for i := len(made) - 1; i >= 0; i-- {
		if i == 0 && len(made) > 1 { // as long as it is not a .swap none of the others counts
			if err := fsys.SyncDir(l.dir()); err != nil {
				return nil, err
			}
		}
		if err := made[i].Move(segment.SwapSuffix); err != nil {
			return nil, err
		}
	}
	if err := fsys.SyncDir(l.dir()); err != nil {
		return nil, err
	}
	for i := len(group) - 1; i >= 0; i-- {
		for _, suffix := range segment.Suffixes {
			path := filepath.Join(l.dir(), segment.Name(group[i].Base(), suffix))
			to := l.deletedPath(path)
			err := fsys.Rename(path, to)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			doomed = append(doomed, doomedFile{to, group[i]})
		}
	}
	if err := fsys.SyncDir(l.dir()); err != nil {
		return nil, err
	}
	for _, s := range made {
		if err := s.Move(""); err != nil {
			return nil, err
		}
	}
	return doomed, fsys.SyncDir(l.dir())
}

// deletedPath is where a file of a replaced segment waits for its removal: beside Kafka's suffix it has a number, since the segment that
// has its name now may be replaced before.
func (l *Log) deletedPath(path string) string {
	return fmt.Sprintf("%s.%016x%s", path, l.env.Random.Uint64(), segment.DeletedSuffix)
}

// exchangedLocked shows readers the new segments. Marks that count bytes from the start of the log stay: nothing above the recovery
// point moved.
func (l *Log) exchangedLocked(group, made []*segment.Segment) {
	v := l.view.Load()
	at, _ := v.without(group)
	next := slices.Concat(v.segments[:at], made, v.segments[at+len(group):])
	size := int64(0)
	for _, s := range made {
		size += s.Size()
	}
	for _, s := range group {
		size -= s.Size()
	}
	l.cuts.Add(1)
	l.view.Store(&view{next})
	l.marks.size.Add(size)
	l.cuts.Add(1)
	l.mu.sealed = slices.DeleteFunc(slices.Clone(l.mu.sealed), func(s *segment.Segment) bool { return slices.Contains(group, s) })
}

// forgetSnapshotsLocked drops the snapshots at the bases of segments that are no more. The one at the end of what is compacted stays.
func (l *Log) forgetSnapshotsLocked(group, made []*segment.Segment) (dropped []int64) {
	var keep []int64
	bases := make(map[int64]bool, len(group))
	for _, s := range group {
		bases[s.Base()] = true
	}
	for _, s := range made {
		delete(bases, s.Base())
	}
	for _, at := range l.mu.snapshots {
		if bases[at] {
			dropped = append(dropped, at)
		} else {
			keep = append(keep, at)
		}
	}
	l.mu.snapshots = keep
	return dropped
}

// clearCleaned removes what an earlier pass left. It must be gone before segments are replaced: a start takes a .cleaned file for a
// sign that .swap files behind it were not finished.
func (l *Log) clearCleaned() error {
	entries, err := l.env.FS.ReadDir(l.dir())
	if err != nil {
		return fmt.Errorf("list %s: %w", l.dir(), err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segment.CleanedSuffix) {
			if err := l.env.FS.Remove(filepath.Join(l.dir(), e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove what an earlier compaction left: %w", err)
			}
		}
	}
	return nil
}

// finishSwaps brings a directory to what it was before a cleaning's exchange, or to what it is after. A .cleaned file says that the .swap
// files at and behind its base were not all there yet.
func (l *Log) finishSwaps(ls listing) error {
	fsys := l.env.FS
	valid := int64(all) // .swap files below this base are whole
	for _, name := range ls.cleaned {
		if base, _, ok := baseOf(name); ok {
			valid = min(valid, base)
		}
	}
	remove := func(name string) error {
		err := fsys.Remove(filepath.Join(l.dir(), name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what a compaction left: %w", err)
		}
		return nil
	}
	has := func(base int64, suffix, tail string) bool {
		_, ok := ls.sizes[segment.Name(base, suffix)+tail]
		return ok
	}
	var moves []string
	for _, name := range ls.swaps {
		base, suffix, ok := baseOf(name)
		// A lone index belongs to a segment that is in its place already and lacks it, or to none.
		lone := !has(base, segment.LogSuffix, segment.SwapSuffix) && (!has(base, segment.LogSuffix, "") || has(base, suffix, ""))
		if !ok || base >= valid || lone {
			if err := remove(name); err != nil {
				return err
			}
			continue
		}
		moves = append(moves, name)
		if suffix != segment.LogSuffix {
			continue
		}
		end, err := segment.EndOf(l.env.Files, fsys, l.folder(), base, ls.sizes[name], segment.SwapSuffix)
		if err != nil {
			return fmt.Errorf("finish a compaction: %w", err)
		}
		for old := range ls.sizes {
			at, whole := oldName(old)
			if whole && at >= base && (at < end || at == base) {
				if err := remove(old); err != nil {
					return err
				}
			}
		}
	}
	if err := fsys.SyncDir(l.dir()); err != nil { // before the .cleaned files, which say what .swap files are worth
		return err
	}
	for _, name := range ls.cleaned {
		if err := remove(name); err != nil {
			return err
		}
	}
	return l.putInPlace(moves)
}

// putInPlace gives .swap files their names, the .log files last.
func (l *Log) putInPlace(names []string) error {
	slices.SortFunc(names, func(a, b string) int {
		_, sa, _ := baseOf(a)
		_, sb, _ := baseOf(b)
		return slices.Index(segment.Suffixes, sb) - slices.Index(segment.Suffixes, sa)
	})
	for _, name := range names {
		path := filepath.Join(l.dir(), name)
		if err := l.env.FS.Rename(path, strings.TrimSuffix(path, segment.SwapSuffix)); err != nil {
			return fmt.Errorf("finish a compaction: %w", err)
		}
	}
	return l.env.FS.SyncDir(l.dir())
}

// baseOf takes a name such as NNN.log.swap apart.
func baseOf(name string) (base int64, suffix string, ok bool) {
	name = strings.TrimSuffix(strings.TrimSuffix(name, segment.SwapSuffix), segment.CleanedSuffix)
	for _, suffix := range segment.Suffixes {
		if base, ok := segment.ParseName(name, suffix); ok {
			return base, suffix, true
		}
	}
	return 0, "", false
}

// oldName says whether a file belongs to a segment in its place, and to which.
func oldName(name string) (base int64, ok bool) {
	if strings.HasSuffix(name, segment.SwapSuffix) || strings.HasSuffix(name, segment.CleanedSuffix) {
		return 0, false
	}
	base, _, ok = baseOf(name)
	return base, ok
}
