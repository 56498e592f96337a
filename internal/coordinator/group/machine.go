package group

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/random"
)

// Machine keeps the groups of one partition of __consumer_offsets. It implements coordinator.Machine.
type Machine struct {
	settings Settings
	rnd      random.Source
	log      *slog.Logger
	groups   map[string]*group
	// committed counts the groups that have offsets of a topic, so that one that is deleted costs nothing where there are none.
	committed map[string]int
	timers    timers
	strange   error // of the first record that the load passed over

	base       time.Time // the instant 0: what timers count from, with its monotonic reading
	offsetsDue time.Time // when committed offsets are next looked over for expiry; zero: not before Loaded
	upkeep     upkeep
	gone       goneTopics

	// The step under way; set on the way in.
	now time.Time
	out *coordinator.Out

	bug mutant // a planted bug that the simulation must find; set by tests only
}

// New returns a machine without groups. log may be nil.
func New(settings Settings, rnd random.Source, log *slog.Logger) *Machine {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Machine{settings: settings, rnd: rnd, log: log, groups: map[string]*group{}, committed: map[string]int{}}
}

// begin notes the time and the destination of the step that begins.
func (m *Machine) begin(now time.Time, out *coordinator.Out) {
	if m.base.IsZero() {
		m.base = now
	}
	m.now, m.out = now, out
}

// Step handles one request.
func (m *Machine) Step(now time.Time, call *coordinator.Call, out *coordinator.Out) {
	m.begin(now, out)
	switch r := call.Request.(type) {
	case *HeartbeatRequest:
		out.Answer(call, &HeartbeatResponse{Code: m.heartbeat(r)})
	case *CommitRequest:
		out.Answer(call, m.commit(now, r, out))
	case *FetchRequest:
		out.Answer(call, m.fetch(r))
	case *JoinRequest:
		m.join(call, r)
	case *SyncRequest:
		m.sync(call, r)
	case *LeaveRequest:
		out.Answer(call, m.leave(r))
	case *DescribeRequest:
		out.Answer(call, m.describe(r))
	case *ListRequest:
		out.Answer(call, m.list(r))
	case *DeleteRequest:
		out.Answer(call, m.delete(r))
	case *DeleteOffsetsRequest:
		out.Answer(call, m.deleteOffsets(r, out))
	case *TopicsDeleted:
		m.topicsDeleted(r, out)
	case *RecordLimit:
		m.settings.MaxRecordBytes = r.Bytes
	case *TopicsKnown:
		m.topicsKnown(r, out)
	default:
		panic(fmt.Sprintf("group: request of type %T", call.Request))
	}
}

// Tick does what is due.
func (m *Machine) Tick(now time.Time, out *coordinator.Out) {
	m.begin(now, out)
	for {
		t := m.timers.next(m.instant(now))
		if t == nil {
			break
		}
		m.fire(t)
	}
	if !m.offsetsDue.IsZero() && !now.Before(m.offsetsDue) {
		m.expireOffsets(now, out)
		invariant.Check(now.Before(m.offsetsDue), "the next look for expired offsets is not later than this one")
	}
}

// Due is when the earliest timer may fire, or offsets are to be looked over.
func (m *Machine) Due() time.Time {
	due := m.offsetsDue
	if at, ok := m.timers.earliest(); ok {
		if t := m.base.Add(time.Duration(at)); due.IsZero() || t.Before(due) {
			due = t
		}
	}
	return due
}

// find returns a group, nil if there is none.
func (m *Machine) find(id string) *group { return m.groups[id] }

// findOrCreate returns a group. A new one is empty and simple (of no protocol type) until somebody joins.
func (m *Machine) findOrCreate(id string) *group {
	g := m.groups[id]
	if g == nil {
		g = &group{id: id, state: Empty, previous: Dead, since: m.now.UnixMilli(), bug: m.bug}
		m.groups[id] = g
	}
	return g
}

// drop removes a group, which must be empty and have no offsets any more, from memory and from the log.
func (m *Machine) drop(g *group) {
	invariant.Check(g.state == Empty, "group %q is dropped in state %v", g.id, g.state)
	for _, p := range g.pending {
		m.timers.stop(&p.session)
	}
	m.timers.stop(&g.phase)
	g.become(Dead, m.now)
	delete(m.groups, g.id)
	m.appendTombstone(g)
}
