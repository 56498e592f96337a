package metadata

import (
	"iter"
	"maps"
)

// Delta says what differs between two images, so that a reader need not compare all of them.
type Delta struct {
	Topics   []TopicChange
	Brokers  []BrokerChange
	Configs  []Resource    // resources other than topics whose configurations changed
	Quotas   []QuotaEntity // whose quotas were touched, in the order of Compare
	Features bool
	Scram    bool
}

// TopicChange is one topic, by id, before and after. Old is nil for a new topic, New for a removed one; a name that was removed
// and made again gives two changes.
type TopicChange struct{ Old, New *Topic }

// BrokerChange is one registration before and after.
type BrokerChange struct{ Old, New *Broker }

// Partitions yields the partitions that differ, with the partition before and after; either may be nil.
func (c TopicChange) Partitions() iter.Seq2[int32, [2]*Partition] {
	return func(yield func(int32, [2]*Partition) bool) {
		var before, after []*Partition
		if c.Old != nil {
			before = c.Old.Partitions
		}
		if c.New != nil {
			after = c.New.Partitions
		}
		for i := range max(len(before), len(after)) {
			var pair [2]*Partition
			if i < len(before) {
				pair[0] = before[i]
			}
			if i < len(after) {
				pair[1] = after[i]
			}
			if pair[0] != pair[1] && !yield(int32(i), pair) {
				return
			}
		}
	}
}

// Diff compares two images; its cost grows with their number of topics. Apply returns the Delta of what it did at once; Diff is
// for an image that came from a snapshot.
func Diff(before, after *Image) *Delta {
	d := &Delta{}
	for t := range before.Topics() {
		if now := after.TopicByID(t.ID); now != t {
			d.Topics = append(d.Topics, TopicChange{Old: t, New: now})
		}
	}
	for t := range after.Topics() {
		if before.TopicByID(t.ID) == nil {
			d.Topics = append(d.Topics, TopicChange{New: t})
		}
	}
	for _, b := range before.brokers {
		if now := after.Broker(b.ID); now != b {
			d.Brokers = append(d.Brokers, BrokerChange{Old: b, New: now})
		}
	}
	for _, b := range after.brokers {
		if before.Broker(b.ID) == nil {
			d.Brokers = append(d.Brokers, BrokerChange{New: b})
		}
	}
	for _, r := range sortedResources(before.configs) {
		if !equalMaps(before.configs[r], after.configs[r]) {
			d.Configs = append(d.Configs, r)
		}
	}
	for _, r := range sortedResources(after.configs) {
		if _, ok := before.configs[r]; !ok {
			d.Configs = append(d.Configs, r)
		}
	}
	d.Features = !equalMaps(before.features, after.features)
	d.Quotas = diffQuotas(before, after)
	d.Scram = !maps.Equal(before.scram, after.scram)
	return d
}
