package group

import "time"

// instant is a point in time as timers see it: the time since the machine's base.
type instant int64

// never is what a stopped timer is due.
const never instant = 1<<63 - 1

// timerKind says what a timer does when it fires.
type timerKind uint8

const (
	timerNone    timerKind = iota
	timerSession           // a member's session, or the time that a pending member has to come back
	timerInitial           // the delay of a group's first rebalance
	timerJoin              // the time that members have to rejoin
	timerSync              // the time that members have to sync
)

// timer is part of what it belongs to, so that setting one allocates nothing.
type timer struct {
	due    instant // when it fires
	at     instant // where it stands in the heap; never later than due
	pos    int32   // index in the heap plus one; 0: not in it
	kind   timerKind
	group  *group
	member *member // of a session
}

// timers is a heap. A timer that moves to a later time, which every heartbeat does, keeps its old place: when that place comes
// up, it is put where it belongs. So a heartbeat costs a store, and the heap is touched once in a session time-out.
//
// Invariant: heap[i].at >= heap[(i-1)/2].at, heap[i].pos == i+1, and at <= due for all.
type timers struct{ heap []*timer }

func (m *Machine) instant(t time.Time) instant { return instant(t.Sub(m.base)) }

// set makes t fire after d from now.
func (m *Machine) set(t *timer, d time.Duration, kind timerKind) {
	now := m.instant(m.now)
	due := now + instant(max(d, 0))
	if due < now { // beyond what can be counted
		due = never - 1
	}
	t.kind = kind
	m.timers.move(t, due)
}

func (h *timers) move(t *timer, due instant) {
	t.due = due
	switch {
	case t.pos == 0:
		t.at = due
		h.heap = append(h.heap, t)
		t.pos = int32(len(h.heap))
		h.up(len(h.heap) - 1)
	case due < t.at:
		t.at = due
		h.up(int(t.pos) - 1)
	}
}

// stop keeps t from firing.
func (h *timers) stop(t *timer) {
	if t.pos == 0 {
		return
	}
	i, last := int(t.pos)-1, len(h.heap)-1
	h.swap(i, last)
	h.heap[last] = nil
	h.heap = h.heap[:last]
	t.pos, t.kind = 0, timerNone
	if i < last {
		h.down(i)
		h.up(i)
	}
	if c := cap(h.heap); c > 1024 && len(h.heap) < c/4 { // thousands of members have gone
		h.heap = append(make([]*timer, 0, c/2), h.heap...)
	}
}

// earliest is when the heap wants to be looked at: not later than the first timer is due.
func (h *timers) earliest() (instant, bool) {
	if len(h.heap) == 0 {
		return 0, false
	}
	return h.heap[0].at, true
}

// next takes a timer out that is due at now; nil if there is none.
func (h *timers) next(now instant) *timer {
	for len(h.heap) > 0 {
		t := h.heap[0]
		if t.at > now {
			return nil
		}
		if t.due <= now {
			kind := t.kind
			h.stop(t)
			t.kind = kind
			return t
		}
		t.at = t.due
		h.down(0)
	}
	return nil
}

func (h *timers) swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].pos, h.heap[j].pos = int32(i+1), int32(j+1)
}

func (h *timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h.heap[parent].at <= h.heap[i].at {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.heap) {
			return
		}
		if right := child + 1; right < len(h.heap) && h.heap[right].at < h.heap[child].at {
			child = right
		}
		if h.heap[i].at <= h.heap[child].at {
			return
		}
		h.swap(i, child)
		i = child
	}
}

// fire does what a timer is for.
func (m *Machine) fire(t *timer) {
	switch t.kind {
	case timerSession:
		m.sessionExpired(t.group, t.member)
	case timerInitial:
		m.initialDelayOver(t.group)
	case timerJoin:
		m.completeJoin(t.group)
	case timerSync:
		m.syncOverdue(t.group)
	}
}
