package coordinator

import (
	"sync"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/partition"
)

// flight is a number of answers on their way: they are given when the log is committed up to an offset.
type flight struct {
	s    *shard
	wait partition.Wait

	// mu guards the rest. Whoever moves the high watermark completes the flight.
	mu      sync.Mutex
	answers []Answer
	over    bool
	timer   clock.Timer
}

// send gives the answers as soon as all that the machine knows is committed.
func (s *shard) send(answers []Answer) {
	if f := s.last; f != nil && f.wait.End == s.logEnd && f.add(answers) {
		return
	}
	f := &flight{s: s, answers: answers}
	f.wait = partition.Wait{End: s.logEnd, Epoch: s.epoch, Done: f.done}
	s.last = f
	f.mu.Lock() // who completes the flight at once waits until it has its timer
	committed, err := s.partition.Await(&f.wait)
	if !committed && err == nil {
		f.timer = s.c.opts.Clock.AfterFunc(s.c.opts.CommitTimeout, f.expire)
	}
	f.mu.Unlock()
	if committed || err != nil {
		f.done(err)
	}
}

// add puts more answers on the flight; false if it is over.
func (f *flight) add(answers []Answer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	f.answers = append(f.answers, answers...)
	return true
}

// done is called when the flight's end is committed, or never will be.
func (f *flight) done(err error) {
	answers := f.finish()
	if err == nil {
		deliver(answers)
		return
	}
	f.s.fail(answers, err)
	f.s.mu.Lock()
	f.s.mu.failed = err // what the machine decided is not in the log of a later leader, or may not be
	f.s.mu.Unlock()
	f.s.nudge()
}

// finish ends the flight and returns what it carries.
func (f *flight) finish() []Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	answers := f.answers
	f.over, f.answers = true, nil
	if f.timer != nil {
		f.timer.Stop()
	}
	return answers
}

// expire answers that the time is over. The records stay in the log and may be committed later, so the machine goes on.
func (f *flight) expire() {
	if f.s.partition.Cancel(&f.wait) {
		f.s.fail(f.finish(), ErrTimeout)
	}
}

func deliver(answers []Answer) {
	for _, a := range answers {
		a.Call.done(a.Response, nil)
	}
}
