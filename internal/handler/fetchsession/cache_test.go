package fetchsession

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
)

// fakeClock stands still until it is told otherwise.
type fakeClock struct {
	clock.Clock
	now time.Time
}

func (c *fakeClock) Now() time.Time { return c.now }

func newCache(slots int) (*Cache, *fakeClock) {
	c := &fakeClock{Clock: clock.Real, now: time.Unix(1000, 0)}
	return New(c, random.Seeded(1), slots), c
}

func parts(topic string, offsets ...int64) (ps []Part) {
	for i, o := range offsets {
		ps = append(ps, Part{Key: Key{Topic: topic, Partition: int32(i)}, Position: Position{Offset: o, MaxBytes: 100, LeaderEpoch: -1, LastFetchedEpoch: -1}})
	}
	return ps
}

// round runs one request whose partitions all have the given high watermark, and returns which ones the response names.
func round(t *testing.T, c *Cache, r Request, hw int64, records ...int32) (id int32, told []int32, code protocol.ErrorCode) {
	t.Helper()
	f, ps, code := c.Begin(r, nil)
	if code != protocol.None {
		return 0, nil, code
	}
	results := make([]Result, len(ps))
	for i, p := range ps {
		results[i] = Result{Part: p, HighWatermark: hw, HasRecords: slices.Contains(records, p.Key.Partition)}
	}
	tell := make([]bool, len(ps))
	id, code = f.End(results, tell)
	for i, p := range ps {
		if tell[i] {
			told = append(told, p.Key.Partition)
		}
	}
	return id, told, code
}

func TestIncrementalResponsesNameWhatChanged(t *testing.T) {
	c, _ := newCache(10)
	id, told, _ := round(t, c, Request{Epoch: FirstEpoch, Parts: parts("a", 0, 0, 0)}, 5)
	if id == NoSession || len(told) != 3 {
		t.Fatalf("full fetch: session %d, told %v", id, told)
	}
	for _, step := range []struct {
		name    string
		r       Request
		hw      int64
		records []int32
		want    []int32
	}{
		{"nothing changed", Request{SessionID: id, Epoch: 1}, 5, nil, nil},
		{"records", Request{SessionID: id, Epoch: 2}, 5, []int32{0}, []int32{0}},
		{"the one with records went to the end", Request{SessionID: id, Epoch: 3}, 6, nil, []int32{1, 2, 0}},
		{"forgotten", Request{SessionID: id, Epoch: 4, Forget: []Key{{Topic: "a", Partition: 2}}}, 7, nil, []int32{1, 0}},
		{"a new one", Request{SessionID: id, Epoch: 5, Parts: parts("b", 0)}, 7, nil, []int32{0}},
	} {
		if _, got, code := round(t, c, step.r, step.hw, step.records...); code != protocol.None || !slices.Equal(got, step.want) {
			t.Errorf("%s: told %v (%s), want %v", step.name, got, code, step.want)
		}
	}
}

func TestErrorIsToldAndSoIsItsEnd(t *testing.T) {
	c, _ := newCache(10)
	id, _, _ := round(t, c, Request{Epoch: FirstEpoch, Parts: parts("a", 0)}, 5)
	tell := make([]bool, 1)
	f, ps, _ := c.Begin(Request{SessionID: id, Epoch: 1}, nil)
	f.End([]Result{{Part: ps[0], HighWatermark: -1, LogStart: -1, MustTell: true, Failed: true}}, tell)
	if !tell[0] {
		t.Error("an error was not told")
	}
	f, ps, _ = c.Begin(Request{SessionID: id, Epoch: 2}, nil)
	f.End([]Result{{Part: ps[0], HighWatermark: 5}}, tell)
	if !tell[0] {
		t.Error("the end of an error was not told")
	}
}

func TestSessionErrors(t *testing.T) {
	c, _ := newCache(10)
	id, _, _ := round(t, c, Request{Epoch: FirstEpoch, Parts: parts("a", 0)}, 5)
	for _, bad := range []struct {
		r    Request
		want protocol.ErrorCode
	}{
		{Request{SessionID: id, Epoch: 2}, protocol.InvalidFetchSessionEpoch},
		{Request{SessionID: id + 1, Epoch: 1}, protocol.FetchSessionIDNotFound},
		{Request{SessionID: id, Epoch: 1, ByID: true}, protocol.FetchSessionTopicIDError},
	} {
		if _, _, code := round(t, c, bad.r, 5); code != bad.want {
			t.Errorf("%+v: %s, want %s", bad.r, code, bad.want)
		}
	}
	if got, _, _ := round(t, c, Request{SessionID: id, Epoch: FinalEpoch, Parts: parts("a", 0)}, 5); got != NoSession || c.Len() != 0 {
		t.Errorf("the final epoch left session %d and %d in the cache", got, c.Len())
	}
	if _, _, code := round(t, c, Request{SessionID: id, Epoch: 1}, 5); code != protocol.FetchSessionIDNotFound {
		t.Errorf("a closed session answered %s", code)
	}
}

func TestOvertakenFetchIsRefused(t *testing.T) {
	c, _ := newCache(10)
	id, _, _ := round(t, c, Request{Epoch: FirstEpoch, Parts: parts("a", 0)}, 5)
	slow, ps, _ := c.Begin(Request{SessionID: id, Epoch: 1}, nil)
	if _, _, code := round(t, c, Request{SessionID: id, Epoch: 2}, 5); code != protocol.None {
		t.Fatal(code)
	}
	if _, code := slow.End([]Result{{Part: ps[0]}}, make([]bool, 1)); code != protocol.InvalidFetchSessionEpoch {
		t.Errorf("an overtaken fetch was answered %s", code)
	}
}

// A round that is held back tells nothing and keeps nothing from being told by the next.
func TestSkippedRound(t *testing.T) {
	c, _ := newCache(10)
	full, ps, _ := c.Begin(Request{Epoch: FirstEpoch, Parts: parts("a", 0, 0)}, nil)
	tell := make([]bool, len(ps))
	full.Look(make([]Result, len(ps)), tell)
	if id, code := full.Skip(); id != NoSession || code != protocol.None || slices.Contains(tell, false) {
		t.Errorf("a full fetch that is held back: session %d, %s, would tell %v", id, code, tell)
	}
	id, _, _ := round(t, c, Request{Epoch: FirstEpoch, Parts: parts("a", 0, 0)}, 5)
	held, ps, _ := c.Begin(Request{SessionID: id, Epoch: 1}, nil)
	results := []Result{{Part: ps[0], HighWatermark: 5}, {Part: ps[1], HighWatermark: 6}}
	held.Look(results, tell)
	if got, code := held.Skip(); got != id || code != protocol.None || !slices.Equal(tell, []bool{false, true}) {
		t.Errorf("held back: session %d, want %d, %s, would tell %v", got, id, code, tell)
	}
	next, _, _ := c.Begin(Request{SessionID: id, Epoch: 2}, nil)
	if _, code := held.Skip(); code != protocol.InvalidFetchSessionEpoch {
		t.Errorf("an overtaken fetch that is held back was answered %s", code)
	}
	if _, code := next.End(results, tell); code != protocol.None || !slices.Equal(tell, []bool{false, true}) {
		t.Errorf("the next: %s, told %v", code, tell)
	}
}

func TestForgettingEverythingClosesTheSession(t *testing.T) {
	c, _ := newCache(10)
	id, _, _ := round(t, c, Request{Epoch: FirstEpoch, Parts: parts("a", 0)}, 5)
	got, _, code := round(t, c, Request{SessionID: id, Epoch: 1, Forget: []Key{{Topic: "a"}}}, 5)
	if got != NoSession || code != protocol.None || c.Len() != 0 {
		t.Errorf("session %d (%s), %d in the cache", got, code, c.Len())
	}
}

func TestRoomForSessions(t *testing.T) {
	c, now := newCache(2)
	open := func(n int) int32 {
		id, _, _ := round(t, c, Request{Epoch: FirstEpoch, Parts: parts(fmt.Sprint("t", n), make([]int64, n)...)}, 5)
		return id
	}
	one, two := open(1), open(2)
	if one == NoSession || two == NoSession || open(3) != NoSession {
		t.Fatal("two slots must take two sessions, and no third while both are fresh")
	}
	now.now = now.now.Add(evictAfter + time.Second)
	round(t, c, Request{SessionID: one, Epoch: 1}, 5)
	round(t, c, Request{SessionID: two, Epoch: 1}, 5)
	if open(1) != NoSession {
		t.Error("a session took the place of one of its own size that is in use")
	}
	if open(2) == NoSession {
		t.Error("a larger session found no room beside a smaller one that had its time")
	}
	if _, _, code := round(t, c, Request{SessionID: one, Epoch: 2}, 5); code != protocol.FetchSessionIDNotFound {
		t.Errorf("the smaller session is still there (%s)", code)
	}
	now.now = now.now.Add(evictAfter + time.Second)
	if open(1) == NoSession {
		t.Error("an idle session did not make room")
	}
	if none, _ := newCache(0); none.Len() != 0 {
		t.Error("no slots, yet a session")
	} else if id, _, _ := round(t, none, Request{Epoch: FirstEpoch, Parts: parts("a", 0)}, 5); id != NoSession {
		t.Error("a cache without slots opened a session")
	}
}

func TestEpochWraps(t *testing.T) {
	for epoch, want := range map[int32]int32{0: 1, 1: 2, 0x7fffffff: 1, -1: -1} {
		if got := nextEpoch(epoch); got != want {
			t.Errorf("after epoch %d comes %d, want %d", epoch, got, want)
		}
	}
}

// TestPartitionsOfSessionsAreBounded: however many sessions there may be, their partitions together are so many; what is beyond is served
// without a session, and there is room again when sessions close.
func TestPartitionsOfSessionsAreBounded(t *testing.T) {
	c, _ := newCache(1000)
	many := parts("orders", make([]int64, maxParts/4)...)
	var ids []int32
	for range 5 {
		id, _, _ := round(t, c, Request{Parts: many}, 5)
		ids = append(ids, id)
	}
	if n := c.Len(); n != 4 || ids[4] != NoSession {
		t.Fatalf("%d sessions of a quarter each, the last has id %d", n, ids[4])
	}
	if id, _, code := round(t, c, Request{SessionID: ids[3], Epoch: 1, Parts: many[:2]}, 5); code != protocol.None || id != ids[3] {
		t.Errorf("a session whose offsets move is answered %v", code)
	}
	more := parts("others", 0)
	if _, _, code := round(t, c, Request{SessionID: ids[0], Epoch: 1, Parts: more}, 5); code != protocol.FetchSessionIDNotFound || c.Len() != 3 {
		t.Errorf("a session that grows beyond the bound is answered %v, and there are %d", code, c.Len())
	}
	if n := c.Partitions(ids[1]); n != len(many) || c.Partitions(ids[0]) != 0 || c.Partitions(NoSession) != 0 {
		t.Errorf("a session has %d partitions", n)
	}
	round(t, c, Request{SessionID: ids[1], Epoch: FinalEpoch, Parts: more}, 5)
	round(t, c, Request{SessionID: ids[2], Epoch: 1, Forget: []Key{many[0].Key}}, 5)
	if c.mu.parts != 2*len(many)-1 {
		t.Errorf("%d partitions are counted, want %d", c.mu.parts, 2*len(many)-1)
	}
}
