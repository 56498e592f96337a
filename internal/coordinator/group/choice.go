package group

import (
	"slices"
	"unicode/utf16"
)

// metadata is what a member says under a protocol; nil if it does not know it.
func (m *member) metadata(protocol string) []byte {
	for i := range m.protocols {
		if m.protocols[i].Name == protocol {
			return m.protocols[i].Metadata
		}
	}
	return nil
}

// sameProtocols compares the names and the metadata of protocols, in their order.
func sameProtocols(a, b []Protocol) bool {
	return slices.EqualFunc(a, b, func(x, y Protocol) bool { return x.Name == y.Name && string(x.Metadata) == string(y.Metadata) })
}

// supports says whether a client with these protocols can be a member beside the others.
func (g *group) supports(protocolType string, protocols []Protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if protocolType != g.protocolType {
		return false
	}
	if len(g.members) == 0 { // all have left before the first rebalance was over
		return len(protocols) > 0
	}
	common := g.commonProtocols()
	if len(common)*len(protocols) <= fewProtocols {
		return slices.ContainsFunc(protocols, func(p Protocol) bool { return slices.Contains(common, p.Name) })
	}
	known := make(map[string]struct{}, len(common)) // a request may name a million, and each would be compared with each
	for _, name := range common {
		known[name] = struct{}{}
	}
	return slices.ContainsFunc(protocols, func(p Protocol) bool {
		_, ok := known[p.Name]
		return ok
	})
}

// fewProtocols is up to how many pairs of protocols are simply compared.
const fewProtocols = 1024

// commonProtocols are those that every member supports, in the first member's order. They are kept until a member comes, goes or
// changes its mind, so that the joins of a large group do not each look at every member.
func (g *group) commonProtocols() []string {
	if g.commonValid {
		return g.common
	}
	count := map[string]int{} // how many of the first members, all of them, support a protocol
	for i, m := range g.members {
		for _, p := range m.protocols {
			if count[p.Name] == i {
				count[p.Name] = i + 1
			}
		}
	}
	g.common, g.commonValid = nil, true
	if len(g.members) > 0 {
		for _, p := range g.members[0].protocols {
			if count[p.Name] == len(g.members) {
				g.common = append(g.common, p.Name)
				delete(count, p.Name) // a name that is there twice counts once
			}
		}
	}
	return g.common
}

// narrow keeps those common protocols that a new member supports too.
func (g *group) narrow(protocols []Protocol) {
	if len(g.common)*len(protocols) > fewProtocols {
		g.commonValid = false
		return
	}
	g.common = slices.DeleteFunc(g.common, func(name string) bool {
		return !slices.ContainsFunc(protocols, func(p Protocol) bool { return p.Name == name })
	})
}

// vote chooses the protocol of the next generation: each member votes for the first of its own that all support. Among those with
// equally many votes Kafka takes the one that comes first in a Java hash table; so do we, since a group would else change its
// assignor when it moves from one to the other.
func (g *group) vote() string {
	common := g.commonProtocols()
	if len(common) == 1 {
		return common[0]
	}
	votes := make(map[string]int, len(common))
	for _, name := range common {
		votes[name] = 0
	}
	voted := common[:0:0]
	for _, m := range g.members {
		for _, p := range m.protocols {
			if n, ok := votes[p.Name]; ok {
				if n == 0 {
					voted = append(voted, p.Name)
				}
				votes[p.Name] = n + 1
				break
			}
		}
	}
	buckets := 16
	for buckets*3/4 < len(voted) {
		buckets *= 2
	}
	var best string
	bestVotes, bestBucket := 0, 0
	for _, name := range voted {
		n, bucket := votes[name], javaHash(name)&(buckets-1)
		if n > bestVotes || n == bestVotes && bucket < bestBucket {
			best, bestVotes, bestBucket = name, n, bucket
		}
	}
	return best
}

// javaHash is the hash by which java.util.HashMap finds the bucket of a string.
func javaHash(s string) int {
	var h uint32
	for _, c := range utf16.Encode([]rune(s)) {
		h = 31*h + uint32(c)
	}
	return int(h ^ h>>16)
}

// sameNames compares the names of protocols, in their order.
func sameNames(a, b []Protocol) bool {
	return slices.EqualFunc(a, b, func(x, y Protocol) bool { return x.Name == y.Name })
}
