package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/vfs"
)

// snapshot is the encoded state of the producers before offset, on its way to a file.
type snapshot struct {
	offset int64
	data   []byte
}

// Roll starts a new segment at the log end unless the active one is empty.
func (l *Log) Roll() error {
	if err := l.env.Err(); err != nil {
		return err
	}
	if err := l.use(); err != nil {
		return err
	}
	defer l.leave()
	defer l.kick()
	defer l.hold()()
	return l.roll()
}

// roll is Roll for who holds the log.
func (l *Log) roll() error {
	for {
		l.mu.Lock()
		v := l.view.Load()
		if l.mu.state == closed {
			l.mu.Unlock()
			return ErrClosed
		}
		if v == nil || v.active().Size() == 0 && v.active().Base() == l.marks.logEnd.Load() {
			l.mu.Unlock()
			return nil
		}
		_, err := l.rollLocked(l.marks.logEnd.Load(), l.config.Load())
		l.mu.Unlock()
		if err == errNamesFirst {
			if err = l.syncNames(); err == nil {
				continue
			}
		}
		if err != nil {
			return l.env.fail(fmt.Errorf("roll %s: %w", l.id, err))
		}
		return nil
	}
}

// errNamesFirst says that the active segment's name is not durable yet, so that no newer one may be made: a crash could keep the newer
// name and lose the older, and leave a hole in the log. The caller drops the lock, calls syncNames and tries again.
var errNamesFirst = errors.New("names are not durable yet")

// syncNames makes the names in the partition directory durable, and its own.
func (l *Log) syncNames() error {
	l.mu.Lock()
	newDir, names := l.mu.newDir, l.mu.names
	l.mu.Unlock()
	err := l.env.FS.SyncDir(l.dir())
	if err == nil && newDir {
		err = l.env.FS.SyncDir(l.env.Dir)
	}
	if err != nil {
		if l.ended() {
			return ErrClosed
		}
		return l.env.failSync(fmt.Errorf("sync %s: %w", l.dir(), err))
	}
	l.mu.Lock()
	l.namesDurableLocked(names)
	l.mu.Unlock()
	return nil
}

// namesDurableLocked notes that the directories were synced when so many segments had been made. partition.metadata may not be: it
// costs nothing but its being written again.
func (l *Log) namesDurableLocked(names int) {
	if names == l.mu.names {
		l.mu.newFiles, l.mu.newDir = false, false
	}
}

// rollLocked makes a new active segment. The old one's indexes are written but not synced: that, and a snapshot of the producers
// at the new base, is left to derive. An empty active segment is replaced.
func (l *Log) rollLocked(base int64, cfg *Config) (*segment.Segment, error) {
	if l.mu.state == absent {
		if err := l.makeDirLocked(); err != nil {
			return nil, err
		}
	}
	if len(l.segments()) > 0 && l.mu.newFiles {
		return nil, errNamesFirst
	}
	next, err := segment.Create(l.env.Files, l.env.FS, l.folder(), base)
	if err != nil {
		return nil, err
	}
	old := l.segments()
	if k := len(old); k > 0 {
		if err := old[k-1].Seal(); err != nil {
			next.Close()
			_ = l.env.FS.Remove(next.Path()) // where it stays, the next start removes it
			return nil, err
		}
		l.mu.sealed = append(l.mu.sealed, old[k-1])
		l.snapshotLocked(base)
	}
	l.view.Store(&view{append(append([]*segment.Segment(nil), old...), next)})
	l.mu.newFiles = true
	l.mu.names++
	l.mu.created, l.mu.jitter = l.env.Clock.Now(), 0
	if j := cfg.SegmentJitter; j > 0 {
		l.mu.jitter = time.Duration(l.env.Random.Uint64() % uint64(min(j, cfg.rollAge())))
	}
	l.mu.derive = len(old) > 0
	return next, nil
}

// kick starts derive if a roll asked for it. It is called without the lock and without holding the log.
func (l *Log) kick() {
	l.mu.Lock()
	due := l.mu.derive
	l.mu.derive = false
	l.mu.Unlock()
	if due {
		l.env.background(0, l.derive)
	}
}

// makeDirLocked makes the partition directory with its topic id. Nothing is synced yet: SyncFiles does that before it reports
// anything durable.
func (l *Log) makeDirLocked() error {
	if err := l.env.FS.MkdirAll(l.dir(), 0o755); err != nil {
		return err
	}
	if err := writeFile(l.env.FS, filepath.Join(l.dir(), metadataName), encodeMetadata(l.id.TopicID)); err != nil {
		return err
	}
	l.mu.state, l.mu.newDir, l.mu.newFiles = present, true, true
	return nil
}

func writeFile(fsys vfs.FS, path string, data []byte) error {
	f, err := fsys.OpenFile(path, vfs.ReadWrite|vfs.Create|vfs.Truncate, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// derivedEvery is how much may be appended until the derived state is made durable again, which bounds what recovery walks.
const derivedEvery = 64 << 20

// checkpointDerived takes a snapshot of the producers between two rolls.
func (l *Log) checkpointDerived() (bool, error) {
	l.enter(inside)
	defer l.leave()
	noted, err := l.noteProducers(func() bool { return len(l.mu.pending) == 0 && l.mu.sinceDerived >= derivedEvery })
	if err != nil || !noted {
		return false, err
	}
	return l.derive()
}

// noteProducers notes the producers' state at the log end, for derive, if that is due. It holds the log: while that is being cut the state is still that before.
func (l *Log) noteProducers(due func() bool) (noted bool, err error) {
	defer l.hold()()
	l.mu.Lock()
	v := l.view.Load()
	if l.mu.state != present || v == nil || !due() {
		l.mu.Unlock()
		return false, nil
	}
	if err = v.active().WriteIndexes(false); err == nil {
		l.snapshotLocked(l.marks.logEnd.Load())
	}
	l.mu.Unlock()
	if err != nil {
		return false, l.env.fail(fmt.Errorf("write indexes of %s: %w", l.id, err))
	}
	return true, nil
}

// derive makes the indexes of sealed segments and the epochs durable, and then writes the snapshot that says so.
func (l *Log) derive() (again bool, err error) {
	l.enter(inside)
	defer l.leave()
	defer l.hold()()
	l.mu.Lock()
	if l.mu.state != present || l.env.offline() != nil {
		l.mu.Unlock()
		return false, nil
	}
	sealed, pending, epochs, newEpochs := l.mu.sealed, l.mu.pending, l.epochs.Load(), l.mu.newEpochs
	v := l.view.Load()
	if v == nil || len(pending) == 0 && len(sealed) == 0 {
		l.mu.Unlock()
		return false, nil
	}
	l.mu.sealed, l.mu.pending = nil, nil
	active := v.active()
	l.mu.Unlock()
	aborted := false
	for _, s := range append(slices.Clip(sealed), active) {
		if err := s.SyncIndexes(); err != nil {
			l.deriveAgain(sealed, pending, err)
			return false, l.env.failSync(fmt.Errorf("sync indexes of %s: %w", l.id, err))
		}
		aborted = aborted || s.ListsAborted()
	}
	if aborted { // a snapshot without the list of what was aborted before it would show those records; the other indexes can be made again
		if err := l.env.FS.SyncDir(l.dir()); err != nil {
			l.deriveAgain(sealed, pending, err)
			return false, l.env.failSync(fmt.Errorf("sync %s: %w", l.dir(), err))
		}
	}
	if newEpochs {
		if err := l.writeEpochs(epochs); err != nil {
			return false, err
		}
		l.mu.Lock()
		l.epochsDurableLocked(epochs)
		l.mu.Unlock()
	}
	for _, snap := range pending {
		if err := l.writeSnapshot(snap); err != nil {
			return false, err
		}
	}
	return false, nil
}

// deriveAgain leaves to the next roll what found no descriptor: no later snapshot may stand on indexes that are not durable.
func (l *Log) deriveAgain(sealed []*segment.Segment, pending []snapshot, err error) {
	if !vfs.NoDescriptors(err) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.sealed = append(slices.Clip(sealed), l.mu.sealed...)
	l.mu.pending = append(slices.Clip(pending), l.mu.pending...)
	l.mu.pending = l.mu.pending[max(0, len(l.mu.pending)-maxPending):]
}

// maxPending bounds the snapshots that wait for derive; many rolls in a row leave only the newest.
const maxPending = 8

// snapshotLocked notes the producers' state before offset, for derive, unless it is not all there is to know.
func (l *Log) snapshotLocked(offset int64) {
	if l.mu.unseen != nil && l.mu.sinceDerived < derivedEvery {
		return
	}
	if len(l.mu.pending) == maxPending {
		l.mu.pending = append([]snapshot(nil), l.mu.pending[1:]...)
	}
	l.mu.pending = append(l.mu.pending, snapshot{offset, l.mu.producers.Encode()})
	l.mu.sinceDerived = 0
}

func (l *Log) writeEpochs(c *epoch.Cache) error {
	if c == nil {
		c = &epoch.Cache{}
	}
	if err := vfs.WriteFileAtomic(l.env.FS, filepath.Join(l.dir(), epoch.Name), c.Encode()); err != nil {
		l.mu.Lock()
		l.mu.newEpochs = true
		l.mu.Unlock()
		return l.env.fail(fmt.Errorf("write leader epochs of %s: %w", l.id, err))
	}
	return nil
}

func (l *Log) snapshotPath(offset int64) string {
	return filepath.Join(l.dir(), segment.Name(offset, segment.SnapshotSuffix))
}

// writeSnapshot writes a snapshot file. The caller holds the log.
func (l *Log) writeSnapshot(snap snapshot) error {
	if err := vfs.WriteFileAtomic(l.env.FS, l.snapshotPath(snap.offset), snap.data); err != nil {
		return l.env.fail(fmt.Errorf("write producer snapshot of %s: %w", l.id, err))
	}
	l.tookSnapshot(snap.offset)
	return nil
}

// tookSnapshot takes note of a snapshot file that stands there, and removes those between two segments that it makes useless.
func (l *Log) tookSnapshot(offset int64) {
	bases := map[int64]bool{offset: true}
	for _, s := range l.segments() {
		bases[s.Base()] = true
	}
	l.mu.Lock()
	if l.mu.learned > 0 {
		bases[l.mu.learned] = true
	}
	var keep, stray []int64
	have := append(slices.Clone(l.mu.snapshots), offset)
	slices.Sort(have)
	for _, at := range have {
		switch {
		case !bases[at]:
			stray = append(stray, at)
		case len(keep) == 0 || keep[len(keep)-1] != at:
			keep = append(keep, at)
		}
	}
	l.mu.snapshots = keep
	l.mu.Unlock()
	for _, at := range stray {
		_ = l.env.FS.Remove(l.snapshotPath(at)) // harmless where it stays: it is true, only older
	}
}
