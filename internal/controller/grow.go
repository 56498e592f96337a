package controller

import (
	"cmp"
	"maps"
	"slices"

	"github.com/moldau/moldau/internal/metadata"
)

// grow gives internal topics that were made when the cluster was smaller the replicas that they are to have, on brokers that are active by now.
// Kafka does not make such a topic before there are as many brokers; here it is made at once, so that one broker is enough to begin with. Where an operator
// reassigned a partition to fewer it is left so.
func (s *step) grow() {
	for _, name := range slices.Sorted(maps.Keys(s.settings.InternalFactors)) {
		if t := s.img.Topic(name); t != nil {
			s.growTopic(t, int(s.settings.InternalFactors[name]))
		}
	}
}

// growTopic adds replicas up to a factor. New ones come to racks without one first, and to the brokers that have the fewest of the topic; who is to
// lead is spread as well.
func (s *step) growTopic(t *metadata.Topic, factor int) {
	var active []*metadata.Broker
	for _, b := range s.img.Brokers() {
		if b.Active() {
			active = append(active, b)
		}
	}
	replicas, first := make(map[int32]int), make(map[int32]int)
	for _, p := range t.Partitions {
		first[p.Replicas[0]]++
		for _, id := range p.Replicas {
			replicas[id]++
		}
	}
	for i, p := range t.Partitions {
		now := assigned(p)
		target := now.target()
		if len(now.Removing) > 0 || len(target) >= factor || p.Chosen {
			continue // it is being moved, has enough, or as few as an operator wants
		}
		racks := make(map[string]bool)
		for _, id := range target {
			if b := s.img.Broker(id); b != nil {
				racks[b.Rack] = true
			}
		}
		for len(target) < factor {
			var best *metadata.Broker
			for _, b := range active {
				if !metadata.Has(target, b.ID) && (best == nil || cmp.Or(less(racks[b.Rack], racks[best.Rack]), cmp.Compare(replicas[b.ID], replicas[best.ID])) < 0) {
					best = b
				}
			}
			if best == nil {
				break
			}
			target = append(target, best.ID)
			racks[best.Rack] = true
			replicas[best.ID]++
		}
		if len(target) == len(p.Replicas) {
			continue // there is nobody
		}
		lead := 0
		first[target[0]]--
		for at, id := range target {
			if first[id] < first[target[lead]] {
				lead = at
			}
		}
		first[target[lead]]++
		target[0], target[lead] = target[lead], target[0]
		if r := s.moveTo(t, int32(i), target); r != nil {
			s.add(r)
		}
	}
}

// less orders false before true.
func less(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
