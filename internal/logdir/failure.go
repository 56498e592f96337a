package logdir

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// fail takes the directory offline for good: after a failed sync or write nobody knows what the disk holds, so nothing more is
// written and nothing that depended on it is acknowledged. It is never retried.
func (d *Dir) fail(err error) {
	d.failure.Do(func() {
		d.failure.err.Store(&err)
		if d.env != nil {
			d.env.SetOffline(err)
		}
		if c := d.committer; c != nil {
			c.mu.Lock()
			c.unblockLocked() // to be refused
			c.mu.Unlock()
		}
		d.opts.OnFailure(fmt.Errorf("take log directory %s offline: %w", d.opts.Path, err))
	})
}

// offline says whether the directory is.
func (d *Dir) offline() bool {
	return d.failure.err.Load() != nil || errors.Is(d.env.Err(), commitlog.ErrOffline)
}

// isFull makes the directory read-only until the sweeper finds space again.
func (d *Dir) isFull(error) {
	d.env.SetReadOnly(true)
	if !d.full.Swap(true) {
		d.opts.OnFull(true)
	}
}

// judge applies the rule for a failed write of a small file: lack of space makes the directory read-only, lack of descriptors
// passes (the file is as it was, and is written again in time), all else takes it offline.
func (d *Dir) judge(err error) error {
	switch {
	case err == nil:
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		d.isFull(err)
	case vfs.NoDescriptors(err):
	default:
		d.fail(err)
	}
	return err
}

// probe looks whether a full disk has space again, and lets try again what found no descriptor.
func (d *Dir) probe() {
	if !d.full.Load() {
		if d.committer.starving() {
			d.committer.again()
		}
		return
	}
	free, err := d.opts.FS.Free(d.opts.Path)
	if err != nil || free < d.opts.FreeMin {
		return // looked at again in a second
	}
	d.full.Store(false)
	d.env.SetReadOnly(false)
	d.committer.again()
	d.opts.OnFull(false)
}
