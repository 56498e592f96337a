package cluster

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/metadata"
)

var (
	seed  = flag.Uint64("seed", 1, "first seed of the simulation")
	seeds = flag.Int("seeds", 300, "how many seeds")
)

// world is a few brokers, their metadata, and a detector that decides on them; all by one seeded queue of events.
type world struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	now     time.Time
	d       detector
	brokers []*metadata.Broker
	real    []*process
	events  []event
	conns   uint64
	led     time.Time // since when the detector is active
	hash    uint64
	count   counts
}

// counts are what happened.
type counts struct{ dials, fences, refusals, unfences, deaths, freezes, cuts, leaders int }

func (c *counts) add(o counts) {
	c.dials, c.fences, c.refusals, c.unfences = c.dials+o.dials, c.fences+o.fences, c.refusals+o.refusals, c.unfences+o.unfences
	c.deaths, c.freezes, c.cuts, c.leaders = c.deaths+o.deaths, c.freezes+o.freezes, c.cuts+o.cuts, c.leaders+o.leaders
}

// process is a broker as it really is.
type process struct {
	alive, frozen, cut bool          // cut: nothing comes through, and nobody is refused
	refusing           time.Time     // until then it refuses connections although it is there
	refused, heard     time.Time     // when it last refused one, and when the controller last heard it
	ready              int64         // epoch under which the controller heard that it is ready
	conn               uint64        // by which it sends heartbeats
	closing            time.Duration // after its death until it refuses connections
	since              time.Time     // of the last change of the above
	beaten             time.Time
}

type event struct {
	at time.Time
	do func()
}

const session = 2 * time.Second

func (w *world) after(d time.Duration, do func()) {
	e := event{w.now.Add(d), do}
	i, _ := slices.BinarySearchFunc(w.events, e, func(a, b event) int { return a.at.Compare(b.at) })
	for i < len(w.events) && w.events[i].at.Equal(e.at) {
		i++
	}
	w.events = slices.Insert(w.events, i, e)
}

func (w *world) some(most time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(most)))
}

// copied is the metadata as an image has them.
func (w *world) copied() (all []*metadata.Broker) {
	for _, b := range w.brokers {
		c := *b
		all = append(all, &c)
	}
	return all
}

func (w *world) perform(all []action) {
	for _, a := range all {
		if a.kind == 0 {
			continue
		}
		w.hash = w.hash*31 + uint64(a.kind)*7 + uint64(a.broker) + uint64(w.now.UnixNano())
		w.judge(a)
		switch a.kind {
		case dial:
			w.count.dials++
			w.after(a.after+w.some(20*time.Millisecond), func() {
				p, how := w.real[a.broker], answered
				switch {
				case p.cut:
					how = silent
				case !p.alive && w.now.Sub(p.since) > p.closing || w.now.Before(p.refusing):
					how, p.refused = refused, w.now
				}
				w.after(w.some(20*time.Millisecond), func() { w.perform(w.d.ended(w.now, a.broker, a.dial, how, w.copied())) })
			})
		case fence, unfence:
			w.after(w.some(50*time.Millisecond), func() {
				if b := w.brokers[a.broker]; w.rng.IntN(10) > 0 && b.Epoch == a.epoch { // a change may be lost with the leadership
					b.Fenced = a.kind == fence
					switch {
					case !b.Fenced:
						w.count.unfences++
					case strings.Contains(a.reason, "refused"):
						w.count.refusals++
					default:
						w.count.fences++
					}
				}
				w.perform(w.d.changed(w.now, a.broker, w.copied()))
			})
		}
	}
}

// judge checks a decision against what is true.
func (w *world) judge(a action) {
	p := w.real[a.broker]
	switch quiet := w.now.Sub(p.beaten); {
	case a.kind == fence && strings.Contains(a.reason, "refused") && !p.refused.After(p.heard):
		w.t.Errorf("seed %d: broker %d is fenced because it refused a connection, and it was heard since, or never did", w.seed, a.broker)
	case a.kind == unfence && p.ready != a.epoch:
		w.t.Errorf("seed %d: broker %d is let in under epoch %d, and it was ready under %d", w.seed, a.broker, a.epoch, p.ready)
	case a.kind == fence && w.now.Sub(w.led) < session && p.alive && !p.cut && w.now.Sub(p.since) > 100*time.Millisecond:
		w.t.Errorf("seed %d: broker %d is fenced %s after the controller began, and it is there", w.seed, a.broker, w.now.Sub(w.led))
	case a.kind == fence && p.alive && !p.frozen && !p.cut && w.now.Sub(p.since) > session+time.Second && quiet < session/2:
		w.t.Errorf("seed %d: broker %d is fenced (%s), and it was heard %s ago", w.seed, a.broker, a.reason, quiet)
	case a.kind == unfence && !p.alive && w.now.Sub(p.since) > session+time.Second:
		w.t.Errorf("seed %d: broker %d is let in, and it is dead", w.seed, a.broker)
	}
}

// beat sends heartbeats of a broker, time and again.
func (w *world) beat(id int) {
	w.once(id)
	w.after(400*time.Millisecond+w.some(100*time.Millisecond), func() { w.beat(id) })
}

func (w *world) once(id int) {
	p, b := w.real[id], w.brokers[id]
	if p.alive && !p.frozen && !p.cut {
		if p.conn == 0 {
			w.conns++
			p.conn = w.conns
		}
		p.beaten = w.now
		m, conn := beat{Node: int32(id), Epoch: b.Epoch, Ready: true}, p.conn
		w.after(w.some(5*time.Millisecond), func() {
			if p.heard = w.now; m.Epoch == b.Epoch {
				p.ready = m.Epoch
			}
			w.perform(w.d.beat(w.now, m, conn, w.copied()))
		})
	}
}

// disturb does something to a broker, or to the controller.
func (w *world) disturb() {
	id := w.rng.IntN(len(w.real))
	p := w.real[id]
	drop := func() {
		if conn := p.conn; conn != 0 {
			p.conn = 0
			w.after(5*time.Millisecond+w.some(5*time.Millisecond), func() { w.perform(w.d.lost(w.now, int32(id), conn)) })
		}
	}
	p.since = w.now
	switch w.rng.IntN(7) {
	case 0:
		if p.alive && !p.cut && w.d.active && !w.brokers[id].Fenced {
			w.died(id)
		}
		p.closing = w.some(30 * time.Millisecond)
		if p.alive {
			w.count.deaths++
		}
		if p.alive, p.frozen = false, false; !p.cut {
			drop()
		}
	case 1:
		if !p.alive {
			p.alive, p.conn = true, 0
			w.brokers[id].Epoch++
			w.brokers[id].Fenced = true
		}
		p.frozen, p.cut = false, false
	case 2:
		if p.frozen = p.alive; p.frozen {
			w.count.freezes++
		}
	case 3:
		w.count.cuts++
		p.cut, p.conn = true, 0
	case 4:
		if !p.cut {
			drop() // the connection alone
		}
	case 5: // it refuses for a moment, and comes back by another connection
		if !p.cut {
			p.refusing = w.now.Add(w.some(30 * time.Millisecond))
			drop()
			w.after(w.some(40*time.Millisecond), func() { w.once(id) })
		}
	case 6:
		w.d.stop()
		w.after(w.some(300*time.Millisecond), w.lead)
	}
	w.after(w.some(1500*time.Millisecond), w.disturb)
}

// died sees to it that the death of a broker is noticed at once, if nothing else happens meanwhile.
func (w *world) died(id int) {
	p, since, led, had := w.real[id], w.now, w.led, w.real[id].conn
	w.after(300*time.Millisecond, func() {
		if had != 0 && p.since.Equal(since) && w.led.Equal(led) && w.d.active && !w.brokers[id].Fenced && !w.d.known[int32(id)].changing {
			w.t.Errorf("seed %d: broker %d is dead for 300 ms, and not even to be fenced; known %+v", w.seed, id, w.d.known[int32(id)])
		}
	})
}

func (w *world) lead() {
	if !w.d.active {
		w.led = w.now
		w.count.leaders++
		w.perform(w.d.lead(w.now, w.copied()))
	}
}

func (w *world) look() {
	w.perform(w.d.look(w.now, w.copied()))
	w.after(session/looksPer, w.look)
}

func (w *world) run(until time.Time) {
	for len(w.events) > 0 && !w.events[0].at.After(until) {
		e := w.events[0]
		w.events = w.events[1:]
		w.now = e.at
		e.do()
	}
	w.now = until
}

func simulate(t *testing.T, seed uint64) (trace uint64, count counts) {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1e9, 0)}
	w.d.session = session
	for id := range 4 {
		w.brokers = append(w.brokers, &metadata.Broker{ID: int32(id), Epoch: int64(id) + 1, Fenced: true})
		w.real = append(w.real, &process{alive: true, since: w.now})
		w.beat(id)
	}
	w.lead()
	w.look()
	w.after(time.Second, w.disturb)
	w.run(w.now.Add(30 * time.Second))
	// Afterwards nothing happens any more: whoever lives serves, and whoever does not is fenced.
	w.settle()
	for id, p := range w.real {
		up := p.alive && !p.frozen && !p.cut
		if b := w.brokers[id]; b.Fenced == up {
			t.Errorf("seed %d: after a calm time broker %d has fenced=%v; process %+v, known %+v", seed, id, b.Fenced, *p, w.d.known[int32(id)])
		}
	}
	return w.hash, w.count
}

// settle lets time pass without disturbances.
func (w *world) settle() {
	end := w.now.Add(10 * time.Second)
	w.events = nil
	if !w.d.active {
		w.lead()
	}
	for _, k := range w.d.known { // what was under way is lost with the events
		k.changing, k.dialing, k.again = false, 0, false
	}
	for id := range w.real {
		w.beat(id)
	}
	w.look()
	w.run(end)
}

func TestDetectorSimulation(t *testing.T) {
	var all counts
	traces := map[uint64]bool{}
	for s := *seed; s < *seed+uint64(*seeds); s++ {
		first, count := simulate(t, s)
		if again, _ := simulate(t, s); first != again {
			t.Errorf("seed %d does not replay", s)
		}
		if t.Failed() {
			t.Fatalf("run again with -seed %d -seeds 1", s)
		}
		traces[first] = true
		all.add(count)
	}
	t.Logf("%+v", all)
	n := *seeds
	if len(traces) != n {
		t.Errorf("%d seeds gave %d traces", n, len(traces))
	}
	if n >= 100 && (all.dials < 10*n || all.fences < n || all.refusals < n || all.unfences < 4*n || all.deaths < n || all.freezes < n || all.cuts < n || all.leaders < 2*n) {
		t.Error("too little happened for the test to mean anything")
	}
}

func registered(fenced bool) []*metadata.Broker {
	return []*metadata.Broker{{ID: 1, Epoch: 5, Fenced: fenced}}
}

func kinds(all []action) string {
	s := ""
	for _, a := range all {
		if a.kind != 0 {
			s += fmt.Sprint(a.kind, " ")
		}
	}
	return s
}

func TestDeadAtOnce(t *testing.T) {
	now := time.Unix(1e9, 0)
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		name string
		how  dialed
		beat bool // one comes by another connection while it is dialled
		want string
	}{
		{"refused", refused, false, "2 "},
		{"answered, since its listeners close last", answered, false, "1 "},
		{"no answer", silent, false, ""},
		{"refused, and back already", refused, true, ""},
	} {
		d := &detector{session: session}
		d.lead(now, registered(false))
		d.beat(at(1), beat{Node: 1, Epoch: 5, Ready: true}, 7, registered(false))
		d.ended(at(2), 1, d.known[1].dialing, answered, registered(false))
		if got := kinds(d.lost(at(10), 1, 7)); got != "1 " {
			t.Fatalf("%s: a lost connection is answered by %q", c.name, got)
		}
		if c.beat {
			d.beat(at(11), beat{Node: 1, Epoch: 5, Ready: true}, 8, registered(false))
		}
		if got := kinds(d.ended(at(12), 1, d.known[1].dialing, c.how, registered(false))); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if got := kinds(d.look(at(20), registered(false))); got != "" {
			t.Errorf("%s: %q while a change is under way", c.name, got)
		}
	}
}

func TestNewControllerGivesASession(t *testing.T) {
	now := time.Unix(1e9, 0)
	d := &detector{session: session}
	if got := kinds(d.lead(now, registered(false))); got != "1 " {
		t.Fatalf("a new controller does %q", got)
	}
	d.ended(now.Add(time.Millisecond), 1, d.known[1].dialing, silent, registered(false))
	for ms := 100; ms < 2000; ms += 100 {
		if got := kinds(d.look(now.Add(time.Duration(ms)*time.Millisecond), registered(false))); got != "" {
			t.Errorf("within the session: %q", got)
		}
	}
	if got := kinds(d.look(now.Add(session), registered(false))); got != "2 " {
		t.Errorf("after it: %q", got)
	}
	// A later registration has a session of its own.
	later := []*metadata.Broker{{ID: 1, Epoch: 6}}
	if got := kinds(d.changed(now.Add(session), 1, later)); got != "" {
		t.Errorf("registered anew: %q", got)
	}
}

// TestPausedController: a process that was stopped itself fences nobody for what it did not hear.
func TestPausedController(t *testing.T) {
	now := time.Unix(1e9, 0)
	d := &detector{session: session}
	d.lead(now, registered(false))
	if got := kinds(d.look(now.Add(3*session), registered(false))); got != "" {
		t.Errorf("after a pause: %q", got)
	}
	end := now.Add(4 * session)
	got := ""
	for at := now.Add(3 * session); !at.After(end); at = at.Add(session / looksPer) {
		if got = kinds(d.look(at, registered(false))); got != "" && at.Before(end) {
			t.Errorf("%s after a pause: %q", at.Sub(now.Add(3*session)), got)
		}
	}
	if got != "2 " {
		t.Errorf("a session after a pause: %q", got)
	}
}

func TestFencedServesAgain(t *testing.T) {
	now := time.Unix(1e9, 0)
	d := &detector{session: session}
	d.lead(now, registered(true))
	if got := kinds(d.beat(now, beat{Node: 1, Epoch: 5}, 7, registered(true))); got != "" {
		t.Errorf("one that is not ready: %q", got)
	}
	if got := kinds(d.beat(now, beat{Node: 1, Epoch: 4, Ready: true}, 7, registered(true))); got != "" {
		t.Errorf("one of an earlier registration: %q", got)
	}
	if got := kinds(d.beat(now, beat{Node: 1, Epoch: 5, Ready: true}, 7, registered(true))); got != "3 " {
		t.Errorf("one that is ready: %q", got)
	}
	leaving := []*metadata.Broker{{ID: 1, Epoch: 5, Fenced: true, ControlledShutdown: true}}
	if got := kinds(d.changed(now, 1, leaving)); got != "" {
		t.Errorf("one that leaves: %q", got)
	}
}
