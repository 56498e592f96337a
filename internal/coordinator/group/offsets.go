package group

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/uuid"
)

// offsets are the committed offsets of one group. The zero value has none.
//
// Invariant: every topic in the map has at least one offset.
type offsets struct{ topics map[string]*topicOffsets }

// topicOffsets are the committed offsets of one group for one topic. There are millions of them in a broker, so one takes 24
// bytes, without a pointer; what few have stands beside, in extras.
//
// The list is sorted by partition but for its last few elements, so that no order in which partitions come moves the list again
// and again. An offset that is removed stays as a dead element until there are too many of these, for the same reason.
//
// Invariant: list[:sorted] ascends, len(list)-sorted <= tailMax, no partition is twice in the list, live counts the elements that are
// not dead, only live ones have extras.
type topicOffsets struct {
	name   string
	id     uuid.UUID // of the topic, for all offsets without extras
	list   []committed
	sorted int
	live   int
	extras map[int32]extra
}

// committed is one committed offset.
type committed struct {
	offset      int64
	committedMs int64 // dead: removed
	partition   int32
	leaderEpoch int32
}

// extra is what few offsets have: metadata, an expiry of its own, or another topic id than the rest.
type extra struct {
	metadata  string
	expiresMs int64
	id        uuid.UUID
}

const (
	dead    = math.MinInt64 // as the time of a commit: the offset is removed
	tailMax = 64            // elements of a list that may be out of order
)

func (o *offsets) empty() bool { return len(o.topics) == 0 }

// get returns a committed offset.
func (o *offsets) get(topic string, partition int32) (stored.Offset, bool) {
	t := o.topics[topic]
	if t == nil {
		return stored.Offset{}, false
	}
	return t.get(partition)
}

// topic returns the offsets of a topic, and makes room for them if there are none. The caller has to put one.
func (o *offsets) topic(name string) *topicOffsets {
	t := o.topics[name]
	if t == nil {
		t = &topicOffsets{name: intern(name)}
		if o.topics == nil {
			o.topics = map[string]*topicOffsets{}
		}
		o.topics[t.name] = t
	}
	return t
}

// trim is called after offsets of a topic were removed.
func (o *offsets) trim(t *topicOffsets) {
	if t.live == 0 {
		delete(o.topics, t.name)
		if len(o.topics) == 0 {
			o.topics = nil
		}
		return
	}
	t.trim()
}

// offsetsOf is offsets.topic for a group of this machine.
func (m *Machine) offsetsOf(g *group, topic string) *topicOffsets {
	before := len(g.offsets.topics)
	t := g.offsets.topic(topic)
	if len(g.offsets.topics) > before {
		m.committed[t.name]++
	}
	return t
}

// trimOffsets is offsets.trim for a group of this machine.
func (m *Machine) trimOffsets(g *group, t *topicOffsets) {
	if g.offsets.trim(t); t.live == 0 {
		m.uncount(t.name)
	}
}

// uncount notes that a group has no offsets of a topic any more.
func (m *Machine) uncount(topic string) {
	if m.committed[topic]--; m.committed[topic] == 0 {
		delete(m.committed, topic)
	}
}

// sorted returns the topics by name: what is done to all of them is done in an order that a seed repeats.
func (o *offsets) sorted() []*topicOffsets {
	all := slices.Collect(maps.Values(o.topics))
	slices.SortFunc(all, func(a, b *topicOffsets) int { return cmp.Compare(a.name, b.name) })
	return all
}

// count returns how many offsets are committed.
func (o *offsets) count() (n int) {
	for _, t := range o.topics {
		n += t.live
	}
	return n
}

// find returns the place of a partition, also of a dead one; -1 if it has none.
func (t *topicOffsets) find(partition int32) int {
	// Nearly always a group reads all partitions of a topic, and each stands in its place.
	if i := int(partition); i >= 0 && i < t.sorted && t.list[i].partition == partition {
		return i
	}
	i, ok := slices.BinarySearchFunc(t.list[:t.sorted], partition, func(c committed, p int32) int { return cmp.Compare(c.partition, p) })
	if ok {
		return i
	}
	for i := t.sorted; i < len(t.list); i++ {
		if t.list[i].partition == partition {
			return i
		}
	}
	return -1
}

func (t *topicOffsets) get(partition int32) (stored.Offset, bool) {
	i := t.find(partition)
	if i < 0 || t.list[i].committedMs == dead {
		return stored.Offset{}, false
	}
	return t.at(i), true
}

// at returns the offset in a place of the list.
func (t *topicOffsets) at(i int) stored.Offset {
	c := &t.list[i]
	o := stored.Offset{Offset: c.offset, LeaderEpoch: c.leaderEpoch, CommittedMs: c.committedMs, ExpiresMs: stored.None, TopicID: t.id}
	if len(t.extras) > 0 {
		if x, ok := t.extras[c.partition]; ok {
			o.Metadata, o.ExpiresMs, o.TopicID = x.metadata, x.expiresMs, x.id
		}
	}
	return o
}

// put commits an offset.
func (t *topicOffsets) put(partition int32, o *stored.Offset) {
	if o.TopicID != t.id && !o.TopicID.IsZero() {
		t.rename(o.TopicID)
	}
	c := committed{offset: o.Offset, committedMs: max(o.CommittedMs, dead+1), partition: partition, leaderEpoch: o.LeaderEpoch}
	if i := t.find(partition); i < 0 {
		t.insert(c)
		t.live++
	} else {
		if t.list[i].committedMs == dead {
			t.live++
		}
		t.list[i] = c
	}
	if o.Metadata == "" && o.ExpiresMs == stored.None && o.TopicID == t.id {
		delete(t.extras, partition)
		return
	}
	if t.extras == nil {
		t.extras = map[int32]extra{}
	}
	t.extras[partition] = extra{o.Metadata, o.ExpiresMs, o.TopicID}
}

// rename gives the topic another id. The offsets that there are keep theirs.
func (t *topicOffsets) rename(id uuid.UUID) {
	if t.live > 0 && t.extras == nil {
		t.extras = map[int32]extra{}
	}
	for _, c := range t.list {
		if _, has := t.extras[c.partition]; c.committedMs != dead && !has {
			t.extras[c.partition] = extra{expiresMs: stored.None, id: t.id}
		}
	}
	t.id = id
	maps.DeleteFunc(t.extras, func(_ int32, x extra) bool { return x == extra{expiresMs: stored.None, id: id} })
}

func (t *topicOffsets) insert(c committed) {
	inOrder := t.sorted == len(t.list) && (t.sorted == 0 || t.list[t.sorted-1].partition < c.partition)
	t.list = append(t.list, c)
	if inOrder {
		t.sorted++
	} else if len(t.list)-t.sorted > tailMax {
		t.settle()
	}
}

// settle sorts the whole list.
func (t *topicOffsets) settle() {
	if t.sorted == len(t.list) {
		return
	}
	var space [tailMax + 1]committed
	tail := space[:copy(space[:], t.list[t.sorted:])]
	slices.SortFunc(tail, func(a, b committed) int { return cmp.Compare(a.partition, b.partition) })
	// Merge from the end, where the room is.
	for i, to := t.sorted-1, len(t.list)-1; len(tail) > 0; to-- {
		if last := len(tail) - 1; i >= 0 && t.list[i].partition > tail[last].partition {
			t.list[to] = t.list[i]
			i--
		} else {
			t.list[to] = tail[last]
			tail = tail[:last]
		}
	}
	t.sorted = len(t.list)
}

// remove ends an offset and says whether there was one. trim must follow.
func (t *topicOffsets) remove(partition int32) bool {
	i := t.find(partition)
	if i < 0 || t.list[i].committedMs == dead {
		return false
	}
	t.list[i].committedMs = dead
	t.live--
	delete(t.extras, partition)
	return true
}

// trim drops dead elements when they are many.
func (t *topicOffsets) trim() {
	if len(t.list)-t.live <= tailMax+t.live {
		return
	}
	t.settle()
	t.list = slices.Clone(slices.DeleteFunc(t.list, func(c committed) bool { return c.committedMs == dead }))
	t.sorted = len(t.list)
}

// compact gives back what the list reserved for growth.
func (t *topicOffsets) compact() {
	t.settle()
	if cap(t.list) > len(t.list)+len(t.list)/16 {
		t.list = append(make([]committed, 0, len(t.list)), t.list...)
	}
}

// all gives the places of all offsets by partition. Offsets may be removed meanwhile, but not put.
func (t *topicOffsets) all() iter.Seq[int] {
	t.settle()
	return func(yield func(int) bool) {
		for i := range t.list {
			if t.list[i].committedMs != dead && !yield(i) {
				return
			}
		}
	}
}

// check looks at every invariant; for tests.
func (o *offsets) check() {
	for name, t := range o.topics {
		live, seen := 0, map[int32]bool{}
		for i, c := range t.list {
			invariant.Check(!seen[c.partition], "partition %d of %q twice", c.partition, name)
			invariant.Check(i == 0 || i >= t.sorted || t.list[i-1].partition < c.partition, "partition %d of %q not in order", c.partition, name)
			if seen[c.partition] = true; c.committedMs != dead {
				live++
			}
		}
		invariant.Check(name == t.name && live > 0 && live == t.live, "topic %q: %d offsets live, %d counted", name, live, t.live)
		invariant.Check(t.sorted <= len(t.list) && len(t.list)-t.sorted <= tailMax, "topic %q: %d of %d in order", name, t.sorted, len(t.list))
		for p, x := range t.extras {
			_, ok := t.get(p)
			invariant.Check(ok, "partition %d of %q has extras but no offset", p, name)
			invariant.Check(x != extra{expiresMs: stored.None, id: t.id}, "partition %d of %q has extras of no use", p, name)
		}
	}
}
