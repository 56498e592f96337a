package cluster

import (
	"maps"
	"slices"
	"time"

	"github.com/moldau/moldau/internal/metadata"
)

// detector decides on the active controller which brokers are dead and which may serve. It is pure: what happens is told to it with the time,
// and it says what is to be done.
//
// A broker is dead when the connection by which it sends heartbeats is lost and another one to it is refused: then its process is gone, and it
// is fenced at once. A process that is killed closes its sockets one after the other, and may do so with those of its listeners last: one that
// answers and does not come back is dialled again. Where the connection stands, or nobody answers at all, only silence for a whole session counts. A new active controller
// dials every broker and gives each a full session, so that it fences nobody for what its predecessor heard. A broker that is fenced serves again
// with its next heartbeat: a false alarm costs a change of leaders.
//
// A node that has not looked for half a session was stopped itself, and heard nobody meanwhile: it gives everybody a full session again.
//
// Invariant: of a broker at most one change and one dial are under way.
type detector struct {
	session time.Duration
	active  bool
	looked  time.Time // when it last looked
	dials   uint64    // so far
	known   map[int32]*watched
}

// watched is what the active controller knows of a broker beside its metadata.
type watched struct {
	epoch    int64
	heard    time.Time // its last heartbeat, or since when it is waited for
	conn     uint64    // by which that came; 0: none
	ready    bool      // it wants to serve
	dialing  uint64    // number of the dial that is under way; 0: none
	again    bool      // dial once more when the dial, or the change, has ended: a connection was lost meanwhile
	dialed   time.Time
	gone     bool // its connection was lost and a dial refused, and it was not heard since
	changing bool
}

// kind of an action.
type kind uint8

const (
	dial    kind = 1
	fence   kind = 2
	unfence kind = 3
)

// action is what is to be done about a broker.
type action struct {
	kind   kind
	broker int32
	epoch  int64
	reason string
	dial   uint64        // its number: one that was begun in an earlier time as the active controller says nothing
	after  time.Duration // of a dial
}

// redialPause is how long after it answered a broker without a connection is dialled again.
const redialPause = 50 * time.Millisecond

// Outcomes of a dial.
type dialed uint8

const (
	answered dialed = 1 // also by hanging up at once
	refused  dialed = 2
	silent   dialed = 3 // nothing came back, which says nothing
)

// lead begins the time as the active controller.
func (d *detector) lead(now time.Time, brokers []*metadata.Broker) []action {
	d.active, d.known, d.looked = true, make(map[int32]*watched), now
	var all []action
	for _, b := range brokers {
		w := d.at(b.ID, b.Epoch, now)
		if !b.Fenced {
			all = append(all, d.dial(now, b.ID, w))
		}
	}
	return all
}

// stop ends it.
func (d *detector) stop() { d.active, d.known = false, nil }

// at returns what is known of a registration; another one is not known anything of.
func (d *detector) at(id int32, epoch int64, now time.Time) *watched {
	w := d.known[id]
	if w == nil {
		w = &watched{heard: now}
		d.known[id] = w
	}
	if w.epoch != epoch {
		w.epoch, w.heard, w.ready, w.gone, w.conn = epoch, now, false, false, 0
	}
	return w
}

func (d *detector) dial(now time.Time, id int32, w *watched) action {
	if w.dialing != 0 {
		w.again = true
		return action{}
	}
	d.dials++
	w.dialing, w.dialed = d.dials, now
	return action{kind: dial, broker: id, epoch: w.epoch, dial: d.dials}
}

// beat takes a heartbeat that came by a connection.
func (d *detector) beat(now time.Time, b beat, conn uint64, brokers []*metadata.Broker) []action {
	if !d.active {
		return nil
	}
	if i := slices.IndexFunc(brokers, func(r *metadata.Broker) bool { return r.ID == b.Node && r.Epoch == b.Epoch }); i < 0 {
		return nil // it is told to register anew
	}
	w := d.at(b.Node, b.Epoch, now)
	w.heard, w.conn, w.ready, w.gone = now, conn, b.Ready, false
	return d.look(now, brokers)
}

// lost hears that a connection by which heartbeats came has ended.
func (d *detector) lost(now time.Time, id int32, conn uint64) []action {
	w := d.known[id]
	if !d.active || w == nil || w.conn != conn && w.conn != 0 {
		return nil // another one stands
	}
	w.conn = 0
	if a := d.dial(now, id, w); a.kind != 0 {
		return []action{a}
	}
	return nil
}

// ended hears how a dial ended.
func (d *detector) ended(now time.Time, id int32, number uint64, how dialed, brokers []*metadata.Broker) []action {
	w := d.known[id]
	if !d.active || w == nil || w.dialing != number {
		return nil
	}
	w.dialing = 0
	if how == refused && w.conn == 0 && !w.heard.After(w.dialed) {
		w.gone = true
	}
	all := d.look(now, brokers)
	again := w.again
	w.again = false
	switch {
	case w.gone || w.conn != 0 || !again && (how != answered || !w.changing && !serves(id, brokers)):
	case w.changing:
		w.again = true // when the change has ended
	default:
		a := d.dial(now, id, w)
		if !again {
			a.after = redialPause
		}
		all = append(all, a)
	}
	return all
}

// changed hears that a change has ended, whatever became of it.
func (d *detector) changed(now time.Time, id int32, brokers []*metadata.Broker) []action {
	w := d.known[id]
	if !d.active || w == nil {
		return d.look(now, brokers)
	}
	w.changing = false
	all := d.look(now, brokers)
	if w.again && w.conn == 0 && !w.gone && !w.changing && w.dialing == 0 && serves(id, brokers) {
		w.again = false
		all = append(all, d.dial(now, id, w))
	}
	return all
}

// serves says whether the metadata have the broker among those that serve.
func serves(id int32, brokers []*metadata.Broker) bool {
	return slices.ContainsFunc(brokers, func(b *metadata.Broker) bool { return b.ID == id && !b.Fenced })
}

// look compares what is known with the metadata, and says what is to be changed.
func (d *detector) look(now time.Time, brokers []*metadata.Broker) (all []action) {
	if !d.active {
		return nil
	}
	if now.Sub(d.looked) >= d.session/2 {
		for _, w := range d.known {
			w.heard = now
		}
	}
	d.looked = now
	maps.DeleteFunc(d.known, func(id int32, _ *watched) bool {
		return !slices.ContainsFunc(brokers, func(b *metadata.Broker) bool { return b.ID == id })
	})
	for _, b := range brokers {
		w := d.at(b.ID, b.Epoch, now)
		silent := now.Sub(w.heard) >= d.session
		if w.changing {
			continue
		}
		a := action{broker: b.ID, epoch: b.Epoch}
		switch {
		case !b.Fenced && w.gone:
			a.kind, a.reason = fence, "its connection is lost, and another one is refused"
		case !b.Fenced && silent:
			a.kind, a.reason = fence, "it was silent for a session"
		case b.Fenced && !b.ControlledShutdown && w.ready && !silent && !w.gone:
			a.kind = unfence
		default:
			continue
		}
		w.changing = true
		all = append(all, a)
	}
	return all
}
