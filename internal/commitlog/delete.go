package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/vfs"
)

// discard renames the files of segments that are out of view to NNN.log.deleted and so on, and removes them later, or at once where the disk has no room for
// another name: the log is without them by then, so that nobody may wait for room, and retention is what makes some. The order is that of
// the argument, each name gone for good before the next: what a crash leaves is a log without a hole as long as the caller
// begins at the end that does not stay.
func (l *Log) discard(segments []*segment.Segment) error {
	if len(segments) == 0 {
		return nil
	}
	var doomed []doomedFile
	for _, s := range segments {
		for _, suffix := range segment.Suffixes {
			path := filepath.Join(l.dir(), segment.Name(s.Base(), suffix))
			to := path + segment.DeletedSuffix
			err := l.env.FS.Rename(path, to)
			if vfs.NoSpace(err) { // for a longer name, which a file that goes at once does not need
				err = l.env.FS.Remove(path)
			} else if err == nil {
				doomed = append(doomed, doomedFile{to, s})
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		s.Close()
		if err := l.env.FS.SyncDir(l.dir()); err != nil {
			return err
		}
	}
	l.removeLater(l.config.Load().FileDeleteDelay, doomed)
	return nil
}

// removeLater removes files in the background. Until they are gone the log is not described as one that rests: a start which does not open it
// would leave them where they are.
func (l *Log) removeLater(delay time.Duration, doomed []doomedFile) {
	l.doomed.Add(1)
	step := remover(l.env.FS, doomed)
	l.env.background(delay, func() (again bool, err error) {
		if again, err = step(); !again && err == nil {
			l.doomed.Add(-1)
			l.env.woken(l, nil) // the directory has another time now
		}
		if err != nil {
			err = fmt.Errorf("remove old files of %s: %w", l.id, err)
		}
		return again, err
	})
}

// doomedFile is a file to be removed once nobody reads the segment any more.
type doomedFile struct {
	path    string
	segment *segment.Segment // nil: nobody does
}

// pieceBytes is what one step cuts off a large file. Unlinking some GiB at once would hold up everything else on the disk.
const pieceBytes = 8 << 20

// remover returns steps that remove files. One that is being read is unlinked whole: its readers keep it until they are done.
func remover(fsys vfs.FS, doomed []doomedFile) func() (bool, error) {
	return func() (bool, error) {
		if len(doomed) == 0 {
			return false, nil
		}
		d := doomed[0]
		if d.segment == nil || !d.segment.InUse() {
			again, err := shorten(fsys, d.path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false, err
			}
			if again {
				return true, nil
			}
		}
		if err := fsys.Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("remove: %w", err)
		}
		doomed = doomed[1:]
		return len(doomed) > 0, nil
	}
}

// shorten cuts a piece off a large file; again says that it is still large.
func shorten(fsys vfs.FS, path string) (again bool, err error) {
	info, err := fsys.Stat(path)
	if err != nil || info.Size() <= pieceBytes {
		return false, err
	}
	f, err := fsys.OpenFile(path, vfs.ReadWrite, 0)
	if err != nil {
		return false, err
	}
	err = f.Truncate(info.Size() - pieceBytes)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return true, err
}

// Delete ends the log, renames its directory to topic-partition.<id>-delete, as Kafka does, and removes that in the background.
// When it returns the name is free, and stays so after a crash unless no descriptor was left to see to that. After an error that
// has not taken the Env offline it may be called again.
func (l *Log) Delete() error {
	defer l.hold()()
	l.mu.Lock()
	files := l.mu.state == present || l.mu.undeleted
	l.mu.state, l.mu.undeleted = closed, files
	segments := l.segments()
	l.mu.Unlock()
	if !files {
		return nil
	}
	if err := l.env.offline(); err != nil {
		return err
	}
	for _, s := range segments {
		s.Close()
	}
	path := filepath.Join(l.env.Dir, l.id.AsideName(DeleteSuffix, l.env.Random))
	err := l.env.FS.Rename(l.dir(), path)
	if err == nil {
		if err = l.env.FS.SyncDir(l.env.Dir); vfs.NoDescriptors(err) {
			err = nil // no log of that name has anything durable before the directory is synced; and a crash only brings this one back
		}
	}
	if err != nil {
		return l.env.fail(fmt.Errorf("delete %s: %w", l.id, err))
	}
	l.mu.Lock()
	l.mu.undeleted = false
	l.mu.Unlock()
	l.env.background(l.config.Load().FileDeleteDelay, removeDir(l.env.FS, path, segments))
	return nil
}

// RemoveDir returns steps for EnvOptions.Background that remove a directory of a deleted log, large files piece by piece. The owner of
// the log directory uses it for what it finds at start.
func RemoveDir(fsys vfs.FS, path string) func() (again bool, err error) {
	return removeDir(fsys, path, nil)
}

// removeDir is RemoveDir for a directory with segments that somebody may still read.
func removeDir(fsys vfs.FS, path string, segments []*segment.Segment) func() (again bool, err error) {
	byName := map[string]*segment.Segment{}
	for _, s := range segments {
		byName[segment.Name(s.Base(), segment.LogSuffix)] = s
	}
	var files func() (bool, error)
	return func() (bool, error) {
		if files == nil {
			entries, err := fsys.ReadDir(path)
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			var doomed []doomedFile
			for _, e := range entries {
				if !e.IsDir() {
					doomed = append(doomed, doomedFile{filepath.Join(path, e.Name()), byName[e.Name()]})
				}
			}
			files = remover(fsys, doomed)
		}
		if again, err := files(); again || err != nil {
			return again, err
		}
		return false, fsys.RemoveAll(path)
	}
}
