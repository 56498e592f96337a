package segment

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/vfs"
)

// FileCache keeps files of segments open: those in use, and at most max that nobody uses, the least recently used closed first. It also
// bounds the indexes of old segments that are held in memory. One serves all log directories of a broker.
type FileCache struct {
	max        int
	indexBytes int64
	onDamage   atomic.Pointer[func(*DamageError)]

	onUnreadable atomic.Pointer[func(path string)]

	mu struct {
		sync.Mutex
		unused    list[*File]    // open files without a user, the longest unused last
		indexes   list[*Segment] // old segments with a loaded index
		indexSize int64          // bytes of those indexes
		closed    bool
		round     uint32    // of CloseIdle
		rounded   time.Time // when it began
	}
}

// NewFileCache returns a cache that keeps at most maxFiles unused files open and about indexBytes of old segments' indexes in
// memory. Zero means 1000 and 32 MiB.
func NewFileCache(maxFiles int, indexBytes int64) *FileCache {
	if maxFiles <= 0 {
		maxFiles = 1000
	}
	if indexBytes <= 0 {
		indexBytes = 32 << 20
	}
	return &FileCache{max: maxFiles, indexBytes: indexBytes}
}

// Unused returns how many open files nobody uses.
func (c *FileCache) Unused() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.unused.n
}

// Close closes the files that nobody uses; from now on a file is closed as soon as it is unused.
func (c *FileCache) Close() error {
	c.mu.Lock()
	c.mu.closed = true
	var victims []vfs.File
	for c.mu.unused.n > 0 {
		victims = append(victims, c.evictLocked())
	}
	c.mu.Unlock()
	var first error
	for _, f := range victims {
		if err := f.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// CloseIdle closes the files that nobody has used for about age, or twice that. It is to be called time and again, by whoever shares the cache.
func (c *FileCache) CloseIdle(now time.Time, age time.Duration) {
	var victims []vfs.File
	c.mu.Lock()
	if now.Sub(c.mu.rounded) >= age {
		c.mu.round++
		c.mu.rounded = now
		for c.mu.unused.n > 0 && c.mu.unused.last().round+1 < c.mu.round {
			victims = append(victims, c.evictLocked())
		}
	}
	c.mu.Unlock()
	for _, f := range victims {
		f.Close() // as when the cache is full
	}
}

// openFile opens a file. Where there is no descriptor left it closes files that nobody uses until there is one.
func (c *FileCache) openFile(fsys vfs.FS, path string, flag int, perm fs.FileMode) (vfs.File, error) {
	for {
		f, err := fsys.OpenFile(path, flag, perm)
		if err == nil || !vfs.NoDescriptors(err) {
			return f, err
		}
		c.mu.Lock()
		if c.mu.unused.n == 0 {
			c.mu.Unlock()
			return nil, err
		}
		victim := c.evictLocked()
		c.mu.Unlock()
		victim.Close() // as when the cache is full: what was written is in the page cache, and a sync opens the file again
	}
}

// evictLocked takes the file that was unused longest out of the cache; the caller closes it without the lock.
func (c *FileCache) evictLocked() vfs.File {
	h := c.mu.unused.last()
	c.mu.unused.remove(h, &h.link)
	f := h.open
	h.open = nil
	return f
}

// File is one file that is opened when it is needed. The zero value is not usable.
type File struct {
	cache *FileCache
	fs    vfs.FS
	of    *Segment // whose .log file it is

	// guarded by cache.mu
	open      vfs.File
	refs      int32
	round     uint32
	forgotten bool // close as soon as refs is zero, and never open again
	link      link[*File]
}

// Acquire returns the open file; the caller must Release it. It opens the file for reading only where it may not be written.
func (h *File) Acquire() (vfs.File, error) {
	c := h.cache
	c.mu.Lock()
	if f := h.acquireLocked(); f != nil {
		c.mu.Unlock()
		return f, nil
	}
	forgotten := h.forgotten
	c.mu.Unlock()
	path := h.of.Path()
	if forgotten {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	f, err := c.openFile(h.fs, path, vfs.ReadWrite, 0)
	if errors.Is(err, fs.ErrPermission) || isReadOnlyFS(err) {
		f, err = c.openFile(h.fs, path, vfs.ReadOnly, 0)
	}
	if err != nil {
		return nil, err
	}
	return h.adopt(f), nil
}

// adopt makes f the open file, unless somebody opened it meanwhile, and returns the one to use, acquired.
func (h *File) adopt(f vfs.File) vfs.File {
	c := h.cache
	c.mu.Lock()
	if have := h.acquireLocked(); have != nil {
		c.mu.Unlock()
		f.Close() // a second descriptor of a file that is open: nothing was written through it
		return have
	}
	h.open, h.refs = f, 1
	c.mu.Unlock()
	return f
}

func (h *File) acquireLocked() vfs.File {
	if h.open == nil {
		return nil
	}
	if h.refs == 0 {
		h.cache.mu.unused.remove(h, &h.link)
	}
	h.refs++
	return h.open
}

// Release ends one Acquire.
func (h *File) Release() {
	c := h.cache
	c.mu.Lock()
	h.refs--
	var victim vfs.File
	if h.refs == 0 {
		switch {
		case h.forgotten || c.mu.closed:
			victim, h.open = h.open, nil
		default:
			h.round = c.mu.round
			c.mu.unused.push(h, &h.link)
			if c.mu.unused.n > c.max {
				victim = c.evictLocked()
			}
		}
	}
	c.mu.Unlock()
	if victim != nil {
		victim.Close() // everything was synced or is reported by the next sync of the file
	}
}

// Forget closes the file as soon as nobody uses it; it cannot be acquired again once closed.
func (h *File) Forget() {
	c := h.cache
	c.mu.Lock()
	h.forgotten = true
	var victim vfs.File
	if h.open != nil && h.refs == 0 {
		c.mu.unused.remove(h, &h.link)
		victim, h.open = h.open, nil
	}
	c.mu.Unlock()
	if victim != nil {
		victim.Close()
	}
}

// InUse says whether somebody holds the file.
func (h *File) InUse() bool {
	h.cache.mu.Lock()
	defer h.cache.mu.Unlock()
	return h.refs > 0
}

// touchIndex notes that the index of s was used, and drops the indexes that were unused longest while there are too many. bytes
// is its size when it was just loaded, else 0.
func (c *FileCache) touchIndex(s *Segment, bytes int64) {
	var victims []*Segment
	c.mu.Lock()
	if bytes > 0 {
		if !s.indexLink.in() {
			c.mu.indexes.push(s, &s.indexLink)
		}
		c.mu.indexSize += bytes - s.indexHeld
		s.indexHeld = bytes
	} else if s.indexLink.in() && c.mu.indexes.first() != s {
		c.mu.indexes.remove(s, &s.indexLink)
		c.mu.indexes.push(s, &s.indexLink)
	}
	for c.mu.indexSize > c.indexBytes && c.mu.indexes.n > 1 {
		v := c.mu.indexes.last()
		c.forgetIndexLocked(v)
		victims = append(victims, v)
	}
	c.mu.Unlock()
	for _, v := range victims {
		v.dropIndex()
	}
}

// forgetIndex takes s out of the account of loaded indexes.
func (c *FileCache) forgetIndex(s *Segment) {
	c.mu.Lock()
	c.forgetIndexLocked(s)
	c.mu.Unlock()
}

func (c *FileCache) forgetIndexLocked(s *Segment) {
	if s.indexLink.in() {
		c.mu.indexes.remove(s, &s.indexLink)
		c.mu.indexSize -= s.indexHeld
		s.indexHeld = 0
	}
}

// shut closes the file if nobody holds it.
func (h *File) shut() {
	c := h.cache
	c.mu.Lock()
	f := h.open
	if f == nil || h.refs > 0 {
		c.mu.Unlock()
		return
	}
	c.mu.unused.remove(h, &h.link)
	h.open = nil
	c.mu.Unlock()
	f.Close()
}
