package quota

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/metadata"
)

const ms = time.Millisecond

// rig is Clients on a clock that stands still, with the metadata that they follow.
type rig struct {
	t     testing.TB
	clock *clock.Manual
	*Clients
	image *metadata.Image
	index uint64
}

func newRig(t testing.TB) *rig {
	c := clock.NewManual(time.Unix(1000, 0))
	w := Windows{Samples: 11, Size: time.Second}
	return &rig{t: t, clock: c, Clients: NewClients(Options{Clock: c, Windows: w, Mutations: w}), image: metadata.Empty}
}

// entity reads "user/client": "*" is the default, "-" is no such part.
func entity(text string) (e metadata.QuotaEntity) {
	part := func(s string) metadata.QuotaName {
		switch s {
		case "-":
			return metadata.QuotaName{}
		case "*":
			return metadata.QuotaDefault
		}
		return metadata.QuotaOf(s)
	}
	user, id, _ := strings.Cut(text, "/")
	e.User, e.ClientID = part(user), part(id)
	return e
}

// set sets a quota, or removes it where the value is 0.
func (r *rig) set(e metadata.QuotaEntity, k Kind, v float64) {
	r.t.Helper()
	record := &metadata.QuotaRecord{Entity: e, Name: names[k]}
	if v != 0 {
		record.Value = &v
	}
	r.index++
	after, delta, err := metadata.Apply(r.image, r.index, []metadata.Record{record})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Follow(r.image, after, delta)
	r.image = after
}

func (r *rig) want(what string, got, want time.Duration) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: throttled for %v, want %v", what, got, want)
	}
}

// A sequence of bytes and times, and the throttle times that follow from Kafka's formulas by hand: (rate - quota) / quota * window, where
// the window is what has passed since the oldest sample began, and ten seconds at least.
func TestThrottleTimes(t *testing.T) {
	r := newRig(t)
	r.set(entity("-/app"), Produce, 500)
	app := r.Client("ANONYMOUS", "app", nil)
	for i := range 10 { // below the quota
		r.want(fmt.Sprintf("second %d", i), app.Take(Produce, 400), 0)
		r.clock.Advance(time.Second)
	}
	r.clock.Advance(500 * ms)
	// 400*10 + 2300 = 6300 in 10.5 s are 600 a second: (600-500)/500 * 10.5 s.
	r.want("spike", app.Take(Produce, 2300), 2100*ms)
	r.clock.Advance(2100 * ms)
	// 12.6 s after the first sample began; the two oldest have ended: 400*8 + 2300 + 1 bytes over 10.6 s are 518.96 a second.
	r.want("one byte after the throttle time", app.Take(Produce, 1), 402*ms)
	r.clock.Advance(11 * time.Second)
	// All are over, so nothing of them counts: 5001 bytes over ten seconds, then one byte more.
	r.want("anew", app.Take(Produce, 5001), 2*ms)
	app.GiveBack(Produce, 5001)
	r.want("given back", app.Take(Produce, 5000), 0)
	r.want("one more", app.Take(Produce, 1), 2*ms)
}

func TestLargeThrottleTimes(t *testing.T) {
	r := newRig(t)
	r.set(entity("-/app"), Fetch, 10)
	app := r.Client("ANONYMOUS", "app", nil)
	// 1000 bytes in ten seconds are 100 a second: (100-10)/10 * 10 s. Bytes may be throttled for longer than a window.
	r.want("fetch", app.Take(Fetch, 1000), 90*time.Second)
	r.want("too long for the protocol", app.Take(Fetch, 1<<40), math.MaxInt32*ms)
	if got := app.Most(Fetch); got != 100 {
		t.Errorf("may fetch %d at once, want 100", got)
	}
	if got := app.Most(Produce); got != math.MaxInt64 {
		t.Errorf("may produce %d at once, want anything", got)
	}
}

func TestRequestTimes(t *testing.T) {
	r := newRig(t)
	r.set(entity("-/app"), Request, 1) // percent: 10 ms a second
	app := r.Client("ANONYMOUS", "app", nil)
	for range 10 {
		r.want("below", app.Take(Request, int64(4*ms)), 0)
		r.clock.Advance(time.Second)
	}
	r.clock.Advance(500 * ms)
	// 4*10 + 67.1 ms in 10.5 s are 10.2 ms a second, 1.02 percent: (1.02-1)/1 * 10.5 s.
	r.want("spike", app.Take(Request, int64(67100*time.Microsecond)), 210*ms)
	r.want("no longer than a window", app.Take(Request, int64(time.Minute)), time.Second)
}

func TestMutations(t *testing.T) {
	r := newRig(t)
	r.set(entity("-/app"), Mutation, 2) // 22 tokens at most
	app := r.Client("ANONYMOUS", "app", nil)
	strict := app.Mutations(true)
	record := func(m *Mutations, n int, want bool) {
		t.Helper()
		if got := m.Record(n); got != want {
			t.Errorf("%d partitions: allowed %v, want %v", n, got, want)
		}
	}
	record(strict, 20, true)
	record(strict, 10, true) // 2 are left, so it goes through as a whole
	r.want("strict, before the quota is used up", strict.Throttle(), 0)
	record(strict, 1, false)
	r.want("8 are owed, 2 come a second", strict.Throttle(), 4*time.Second)
	r.clock.Advance(1500 * ms)
	r.want("while the request waits", strict.Throttle(), 2500*ms)

	old := app.Mutations(false)
	record(old, 1, true)
	r.want("permissive: 5 + 1 are owed", old.Throttle(), 3*time.Second)
	r.clock.Advance(time.Minute)
	record(old, 22, true)
	r.want("filled up again", old.Throttle(), 0)
	record(old, 1, true)
	r.want("and empty", old.Throttle(), 500*ms)

	var none *Client
	record(none.Mutations(true), 1<<30, true)
	r.want("without a quota", none.Mutations(true).Throttle(), 0)
}

// The order in which quotas count, each more specific than the next: taking away the one that counts gives way to the next.
func TestPrecedence(t *testing.T) {
	r := newRig(t)
	order := []string{"ann/app", "ann/*", "ann/-", "*/app", "*/*", "*/-", "-/app", "-/*"}
	for i, e := range order {
		r.set(entity(e), Produce, float64(100+i))
	}
	limit := func(user, id string) float64 {
		c := r.Client(user, id, nil)
		if !c.Limits(Produce) {
			return 0
		}
		return c.limits[Produce].limit
	}
	for _, c := range []struct {
		user, id string
		want     float64
	}{
		{"ann", "app", 100}, {"ann", "other", 101}, {"ann", "", 102},
		{"bob", "app", 103}, {"bob", "other", 104}, {"bob", "", 105},
	} {
		if got := limit(c.user, c.id); got != c.want {
			t.Errorf("%s/%s: %v, want %v", c.user, c.id, got, c.want)
		}
	}
	for i, e := range order {
		if got := limit("ann", "app"); got != float64(100+i) {
			t.Errorf("with %v: %v, want %v", order[i:], got, 100+i)
		}
		r.set(entity(e), Produce, 0)
	}
	if r.Any() {
		t.Error("there are quotas, want none")
	}
	if r.Client("ann", "app", nil) != nil {
		t.Error("a client counts without any quota")
	}
	r.set(entity("-/*"), Produce, 1)
	if got := limit("ann", ""); got != 0 {
		t.Errorf("the default of client ids counts for a client without one: %v", got)
	}
}

// Who shares a quota is measured together, and others are not.
func TestSharing(t *testing.T) {
	r := newRig(t)
	r.set(entity("ann/-"), Produce, 100)
	r.set(entity("-/*"), Produce, 100)
	take := func(user, id string, n int64) time.Duration { return r.Client(user, id, nil).Take(Produce, n) }
	r.want("ann, 1", take("ann", "1", 1000), 0)
	r.want("ann, 2", take("ann", "2", 100), time.Second)
	r.want("bob, 1", take("bob", "1", 1000), 0)
	r.want("bob, 2", take("bob", "2", 1000), 0)
	r.want("eve as 2", take("eve", "2", 100), time.Second)
}

// A change counts from the next request on, also for a client that is measured already, which keeps what it has taken.
func TestQuotasChange(t *testing.T) {
	r := newRig(t)
	r.set(entity("-/app"), Produce, 100)
	app := r.Client("ANONYMOUS", "app", nil)
	r.want("at first", app.Take(Produce, 2000), 10*time.Second)
	if r.Client("ANONYMOUS", "app", app) != app {
		t.Error("a client changes while its quotas do not")
	}
	r.set(entity("-/app"), Produce, 1000)
	again := r.Client("ANONYMOUS", "app", app)
	if again == app {
		t.Fatal("a client does not change with its quotas")
	}
	r.want("raised", again.Take(Produce, 0), 0)
	r.want("one that was overtaken", app.Take(Produce, 0), 0)
	r.set(entity("-/app"), Produce, 100)
	app = r.Client("ANONYMOUS", "app", again)
	r.want("lowered", app.Take(Produce, 0), 10*time.Second)
	r.set(entity("-/app"), Fetch, 100)
	r.set(entity("-/app"), Produce, 0)
	app = r.Client("ANONYMOUS", "app", app)
	r.want("removed", app.Take(Produce, 1<<40), 0)
	if !app.Limits(Fetch) {
		t.Error("the other quota of the client is gone")
	}
}

// Measures that are idle are forgotten, one that is held finds its way back, and however many ids there are, memory is bounded.
func TestMeasuresAreBounded(t *testing.T) {
	r := newRig(t)
	const most = 1 << 12
	r.kept.max = most
	r.set(entity("-/*"), Produce, 100)
	busy := r.Client("ANONYMOUS", "busy", nil)
	busy.Take(Produce, 900)
	for i := range most + 1000 {
		r.Client("ANONYMOUS", fmt.Sprint("id", i), nil).Take(Produce, 1)
		if i%100 == 0 {
			r.clock.Advance(ms)
			busy.Take(Produce, 1)
		}
	}
	if n := r.Measures(); n > most {
		t.Errorf("%d measures are kept, want %d at most", n, most)
	}
	if busy.Take(Produce, 1000) == 0 {
		t.Error("a client that goes on was forgotten")
	}
	held := r.Client("ANONYMOUS", "held", nil)
	held.Take(Produce, 900)
	r.clock.Advance(12 * time.Second)
	for i := range most { // each new one makes room
		r.Client("ANONYMOUS", fmt.Sprint("later", i), nil).Take(Produce, 1)
	}
	r.clock.Advance(12 * time.Second)
	for i := range 2 * most / sampled {
		r.Client("ANONYMOUS", fmt.Sprint("last", i), nil).Take(Produce, 1)
	}
	if n := r.Measures(); n > 3*most/sampled {
		t.Errorf("%d measures are kept, most of which are idle", n)
	}
	held.Take(Produce, 1000)
	r.want("held and found again", r.Client("ANONYMOUS", "held", nil).Take(Produce, 100), time.Second)

	long := strings.Repeat("x", 30000)
	r.Client("ANONYMOUS", long, nil).Take(Produce, 1000)
	r.want("a long id", r.Client("ANONYMOUS", long, nil).Take(Produce, 100), time.Second)
	r.want("another", r.Client("ANONYMOUS", long+"x", nil).Take(Produce, 100), 0)
	for o := range r.kept.kept {
		if len(o.client.text) > nameMax {
			t.Fatalf("an id of %d bytes is kept", len(o.client.text))
		}
	}
}

// What a bucket owes is not forgotten while it does.
func TestDebtIsKept(t *testing.T) {
	r := newRig(t)
	r.set(entity("-/*"), Mutation, 1)
	r.Client("ANONYMOUS", "deep", nil).Mutations(true).Record(1000)
	r.clock.Advance(5 * time.Minute)
	for i := range 1000 {
		r.Client("ANONYMOUS", fmt.Sprint(i), nil).Mutations(true).Record(1)
	}
	m := r.Client("ANONYMOUS", "deep", nil).Mutations(true)
	if m.Record(1) {
		t.Error("a debt was forgotten")
	}
	r.want("deep", m.Throttle(), (1000-11-300)*time.Second)
}

// A full table of clients that all owe something lets one more in.
func TestFullOfDebts(t *testing.T) {
	r := newRig(t)
	const most = 1 << 10
	r.kept.max = most
	r.set(entity("-/*"), Mutation, 0.001)
	for i := range most + 1000 {
		m := r.Client("ANONYMOUS", fmt.Sprint(i), nil).Mutations(false)
		m.Record(1)
		r.want(fmt.Sprint(i), m.Throttle(), 989*time.Second) // 0.011 of 1 are there
	}
	if n := r.Measures(); n != most {
		t.Errorf("%d measures are kept, want %d", n, most)
	}
}

// Quotas as small and as large as they may be.
func TestQuotasAtTheEdge(t *testing.T) {
	r := newRig(t)
	const longest = math.MaxInt32 * ms
	for _, limit := range []float64{math.SmallestNonzeroFloat64, 1e-9, 0.001, math.MaxInt64, 1e308, math.MaxFloat64} {
		r.set(entity("-/app"), Fetch, limit)
		r.set(entity("-/app"), Request, limit)
		r.set(entity("-/app"), Mutation, limit)
		app := r.Client("ANONYMOUS", "app", nil)
		large := limit > 1
		most, bytes, request, changes := int64(0), longest, time.Second, longest
		if large {
			most, bytes, request, changes = math.MaxInt64, 0, 0, 0
		}
		if got := app.Most(Fetch); got != most {
			t.Errorf("at %g, %d may be fetched at once, want %d", limit, got, most)
		}
		r.want(fmt.Sprintf("bytes at %g", limit), app.Take(Fetch, 1<<40), bytes)
		r.want(fmt.Sprintf("time at %g", limit), app.Take(Request, int64(time.Hour)), request)
		m := app.Mutations(false)
		m.Record(math.MaxInt32)
		r.want(fmt.Sprintf("changes at %g", limit), m.Throttle(), changes)
		r.clock.Advance(time.Hour)
		r.want(fmt.Sprintf("nothing at %g", limit), app.Take(Fetch, 0), 0)
	}
}

// Windows of settings beyond reason.
func TestWindowsAtTheEdge(t *testing.T) {
	r := newRig(t)
	r.Windows = Windows{Samples: math.MaxInt32, Size: math.MaxInt32 * time.Second}
	r.Mutations = r.Windows
	r.set(entity("-/app"), Produce, 1)
	r.set(entity("-/app"), Mutation, 1)
	app := r.Client("ANONYMOUS", "app", nil)
	for range 3 {
		r.want("bytes", app.Take(Produce, 1<<40), 0)
		m := app.Mutations(false)
		m.Record(math.MaxInt32)
		r.want("changes", m.Throttle(), 0)
		r.clock.Advance(100 * 24 * time.Hour)
	}
}

// Quotas change while clients take, and the last change counts.
func TestQuotasChangeMeanwhile(t *testing.T) {
	r := newRig(t)
	at := NewConnections(r.Options)
	r.set(entity("-/*"), Fetch, 1)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i := range 8 {
		wg.Go(func() {
			var known *Client
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				known = r.Client("ANONYMOUS", fmt.Sprint(i%2), known)
				known.Take(Produce, 10)
				known.Take(Fetch, 10)
				known.GiveBack(Fetch, 10)
				known.Most(Fetch)
				m := known.Mutations(n%2 == 0)
				m.Record(1)
				m.Throttle()
				at.Accept("A", false)
				at.From("A", false, "10.0.0.1")
			}
		})
	}
	for i := range 500 {
		r.set(entity("-/*"), Kind(i%int(kinds)), float64(i+1))
		r.set(entity("-/*"), Kind(i%int(kinds)), 0)
		r.set(entity("-/0"), Produce, float64(i+1))
		v := float64(i + 1)
		after, delta, err := metadata.Apply(r.image, r.index+1, []metadata.Record{&metadata.QuotaRecord{
			Entity: metadata.QuotaEntity{IP: metadata.QuotaDefault}, Name: metadata.QuotaConnectionCreationRate, Value: &v}})
		if err != nil {
			t.Fatal(err)
		}
		at.Follow(r.image, after, delta)
		r.clock.Advance(ms)
	}
	close(done)
	wg.Wait()
	r.clock.Advance(time.Minute)
	app := r.Client("ANONYMOUS", "0", nil)
	r.want("what the last quota gives", app.Take(Produce, 5000), 0)
	r.want("and as much again", app.Take(Produce, 5000), 10*time.Second)
	if app.Limits(Fetch) {
		t.Error("a quota that was removed counts")
	}
}

func BenchmarkNoQuota(b *testing.B) {
	r := newRig(b)
	var known *Client
	b.ReportAllocs()
	for b.Loop() {
		if r.Any() {
			known = r.Client("ANONYMOUS", "app", known)
		}
		known.Take(Produce, 1)
	}
}

func BenchmarkOthersHaveQuotas(b *testing.B) {
	r := newRig(b)
	r.set(entity("-/other"), Produce, 1)
	var known *Client
	b.ReportAllocs()
	for b.Loop() {
		if r.Any() {
			known = r.Client("ANONYMOUS", "app", known)
		}
		known.Take(Produce, 1)
	}
}

func BenchmarkQuota(b *testing.B) {
	r := newRig(b)
	r.Clock = clock.Real
	r.set(entity("-/app"), Produce, 1e12)
	var known *Client
	b.ReportAllocs()
	for b.Loop() {
		if r.Any() {
			known = r.Client("ANONYMOUS", "app", known)
		}
		known.Take(Produce, 1)
	}
}
