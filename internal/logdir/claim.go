package logdir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/moldau/moldau/internal/vfs"
)

// Claim is a data directory that is locked and known to be this node's, but not open yet: nothing in it was changed. A node claims all
// its directories before it opens the first, so that it leaves no trace where it may not start.
type Claim struct {
	fs   vfs.FS
	path string
	lock vfs.Lock
	made []string // the lock file and directories that were not there, the deepest first
}

// Take claims the directory that the options name. It refuses what Open refuses of a directory as a whole.
func Take(opts Options) (_ *Claim, err error) {
	opts = opts.withDefaults()
	c := &Claim{fs: opts.FS, path: opts.Path}
	if err := RefuseKafka(c.fs, c.path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Release())
		}
	}()
	name := filepath.Join(c.path, lockFile)
	if err := c.noteMissing(name); err != nil {
		return nil, err
	}
	if err := vfs.MkdirAllSynced(c.fs, c.path, 0o755); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := c.fs.Lock(name)
	if errors.Is(err, vfs.ErrLocked) {
		c.made = nil // made by two at once: it is the other's
		return nil, fmt.Errorf("%s: %w", c.path, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	c.lock = lock
	if _, _, err := readMeta(opts); err != nil {
		return nil, err
	}
	return c, nil
}

// Unreadable says that err, of Take or Open, is for a directory that the system gives no access to: other directories are none the worse.
// What passes (space, descriptors), what is damaged, and what belongs to others is not that.
func Unreadable(err error) bool {
	var code syscall.Errno
	return errors.Is(err, ErrNotDirectory) || errors.As(err, &code) && !lacks(err)
}

// noteMissing notes what will be made for the file name to be there.
func (c *Claim) noteMissing(name string) error {
	for ; ; name = filepath.Dir(name) {
		_, err := c.fs.Stat(name)
		if err == nil || filepath.Dir(name) == name {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look into data directory: %w", err)
		}
		c.made = append(c.made, name)
	}
}

// Release gives a claim back that was not given to Open, and takes away what was made for it. The lock file goes first, while it is locked:
// whoever opened it meanwhile sees that it is gone.
func (c *Claim) Release() error {
	var errs []error
	for _, name := range c.made {
		if err := c.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break // somebody has put something there, or an open file cannot be removed
		}
	}
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
	}
	return errors.Join(errs...)
}
