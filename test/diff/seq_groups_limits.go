package diff

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// limited is a sequence on the broker with Kafka's own delay and session limits, and groups of two at most.
func limited(name string, run func(*Script)) Case { return on1(delayBroker, name, run) }

// initialDelay is group.initial.rebalance.delay.ms, which nobody sets on that broker.
const initialDelay = 3 * time.Second

// held says that the answer should take this long; whether it did is recorded with it.
func (p *Pending) held(d time.Duration) *Pending { p.maxWait = d; return p }

func limitSequences() []Case {
	return []Case{
		limited("delay-one", func(x *Script) {
			for _, v := range []int16{0, midJoin, newJoin} {
				a := x.member(x.Group(fmt.Sprintf("g%d", v)), int(v), v)
				a.joined(a.startJoin().held(initialDelay))
				a.sync(a.gets("all"))
				x.Note("a stable group waits for nothing")
				a.joined(a.startJoin().held(initialDelay))
			}
		}),
		limited("delay-two", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, oldJoin)
			aj := a.parks(1).held(initialDelay)
			x.show(g)
			bj := b.startJoin().held(initialDelay)
			a.joined(aj)
			b.joined(bj)
			x.Note("both are in the first generation")
			x.assign(a, b)
			x.show(g)
		}),
		limited("delay-static", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, newJoin, static("a"))
			aj := a.parks(1)
			n := a.again(2)
			x.Note("a static member comes back during the delay")
			nj := n.startJoin().held(initialDelay)
			aj.Answer()
			n.joined(nj)
			n.sync(n.gets("all"))
			x.show(g)
		}),
		limited("delay-left", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, 3)
			aj := a.parks(1)
			resp := x.quiet(describeGroups(5, g)).(*kmsg.DescribeGroupsResponse)
			x.Do(leaveGroup(1, g, leaver(resp.Groups[0].Members[0].MemberID, "")))
			aj.Answer()
			x.show(g)
			x.reaches(g, "Empty", 0)
			x.show(g)
		}),
		limited("delay-after-empty", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, newJoin)
			a.joined(a.startJoin().held(initialDelay))
			a.sync(a.gets("all"))
			a.leave()
			a.id = ""
			x.Note("empty again: the delay counts again")
			a.joined(a.startJoin().held(initialDelay))
			a.sync(a.gets("all"))
		}),
		limited("delay-short-rebalance", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, newJoin, patient(6*time.Second, time.Second))
			x.Note("a rebalance time-out shorter than the delay")
			a.joined(a.startJoin().held(initialDelay))
		}),
		limited("session-limits", func(x *Script) {
			g := x.Group("g")
			for _, v := range []int16{0, midJoin, newJoin} {
				for _, ms := range []int32{5_999, 1_800_001, 0, -1, 1<<31 - 1} {
					req := joinGroup(v, g, "", "range=x")
					req.SessionTimeoutMillis = ms
					x.Do(req)
				}
			}
			x.show(g)
			for _, ms := range []int32{6_000, 1_800_000} {
				req := joinGroup(newJoin, g, "", "range=x")
				req.SessionTimeoutMillis = ms
				resp := x.Do(req).(*kmsg.JoinGroupResponse)
				x.Do(leaveGroup(5, g, leaver(resp.MemberID, "")))
			}
		}),
		limited("full", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, newJoin, static("b"))
			a.alone()
			b.enters(a)
			third := func(about string) {
				for _, v := range []int16{oldJoin, midJoin, newJoin} {
					x.Note(about)
					x.On(3).Do(joinGroup(v, g, "", "range=c"))
				}
				req := joinGroup(newJoin, g, "", "range=c")
				req.InstanceID = ptr("c")
				x.Note(about + ", static")
				x.On(3).Do(req)
			}
			third("a third one")
			x.show(g)
			x.Note("a static member may come back")
			b.again(4).join()
			a.heartbeat()
			aj := a.startJoin()
			x.reaches(g, "PreparingRebalance", 2)
			x.Note("a third one while a rebalance is prepared, in which only one member has joined again")
			resp := x.On(3).Do(joinGroup(newJoin, g, "", "range=c")).(*kmsg.JoinGroupResponse)
			x.Do(leaveGroup(5, g, leaver(resp.MemberID, "")))
			b.joined(b.startJoin())
			a.joined(aj)
			x.assign(a, b)
			b.leaveFor()
			x.Note("there is room again")
			c := x.member(g, 5, oldJoin)
			in := c.parks(2)
			x.rejoin(in, c, a)
			x.show(g)
		}),
		limited("full-of-pending", func(x *Script) {
			g := x.Group("g")
			var ids []string
			for i := range 3 {
				m := x.member(g, i+1, newJoin)
				x.Note("wants an id")
				ids = append(ids, m.does(m.joinRequest()).(*kmsg.JoinGroupResponse).MemberID)
			}
			var joins []*Pending
			for i, id := range ids {
				m := x.member(g, i+1, newJoin)
				m.id = id
				joins = append(joins, m.startJoin())
				if i < 2 {
					x.reaches(g, "PreparingRebalance", i+1)
				}
			}
			joins[2].Answer()
			joins[0].Answer()
			joins[1].Answer()
		}),
	}
}

// leaveFor lets a static member leave for good.
func (m *member) leaveFor() { m.does(leaveGroup(5, m.group, leaver("", *m.instance))) }
