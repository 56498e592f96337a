package logdir

import (
	"fmt"
	"sync/atomic"
)

// syncLocked gives the log to the workers; a log is with one of them at a time.
func (c *committer) syncLocked(st *state) {
	if st.committing.syncing {
		return
	}
	st.committing.syncing = true
	c.mu.direct = append(c.mu.direct, st)
	c.mu.cond.Signal()
}

// flush syncs the log's files in the background unless a worker has it already.
func (c *committer) flush(st *state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.syncLocked(st)
}

// syncLoop is one worker: it syncs segment files, log by log. What is appended during a sync is the next sync's.
func (c *committer) syncLoop() {
	for {
		c.mu.Lock()
		for len(c.mu.direct) == 0 && !c.mu.stopped {
			c.mu.cond.Wait()
		}
		if c.mu.stopped {
			c.mu.Unlock()
			return
		}
		st := c.mu.direct[0]
		c.mu.direct = c.mu.direct[1:]
		c.mu.Unlock()
		c.syncFiles(st)
		c.mu.Lock()
		st.committing.syncing = false
		again := st.committing.again
		if again {
			st.committing.again = false
			c.mu.queue = append(c.mu.queue, st)
		}
		c.mu.Unlock()
		if again {
			signal(c.wake)
		}
	}
}

// syncFiles syncs the log's files and says whether the log is as it should be, synced or gone.
func (c *committer) syncFiles(st *state) bool {
	if c.d.offline() {
		return false
	}
	l := st.log.Load()
	n := l.UnflushedBytes()
	if _, err := l.SyncFiles(); err != nil {
		if c.gone(st, err) {
			return true
		}
		c.d.fail(fmt.Errorf("sync %s: %w", l.ID(), err))
		return false
	}
	if c.d.checkpoints.bytes.Add(n) >= c.d.opts.CheckpointBytes {
		c.d.sweeper.kick()
	}
	return true
}

// reclaimers sync the logs of a journal file that is to be used again. Few, so that they leave the disk to those who wait.
const reclaimers = 4

// reclaimLoop frees journal files, the oldest first, when they are left.
func (c *committer) reclaimLoop() {
	for {
		select {
		case <-c.stop:
			return
		case <-c.reclaim:
		}
		for c.reclaimOldest() {
			select {
			case <-c.stop:
				return
			default:
			}
		}
	}
}

// reclaimOldest frees the oldest file unless it is the one that is written, and says whether it did.
func (c *committer) reclaimOldest() bool {
	c.mu.Lock()
	sequence := c.journal.Sequence()
	for s := range c.mu.files {
		sequence = min(sequence, s)
	}
	if sequence >= c.journal.Sequence() {
		c.mu.Unlock()
		return false
	}
	var need []*state
	for _, st := range c.mu.files[sequence] {
		if !st.committing.removed && st.log.Load().UnflushedBytes() > 0 {
			need = append(need, st)
		}
	}
	c.mu.Unlock()
	if !c.syncAll(need, reclaimers) {
		return false
	}
	c.mu.Lock()
	delete(c.mu.files, sequence)
	c.journal.Retire(sequence)
	blocked := c.mu.blocked
	c.mu.settles = append(blocked, c.mu.settles...)
	c.mu.blocked = nil
	c.mu.Unlock()
	if len(blocked) > 0 {
		signal(c.wake)
	}
	return true
}

// syncAll syncs the files of all the logs and says whether all are done.
func (c *committer) syncAll(logs []*state, workers int) bool {
	var failed atomic.Bool
	each(logs, workers, func(st *state) {
		if !failed.Load() && !c.syncFiles(st) {
			failed.Store(true)
		}
	})
	return !failed.Load()
}
