package coordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/partition"
)

// TestToldAreKeptOverAFailure: what is told must not go with the machine that was to hear it.
func TestToldAreKeptOverAFailure(t *testing.T) {
	bubble(t, func(r *rig) {
		r.log.set(func() { r.log.broken = errors.New("torn") })
		s := r.shard(0)
		s.mu.Lock() // so that all of these are handed to the machine in one round
		for i := range 3 {
			s.mu.queue = append(s.mu.queue, &Call{Request: note{fmt.Sprint(i)}})
		}
		s.nudge()
		s.mu.Unlock()
		synctest.Wait()
		r.Tell(note{"3"})
		r.log.set(func() { r.log.broken = nil })
		time.Sleep(2 * retryPause)
		// The failed append took the first three, which the next machine is told again, in order, after what each is told first.
		r.want(r.ask(get{"noted"}), "LL0123")
	})
}

// TestToldWhileACommitFails is the same where the failure is that of records on their way.
func TestToldWhileACommitFails(t *testing.T) {
	bubble(t, func(r *rig) {
		r.log.hold(true)
		lost := r.ask(put{"a", "1"})
		s := r.shard(0)
		s.mu.Lock()
		s.mu.failed = errors.New("the directory is gone")
		s.mu.queue = append(s.mu.queue, &Call{Request: note{"!"}})
		s.nudge()
		s.mu.Unlock()
		synctest.Wait()
		r.log.hold(false)
		r.want(lost, "")
		time.Sleep(2 * retryPause)
		r.want(r.ask(get{"noted"}), "LL!")
	})
}

// TestFirstToldDoesNotPileUp: every machine is told once what each is told first, however many before it failed.
func TestFirstToldDoesNotPileUp(t *testing.T) {
	bubble(t, func(r *rig) {
		r.log.set(func() { r.log.broken = errors.New("torn") })
		r.Tell(note{"!"})
		time.Sleep(time.Minute)
		r.log.set(func() { r.log.broken = nil })
		time.Sleep(retryPauseMax)
		r.want(r.ask(get{"noted"}), "LL!")
	})
}

// countedLog counts the loads that fail at their first read.
type countedLog struct {
	*fakeLog
	loads int
}

func (l *countedLog) Read(r partition.ReadRequest) (partition.ReadResult, error) {
	l.mu.Lock()
	l.loads++
	l.mu.Unlock()
	return l.fakeLog.Read(r)
}

// TestLoadThatAlwaysFails: a partition that cannot be loaded is read again, but not all the time: it may be large, and each try is logged.
func TestLoadThatAlwaysFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &countedLog{fakeLog: &fakeLog{unread: errors.New("bad record"), end: 1}}
		c := New(Options{Clock: clock.Real, Log: slog.New(slog.DiscardHandler), LoadBytes: 1, CommitTimeout: time.Second,
			Machine: func(int32) Machine { return &registers{values: map[string]string{}} }})
		c.Resize(1)
		c.Lead(0, 0, log)
		time.Sleep(10 * time.Minute)
		log.set(func() {
			if log.loads < 10 || log.loads > 80 {
				t.Errorf("loaded %d times in ten minutes", log.loads)
			}
			log.unread, log.end = nil, 0
		})
		time.Sleep(retryPauseMax)
		synctest.Wait()
		r := &rig{T: t, log: log.fakeLog, Coordinator: c}
		r.want(r.ask(get{"a"}), "")
		c.Close()
	})
}

// TestLeadersComeAndGo takes up, lays down and closes in any order while calls come in: each is answered once.
func TestLeadersComeAndGo(t *testing.T) {
	bubble(t, func(r *rig) {
		var answers []*answer
		for epoch := range 50 {
			answers = append(answers, r.ask(put{"a", "1"}), r.ask(park{time.Hour}))
			r.log.set(func() { r.log.epoch++ })
			if epoch%3 == 0 {
				r.Resign(0)
				r.Resign(0)
			}
			r.log.fail(partition.ErrNotLeader)
			answers = append(answers, r.ask(put{"a", "2"}))
			r.Lead(0, r.log.epoch, r.log)
			r.Lead(0, r.log.epoch-1, r.log)
			answers = append(answers, r.ask(park{time.Hour}))
		}
		r.Close()
		r.Lead(0, 1000, r.log)
		answers = append(answers, r.ask(get{"a"}))
		synctest.Wait()
		for i, a := range answers {
			a.mu.Lock()
			if a.count != 1 {
				t.Errorf("call %d was answered %d times", i, a.count)
			}
			a.mu.Unlock()
		}
	})
}
