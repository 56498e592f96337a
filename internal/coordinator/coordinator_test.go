package coordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/record"
)

func TestAnswersWaitForTheCommit(t *testing.T) {
	bubble(t, func(r *rig) {
		r.want(r.ask(put{"a", "1"}), "")
		r.log.hold(true)
		written := r.ask(put{"a", "2"})
		read := r.ask(get{"a"}) // knows of what is not committed
		r.want(written, nil)
		r.want(read, nil)
		r.log.hold(false)
		r.want(written, "1")
		r.want(read, "2")
		if got := r.log.content(t); got != "noted=L a=1 a=2" {
			t.Errorf("the log holds %s", got)
		}
	})
}

func TestCallsThatWaitShareABatch(t *testing.T) {
	bubble(t, func(r *rig) {
		before := r.log.appends
		s := r.shard(0)
		s.mu.Lock() // the shard cannot take any until all are there
		var calls []*Call
		for i := range 100 {
			calls = append(calls, &Call{Request: put{fmt.Sprint(i), "x"}, done: func(any, error) {}})
		}
		s.mu.queue = append(s.mu.queue, calls...)
		s.nudge()
		s.mu.Unlock()
		synctest.Wait()
		if n := r.log.appends - before; n != 1 {
			t.Errorf("%d batches for 100 calls that waited together", n)
		}
	})
}

func TestFailedAppendDropsTheMachine(t *testing.T) {
	bubble(t, func(r *rig) {
		r.want(r.ask(put{"a", "1"}), "")
		waiting := r.ask(park{time.Hour})
		r.log.set(func() { r.log.broken = errors.New("torn") })
		r.want(r.ask(put{"a", "2"}), ErrUnavailable)
		r.want(waiting, ErrUnavailable)
		r.log.set(func() { r.log.broken = nil })
		r.want(r.ask(get{"a"}), ErrUnavailable)
		time.Sleep(2 * retryPause)
		r.want(r.ask(get{"a"}), "1")
	})
}

func TestFailedCommitDropsTheMachine(t *testing.T) {
	bubble(t, func(r *rig) {
		r.want(r.ask(put{"a", "1"}), "")
		r.log.hold(true)
		lost := r.ask(put{"a", "2"})
		r.log.fail(errors.New("the directory is gone"))
		r.want(lost, ErrUnavailable)
		r.log.hold(false)
		time.Sleep(2 * retryPause)
		r.want(r.ask(get{"a"}), "1")
	})
}

func TestFullLogRefusesWritesBeforeTheyChangeAnything(t *testing.T) {
	bubble(t, func(r *rig) {
		r.want(r.ask(put{"a", "1"}), "")
		waiting := r.ask(park{time.Second})
		r.log.set(func() { r.log.refuse = commitlog.ErrReadOnly })
		r.want(r.ask(put{"a", "2"}), ErrUnavailable)
		r.want(r.ask(get{"a"}), "1")
		r.Tell(note{"!"})
		time.Sleep(10 * time.Second)
		r.want(waiting, nil) // the machine may want to write, so it is not asked
		r.log.set(func() { r.log.refuse = nil })
		time.Sleep(2 * refusedPoll)
		r.want(waiting, "woken")
		r.want(r.ask(get{"noted"}), "L!")
	})
}

func TestLostLeadershipAnswersEveryone(t *testing.T) {
	bubble(t, func(r *rig) {
		waiting := r.ask(park{time.Hour})
		r.log.hold(true)
		flying := r.ask(put{"a", "1"})
		r.Resign(0)
		r.want(waiting, ErrNotCoordinator)
		r.want(flying, nil) // it may still be committed
		r.log.fail(partition.ErrNotLeader)
		r.want(flying, ErrNotCoordinator)
		r.want(r.ask(get{"a"}), ErrNotCoordinator)
	})
}

func TestStaleEpochStopsWriting(t *testing.T) {
	bubble(t, func(r *rig) {
		r.log.set(func() { r.log.epoch = 1 }) // the metadata told the partition first
		r.want(r.ask(put{"a", "1"}), ErrUnavailable)
		r.Lead(0, 1, r.log)
		r.Lead(0, 0, r.log) // late news
		synctest.Wait()
		r.want(r.ask(put{"a", "1"}), "")
		if got := r.log.content(t); got != "noted=L noted=LL a=1" {
			t.Errorf("the log holds %s", got)
		}
	})
}

func TestCommitThatTakesTooLong(t *testing.T) {
	bubble(t, func(r *rig) {
		r.log.hold(true)
		late := r.ask(put{"a", "1"})
		time.Sleep(6 * time.Second)
		r.want(late, ErrTimeout)
		read := r.ask(get{"a"}) // must not see it yet
		r.want(read, nil)
		r.log.hold(false)
		r.want(read, "1")
	})
}

func TestUnreadableLogIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{unread: errors.New("bad sector"), end: 1}
		r := &rig{T: t, log: log}
		r.Coordinator = New(Options{Clock: clock.Real, Log: slog.New(slog.DiscardHandler), LoadBytes: 1, CommitTimeout: time.Second,
			Machine: func(int32) Machine { return &registers{values: map[string]string{}} }})
		r.Resize(1)
		r.Lead(0, 0, r.log)
		r.Tell(note{"early"})
		synctest.Wait()
		r.want(r.ask(get{"a"}), ErrUnavailable)
		r.log.set(func() { r.log.unread, r.log.end = nil, 0 })
		time.Sleep(2 * retryPause)
		r.want(r.ask(get{"noted"}), "early")
		r.Close()
	})
}

func TestLoadAnswersLoading(t *testing.T) {
	bubble(t, func(r *rig) {
		r.shard(0).enter(loading)
		r.want(r.ask(get{"a"}), ErrLoading)
		var got error
		r.All(get{"a"}, func(_ []any, err error) { got = err })
		if !errors.Is(got, ErrLoading) {
			t.Errorf("all: %v", got)
		}
		r.shard(0).enter(active)
		r.want(r.ask(get{"a"}), "")
	})
}

// TestCallsWaitForAnEmptyLog asks while a machine is being made: calls wait where there is nothing to load, and are refused where there is.
func TestCallsWaitForAnEmptyLog(t *testing.T) {
	for name, c := range map[string]struct {
		end       int64
		resign    bool
		atOnce    any
		afterward any
	}{
		"empty":           {atOnce: nil, afterward: ""},
		"something in it": {end: 1, atOnce: ErrLoading, afterward: ErrLoading},
		"lost meanwhile":  {resign: true, atOnce: nil, afterward: ErrNotCoordinator},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				r := &rig{T: t, log: &fakeLog{end: c.end}}
				r.Coordinator = New(Options{Clock: clock.Real, Log: slog.New(slog.DiscardHandler), LoadBytes: 1, CommitTimeout: time.Second,
					Machine: func(int32) Machine { <-gate; return &registers{values: map[string]string{}} },
					Loaded:  func() any { return note{"L"} }})
				r.Resize(1)
				r.Lead(0, 0, r.log)
				asked := r.ask(get{"a"})
				r.want(asked, c.atOnce)
				if got := r.Loading(); got != 1 {
					t.Errorf("%d partitions are being loaded", got)
				}
				if c.resign {
					r.Resign(0)
				}
				close(gate)
				r.want(asked, c.afterward)
				if c.afterward == "" {
					r.want(r.ask(get{"noted"}), "L")
				}
				r.Close()
			})
		})
	}
	t.Run("ended before it began", func(t *testing.T) {
		bubble(t, func(r *rig) {
			s := newShard(r.Coordinator, 1, 0, &fakeLog{})
			var got error
			if err := s.take(&Call{Request: get{"a"}, done: func(_ any, err error) { got = err }}); err != nil {
				t.Fatal(err)
			}
			s.end()
			s.run()
			if !errors.Is(got, ErrNotCoordinator) {
				t.Errorf("answered %v", got)
			}
		})
	})
}

func TestRestartReplays(t *testing.T) {
	bubble(t, func(r *rig) {
		for i := range 50 {
			r.want(r.ask(put{fmt.Sprint(i % 7), fmt.Sprint(i)}), map[bool]any{true: "", false: fmt.Sprint(i - 7)}[i < 7])
		}
		r.Resign(0)
		r.log.set(func() { r.log.epoch = 1 })
		r.Lead(0, 1, r.log)
		synctest.Wait()
		for k := range 7 {
			want := k + 49
			if want > 49 {
				want -= 7
			}
			r.want(r.ask(get{fmt.Sprint(k)}), fmt.Sprint(want))
		}
	})
}

func TestTransactionsAreReplayedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{}
		add := func(producer int64, control []byte, value string) {
			b := record.NewBuilder(record.Compression{})
			b.ProducerID, b.ProducerEpoch, b.Transactional, b.Control = producer, 0, producer >= 0, control != nil
			if rec := (record.Record{Key: []byte("a"), Value: []byte(value)}); control != nil {
				b.Append(record.Record{Key: control, Value: make([]byte, 6)})
			} else {
				b.Append(rec)
			}
			if _, err := log.AppendAs(b.Build(), 0); err != nil {
				t.Fatal(err)
			}
		}
		abort, commit := []byte{0, 0, 0, 0}, []byte{0, 0, 0, 1}
		r := &rig{T: t, log: log}
		for _, step := range []struct {
			producer int64
			control  []byte
			value    string
			want     string
		}{
			{-1, nil, "plain", "plain"}, {1, nil, "open", "plain"}, {2, nil, "other", "plain"}, {1, abort, "", "plain"},
			{2, commit, "", "other"}, {1, commit, "", "other"},
		} {
			add(step.producer, step.control, step.value)
			r.Coordinator = New(Options{Clock: clock.Real, Log: slog.New(slog.DiscardHandler), LoadBytes: 1, CommitTimeout: time.Second,
				Machine: func(int32) Machine { return &registers{values: map[string]string{}} }})
			r.Resize(1)
			r.Lead(0, 0, log)
			synctest.Wait()
			r.want(r.ask(get{"a"}), step.want)
			r.Close()
		}
	})
}

func TestPanicIsFatal(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ask(bomb{})
		if len(r.fatals) != 1 || !strings.Contains(r.fatals[0].Error(), "boom") {
			t.Errorf("told %v", r.fatals)
		}
	})
}

func TestPartitionFor(t *testing.T) {
	c := New(Options{})
	if got := c.PartitionFor("g"); got != -1 {
		t.Errorf("without a topic: %d", got)
	}
	c.Resize(50)
	// What Apache Kafka computes: abs(key.hashCode) % 50.
	for key, want := range map[string]int32{"": 0, "a": 47, "console-consumer-1": 24, "polygenelubricants": 0, "gr\u00fc\u00dfe": 23, "\U0001F600": 49} {
		if got := c.PartitionFor(key); got != want {
			t.Errorf("%q: partition %d, want %d", key, got, want)
		}
	}
}

// TestSignsOfLifeDoNotWaitForTheDisk: while the commit of one call does not come, another that tells nothing which could be taken back is answered.
func TestSignsOfLifeDoNotWaitForTheDisk(t *testing.T) {
	bubble(t, func(r *rig) {
		r.log.hold(true)
		written, read := r.ask(put{"a", "1"}), r.ask(get{"a"})
		r.want(r.ask(alive{}), living("alive"))
		r.want(written, nil)
		r.want(read, nil)
		r.log.hold(false)
		r.want(written, "")
		r.want(read, "1")
	})
}
