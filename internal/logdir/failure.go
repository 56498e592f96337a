package logdir

import (
	"errors"
	"fmt"
	"math"
	"sync"

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

// gone is fail for a sync, and returns what its caller is told: that nothing passes here, whatever the sync failed for.
func (d *Dir) gone(err error) error {
	d.fail(err)
	return fmt.Errorf("%w: %w", commitlog.ErrOffline, err)
}

// offline says whether the directory is.
func (d *Dir) offline() bool {
	return d.failure.err.Load() != nil || errors.Is(d.env.Err(), commitlog.ErrOffline)
}

// isFull makes the directory read-only until the sweeper finds space again.
func (d *Dir) isFull(error) {
	d.env.SetReadOnly(true)
	d.full.Store(true)
	d.tellFull()
}

// fullness is what was told of a disk.
type fullness struct {
	sync.Mutex
	full bool
}

// tellFull tells once that the disk is full, or so nearly that producers are refused, and once that it is not.
func (d *Dir) tellFull() {
	d.told.Lock()
	defer d.told.Unlock()
	if full := d.full.Load() || d.low.Load(); full != d.told.full {
		d.told.full = full
		d.opts.OnFull(full)
	}
}

// roomUsed asks the sweeper to look how much space is left. It may come before there is a sweeper.
func (d *Dir) roomUsed() { signal(d.measuring) }

// ampleSpace is how much beyond what is kept must be free for the journal to take what it need not: its files grow with that, to 256 MiB.
const ampleSpace = 512 << 20

// measure looks how much space there is, and refuses producers before there is none. Where it cannot be known, the write that finds none
// decides.
func (d *Dir) measure() {
	if d.offline() {
		return
	}
	var free, total uint64
	err := d.during(func() (err error) {
		free, total, err = d.Space()
		return err
	})
	if err != nil {
		d.low.Store(false)
		d.ample.Store(false)
		d.env.SetRoom(math.MaxInt64)
		d.env.SetLow(false)
		return
	}
	least := min(2*d.opts.FreeMin, total/16)
	if d.low.Load() {
		least += least / 4 // so that it does not begin again at once
	}
	low := free < least
	if !low { // small appends are written to the journal too
		d.env.SetRoom(int64(min((free-least)/2, math.MaxInt64)))
	}
	d.env.SetLow(low)
	d.low.Store(low)
	d.ample.Store(free >= least+ampleSpace)
	d.tellFull()
}

// judge applies the rule for a failed write of a small file: lack of space makes the directory read-only, lack of descriptors
// passes (the file is as it was, and is written again in time), all else takes it offline.
func (d *Dir) judge(err error) error {
	switch {
	case err == nil:
	case vfs.NoSpace(err):
		d.isFull(err)
	case vfs.NoDescriptors(err):
	default:
		d.fail(err)
	}
	return err
}

// probe looks whether a full disk has space again, and lets try again what found no descriptor.
func (d *Dir) probe() {
	d.measure()
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
	d.tellFull()
}
