package diff

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupSequence is a sequence on the broker for groups.
func groupSequence(name string, run func(*Script)) Case { return on1(groupsBroker, name, run) }

// on1 is a sequence about groups on a broker of that name.
func on1(broker, name string, run func(*Script)) Case {
	c := sequence("group-"+name, run)
	c.Broker = broker
	return c
}

// show describes a group in the newest version, and an old one for what only that says.
func (s *Script) show(group string) {
	s.Do(describeGroups(6, group))
}

func groupSequences() []Case {
	var all []Case
	// A whole life at each version of JoinGroup, with the versions of the other APIs that clients of that age speak.
	for v := range int16(len(eras)) {
		all = append(all, groupSequence(fmt.Sprintf("life-v%d", v), func(x *Script) {
			t := x.Topic("t", 2)
			g := x.Group("g")
			a, b, c := x.member(g, 1, v, speaking("range="+subscribes(t))), x.member(g, 2, v, speaking("range="+subscribes(t))), x.member(g, 3, v, speaking("range="+subscribes(t)))
			a.alone()
			a.commit(commits(t, 0, 1), commits(t, 1, 2))
			b.enters(a)
			x.Do(describeGroups(5, g))
			b.commit(commits(t, 1, 3))
			c.enters(a, b)
			x.Do(describeGroups(5, g))
			c.leave()
			x.Note("a follower left")
			b.heartbeat()
			bj := b.startJoin()
			a.joined(a.startJoin())
			b.joined(bj)
			x.assign(a, b)
			a.leave()
			x.Note("the leader left")
			b.heartbeat()
			b.join()
			b.sync(b.gets("all"))
			x.Do(describeGroups(5, g))
			a.heartbeat()
			a.commit(commits(t, 0, 9))
			b.leave()
			x.Do(describeGroups(5, g))
			x.Do(offsetFetch(eras[v].fetch, g, committed(t, 0, 1)))
		}))
	}
	for _, v := range []int16{oldJoin, midJoin, newJoin} {
		all = append(all, groupSequence(fmt.Sprintf("mixed-v%d-v%d", v, newJoin-v/2), func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, v), x.member(g, 2, newJoin-v/2)
			a.alone()
			b.enters(a)
			a.heartbeat()
			x.show(g)
		}))
	}
	return append(all, rebalanceSequences()...)
}

func rebalanceSequences() []Case {
	return []Case{
		groupSequence("id-required", func(x *Script) {
			g := x.Group("g")
			x.keep(g)
			first := x.member(g, 1, newJoin)
			resp := x.On(1).Do(first.joinRequest()).(*kmsg.JoinGroupResponse)
			x.show(g)
			x.Do(listGroups(5, nil, nil))
			x.Note("another one begins")
			other := x.On(2).Do(x.member(g, 2, newJoin).joinRequest()).(*kmsg.JoinGroupResponse)
			x.Note("with an id that nobody was given")
			x.Do(joinGroup(newJoin, g, clientID+"-00000000-0000-4000-8000-000000000000", "range=x"))
			x.Note("a heartbeat by the id")
			x.Do(heartbeat(4, g, -1, resp.MemberID))
			x.Do(heartbeat(4, g, 0, resp.MemberID))
			x.Note("a sync by the id")
			x.Do(syncGroup(4, g, 0, resp.MemberID))
			x.Note("a commit by the id")
			commit := offsetCommit(8, g, commits(absentTopic, 0, 1))
			commit.Generation, commit.MemberID = 0, resp.MemberID
			x.Do(commit)
			first.id = resp.MemberID
			first.join()
			x.show(g)
			first.sync(first.gets("all"))
			x.Note("the other leaves before it came in")
			x.Do(leaveGroup(5, g, leaver(other.MemberID, "")))
			x.Note("and is unknown then")
			x.Do(joinGroup(newJoin, g, other.MemberID, "range=x"))
			first.heartbeat()
			x.Note("an old client needs no id")
			old := x.member(g, 3, 3)
			old.enters(first)
		}),
		groupSequence("id-of-another-client", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, newJoin).alone()
			x.Note("from another connection")
			x.Do(a.heartbeatRequest())
			req := a.joinRequest()
			x.Note("joins from another connection")
			x.Do(req)
			x.show(g)
		}),
		groupSequence("unchanged-join", func(x *Script) {
			for _, v := range []int16{oldJoin, midJoin, newJoin} {
				g := x.Group(fmt.Sprintf("g%d", v))
				a, b := x.member(g, 1, v), x.member(g, 2, v)
				a.alone()
				b.enters(a)
				x.Note("a follower joins again, nothing changed")
				b.join()
				b.heartbeat()
				x.Note("the leader joins again, nothing changed")
				aj := a.startJoin()
				x.reaches(g, "PreparingRebalance", 2)
				b.heartbeat()
				b.joined(b.startJoin())
				a.joined(aj)
				x.assign(a, b)
			}
		}),
		groupSequence("changed-join", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, newJoin)
			a.alone()
			b.enters(a)
			b.protocols = []string{"range=something else"}
			x.Note("a follower with other metadata")
			bj := b.startJoin()
			x.reaches(g, "PreparingRebalance", 2)
			a.heartbeat()
			a.joined(a.startJoin())
			b.joined(bj)
			x.show(g)
			x.Note("a member joins while the rebalance completes, nothing changed")
			b.join()
			x.Note("the leader too")
			a.join()
			b.protocols = []string{"range=a third"}
			x.Note("a member joins while the rebalance completes, with other metadata")
			bj = b.startJoin()
			x.reaches(g, "PreparingRebalance", 2)
			x.Note("the leader, who was about to assign")
			a.sync(a.gets("x"))
			a.joined(a.startJoin())
			b.joined(bj)
			x.assign(a, b)
			x.show(g)
		}),
		groupSequence("join-while-completing", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, midJoin)
			a.join()
			bj := b.parks(2)
			x.Note("the leader's assignment comes too late")
			a.sync(a.gets("x"))
			a.heartbeat()
			a.joined(a.startJoin())
			b.joined(bj)
			x.assign(a, b)
		}),
		groupSequence("sync-parked", func(x *Script) {
			g := x.Group("g")
			a, b, c := x.member(g, 1, newJoin), x.member(g, 2, newJoin), x.member(g, 3, newJoin)
			a.alone()
			in := b.parks(2)
			a.heartbeat()
			a.joined(a.startJoin())
			b.joined(in)
			bs := b.startSync()
			x.Note("another one joins while a follower waits for its share")
			cj := c.parks(3)
			bs.Answer()
			x.rejoin(cj, c, a, b)
		}),
		groupSequence("sync-parked-leaves", func(x *Script) {
			g := x.Group("g")
			a, b, c := x.member(g, 1, newJoin), x.member(g, 2, newJoin), x.member(g, 3, newJoin)
			a.alone()
			b.enters(a)
			cj := c.parks(3)
			aj, bj := a.startJoin(), b.startJoin()
			c.joined(cj)
			a.joined(aj)
			b.joined(bj)
			bs, cs := b.startSync(), c.startSync()
			x.Do(leaveGroup(5, g, leaver(b.id, "")))
			x.Note("another one waits, too")
			cs.Answer()
			a.heartbeat()
			x.show(g)
			bs.Answer()
		}),
		groupSequence("protocol-twice", func(x *Script) {
			g := x.Group("g")
			x.On(1).Do(joinGroup(oldJoin, g, "", "range=1", "range=2"))
			x.show(g)
		}),
		groupSequence("join-parked-leaves", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, newJoin)
			a.alone()
			in := b.parks(2)
			x.Note("a member leaves while its join waits")
			x.Do(leaveGroup(5, g, leaver(b.id, "")))
			in.Answer()
			x.show(g)
			a.heartbeat()
			a.join()
			a.sync(a.gets("all"))
			in = x.member(g, 3, oldJoin).parks(2)
			x.Note("the only other one leaves while a join waits")
			a.leave()
			in.Answer()
			x.show(g)
		}),
		groupSequence("vote", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, newJoin, speaking("range=a", "sticky=a", "roundrobin=a"))
			b := x.member(g, 2, newJoin, speaking("sticky=b", "roundrobin=b"))
			c := x.member(g, 3, newJoin, speaking("range=c", "roundrobin=c", "sticky=c"))
			a.alone()
			x.show(g)
			b.enters(a)
			x.show(g)
			c.enters(a, b)
			x.show(g)
			b.leave()
			cj := c.startJoin()
			a.joined(a.startJoin())
			c.joined(cj)
			x.assign(a, c)
			x.show(g)
		}),
		groupSequence("inconsistent", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, newJoin, speaking("range=a", "roundrobin=a"))
			b := x.member(g, 2, newJoin, speaking("roundrobin=b"))
			a.alone()
			b.enters(a)
			for _, v := range []int16{oldJoin, midJoin, newJoin} {
				x.Note("no protocol of all")
				x.On(3).Do(joinGroup(v, g, "", "range=c", "sticky=c"))
			}
			x.Note("a member drops the only common protocol")
			b.protocols = []string{"sticky=b"}
			x.On(2).Do(b.joinRequest())
			b.protocols = []string{"roundrobin=b"}
			x.Note("a member changes the protocol type")
			b.kind = "connect"
			x.On(2).Do(b.joinRequest())
			b.kind = "consumer"
			b.heartbeat()
			b.leave()
			a.leave()
			x.Note("an empty group takes any protocol type")
			x.member(g, 4, newJoin, ofKind("connect"), speaking("v2=c")).alone()
			x.show(g)
		}),
		groupSequence("cooperative", func(x *Script) {
			g := x.Group("g")
			t := x.Topic("t", 4)
			meta := "cooperative-sticky=" + subscribes(t)
			a, b := x.member(g, 1, newJoin, speaking(meta)), x.member(g, 2, newJoin, speaking(meta))
			a.alone()
			b.enters(a)
			a.protocols = []string{meta + "gave two up"}
			x.Note("the leader gave partitions up and joins again at once")
			aj := a.startJoin()
			x.reaches(g, "PreparingRebalance", 2)
			a.commitPark(t)
			b.joined(b.startJoin())
			a.joined(aj)
			x.assign(a, b)
			x.show(g)
		}),
		groupSequence("three-leave-at-once", func(x *Script) {
			g := x.Group("g")
			a, b, c := x.member(g, 1, newJoin), x.member(g, 2, midJoin), x.member(g, 3, oldJoin)
			a.alone()
			b.enters(a)
			c.enters(a, b)
			x.Do(leaveGroup(3, g, leaver(b.id, ""), leaver(c.id, ""), leaver(a.id, "")))
			x.show(g)
			for _, m := range []*member{a, b, c} {
				m.heartbeat()
			}
			x.Note("the group begins again, its generations go on")
			a.id = ""
			a.alone()
			x.show(g)
		}),
		groupSequence("states", func(x *Script) {
			g := x.Group("g")
			t := x.Topic("t", 1)
			a, b := x.member(g, 1, newJoin), x.member(g, 2, newJoin)
			every := func(about string) {
				x.Note(about)
				a.heartbeat()
				a.commit(commits(t, 0, 5))
				x.Do(offsetCommit(8, g, commits(t, 0, 6)))
				x.Do(listGroups(5, nil, nil))
				x.show(g)
				x.Do(deleteGroups(2, g))
				x.Do(offsetDelete(g, committed(t, 0)))
			}
			every("dead")
			a.join()
			every("completing")
			a.sync(a.gets("all"))
			every("stable")
			in := b.parks(2)
			every("preparing")
			x.rejoin(in, b, a)
			b.leave()
			every("preparing, nobody waits")
			a.join()
			a.sync(a.gets("all"))
			a.leave()
			every("empty, then deleted")
			every("deleted")
		}),
		groupSequence("leave-batch", func(x *Script) {
			for _, v := range []int16{3, 4, 5} {
				g := x.Group(fmt.Sprintf("g%d", v))
				a, b, c := x.member(g, 1, newJoin, static("a")), x.member(g, 2, newJoin, static("b")), x.member(g, 3, newJoin)
				a.alone()
				b.enters(a)
				c.enters(a, b)
				x.Note("by instance, by member, unknown ones")
				x.Do(leaveGroup(v, g, leaver("", "b"), leaver(c.id, ""), leaver("", "nobody"), leaver("nobody", ""), leaver(c.id, "a"), leaver("", "b")))
				x.show(g)
				x.Note("a fenced one would take all others with it")
				a.heartbeat()
			}
		}),
		groupSequence("connect", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, 6, ofKind("connect"), speaking("sessioned=a", "compatible=a"))
			b := x.member(g, 2, 6, ofKind("connect"), speaking("compatible=b"))
			a.alone()
			b.enters(a)
			x.show(g)
			x.Do(listGroups(4, nil, nil))
			s := x.member(x.Group("sr"), 3, newJoin, ofKind("sr"), speaking("v0=")).alone()
			x.show(s.group)
		}),
		groupSequence("large", func(x *Script) {
			g := x.Group("g")
			big := make([]byte, 200_000)
			for i := range big {
				big[i] = 'm'
			}
			a := x.member(g, 1, newJoin, speaking("range="+string(big[:1000])))
			a.join()
			a.sync(a.gets(string(big[:1000])))
			a.sync()
			b := x.member(g, 2, newJoin, speaking("range="+string(big)))
			b.parks(2)
			x.Note("a member with a lot to say")
			a.heartbeat()
		}),
	}
}

// commitPark commits on another connection than the one the member waits on.
func (m *member) commitPark(t Topic) { m.x.On(m.conn + 100).Do(m.commitRequest(commits(t, 0, 7))) }
