package coordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// fakeLog is a partition in memory whose commits can be held back and whose appends can be refused.
type fakeLog struct {
	mu      sync.Mutex
	epoch   commitlog.LeaderEpoch
	batches []record.Batch
	end, hw int64
	held    bool  // the high watermark stands
	refuse  error // CheckAppend and AppendAs answer it
	broken  error // AppendAs alone answers it: nobody could know
	unread  error // Read answers it
	waits   []*partition.Wait
	appends int
}

func (l *fakeLog) AppendAs(b record.Batch, epoch commitlog.LeaderEpoch) (commitlog.AppendInfo, error) {
	l.mu.Lock()
	if epoch != l.epoch {
		l.mu.Unlock()
		return commitlog.AppendInfo{}, partition.ErrFencedLeaderEpoch
	}
	if err := errors.Join(l.refuse, l.broken); err != nil {
		l.mu.Unlock()
		return commitlog.AppendInfo{}, err
	}
	l.appends++
	b.SetBaseOffset(l.end)
	l.batches = append(l.batches, slices.Clone(b))
	info := commitlog.AppendInfo{First: l.end, Last: b.LastOffset()}
	l.end = info.Last + 1
	l.mu.Unlock()
	l.commit()
	return info, nil
}

// commit moves the high watermark, unless it is held.
func (l *fakeLog) commit() {
	l.mu.Lock()
	if l.held {
		l.mu.Unlock()
		return
	}
	l.hw = l.end
	waits := l.waits
	l.waits = nil
	l.mu.Unlock()
	for _, w := range waits {
		w.Done(nil)
	}
}

// hold stops or frees the high watermark.
func (l *fakeLog) hold(on bool) {
	l.mu.Lock()
	l.held = on
	l.mu.Unlock()
	l.commit()
}

// fail answers all waits with err and cuts off what is not committed, as a new leader elsewhere would.
func (l *fakeLog) fail(err error) {
	l.mu.Lock()
	waits := l.waits
	l.waits = nil
	for len(l.batches) > 0 && l.batches[len(l.batches)-1].LastOffset() >= l.hw {
		l.batches = l.batches[:len(l.batches)-1]
	}
	l.end = l.hw
	l.mu.Unlock()
	for _, w := range waits {
		w.Done(err)
	}
}

func (l *fakeLog) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *fakeLog) CheckAppend(epoch commitlog.LeaderEpoch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch != l.epoch {
		return partition.ErrFencedLeaderEpoch
	}
	return l.refuse
}

func (l *fakeLog) Read(r partition.ReadRequest) (partition.ReadResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unread != nil {
		return partition.ReadResult{}, l.unread
	}
	for _, b := range l.batches {
		if b.LastOffset() >= r.Offset {
			return partition.ReadResult{Slice: commitlog.Slice{Span: vfs.MemSpan(b), Bytes: int64(len(b))}}, nil
		}
	}
	return partition.ReadResult{}, nil
}

func (l *fakeLog) Await(w *partition.Wait) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.End <= l.hw {
		return true, nil
	}
	l.waits = append(l.waits, w)
	return false, nil
}

func (l *fakeLog) Cancel(w *partition.Wait) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waits, w)
	if i >= 0 {
		l.waits = slices.Delete(l.waits, i, i+1)
	}
	return i >= 0
}

func (l *fakeLog) Offsets() (int64, int64, int64, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 0, l.hw, l.hw, l.end
}

func (l *fakeLog) HighWatermark() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hw
}

// registers is a machine of named values. It can park a call until a time has come.
type registers struct {
	values map[string]string
	parked []*Call
	due    time.Time
	loaded bool
}

// The requests of registers.
type (
	put  struct{ key, value string } // answers the value that was there before
	get  struct{ key string }
	park struct{ until time.Duration } // answers "woken"
	note struct{ value string }        // is told, not answered: appends to the value of "noted"
	bomb struct{}
)

func (get) ReadsOnly() {}

// alive answers "alive", which nobody can take back.
type alive struct{}
type living string

func (living) MayHurry() bool { return true }

func (r *registers) Replay(rec Record) error {
	if r.loaded {
		return errors.New("replayed after the load")
	}
	if rec.Value == nil {
		delete(r.values, string(rec.Key))
	} else {
		r.values[string(rec.Key)] = string(rec.Value)
	}
	return nil
}

func (r *registers) Loaded(time.Time, *Out) { r.loaded = true }

func (r *registers) Step(now time.Time, call *Call, out *Out) {
	switch req := call.Request.(type) {
	case put:
		before := r.values[req.key]
		r.write(req.key, req.value, out)
		out.Answer(call, before)
	case get:
		out.Answer(call, r.values[req.key])
	case alive:
		out.Answer(call, living("alive"))
	case park:
		r.parked, r.due = append(r.parked, call), now.Add(req.until)
	case note:
		r.write("noted", r.values["noted"]+req.value, out)
	case bomb:
		panic("boom")
	}
}

func (r *registers) write(key, value string, out *Out) {
	r.values[key] = value
	out.Append([]byte(key), []byte(value))
}

func (r *registers) Tick(_ time.Time, out *Out) {
	for _, c := range r.parked {
		out.Answer(c, "woken")
	}
	r.parked, r.due = nil, time.Time{}
}

func (r *registers) Due() time.Time { return r.due }

// rig is a coordinator with one partition in a bubble of its own time.
type rig struct {
	*testing.T
	*Coordinator
	log    *fakeLog
	fatals []error
}

func bubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, log: &fakeLog{}}
		r.Coordinator = New(Options{Clock: clock.Real, Log: slog.New(slog.DiscardHandler), LoadBytes: 1 << 20, CommitTimeout: 5 * time.Second,
			Machine: func(int32) Machine { return &registers{values: map[string]string{}} },
			Loaded:  func() any { return note{"L"} }, Fatal: func(err error) { r.fatals = append(r.fatals, err) }})
		r.Resize(1)
		r.Lead(0, 0, r.log)
		synctest.Wait()
		f(r)
		r.Close()
	})
}

// ask begins a call and returns its answer, empty until there is one.
func (r *rig) ask(request any) *answer {
	a := &answer{}
	r.Do("k", request, func(response any, err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.count++
		a.response, a.err = response, err
	})
	synctest.Wait()
	return a
}

type answer struct {
	mu       sync.Mutex
	count    int
	response any
	err      error
}

// want checks an answer: a text, an error, or nil for none yet.
func (r *rig) want(a *answer, want any) {
	r.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch want := want.(type) {
	case nil:
		if a.count != 0 {
			r.Errorf("answered %v, %v; want no answer yet", a.response, a.err)
		}
	case error:
		if a.count != 1 || !errors.Is(a.err, want) {
			r.Errorf("answered %d times: %v, %v; want error %v", a.count, a.response, a.err, want)
		}
	default:
		if a.count != 1 || a.err != nil || a.response != want {
			r.Errorf("answered %d times: %v, %v; want %v", a.count, a.response, a.err, want)
		}
	}
}

// content is what the log holds, oldest first.
func (l *fakeLog) content(t *testing.T) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, b := range l.batches {
		for rec, err := range b.Records(1 << 20) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%s=%s", rec.Key, rec.Value))
		}
	}
	return strings.Join(all, " ")
}
