package controller

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
)

// place puts each of count partitions on factor brokers, spread over racks first and over the brokers of a rack next. The first
// replica is on a broker that is not fenced. It returns why it cannot in Kafka's words.
//
// Both racks and brokers are gone through in rings. Each partition starts one rack further, and in each rack one broker further,
// one less whenever the racks come round, so that every broker of a rack leads in its turn. After as many partitions as there
// are brokers the rings are shuffled, so that two brokers do not share all of their partitions.
func place(brokers []*metadata.Broker, count, factor int, rnd random.Source) ([][]int32, string) {
	rings := newRings(brokers, rnd)
	switch {
	case factor <= 0:
		return nil, fmt.Sprintf("Invalid replication factor %d: the replication factor must be positive.", factor)
	case rings.unfenced == 0:
		return nil, "All brokers are currently fenced, or have all their log directories cordoned."
	case factor > rings.total:
		return nil, fmt.Sprintf("The target replication factor of %d cannot be reached because only %d broker(s) are registered or some brokers have all their log directories cordoned.",
			factor, rings.total)
	}
	placed := make([][]int32, count)
	for i := range placed {
		placed[i] = rings.next(factor)
	}
	return placed, ""
}

// ring is a list of brokers; each turn goes through it once, from another start.
type ring struct {
	brokers []int32
	start   int // of turn 0
	taken   int // in this turn
	turn    int
}

// next returns the next broker of a turn whose start is shifted.
func (r *ring) next(turn, shift int) (int32, bool) {
	if r.turn != turn {
		r.turn, r.taken = turn, 0
	}
	if r.taken == len(r.brokers) {
		return 0, false
	}
	r.taken++
	return r.brokers[(r.start+shift+r.taken-1)%len(r.brokers)], true
}

type rack struct {
	name             string
	unfenced, fenced ring
}

// next prefers brokers that are not fenced.
func (r *rack) next(turn, shift int) (int32, bool) {
	if id, ok := r.unfenced.next(turn, shift); ok {
		return id, true
	}
	return r.fenced.next(turn, shift)
}

type rings struct {
	racks           []*rack
	start           int
	turn            int
	total, unfenced int
	random          random.Source
}

func newRings(brokers []*metadata.Broker, rnd random.Source) *rings {
	r := &rings{random: rnd}
	byName := make(map[string]*rack)
	for _, b := range brokers { // in the order of their ids
		in := byName[b.Rack]
		if in == nil {
			in = &rack{name: b.Rack}
			byName[b.Rack] = in
			r.racks = append(r.racks, in)
		}
		r.total++
		if b.Fenced {
			in.fenced.brokers = append(in.fenced.brokers, b.ID)
		} else {
			in.unfenced.brokers = append(in.unfenced.brokers, b.ID)
			r.unfenced++
		}
	}
	slices.SortFunc(r.racks, func(a, b *rack) int { return strings.Compare(a.name, b.name) })
	for _, in := range r.racks {
		for _, list := range []*ring{&in.unfenced, &in.fenced} {
			if len(list.brokers) > 0 {
				list.start = random.N(rnd, len(list.brokers))
			}
		}
	}
	if len(r.racks) > 0 {
		r.start = random.N(rnd, len(r.racks))
	}
	return r
}

// next returns the replicas of one partition. There are at least factor brokers and one that is not fenced.
func (r *rings) next(factor int) []int32 {
	if r.turn == r.unfenced && r.unfenced > 1 {
		r.shuffle()
	}
	shift := r.turn%len(r.racks) + r.turn/len(r.racks)
	replicas := make([]int32, 0, factor)
	first := r.start
	for {
		if id, ok := r.racks[first].unfenced.next(r.turn, shift); ok {
			replicas = append(replicas, id)
			break
		}
		first = (first + 1) % len(r.racks)
	}
	skip := first // has its replica of the first round
	for at := r.start; len(replicas) < factor; at = (at + 1) % len(r.racks) {
		if at == skip {
			skip = -1
			continue
		}
		if id, ok := r.racks[at].next(r.turn, shift); ok {
			replicas = append(replicas, id)
		}
	}
	r.turn++
	r.start = (r.start + 1) % len(r.racks)
	return replicas
}

func (r *rings) shuffle() {
	r.turn = 0
	shuffle(r.racks, r.random)
	for _, in := range r.racks {
		shuffle(in.unfenced.brokers, r.random)
		shuffle(in.fenced.brokers, r.random)
		in.unfenced.turn, in.fenced.turn = -1, -1
	}
}

func shuffle[T any](s []T, rnd random.Source) {
	for i := len(s) - 1; i > 0; i-- {
		j := random.N(rnd, i+1)
		s[i], s[j] = s[j], s[i]
	}
}

// checkAssignment judges a placement by hand; factor is the number of replicas it must have, or -1.
func (s *step) checkAssignment(brokers []int32, factor int) Error {
	refuse := func(format string, args ...any) Error {
		return Error{protocol.InvalidReplicaAssignment, fmt.Sprintf("The manual partition assignment includes "+format, args...)}
	}
	if len(brokers) == 0 {
		return refuse("an empty replica list.")
	}
	ids := slices.Clone(brokers)
	slices.Sort(ids)
	for i, id := range ids {
		if s.img.Broker(id) == nil {
			return refuse("broker %d, but no such broker is registered.", id)
		}
		if i > 0 && ids[i-1] == id {
			return refuse("the broker %d more than once.", id)
		}
	}
	if factor >= 0 && len(ids) != factor {
		return refuse("a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).", len(ids), factor)
	}
	return Error{}
}
