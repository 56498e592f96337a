package diff

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// restartGroups restarts the broker and waits until the groups have coordinators again.
func (s *Script) restartGroups(groups ...string) {
	s.Restart()
	if err := warmGroups(s.target); err != nil {
		panic(err)
	}
	for _, g := range groups {
		s.coordinated(g)
	}
	s.listed()
}

// listed waits until groups can be listed, for which all of their partitions have to be loaded.
func (s *Script) listed() {
	for {
		resp, ok := s.quiet(kmsg.NewPtrListGroupsRequest()).(*kmsg.ListGroupsResponse)
		if !ok {
			panic("no answer while waiting for the list of groups")
		}
		if !comesUp(resp.ErrorCode) {
			s.waiting = time.Time{}
			return
		}
		s.later("the list of groups")
	}
}

func restartGroupSequences() []Case {
	return []Case{
		groupSequence("restart-stable", func(x *Script) {
			g := x.Group("g")
			t := x.Topic("t", 2)
			a, b := x.member(g, 1, newJoin, speaking("range=a", "sticky=a")), x.member(g, 2, oldJoin)
			a.alone()
			b.enters(a)
			a.commit(commits(t, 0, 5).with("a note").at(0), commits(t, 1, 6))
			b.commit(commits(t, 1, 7))
			x.show(g)
			x.restartGroups(g)
			x.Note("members go on as if nothing was")
			x.show(g)
			a.heartbeat()
			b.heartbeat()
			a.sync()
			b.sync()
			x.Do(offsetFetch(9, g))
			a.commit(commits(t, 0, 8))
			x.Do(heartbeat(4, g, b.generation, "nobody"))
			x.Note("a follower joins again, nothing changed")
			b.join()
			c := x.member(g, 3, newJoin)
			c.enters(a, b)
			x.show(g)
		}),
		groupSequence("restart-static", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, static("a")), x.member(g, 2, newJoin, static("b"))
			a.alone()
			b.enters(a)
			x.restartGroups(g)
			n := b.again(3)
			x.Note("a follower comes back, nothing changed")
			n.join()
			n.sync()
			b.heartbeat()
			x.restartGroups(g)
			x.Note("who it is outlived another restart")
			b.heartbeat()
			n.heartbeat()
			l := a.again(4)
			x.Note("the leader comes back")
			l.join()
			l.sync()
			x.show(g)
		}),
		groupSequence("restart-while-preparing", func(x *Script) {
			g := x.Group("g")
			pending := x.Group("pending")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, oldJoin)
			a.alone()
			b.parks(2)
			p := x.member(pending, 3, newJoin)
			resp := p.does(p.joinRequest()).(*kmsg.JoinGroupResponse)
			x.restartGroups(g, pending)
			x.Note("the rebalance is forgotten")
			x.show(g)
			a.heartbeat()
			b.enters(a)
			x.Note("so is a member that was sent back for an id")
			p.id = resp.MemberID
			x.On(3).Do(p.joinRequest())
			x.show(pending)
		}),
		groupSequence("restart-while-completing", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, newJoin)
			a.alone()
			in := b.parks(2)
			a.joined(a.startJoin())
			b.joined(in)
			first := x.member(x.Group("first"), 3, newJoin)
			first.join()
			x.restartGroups(g, first.group)
			x.Note("back in the generation before")
			x.show(g)
			a.heartbeat()
			b.heartbeat()
			a.sync(a.gets("1"), b.gets("2"))
			x.Note("a group whose first assignment never came")
			x.show(first.group)
			first.heartbeat()
			first.sync(first.gets("all"))
			x.On(1).Do(a.joinRequest())
		}),
		groupSequence("restart-offsets", func(x *Script) {
			t, gone := x.Topic("t", 2), x.Topic("gone", 1)
			simple, empty, deleted := x.Group("simple"), x.Group("empty"), x.Group("deleted")
			x.Do(offsetCommit(9, simple, commits(t, 0, 5).with("a note").at(3), commits(gone, 0, 7)))
			x.Do(offsetCommit(9, deleted, commits(t, 0, 5)))
			m := x.member(empty, 1, newJoin).alone()
			m.commit(commits(t, 0, 8), commits(t, 1, 9))
			m.leave()
			x.Do(deleteGroups(2, deleted))
			x.Do(offsetDelete(empty, committed(t, 1)))
			x.quiet(deleteTopics(6, gone.Name))
			x.waitFor("the offset of a deleted topic to go", func() bool { return x.offsetOf(simple, gone, 0) == -1 })
			x.restartGroups(simple, empty, deleted)
			x.await(t.Name, 2)
			for _, g := range []string{simple, empty, deleted} {
				x.Do(offsetFetch(9, g))
				x.show(g)
			}
			x.Do(listGroups(5, nil, nil))
			x.Note("the generations of an empty group go on")
			m.id = ""
			m.alone()
		}),
	}
}
