package logdir

import (
	"fmt"
	"sync/atomic"
)

// enqueueLocked gives the log to the workers, unless one has it.
func (c *committer) enqueueLocked(st *state) {
	if st.committing.syncing || c.mu.stopped {
		return
	}
	st.committing.syncing = true
	c.mu.direct = append(c.mu.direct, st)
	c.mu.work.Signal()
}

// flush syncs the log's files in the background.
func (c *committer) flush(st *state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enqueueLocked(st)
}

// acquire waits until no other goroutine syncs the log's files. Two at once would do the work twice.
func (c *committer) acquire(st *state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for st.committing.syncing {
		c.mu.done.Wait()
	}
	st.committing.syncing = true
}

// release lets others sync the log's files, and announces what came meanwhile.
func (c *committer) release(st *state) {
	c.mu.Lock()
	st.committing.syncing = false
	again := st.committing.again
	if again {
		st.committing.again = false
		c.mu.queue = append(c.mu.queue, st)
	}
	c.mu.done.Broadcast()
	c.mu.Unlock()
	if again {
		signal(c.wake)
	}
}

// syncLoop is one worker: it syncs segment files, log by log. What is appended during a sync is the next sync's.
func (c *committer) syncLoop() {
	for {
		c.mu.Lock()
		for len(c.mu.direct) == 0 && !c.mu.stopped {
			c.mu.work.Wait()
		}
		if len(c.mu.direct) == 0 {
			c.mu.Unlock()
			return
		}
		st := c.mu.direct[0]
		c.mu.direct = c.mu.direct[1:]
		stopped := c.mu.stopped
		c.mu.Unlock()
		if !stopped {
			c.syncFiles(st)
		}
		c.release(st)
	}
}

// syncFiles syncs the log's files and says whether the log is as it should be, synced or gone. The caller has acquired the log.
func (c *committer) syncFiles(st *state) bool {
	if c.d.offline() {
		return false
	}
	l := st.log.Load()
	n := l.UnflushedBytes()
	done := c.d.syncing()
	_, err := l.SyncFiles()
	c.d.stats.Syncs.Observe(done())
	if err != nil {
		if c.gone(st, err) {
			return true
		}
		if c.later(st, err) {
			return false
		}
		c.d.fail(fmt.Errorf("sync %s: %w", l.ID(), err))
		return false
	}
	c.d.rests.synced(st)
	if c.d.checkpoints.bytes.Add(n) >= c.d.opts.CheckpointBytes {
		c.d.sweeper.kick()
	}
	return true
}

// reclaimers sync the logs of a journal file that is to be used again. Few, so that they leave the disk to those who wait.
const reclaimers = 4

// reclaimLoop frees journal files that were left.
func (c *committer) reclaimLoop() {
	for {
		select {
		case <-c.stop:
			return
		case <-c.reclaim:
		}
		for c.reclaimFiles() {
			select {
			case <-c.stop:
				return
			default:
			}
		}
	}
}

// reclaimFiles frees all journal files but the one that is written, once they are half of those there may be, or somebody waits for one: a log with entries in
// several is synced once. It says whether it did.
func (c *committer) reclaimFiles() bool {
	logs, last, left := c.inLeftFiles()
	freed := left > 0 && c.empty(logs)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unblockLocked()
	if !freed {
		return false
	}
	for sequence := range c.mu.files {
		if sequence <= last {
			delete(c.mu.files, sequence)
		}
	}
	c.journal.Retire(last)
	return true
}

// empty sees to it that nothing in the journal files that were left is needed any more; logs have entries in them.
func (c *committer) empty(logs []*state) bool {
	var gaveUp atomic.Bool // a sync failed, or the stop needs no free files any more, and syncs many logs sooner together
	each(logs, reclaimers, func(st *state) {
		if gaveUp.Load() || c.inFiles(st) {
			return
		}
		c.acquire(st)
		defer c.release(st)
		if !c.inFiles(st) && (c.stopping() || !c.syncFiles(st)) {
			gaveUp.Store(true)
		}
	})
	if gaveUp.Load() {
		return false
	}
	if err := c.d.keepUnopened(nil); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.unkept = true // tried again when there is space, or a descriptor: until then no other file may come to be full
		return false
	}
	return true
}

func (c *committer) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.stopped
}

// inLeftFiles returns the logs with entries in files that are not written any more, the last of those files, and how many they are; none
// where they are too few for anybody to care.
func (c *committer) inLeftFiles() (logs []*state, last uint64, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	current := c.journal.Sequence()
	seen := map[*state]bool{}
	for sequence, in := range c.mu.files {
		if sequence >= current {
			continue
		}
		left++
		last = max(last, sequence)
		for _, st := range in {
			if !seen[st] {
				seen[st] = true
				logs = append(logs, st)
			}
		}
	}
	if left < c.journal.Files()/2 && len(c.mu.blocked) == 0 {
		return nil, 0, 0
	}
	c.waitedLocked()
	return logs, last, left
}

// inFiles says whether the segment files have all that the journal holds of the log.
func (c *committer) inFiles(st *state) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return st.committing.removed || st.log.Load().RecoveryPoint() >= st.committing.journaled
}
