package group

import (
	"slices"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/uuid"
)

// Offsets end without anybody asking: when they are old (KIP-211), and when their topic is gone. Either may end those of every
// group, so the groups are gone through in sweeps, a bounded number of records at a time, and other calls come in between.

// A sweep goes through groups.
type sweep struct {
	groups []string // not yet visited, in order
	expiry bool
	topics func(g *group, t *topicOffsets) bool                  // says whether offsets of a topic may end
	ends   func(g *group, t *topicOffsets, o stored.Offset) bool // says whether an offset of such a topic ends
}

// upkeep is the work on offsets that is due.
type upkeep struct {
	sweeps []sweep   // the first is under way
	check  time.Time // when a sweep for expired offsets begins; zero: never
}

const (
	sweepBytes = 256 << 10        // of tombstones that one step of a sweep writes, about
	sweepPause = time.Millisecond // between two steps, so that calls get their turn
	sweepLook  = 1 << 16          // offsets that one step looks at, about
)

// scheduleCheck sets when expired offsets are next looked for.
func (m *Machine) scheduleCheck(now time.Time) {
	if m.settings.RetentionCheck > 0 {
		m.upkeep.check = now.Add(m.settings.RetentionCheck)
	}
	m.scheduleUpkeep(now)
}

func (m *Machine) scheduleUpkeep(now time.Time) {
	m.offsetsDue = m.upkeep.check
	if len(m.upkeep.sweeps) > 0 {
		m.offsetsDue = now.Add(sweepPause)
	}
}

// expireOffsets does what is due of the upkeep of offsets.
func (m *Machine) expireOffsets(now time.Time, out *coordinator.Out) {
	if !m.upkeep.check.IsZero() && !now.Before(m.upkeep.check) {
		m.upkeep.check = now.Add(m.settings.RetentionCheck)
		if !slices.ContainsFunc(m.upkeep.sweeps, func(s sweep) bool { return s.expiry }) {
			m.upkeep.sweeps = append(m.upkeep.sweeps, sweep{groups: m.ids(), expiry: true, topics: m.mayExpire, ends: m.expired})
		}
	}
	m.sweep(now, out)
}

// goneTopics are the topics that were deleted last. A commit that has passed the handler before may come after the news, and what it left
// behind would be found by the readers of the next topic of that name.
type goneTopics struct{ ids []uuid.UUID } // oldest first

// goneMax is how many are kept at least, or as many as were deleted at once; and goneSpare more, so that they are seldom moved. A commit is on
// its way for microseconds. There are fifty machines, each with its own: a list is small, and as quick to search as it has to be.
const (
	goneMax   = 256
	goneSpare = 64
)

func (t *goneTopics) add(topics []DeletedTopic) {
	if t.ids == nil {
		t.ids = make([]uuid.UUID, 0, goneMax+goneSpare)
	}
	for _, d := range topics {
		t.ids = append(t.ids, d.ID)
	}
	keep := max(goneMax, len(topics))
	if len(t.ids) <= keep+goneSpare {
		return
	}
	last := t.ids[len(t.ids)-keep:]
	if keep == goneMax && cap(t.ids) > goneMax+goneSpare { // many were deleted at once, some time ago
		t.ids = append(make([]uuid.UUID, 0, goneMax+goneSpare), last...)
		return
	}
	t.ids = t.ids[:copy(t.ids, last)]
}

func (t *goneTopics) has(id uuid.UUID) bool {
	return !id.IsZero() && slices.Contains(t.ids, id)
}

// topicsDeleted ends the offsets of topics that are gone. One that names the id of another topic of the same name is kept.
func (m *Machine) topicsDeleted(r *TopicsDeleted, out *coordinator.Out) {
	gone := map[string][]uuid.UUID{}
	m.gone.add(r.Topics)
	for _, t := range r.Topics {
		if m.committed[t.Topic] > 0 {
			gone[t.Topic] = append(gone[t.Topic], t.ID)
		}
	}
	if len(gone) == 0 {
		return // nearly always: there are fifty machines, and topics that nobody in a group reads
	}
	m.upkeep.sweeps = append(m.upkeep.sweeps, sweep{
		groups: m.ids(),
		topics: func(_ *group, t *topicOffsets) bool { return len(gone[t.name]) > 0 },
		ends: func(_ *group, t *topicOffsets, o stored.Offset) bool {
			return o.TopicID.IsZero() || slices.Contains(gone[t.name], o.TopicID)
		},
	})
	m.sweep(m.now, out)
}

// topicsKnown ends the offsets of topics that went, or were replaced by others, while nobody led this partition.
func (m *Machine) topicsKnown(r *TopicsKnown, out *coordinator.Out) {
	var id uuid.UUID
	var exists bool
	m.upkeep.sweeps = append(m.upkeep.sweeps, sweep{
		groups: m.ids(),
		topics: func(_ *group, t *topicOffsets) bool {
			id, exists = r.ID(t.name)
			return !exists || t.id != id || len(t.extras) > 0
		},
		ends: func(_ *group, _ *topicOffsets, o stored.Offset) bool { return !exists || other(o.TopicID, id) },
	})
	m.sweep(m.now, out)
}

// ids returns all groups in order.
func (m *Machine) ids() []string {
	ids := make([]string, 0, len(m.groups))
	for id := range m.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// sweep takes the sweeps a step further.
func (m *Machine) sweep(now time.Time, out *coordinator.Out) {
	bytes, looks := sweepBytes, sweepLook
	for len(m.upkeep.sweeps) > 0 {
		s := &m.upkeep.sweeps[0]
		for len(s.groups) > 0 {
			g := m.find(s.groups[0])
			if g != nil && !m.sweepGroup(s, g, out, &bytes, &looks) {
				m.scheduleUpkeep(now)
				return // goes on with the same group
			}
			s.groups = s.groups[1:]
		}
		m.upkeep.sweeps = slices.Delete(m.upkeep.sweeps, 0, 1)
	}
	m.scheduleUpkeep(now)
}

// sweepGroup visits a group and says whether it was done with it before the step has written or looked enough.
func (m *Machine) sweepGroup(s *sweep, g *group, out *coordinator.Out, bytes, looks *int) bool {
	if *bytes <= 0 || *looks <= 0 {
		return false
	}
	*looks -= 1 + len(g.offsets.topics)
	for _, t := range g.offsets.sorted() {
		if !s.topics(g, t) {
			continue
		}
		*looks -= t.live
		for i := range t.all() {
			o := t.at(i)
			if !s.ends(g, t, o) {
				continue
			}
			if *bytes <= 0 {
				m.trimOffsets(g, t)
				return false
			}
			partition := t.list[i].partition
			t.remove(partition)
			key := stored.AppendOffsetKey(make([]byte, 0, stored.OffsetKeySize(g.id, t.name)), g.id, t.name, partition)
			*bytes -= len(key) + offsetOverhead
			out.Append(key, nil)
		}
		m.trimOffsets(g, t)
	}
	// A group of which nothing is left goes at a check, not before: Kafka does the same. One to whom an id was given waits for it.
	if s.expiry && g.offsets.empty() && g.state == Empty && len(g.pending) == 0 {
		m.drop(g)
		*bytes -= len(g.id) + offsetOverhead
	}
	return true
}

// mayExpire says whether offsets of a topic expire at all, by the rules of KIP-211: those of consumers without membership do, those of
// an empty group, and in a stable group of consumers those of topics that nobody reads any more.
func (m *Machine) mayExpire(g *group, t *topicOffsets) bool {
	switch {
	case g.protocolType == "", g.state == Empty:
		return true
	case g.state == Stable && g.protocolType == consumerType:
		_, known := g.subscribed()
		return known && !g.subscribes(t.name)
	}
	return false
}

// expired says whether an offset is too old: since its commit, or, where there were members, since the group became empty. A commit
// that brought its own expiry keeps to that instead.
func (m *Machine) expired(g *group, _ *topicOffsets, o stored.Offset) bool {
	nowMs := m.now.UnixMilli()
	if o.ExpiresMs != stored.None {
		return nowMs >= o.ExpiresMs
	}
	since := o.CommittedMs
	if g.protocolType != "" && g.state == Empty && g.since != stored.None {
		since = g.since
	}
	return nowMs-since >= m.settings.OffsetsRetention.Milliseconds()
}
