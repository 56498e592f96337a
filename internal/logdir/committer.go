package logdir

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/vfs"
)

// committer makes unsynced appends durable: one goroutine forms groups and writes the journal, workers sync segment files,
// one reclaims journal files.
type committer struct {
	d       *Dir
	journal *journal.Writer
	wake    chan struct{} // something is in queue or settles
	reclaim chan struct{} // a journal file was left
	stop    chan struct{}
	wait    sync.WaitGroup

	group   []member // being formed; only the committing goroutine touches it
	round   uint64   // its number
	running bool
	economy economy   // likewise
	now     time.Time // when its forming began, likewise

	// mu guards the fields below and those of each state that say so.
	mu struct {
		sync.Mutex
		states  map[*commitlog.Log]*state
		queue   []*state // announced by Dirty
		spare   []*state // the queue's other array
		settles []*settle
		blocked []*settle           // until a journal file is free
		direct  []*state            // for the workers
		work    *sync.Cond          // direct has some
		done    *sync.Cond          // a log is with no worker any more
		starved []*state            // their sync found no space, or no descriptor
		unkept  bool                // likewise the copies that free journal files
		files   map[uint64][]*state // journal file to the logs with entries in it
		stopped bool
	}
}

// member is a log's part in the group.
type member struct {
	st  *state
	end int64
}

// settle is a request to void the earlier journal entries of a log.
type settle struct {
	st     *state
	done   chan error
	waited bool // for a journal file to be freed, and is not to again
}

func newCommitter(d *Dir) *committer {
	c := &committer{d: d, wake: make(chan struct{}, 1), reclaim: make(chan struct{}, 1), stop: make(chan struct{})}
	c.mu.states = map[*commitlog.Log]*state{}
	c.mu.files = map[uint64][]*state{}
	c.mu.work, c.mu.done = sync.NewCond(&c.mu), sync.NewCond(&c.mu)
	return c
}

func (c *committer) start() {
	c.running = true
	c.wait.Go(c.loop)
	c.wait.Go(c.reclaimLoop)
	for range c.d.opts.SyncWorkers {
		c.wait.Go(c.syncLoop)
	}
	c.wait.Go(func() { c.d.watchSlow(c.stop) })
}

// close ends the goroutines. What is queued stays unsynced; requests to settle are refused.
func (c *committer) close() {
	if !c.running {
		return
	}
	close(c.stop)
	c.mu.Lock()
	c.mu.stopped = true
	c.mu.work.Broadcast()
	c.mu.Unlock()
	c.wait.Wait()
	c.mu.Lock()
	settles := append(c.mu.settles, c.mu.blocked...)
	c.mu.settles, c.mu.blocked = nil, nil
	c.mu.Unlock()
	for _, s := range settles {
		s.done <- ErrClosed
	}
}

// Dirty implements commitlog.Committer.
func (c *committer) Dirty(l *commitlog.Log) {
	c.mu.Lock()
	st := c.mu.states[l]
	if st != nil {
		c.mu.queue = append(c.mu.queue, st)
	}
	c.mu.Unlock()
	if st != nil { // else the log is being recovered, which syncs it itself
		signal(c.wake)
	}
}

func (c *committer) find(l *commitlog.Log) *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.states[l]
}

// add makes the log known. Nothing is appended to it before.
func (c *committer) add(st *state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.states[st.log.Load()] = st
}

// remove forgets the log; it was settled.
func (c *committer) remove(st *state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st.committing.removed = true
	delete(c.mu.states, st.log.Load())
}

func (c *committer) loop() {
	for {
		select {
		case <-c.stop:
			return
		case <-c.wake:
		}
		for c.commit() {
			select {
			case <-c.stop:
				return
			default:
			}
		}
	}
}

// commit forms one group of what waits and makes it durable. It returns false when nothing waits.
func (c *committer) commit() bool {
	c.mu.Lock()
	queue, settles := c.mu.queue, c.mu.settles
	c.mu.queue, c.mu.settles = c.mu.spare[:0], nil
	c.mu.spare = nil
	c.mu.Unlock()
	if len(queue) == 0 && len(settles) == 0 {
		c.mu.Lock()
		c.mu.spare = queue
		c.mu.Unlock()
		return false
	}
	for _, s := range settles {
		c.journal.Settle(journal.LogID(s.st.id))
	}
	c.group, c.now = c.group[:0], c.d.opts.Clock.Now()
	c.round++
	taken := 0
	for taken < len(queue) && c.journal.Pending() < c.d.opts.GroupMax {
		c.take(queue[taken])
		taken++
	}
	c.mu.Lock()
	if rest := queue[taken:]; len(rest) > 0 { // before those that came meanwhile
		c.mu.queue = append(append([]*state(nil), rest...), c.mu.queue...)
	}
	clear(queue)
	c.mu.spare = queue[:0]
	c.mu.Unlock()
	if c.d.offline() {
		c.refuse(settles)
		return false
	}
	if n := c.journal.Pending(); n > 0 {
		done := c.d.syncing()
		err := c.journal.Commit()
		took := done()
		c.d.stats.Commits.Observe(took)
		if err == nil { // a journal without room wrote nothing, and tells of no disk
			c.economy.committed(c.now.Add(took), n, took)
		}
		c.finish(err, settles)
	}
	return true
}

// take puts the log's unsynced batches into the group, or gives the log to the workers if they are many. That its files are being synced holds
// up no few: the sync may be about what the journal has long made durable, and take long.
func (c *committer) take(st *state) {
	l := st.log.Load()
	n := l.UnsyncedBytes()
	c.mu.Lock()
	switch {
	case st.committing.removed, st.committing.round == c.round: // announced twice, when a sync of its files came in between
		c.mu.Unlock()
		return
	case n >= c.d.opts.JournalMax && !c.affordsLocked(n):
		if st.committing.syncing {
			st.committing.again = true // announced again when that sync is done
		} else {
			c.economy.appended(c.now, n)
		}
		c.enqueueLocked(st)
		c.mu.Unlock()
		return
	}
	st.committing.last, st.committing.round = c.journal.MaxSequence(), c.round
	c.mu.Unlock()
	var end int64
	added, err := c.journal.Append(journal.LogID(st.id), func(dst []byte) ([]byte, int64, error) {
		batches, from, to, err := l.ReadUnsynced(dst)
		end = to
		return batches, from, err
	})
	if err != nil {
		if c.gone(st, err) || c.later(st, err) {
			return
		}
		c.d.fail(fmt.Errorf("read unsynced batches of %s: %w", l.ID(), err))
		return
	}
	if added > 0 {
		c.group = append(c.group, member{st, end})
		c.economy.appended(c.now, int64(added))
	}
}

// affordsLocked says whether the journal takes as much of a log as is commonly synced in its files.
func (c *committer) affordsLocked(n int64) bool {
	if !c.d.ample.Load() || n > c.d.opts.JournalMost || int64(c.journal.Pending())+n > int64(c.d.opts.GroupMax) {
		return false
	}
	return c.economy.affords(c.now)
}

// later says whether err is for lack of space or descriptors, after which the log is synced again when there may be some.
func (c *committer) later(st *state, err error) bool {
	if errors.Is(err, commitlog.ErrOffline) || !errors.Is(err, commitlog.ErrReadOnly) && !vfs.NoDescriptors(err) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.starved = append(c.mu.starved, st)
	return true
}

// again announces the logs whose sync found no space or no descriptor, and frees journal files.
func (c *committer) again() {
	c.mu.Lock()
	c.mu.queue = append(c.mu.queue, c.mu.starved...)
	c.mu.starved, c.mu.unkept = nil, false
	c.mu.Unlock()
	signal(c.wake)
	signal(c.reclaim)
}

// starving says whether there is anything to announce again.
func (c *committer) starving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.starved) > 0 || c.mu.unkept
}

// gone says whether err means no more than that the log was removed meanwhile.
func (c *committer) gone(st *state, err error) bool {
	if !errors.Is(err, commitlog.ErrClosed) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return st.committing.removed || c.mu.stopped
}

// finish tells the members of the group how it ended.
func (c *committer) finish(err error, settles []*settle) {
	switch {
	case err == nil && c.d.offline(): // something failed meanwhile, and nothing is acknowledged after that
		c.refuse(settles)
	case err == nil:
		c.committed(settles)
	case errors.Is(err, journal.ErrFull), !c.journal.Broken():
		c.withoutJournal(err, settles)
	default:
		c.d.fail(err)
		c.refuse(settles)
	}
}

func (c *committer) committed(settles []*settle) {
	sequence := c.journal.Sequence()
	c.mu.Lock()
	_, known := c.mu.files[sequence]
	files := c.mu.files[sequence]
	for _, s := range settles {
		s.st.committing.last = 0 // here, where no group is being formed that could have entries of the log already
	}
	for _, m := range c.group { // what the group has of a log comes behind what settles it
		m.st.committing.last = sequence
		m.st.committing.journaled = max(m.st.committing.journaled, m.end)
		if m.st.committing.inFile != sequence {
			m.st.committing.inFile = sequence
			files = append(files, m.st)
		}
	}
	c.mu.files[sequence] = files
	c.mu.Unlock()
	if !known {
		signal(c.reclaim) // the file before it is full
	}
	for _, m := range c.group {
		m.st.log.Load().SetSynced(m.end)
	}
	for _, s := range settles {
		s.done <- nil
	}
}

// withoutJournal syncs the group's logs in their own files, because the journal has no room, and settles when a file of it is free, or in the room
// that it keeps for that.
func (c *committer) withoutJournal(err error, settles []*settle) {
	c.mu.Lock()
	for _, m := range c.group {
		if m.st.committing.syncing {
			m.st.committing.again = true
			continue
		}
		c.enqueueLocked(m.st)
	}
	if errors.Is(err, journal.ErrFull) {
		settles = c.blockLocked(settles)
	}
	c.mu.Unlock()
	if len(settles) == 0 {
		return
	}
	for _, s := range settles {
		c.journal.Settle(journal.LogID(s.st.id))
	}
	if err = c.journal.CommitSettles(); err == nil {
		c.group = c.group[:0]
		c.committed(settles)
		return
	}
	if c.journal.Broken() {
		c.d.fail(err)
		c.refuse(settles)
		return
	}
	if errors.Is(err, journal.ErrFull) {
		err = fmt.Errorf("%w: %w", commitlog.ErrReadOnly, err)
	} else {
		err = c.d.judge(err)
	}
	if !vfs.NoDescriptors(err) {
		c.mu.Lock()
		settles = c.blockLocked(settles)
		c.mu.Unlock()
	}
	for _, s := range settles {
		s.done <- err
	}
}

// blockLocked has requests wait until the reclaimer has freed a journal file, or could not, and returns those that have waited: what keeps files from being freed
// may be a lack of space, which the removal that asks is to end. Where it has freed one just now, or the directory has failed just now, nobody would wake them after that:
// they try again at once.
func (c *committer) blockLocked(settles []*settle) (waited []*settle) {
	for _, s := range settles {
		if s.waited {
			waited = append(waited, s)
		} else {
			c.mu.blocked = append(c.mu.blocked, s)
		}
	}
	if c.journal.Reclaimable() || c.d.offline() {
		c.waitedLocked()
		c.unblockLocked()
		return waited
	}
	signal(c.reclaim) // it may have looked before, and found no need
	return waited
}

// waitedLocked notes that who waits for a free journal file need not again: there will be one soon, or none for now.
func (c *committer) waitedLocked() {
	for _, s := range c.mu.blocked {
		s.waited = true
	}
}

// unblockLocked lets the requests try again that wait for a free journal file.
func (c *committer) unblockLocked() {
	if len(c.mu.blocked) > 0 {
		c.mu.settles = append(c.mu.blocked, c.mu.settles...)
		c.mu.blocked = nil
		signal(c.wake)
	}
}

func (c *committer) refuse(settles []*settle) {
	for _, s := range settles {
		s.done <- commitlog.ErrOffline
	}
}

// settle returns when no journal entry of the log, as they are now, can be replayed any more. The log has no unsynced bytes and
// takes none meanwhile.
func (c *committer) settle(st *state) error {
	c.mu.Lock()
	if st.committing.last == 0 || st.committing.last < c.journal.Oldest() {
		c.mu.Unlock()
		return nil
	}
	if c.mu.stopped {
		c.mu.Unlock()
		return ErrClosed
	}
	s := &settle{st: st, done: make(chan error, 1)}
	c.mu.settles = append(c.mu.settles, s)
	c.mu.Unlock()
	signal(c.wake)
	return <-s.done
}

// settled notes that the log is being cut: its end may soon be below that of what the journal held.
func (c *committer) settled(st *state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st.committing.journaled = 0
}
