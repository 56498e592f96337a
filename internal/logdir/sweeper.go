package logdir

import (
	"fmt"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
)

const (
	sweepInterval = time.Second
	closeIdle     = 2 * time.Second // files that were not used for that long, or twice that, are closed: to open one again costs little
	// sweepLogs bounds how many logs one sweep looks at, so that a hundred thousand idle ones cost next to nothing.
	sweepLogs = 10_000
	// restAfter is how long nobody has used a log before it returns to rest: who uses it next has it opened again.
	restAfter = time.Minute
	// checkpointMost is how long after the last time checkpoints are looked at even if nothing seems to have moved: that walks all logs.
	checkpointMost = time.Minute
)

// sweeper is the one timer of a directory: it writes checkpoints, syncs files that nothing else asks for, and looks for space
// on a full disk.
type sweeper struct {
	d     *Dir
	early chan struct{} // the recovery points are worth writing now
	stop  chan struct{}
	done  chan struct{}

	position    int       // where the next sweep goes on in the logs
	checkpoints time.Time // when it was last asked whether they are to be written
	written     time.Time // when they were last written
	moved       bool      // something had moved when it was asked: what follows from that may have come since
}

func newSweeper(d *Dir) *sweeper {
	s := &sweeper{d: d, early: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	s.checkpoints = d.opts.Clock.Now()
	s.written, s.moved = s.checkpoints, true
	go s.loop()
	return s
}

func (s *sweeper) close() {
	close(s.stop)
	<-s.done
}

// kick asks for recovery points now. It may come before there is a sweeper.
func (s *sweeper) kick() {
	if s != nil {
		signal(s.early)
	}
}

func (s *sweeper) loop() {
	defer close(s.done)
	tick := s.d.opts.Clock.After(sweepInterval)
	for {
		select {
		case <-s.stop:
			return
		case <-s.d.measuring:
			s.d.measure()
			continue
		case <-s.early:
			s.warn(s.d.checkpointRecoveryIfUp())
			continue
		case <-tick:
		}
		tick = s.d.opts.Clock.After(sweepInterval)
		s.d.probe()
		now := s.d.opts.Clock.Now()
		s.sweep(now)
		s.d.opts.Files.CloseIdle(now, closeIdle)
		if now.Sub(s.checkpoints) >= s.d.opts.CheckpointInterval {
			s.checkpoints = now
			if s.due(now) {
				s.checkpoint(now)
			}
		}
	}
}

func (s *sweeper) checkpoint(now time.Time) {
	err := s.d.env.Err()
	if err == nil {
		s.written = now
		err = s.d.Checkpoint()
		s.warn(err)
	}
	s.moved = s.moved || err != nil // it is tried again
}

// due says whether there may be anything to write in checkpoints. While nobody uses any of a hundred thousand logs they are not walked for that.
func (s *sweeper) due(now time.Time) bool {
	moved := s.d.env.Moved()
	due := moved || s.moved || s.d.rests.waiting() || now.Sub(s.written) >= checkpointMost
	s.moved = moved
	return due
}

func (s *sweeper) warn(err error) {
	if err != nil {
		s.d.opts.Warn(fmt.Errorf("write checkpoints of %s: %w", s.d.opts.Path, err))
	}
}

// sweep gives logs to the workers whose files have been unsynced for long or by much, and lets those return to rest that were synced and not used for long.
func (s *sweeper) sweep(now time.Time) {
	d := s.d
	if d.offline() {
		return
	}
	d.mu.Lock()
	if s.position >= len(d.mu.order) {
		s.position = 0
	}
	part := append([]*state(nil), d.mu.order[s.position:min(s.position+sweepLogs, len(d.mu.order))]...)
	rounds := int32(max(1, (len(d.mu.order)+sweepLogs-1)/sweepLogs)) // each log is looked at every so many sweeps
	s.position += len(part)
	d.mu.Unlock()
	old := int(d.opts.FlushAge / sweepInterval)
	for _, st := range part {
		l := st.log.Load()
		if l == nil {
			continue
		}
		n := l.UnflushedBytes()
		if n == 0 {
			st.idle.unflushed = 0
			s.rest(st, l, rounds)
			continue
		}
		st.idle.unflushed += rounds
		if n >= d.opts.FlushBytes || int(st.idle.unflushed) >= old || l.FlushDue(now) {
			st.idle.unflushed = 0
			d.committer.flush(st)
		}
	}
}

// rest lets a log return to rest that has not been used for long.
func (s *sweeper) rest(st *state, l *commitlog.Log, rounds int32) {
	uses := l.Uses()
	if uses != st.idle.uses || l.Rests() {
		st.idle.uses, st.idle.unused = uses, 0
		return
	}
	if st.idle.unused += rounds; st.idle.unused >= int32(restAfter/sweepInterval) {
		s.d.rest(st, l, uses)
	}
}

func (d *Dir) checkpointRecoveryIfUp() error {
	if d.env.Err() != nil {
		return nil
	}
	return d.checkpointRecovery()
}
