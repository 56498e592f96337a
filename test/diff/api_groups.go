package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// population makes one group in each state that lasts: stable, completing and preparing a rebalance, empty after its members left, only with
// offsets, and one whose only member was sent back for an id. It returns what has to be read in the end.
func (s *Script) population() (names []string, end func()) {
	t := s.Topic("t", 1)
	stable := s.member(s.Group("stable"), 1, newJoin, speaking("range=a", "sticky=b")).alone()
	completing := s.member(s.Group("completing"), 2, newJoin)
	completing.join()
	old := s.member(s.Group("preparing"), 3, oldJoin).alone()
	parked := s.member(old.group, 4, oldJoin).parks(2)
	empty := s.member(s.Group("empty"), 5, midJoin, static("i")).alone()
	empty.leave()
	connect := s.member(s.Group("connect"), 6, midJoin, ofKind("connect"), static("worker")).alone()
	offsets := s.Group("offsets")
	s.Do(offsetCommit(8, offsets, commits(t, 0, 5)))
	// Without an offset it would be there or not, as other groups on the same partition of Kafka's coordinator please.
	pending := s.Group("pending")
	s.Do(offsetCommit(8, pending, commits(t, 0, 5)))
	s.On(7).Do(joinGroup(newJoin, pending, "", "range=x"))
	names = []string{stable.group, completing.group, old.group, empty.group, connect.group, offsets, pending}
	return names, func() {
		s.On(3).Do(leaveGroup(1, old.group, leaver(old.id, "")))
		parked.Answer()
	}
}

func describeGroupsCases(v int16) *suite {
	s := newSuite(keyDescribeGroups, v)
	s.add(Ordinary, "", func(x *Script) {
		g := x.Group("g")
		a, b := x.member(g, 1, newJoin, speaking("range=a", "sticky=b")), x.member(g, 2, newJoin, static("i"))
		a.alone()
		b.enters(a)
		x.Do(describeGroups(v, g))
		b.leave()
		a.leave()
		x.Do(describeGroups(v, g))
	})
	s.add(Boundary, "", func(x *Script) {
		names, end := x.population()
		for _, name := range names {
			x.Do(describeGroups(v, name))
		}
		x.Note("all at once")
		x.Do(describeGroups(v, names...))
		x.Note("one twice")
		x.Do(describeGroups(v, names[0], names[0]))
		x.Note("none")
		x.Do(describeGroups(v))
		if v >= 3 {
			req := describeGroups(v, names[0], x.Group("unknown"), "")
			req.IncludeAuthorizedOperations = true
			x.Note("what one may do with it")
			x.Do(req)
		}
		end()
		x.Do(describeGroups(v, names[2]))
	})
	s.add(Wrong, "", func(x *Script) {
		x.Note("empty group")
		x.Do(describeGroups(v, ""))
		x.Note("unknown group")
		x.Do(describeGroups(v, x.Group("unknown")))
		m := x.member(x.Group("deleted"), 1, oldJoin).alone()
		m.leave()
		x.Do(deleteGroups(1, m.group))
		x.Note("deleted group, empty, unknown")
		x.Do(describeGroups(v, m.group, "", x.Name("unknown")))
	})
	s.malformed(func(x *Script) kmsg.Request { return describeGroups(v, absentGroup) })
	return s
}

func listGroupsCases(v int16) *suite {
	s := newSuite(keyListGroups, v)
	s.add(Ordinary, "", func(x *Script) {
		x.Do(listGroups(v, nil, nil))
		m := x.member(x.Group("g"), 1, oldJoin).alone()
		x.Do(listGroups(v, nil, nil))
		m.leave()
		x.Do(listGroups(v, nil, nil))
		x.Do(deleteGroups(1, m.group))
		x.Do(listGroups(v, nil, nil))
	})
	s.add(Boundary, "", func(x *Script) {
		_, end := x.population()
		x.Do(listGroups(v, nil, nil))
		if v >= 4 {
			for _, states := range [][]string{{"Stable"}, {"Empty"}, {"PreparingRebalance"}, {"CompletingRebalance"}, {"Dead"}, {"Stable", "Empty"}, {"stable"}, {"EMPTY", "empty"}} {
				x.Do(listGroups(v, states, nil))
			}
		}
		if v >= 5 {
			for _, types := range [][]string{{"classic"}, {"Classic"}, {"consumer"}, {"share"}, {"streams"}, {"classic", "consumer"}} {
				x.Do(listGroups(v, nil, types))
			}
			x.Note("both")
			x.Do(listGroups(v, []string{"Stable"}, []string{"classic"}))
			x.Do(listGroups(v, []string{"Stable"}, []string{"consumer"}))
		}
		end()
	})
	s.add(Wrong, "", func(x *Script) {
		if v >= 4 {
			for _, states := range [][]string{{"NoSuchState"}, {""}, {"Stable", "NoSuchState"}, {"Assigning"}, {"Reconciling"}, {"NotReady"}, {"Unknown"}} {
				x.Do(listGroups(v, states, nil))
			}
		}
		if v >= 5 {
			for _, types := range [][]string{{"no-such-type"}, {""}, {"classic", "no-such-type"}, {"unknown"}} {
				x.Do(listGroups(v, nil, types))
			}
		}
		x.Note("bytes behind its end")
		x.On(0).Body(keyListGroups, v, v >= 3, []byte{0x7f, 0xff, 0xff, 0xff})
	})
	s.malformed(func(x *Script) kmsg.Request { return listGroups(v, []string{"NoSuchState"}, []string{"share"}) })
	return s
}

func deleteGroupsCases(v int16) *suite {
	s := newSuite(keyDeleteGroups, v)
	s.add(Ordinary, "", func(x *Script) {
		t := x.Topic("t", 1)
		m := x.member(x.Group("g"), 1, newJoin).alone()
		m.commit(commits(t, 0, 5))
		m.leave()
		x.Do(deleteGroups(v, m.group))
		x.Do(describeGroups(5, m.group))
		x.Do(offsetFetch(7, m.group, committed(t, 0)))
	})
	s.add(Boundary, "", func(x *Script) {
		t := x.Topic("t", 1)
		a, b := x.Group("a"), x.Group("b")
		x.Do(offsetCommit(7, a, commits(t, 0, 5)))
		x.Do(offsetCommit(7, b, commits(t, 0, 5)))
		x.Note("none")
		x.Do(deleteGroups(v))
		x.Note("two and one that is not there")
		x.Do(deleteGroups(v, a, x.Group("unknown"), b))
		x.Note("again")
		x.Do(deleteGroups(v, a))
		x.Do(offsetCommit(7, a, commits(t, 0, 6)))
		x.Do(offsetFetch(7, a))
	})
	s.add(Wrong, "", func(x *Script) {
		x.Note("empty group")
		x.Do(deleteGroups(v, ""))
		x.Note("unknown group")
		x.Do(deleteGroups(v, x.Group("unknown")))
		names, end := x.population()
		for _, name := range names[:3] {
			x.Do(deleteGroups(v, name))
		}
		x.Note("pending")
		x.Do(deleteGroups(v, names[6]))
		x.Note("a live one between others")
		x.Do(deleteGroups(v, "", names[0], names[3], x.Name("unknown")))
		end()
	})
	s.malformed(func(x *Script) kmsg.Request { return deleteGroups(v, absentGroup) })
	return s
}
