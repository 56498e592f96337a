package group

import (
	"fmt"
	"time"

	"github.com/moldau/moldau/internal/coordinator/group/stored"
)

// replayOffset takes over one record of a committed offset. A group of which nothing else is known is made: its consumers do without
// membership, or its own record comes later. A load has millions of these records, hence no allocation for one that is replaced.
func (m *Machine) replayOffset(key stored.Key, value []byte) error {
	g := m.groups[string(key.Group)]
	if value == nil {
		if g == nil {
			return nil
		}
		if t := g.offsets.topics[string(key.Topic)]; t != nil && t.remove(key.Partition) {
			m.trimOffsets(g, t)
		}
		return nil
	}
	o, err := stored.DecodeOffset(value)
	if err != nil {
		return fmt.Errorf("replay offset of group %q, topic %q, partition %d: %w", key.Group, key.Topic, key.Partition, err)
	}
	if g == nil {
		g = m.findOrCreate(string(key.Group))
		g.since = stored.None
	}
	t := g.offsets.topics[string(key.Topic)]
	if t == nil {
		t = m.offsetsOf(g, string(key.Topic))
	}
	t.put(key.Partition, &o)
	return nil
}

// offsetsLoaded is called at the end of a load: the first look for expired offsets is a check interval away.
func (m *Machine) offsetsLoaded(now time.Time) {
	for _, g := range m.groups {
		for _, t := range g.offsets.topics {
			t.compact()
		}
	}
	m.scheduleCheck(now)
}
