package diff

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// again returns a static member as it comes back after a restart: it knows its instance and nothing else.
func (m *member) again(conn int) *member {
	n := *m
	n.conn, n.id, n.generation, n.protocol, n.leader = conn, "", -1, nil, false
	return &n
}

func staticSequences() []Case {
	all := []Case{
		groupSequence("static-fenced", func(x *Script) {
			g := x.Group("g")
			t := x.Topic("t", 1)
			a, b := x.member(g, 1, newJoin, static("a")), x.member(g, 2, newJoin, static("b"))
			a.alone()
			b.enters(a)
			n := b.again(3)
			x.Note("a follower comes back")
			n.join()
			n.sync()
			x.show(g)
			x.Note("the old one is fenced everywhere")
			b.heartbeat()
			b.sync()
			b.commit(commits(t, 0, 5))
			x.On(2).Do(b.joinRequest())
			b.leave()
			x.Note("and unknown without its instance")
			bare := *b
			bare.instance = nil
			bare.heartbeat()
			bare.sync()
			bare.commit(commits(t, 0, 5))
			x.On(2).Do(bare.joinRequest())
			bare.leave()
			x.Note("the new one is not")
			n.heartbeat()
			n.commit(commits(t, 0, 6))
			a.heartbeat()
			x.Note("without its instance it is let in, too")
			bare = *n
			bare.instance = nil
			bare.heartbeat()
			bare.commit(commits(t, 0, 7))
			x.show(g)
		}),
		groupSequence("static-changed", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, static("a")), x.member(g, 2, newJoin, static("b"), speaking("range=b", "sticky=b"))
			a.protocols = []string{"range=a", "sticky=a"}
			a.alone()
			b.enters(a)
			n := b.again(3)
			n.protocols = []string{"range=other words", "sticky=b"}
			x.Note("comes back with other metadata, which changes no vote")
			n.join()
			n.sync()
			a.heartbeat()
			x.show(g)
			n = n.again(4)
			n.protocols = []string{"sticky=b"}
			x.Note("comes back with a protocol that the group had not chosen")
			nj := n.startJoin()
			x.reaches(g, "PreparingRebalance", 2)
			a.heartbeat()
			a.joined(a.startJoin())
			n.joined(nj)
			x.assign(a, n)
			x.show(g)
			a.protocols = []string{"sticky=a"}
			n = n.again(5)
			n.protocols = []string{"range=no common protocol"}
			x.Note("comes back without the chosen protocol")
			x.On(5).Do(n.joinRequest())
			a.heartbeat()
			x.show(g)
		}),
		groupSequence("static-while-preparing", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, static("a")), x.member(g, 2, newJoin, static("b"))
			a.alone()
			parked := b.parks(2)
			n := b.again(3)
			x.Note("comes back while its join waits")
			nj := n.startJoin()
			parked.Answer()
			a.heartbeat()
			a.joined(a.startJoin())
			n.joined(nj)
			x.assign(a, n)
			x.show(g)
		}),
		groupSequence("static-while-completing", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, static("a")), x.member(g, 2, newJoin, static("b"))
			a.alone()
			in := b.parks(2)
			a.heartbeat()
			a.joined(a.startJoin())
			b.joined(in)
			bs := b.startSync()
			n := b.again(3)
			x.Note("comes back while its sync waits")
			nj := n.startJoin()
			x.reaches(g, "PreparingRebalance", 2)
			bs.Answer()
			a.heartbeat()
			a.joined(a.startJoin())
			n.joined(nj)
			x.assign(a, n)
			x.show(g)
		}),
		groupSequence("static-rejoins", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, static("a")), x.member(g, 2, newJoin, static("b"))
			a.alone()
			b.enters(a)
			x.Note("with its member id, nothing changed")
			b.join()
			b.heartbeat()
			x.Note("the instance with the member id of another")
			req := b.joinRequest()
			req.MemberID = a.id
			x.On(2).Do(req)
			hb := b.heartbeatRequest()
			hb.MemberID = a.id
			x.On(2).Do(hb)
			x.Note("an unknown instance with a known member")
			hb.InstanceID = ptr("c")
			x.On(2).Do(hb)
			x.Note("no member id")
			hb.InstanceID, hb.MemberID = ptr("b"), ""
			x.On(2).Do(hb)
			x.Note("a dynamic member under the same client id")
			d := x.member(g, 2, newJoin)
			resp := d.does(d.joinRequest()).(*kmsg.JoinGroupResponse)
			x.Do(leaveGroup(4, g, leaver(resp.MemberID, "")))
			x.show(g)
		}),
		groupSequence("static-leaves", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, static("a")), x.member(g, 2, newJoin, static("b"))
			a.alone()
			b.enters(a)
			x.Note("by its instance alone")
			x.Do(leaveGroup(4, g, leaver("", "b")))
			b.heartbeat()
			a.heartbeat()
			n := b.again(3)
			x.Note("and comes as a new one")
			nj := n.startJoin()
			x.reaches(g, "PreparingRebalance", 2)
			a.joined(a.startJoin())
			n.joined(nj)
			x.assign(a, n)
			x.Note("the leader leaves by its instance alone")
			x.Do(leaveGroup(3, g, leaver("", "a")))
			n.heartbeat()
			n.join()
			n.sync(n.gets("all"))
			x.show(g)
			x.Note("by an old version, which knows no instances")
			x.Do(leaveGroup(2, g, leaver(n.id, "")))
			x.show(g)
		}),
		groupSequence("static-new-group", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, midJoin, static("a")).alone()
			x.Do(leaveGroup(3, g, leaver("", "a")))
			x.show(g)
			n := a.again(2)
			x.Note("the first again")
			n.alone()
			x.show(g)
			x.Note("one that was there, in an empty group")
			x.Do(leaveGroup(3, g, leaver("", "a")))
			x.On(3).Do(n.joinRequest())
		}),
	}
	for _, v := range []int16{5, 7, 8, 9} {
		all = append(all, groupSequence(fmt.Sprintf("static-leader-v%d", v), func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, v, static("a")), x.member(g, 2, v, static("b"))
			a.alone()
			b.enters(a)
			n := a.again(3)
			x.Note("the leader comes back")
			n.join()
			x.show(g)
			b.heartbeat()
			n.heartbeat()
			x.Note("whatever it assigns now")
			n.sync(n.gets("new share 0"), b.gets("new share 1"))
			b.sync()
			x.show(g)
			x.Note("joins once more, with its new id")
			nj := n.startJoin()
			x.reaches(g, "PreparingRebalance", 2)
			b.joined(b.startJoin())
			n.joined(nj)
			b.leader = !n.leader
			x.assign(n, b)
			x.show(g)
		}))
	}
	return all
}
