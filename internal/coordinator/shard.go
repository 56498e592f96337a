package coordinator

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/record"
)

// ReadsOnly marks requests that a machine answers without ever writing a record. They are served also while the log takes nothing
// (a full disk, too few replicas in sync); the others are refused then before they change anything.
type ReadsOnly interface{ ReadsOnly() }

// Prompt marks responses that may be given before what the machine decided is committed, where MayHurry says so: they tell nothing that could
// be taken back. So members stay alive while a slow disk holds up the commits of others.
type Prompt interface{ MayHurry() bool }

// Bounds of a shard.
const (
	queueMax    = 1 << 16                // calls that wait for the machine; clients of more are asked to come again
	batchBytes  = 1 << 20                // at which a batch is closed though more calls wait
	keepBytes   = 64 << 10               // of a builder's buffer; one that grew larger is given back
	keepOut     = 4096                   // records and answers of a step for which room is kept
	retryPause  = 100 * time.Millisecond // before a load that follows a failure
	refusedPoll = 500 * time.Millisecond // between looks at a log that takes nothing

	// retryPauseMax is what the pause doubles to while loads fail: a damaged log does not mend by being read all the time.
	retryPauseMax = 10 * time.Second
)

// phase is what a shard does with calls.
type phase uint8

const (
	loading     phase = iota // answers ErrLoading
	beginning                // lets them wait: it loads a log in which there is nothing
	active                   // hands them to the machine
	unavailable              // answers ErrUnavailable: between a failure and the next load
	ended                    // answers ErrNotCoordinator
)

// shard runs the machine of one partition in one leader epoch.
type shard struct {
	c         *Coordinator
	index     int32
	epoch     commitlog.LeaderEpoch
	partition Partition

	wake chan struct{} // capacity one: something waits in the queue, or a flight failed
	stop chan struct{} // closed by end

	// mu guards what other goroutines touch.
	mu struct {
		sync.Mutex
		phase  phase
		queue  []*Call
		failed error // why the machine must be dropped: an append that will not be committed
	}

	// The rest belongs to the goroutine of run.
	machine  Machine
	parked   map[*Call]struct{} // calls that the machine holds
	builder  *record.Builder
	first    *Call    // what the machine is told first; nil if nothing
	answers  []Answer // of the batch being built
	logEnd   int64    // end of what the machine knows, committed or not
	last     *flight  // the newest; nil if nothing was ever on its way
	out      Out      // used again by every step
	timer    clock.Timer
	timerDue time.Time
}

func newShard(c *Coordinator, index int32, epoch commitlog.LeaderEpoch, p Partition) *shard {
	s := &shard{c: c, index: index, epoch: epoch, partition: p,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), builder: record.NewBuilder(c.opts.Compression)}
	if s.empty() { // as on the first use of groups: a client that does not ask twice need not fail for a moment
		s.mu.phase = beginning
	}
	return s
}

// empty says whether a load has nothing to read.
func (s *shard) empty() bool {
	logStart, _, _, logEnd := s.partition.Offsets()
	return logStart == logEnd
}

// take queues a call, or says why not. Calls without an answer are queued in every phase.
func (s *shard) take(call *Call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.phase == ended:
		return ErrNotCoordinator
	case call.done == nil:
	case s.mu.phase == loading:
		return ErrLoading
	case s.mu.phase == unavailable:
		return ErrUnavailable
	case len(s.mu.queue) >= queueMax:
		return ErrLoading // every client takes it as: the same again, a little later
	}
	s.mu.queue = append(s.mu.queue, call)
	s.nudge()
	return nil
}

func (s *shard) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // a wake-up is pending already
	}
}

// end makes the goroutine finish. It is called once.
func (s *shard) end() {
	s.mu.Lock()
	s.mu.phase = ended
	s.mu.Unlock()
	close(s.stop)
}

func (s *shard) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// enter changes the phase unless the shard has ended.
func (s *shard) enter(p phase) {
	s.mu.Lock()
	if s.mu.phase != ended {
		s.mu.phase = p
	}
	s.mu.Unlock()
}

// run loads the machine and serves until the leadership ends. After a failure it starts again with a new machine.
func (s *shard) run() {
	defer func() {
		if p := recover(); p != nil {
			s.c.opts.Fatal(fmt.Errorf("coordinator of partition %d: panic: %v\n%s", s.index, p, debug.Stack()))
		}
	}()
	pause := retryPause
	for !s.stopped() {
		err := s.load()
		if err == nil {
			pause = retryPause
			err = s.serve()
		}
		s.drop(err)
		if s.stopped() || errors.Is(err, partition.ErrNotLeader) || errors.Is(err, partition.ErrDeleted) || errors.Is(err, partition.ErrFencedLeaderEpoch) {
			break // the metadata tells when this broker leads again
		}
		s.c.opts.Log.Warn("coordinator: load again after a failure", "partition", s.index, "epoch", s.epoch, "error", err)
		select {
		case <-s.stop:
		case <-s.c.opts.Clock.After(pause):
		}
		pause = min(2*pause, retryPauseMax)
		s.enter(loading)
	}
	s.enter(unavailable) // where the metadata are behind
	s.drop(ErrNotCoordinator)
}

// serve lets the machine work until the shard ends (nil) or the machine cannot be trusted any more.
func (s *shard) serve() error {
	for {
		if err := s.round(); err != nil {
			return err
		}
		s.arm()
		select {
		case <-s.stop:
			return nil
		case <-s.wake:
		}
	}
}

// round hands all that waits to the machine, and lets it do what is due.
func (s *shard) round() error {
	s.mu.Lock()
	calls, failed := s.mu.queue, s.mu.failed
	s.mu.queue = nil
	s.mu.Unlock()
	if failed != nil {
		s.park(calls)
		s.tellAgain(calls)
		return failed
	}
	refused := s.partition.CheckAppend(s.epoch)
	now := s.c.opts.Clock.Now()
	taken := 0 // calls whose records the log has
	for i, call := range calls {
		if _, reads := call.Request.(ReadsOnly); refused != nil && !reads {
			s.refuse(call, refused)
			continue
		}
		if call.done != nil {
			s.parked[call] = struct{}{}
		}
		s.machine.Step(now, call, &s.out)
		s.collect(now)
		if s.builder.Size() >= batchBytes {
			if err := s.flush(); err != nil {
				s.park(calls[i+1:])
				s.tellAgain(calls[taken:])
				return err
			}
			taken = i + 1
		}
	}
	if due := s.machine.Due(); refused == nil && !due.IsZero() && !due.After(now) {
		s.machine.Tick(now, &s.out)
		s.collect(now)
	}
	err := s.flush()
	if err != nil && refused == nil { // refuse has queued them otherwise
		s.tellAgain(calls[taken:])
	}
	return err
}

// refuse answers a call that would write while the log takes nothing. What is only told comes again when it does.
func (s *shard) refuse(call *Call, err error) {
	if call.done != nil {
		call.done(nil, fmt.Errorf("%w: %w", ErrUnavailable, err))
		return
	}
	s.mu.Lock()
	s.mu.queue = append(s.mu.queue, call)
	s.mu.Unlock()
}

// park notes calls that the machine will not see, so that drop answers them.
func (s *shard) park(calls []*Call) {
	if s.parked == nil {
		s.parked = map[*Call]struct{}{}
	}
	for _, call := range calls {
		if call.done != nil {
			s.parked[call] = struct{}{}
		}
	}
}

// tellAgain queues, before all others, those of the calls that are only told: the machine that was to know is about to be dropped. What
// was told it first after its load is not among them, the next one is told its own.
func (s *shard) tellAgain(calls []*Call) {
	var told []*Call
	for _, call := range calls {
		if call.done == nil && call != s.first {
			told = append(told, call)
		}
	}
	s.mu.Lock()
	s.mu.queue = append(told, s.mu.queue...)
	s.mu.Unlock()
}

// collect takes what a step put out.
func (s *shard) collect(now time.Time) {
	for _, r := range s.out.Records {
		s.builder.Append(record.Record{Timestamp: now.UnixMilli(), Key: r.Key, Value: r.Value})
	}
	if len(s.out.Records) > keepOut || len(s.out.Answers) > keepOut {
		defer func() { s.out = Out{} }()
	}
	clear(s.out.Records)
	s.out.Records = s.out.Records[:0]
	for _, a := range s.out.Answers {
		delete(s.parked, a.Call)
		if p, ok := a.Response.(Prompt); ok && p.MayHurry() {
			a.Call.done(a.Response, nil)
		} else if a.Call.done != nil {
			s.answers = append(s.answers, a)
		}
	}
	clear(s.out.Answers)
	s.out.Answers = s.out.Answers[:0]
}

// flush appends the batch and sends the answers on their way. After an error the machine knows what the log does not.
func (s *shard) flush() error {
	if s.builder.Count() > 0 {
		large := s.builder.Size() > keepBytes
		s.builder.BaseOffset = 0 // the log assigns offsets
		info, err := s.partition.AppendAs(s.builder.Build(), s.epoch)
		if large {
			s.builder = record.NewBuilder(s.c.opts.Compression)
		}
		if err != nil {
			s.fail(s.answers, err)
			s.answers = nil
			return err
		}
		s.logEnd = info.Last + 1
	}
	if len(s.answers) > 0 {
		s.send(s.answers)
		s.answers = nil
	}
	return nil
}

// fail answers calls whose answers will never be true.
func (s *shard) fail(answers []Answer, err error) {
	for _, a := range answers {
		a.Call.done(nil, answerFor(err))
	}
}

// answerFor says what a client is told of a failure of the log.
func answerFor(err error) error {
	switch {
	case errors.Is(err, ErrNotCoordinator), errors.Is(err, ErrUnavailable), errors.Is(err, ErrTimeout):
		return err
	case errors.Is(err, partition.ErrNotLeader), errors.Is(err, partition.ErrDeleted), errors.Is(err, partition.ErrFencedLeaderEpoch),
		errors.Is(err, commitlog.ErrStaleLeaderEpoch), errors.Is(err, commitlog.ErrClosed):
		return fmt.Errorf("%w: %w", ErrNotCoordinator, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// drop forgets the machine and answers every call that it holds or that waits for it. What was decided and is on its way
// is answered by its flight.
func (s *shard) drop(err error) {
	s.enter(unavailable)
	if err == nil {
		err = ErrNotCoordinator
	}
	s.mu.Lock()
	queue := s.mu.queue
	s.mu.queue, s.mu.failed = nil, nil
	for _, call := range queue {
		if call.done == nil && call != s.first && s.mu.phase != ended {
			s.mu.queue = append(s.mu.queue, call) // the next machine has to know
		}
	}
	s.mu.Unlock()
	s.park(queue)
	for call := range s.parked {
		call.done(nil, answerFor(err))
	}
	s.machine, s.first, s.parked, s.answers, s.last, s.out = nil, nil, nil, nil, nil, Out{}
	s.builder = record.NewBuilder(s.c.opts.Compression)
	if s.timer != nil {
		s.timer.Stop()
		s.timer, s.timerDue = nil, time.Time{}
	}
}

// arm sets the timer to when the machine has something to do.
func (s *shard) arm() {
	due := s.machine.Due()
	now := s.c.opts.Clock.Now()
	if s.partition.CheckAppend(s.epoch) != nil { // nothing can be done but to look again
		due = now.Add(refusedPoll)
	}
	if due.IsZero() || due.Equal(s.timerDue) && due.After(now) {
		return // an old timer that fires for nothing does no harm
	}
	s.timerDue = due
	if wait := max(due.Sub(now), 0); s.timer == nil {
		s.timer = s.c.opts.Clock.AfterFunc(wait, s.nudge)
	} else {
		s.timer.Reset(wait)
	}
}
