package diff

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// shareKey names the state of one partition of a share group.
const shareKey = "some-group:3q0AAAAAQACAAAAAAAAAAQ:0"

// settled waits until a broker has decided on a coordinator, which Kafka's does by making a topic for them.
func (s *Script) settled(kind int8, key string) {
	for {
		resp, ok := s.quiet(findCoordinator(6, kind, key)).(*kmsg.FindCoordinatorResponse)
		if !ok || len(resp.Coordinators) != 1 || !comesUp(resp.Coordinators[0].ErrorCode) {
			return
		}
		s.later("a coordinator of kind " + key)
	}
}

func findCoordinatorCases(v int16) *suite {
	s := newSuite(keyFindCoordinator, v)
	s.add(Ordinary, "", func(x *Script) {
		x.Do(findCoordinator(v, coordinateGroup, x.Name("g")))
		x.Do(findCoordinator(v, coordinateGroup, absentGroup))
	})
	s.add(Boundary, "", func(x *Script) {
		x.Note("empty group")
		x.Do(findCoordinator(v, coordinateGroup, ""))
		x.Note("long group")
		x.Do(findCoordinator(v, coordinateGroup, strings.Repeat("g", 1000)))
		x.Note("group that is no topic name")
		x.Do(findCoordinator(v, coordinateGroup, "a group/ü:\x01"))
		if v >= 4 {
			x.Note("several")
			x.Do(findCoordinator(v, coordinateGroup, "b", "a", "", "c"))
			x.Note("one twice")
			x.Do(findCoordinator(v, coordinateGroup, "a", "a"))
			x.Note("none")
			x.Do(findCoordinator(v, coordinateGroup))
		}
	})
	s.add(Boundary, "transactions", func(x *Script) {
		x.settled(coordinateTransaction, "some-transaction")
		x.Do(findCoordinator(v, coordinateTransaction, "some-transaction"))
		x.Note("empty")
		x.Do(findCoordinator(v, coordinateTransaction, ""))
		if v >= 4 {
			x.Note("several")
			x.Do(findCoordinator(v, coordinateTransaction, "a", "", "b"))
		}
	})
	s.add(Boundary, "shares", func(x *Script) {
		x.settled(coordinateShare, shareKey)
		x.Do(findCoordinator(v, coordinateShare, shareKey))
	})
	s.add(Wrong, "shares", func(x *Script) {
		for _, key := range []string{"", "some-group", "g:not-an-id:0", ":3q0AAAAAQACAAAAAAAAAAQ:0", "g:3q0AAAAAQACAAAAAAAAAAQ:x", "g:3q0AAAAAQACAAAAAAAAAAQ:-1"} {
			x.Note(key)
			x.Do(findCoordinator(v, coordinateShare, key))
		}
	})
	s.add(Wrong, "", func(x *Script) {
		for _, kind := range []int8{3, 99, -1, -128, 127} {
			x.Do(findCoordinator(v, kind, absentGroup))
		}
		if v >= 4 {
			x.Do(findCoordinator(v, 9, "a", "b"))
			x.Note("none of an unknown kind")
			x.Do(findCoordinator(v, 9))
		}
	})
	s.malformed(func(x *Script) kmsg.Request { return findCoordinator(v, coordinateGroup, absentGroup) })
	return s
}
