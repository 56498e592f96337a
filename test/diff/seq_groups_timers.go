package diff

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// timed is a sequence on the broker whose sessions may be short.
func timed(name string, run func(*Script)) Case { return on1(timersBroker, name, run) }

// short is a session that ends while a script waits for it. A lasting one ends in no script.
const (
	short   = 1500 * time.Millisecond
	lasting = 10 * time.Minute
)

// pass lets time go by, with something to be done again and again.
func (s *Script) pass(d time.Duration, every time.Duration, do func()) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		do()
		time.Sleep(every)
	}
}

// expires waits until something is gone and records whether it went too early: less than least after since. It may take half a minute more.
func (s *Script) expires(what string, since time.Time, least time.Duration, gone func() bool) {
	for !gone() {
		if time.Since(since) > least+30*time.Second {
			s.record(Answer{Request: "wait for " + what, Outcome: "in vain"})
			return
		}
		time.Sleep(10 * pollPause)
	}
	early := time.Since(since) < least-time.Second // what is counted from is a moment before the script learns of it
	s.record(Answer{Request: "wait for " + what, Leaves: []Leaf{{"", "early", strconv.FormatBool(early)}}})
}

// elected learns from the answer to a join, which is not recorded because it depends on who was elected.
func (m *member) elected(p *Pending) {
	recorded := len(m.x.answers)
	m.joined(p)
	m.x.answers = m.x.answers[:recorded]
}

// retention is offsets.retention.minutes of the broker.
const retention = time.Minute

func timerSequences() []Case {
	all := []Case{
		timed("session-of-the-only-one", func(x *Script) {
			for _, v := range []int16{0, midJoin, newJoin} {
				g := x.Group(fmt.Sprintf("g%d", v))
				x.keep(g)
				a := x.member(g, 1, v, patient(short, lasting)).alone()
				a.heartbeat()
				x.reaches(g, "Empty", 0)
				x.Note("its session ended")
				a.heartbeat()
				a.sync()
				x.On(1).Do(a.joinRequest())
				x.show(g)
			}
		}),
		timed("session-of-a-follower", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, patient(lasting, lasting)), x.member(g, 2, newJoin, patient(short, lasting))
			a.alone()
			b.enters(a)
			x.reaches(g, "PreparingRebalance", 1)
			x.Note("the other's session ended")
			a.heartbeat()
			b.heartbeat()
			a.join()
			a.sync(a.gets("all"))
			x.show(g)
		}),
		timed("session-of-the-leader", func(x *Script) {
			g := x.Group("g")
			a, b, c := x.member(g, 1, newJoin, patient(4*time.Second, lasting)), x.member(g, 2, newJoin, patient(lasting, lasting)), x.member(g, 3, newJoin, patient(lasting, lasting))
			a.alone()
			b.enters(a)
			c.enters(a, b)
			x.reaches(g, "PreparingRebalance", 2)
			b.heartbeat()
			bj, cj := b.startJoin(), c.startJoin()
			b.elected(bj)
			c.elected(cj)
			// Which of them leads is chance in Kafka. That they agree is not.
			x.record(Answer{Request: "election", Leaves: []Leaf{
				{"", "one-leader", strconv.FormatBool(b.leader != c.leader)},
				{"", "generations", fmt.Sprint(b.generation, ",", c.generation)},
			}})
			x.Note("the old leader")
			a.heartbeat()
			a.sync()
		}),
		timed("heartbeats-keep-alive", func(x *Script) {
			g := x.Group("g")
			a := x.member(g, 1, newJoin, patient(2*time.Second, lasting)).alone()
			x.pass(4*time.Second, 300*time.Millisecond, func() { x.quiet(a.heartbeatRequest()) })
			x.Note("kept alive by heartbeats")
			a.heartbeat()
			t := x.Topic("t", 1)
			x.pass(4*time.Second, 300*time.Millisecond, func() { x.quiet(a.commitRequest(commits(t, 0, 1))) })
			x.Note("kept alive by commits")
			a.heartbeat()
			x.pass(4*time.Second, 300*time.Millisecond, func() { x.quiet(a.syncRequest()) })
			x.Note("kept alive by syncs")
			a.heartbeat()
			x.keep(g)
			a.id = ""
			a.alone()
			x.pass(4*time.Second, 300*time.Millisecond, func() { x.quiet(offsetFetch(9, g)) })
			x.Note("fetching offsets is no sign of life")
			a.heartbeat()
		}),
		timed("heartbeats-while-preparing", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, patient(2*time.Second, lasting)), x.member(g, 2, newJoin, patient(lasting, lasting))
			a.alone()
			in := b.parks(2)
			x.pass(4*time.Second, 300*time.Millisecond, func() { x.quiet(a.heartbeatRequest()) })
			x.Note("kept alive by heartbeats that say rebalance")
			a.heartbeat()
			x.reaches(g, "CompletingRebalance", 1)
			x.Note("then it is silent, and the other goes on without it")
			b.joined(in)
			b.sync(b.gets("all"))
			a.heartbeat()
			x.show(g)
		}),
		timed("rebalance-timeout", func(x *Script) {
			for _, v := range []int16{1, newJoin} {
				g := x.Group(fmt.Sprintf("g%d", v))
				a, b := x.member(g, 1, v, patient(lasting, 1500*time.Millisecond)), x.member(g, 2, v, patient(lasting, 1500*time.Millisecond))
				a.alone()
				in := b.parks(2)
				x.Note("a member that does not come back is left out")
				b.joined(in)
				b.sync(b.gets("all"))
				x.show(g)
				a.heartbeat()
				a.sync()
				x.Note("and its id is unknown")
				x.On(1).Do(a.joinRequest())
			}
		}),
		timed("rebalance-timeout-zero", func(x *Script) {
			for _, v := range []int16{1, newJoin} {
				g := x.Group(fmt.Sprintf("g%d", v))
				x.keep(g)
				a := x.member(g, 1, v, patient(lasting, 0))
				a.join()
				x.reaches(g, "Empty", 0)
				x.Note("no time to assign")
				a.sync(a.gets("all"))
			}
		}),
		timed("rebalance-timeout-v0", func(x *Script) {
			// Version 0 has no time-out of its own for a rebalance: the session's counts.
			g := x.Group("g")
			a, b := x.member(g, 1, 0, patient(2*time.Second, 0)), x.member(g, 2, 0, patient(2*time.Second, 0))
			a.alone()
			in := b.startJoin()
			b.joined(in)
			b.sync(b.gets("all"))
			x.show(g)
			a.heartbeat()
		}),
		timed("rebalance-timeout-static", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, static("a"), patient(lasting, 1500*time.Millisecond)), x.member(g, 2, newJoin, static("b"), patient(lasting, 1500*time.Millisecond))
			a.alone()
			in := b.parks(2)
			x.Note("a static member that does not come back stays, since its session lasts")
			b.joined(in)
			x.show(g)
			a.heartbeat()
			b.sync(b.gets("all"))
			a.heartbeat()
			x.show(g)
		}),
		timed("sync-timeout", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, patient(lasting, 1500*time.Millisecond)), x.member(g, 2, newJoin, patient(lasting, 1500*time.Millisecond))
			a.alone()
			in := b.parks(2)
			a.joined(a.startJoin())
			b.joined(in)
			x.Note("the leader assigns, the follower never asks")
			a.sync(a.gets("1"), b.gets("2"))
			x.reaches(g, "PreparingRebalance", 1)
			a.heartbeat()
			b.heartbeat()
			a.join()
			x.Note("the leader never assigns")
			x.reaches(g, "Empty", 0)
			a.heartbeat()
			a.sync(a.gets("all"))
		}),
		timed("pending-timeout", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, patient(lasting, lasting)), x.member(g, 2, newJoin, patient(short, lasting))
			a.alone()
			resp := b.does(b.joinRequest()).(*kmsg.JoinGroupResponse)
			b.id = resp.MemberID
			x.pass(2*short, short/3, func() { x.quiet(a.heartbeatRequest()) })
			x.Note("an id that was not used within its session")
			x.On(2).Do(b.joinRequest())
			a.heartbeat()
			x.Note("one that leaves it be holds up a rebalance until then")
			b.id = ""
			b.does(b.joinRequest())
			c := x.member(g, 3, newJoin, patient(lasting, lasting))
			in := c.startJoin()
			x.reaches(g, "PreparingRebalance", 2)
			a.joined(a.startJoin())
			c.joined(in)
			x.assign(a, c)
		}),
		timed("static-timeout", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, static("a"), patient(lasting, lasting)), x.member(g, 2, newJoin, static("b"), patient(3*time.Second, lasting))
			a.alone()
			b.enters(a)
			x.Note("it comes back in time")
			n := b.again(3)
			n.join()
			n.sync()
			x.pass(2*time.Second, 300*time.Millisecond, func() { x.quiet(n.heartbeatRequest()) })
			a.heartbeat()
			x.reaches(g, "PreparingRebalance", 1)
			x.Note("and then it does not")
			a.heartbeat()
			n.heartbeat()
			a.join()
			a.sync(a.gets("all"))
			x.Note("its instance is a new member then")
			late := n.again(4)
			late.enters(a)
			x.show(g)
		}),
		timed("parked-join-outlives-session", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin, patient(lasting, lasting)), x.member(g, 2, newJoin, patient(short, lasting))
			a.alone()
			in := b.parks(2)
			x.pass(2*short, short/3, func() { x.quiet(a.heartbeatRequest()) })
			x.Note("a member is no longer dead for waiting")
			a.joined(a.startJoin())
			b.joined(in)
			x.Note("nor for waiting for its share")
			bs := b.startSync()
			x.pass(2*short, short/3, func() { x.quiet(a.heartbeatRequest()) })
			a.sync(a.gets("1"), b.gets("2"))
			bs.Answer()
			b.heartbeat()
		}),
		timed("empty-group-goes", func(x *Script) {
			t := x.Topic("t", 1)
			g, h := x.Group("g"), x.Group("h")
			a := x.member(g, 1, newJoin).alone()
			b := x.member(h, 2, newJoin).alone()
			b.commit(commits(t, 0, 5))
			a.leave()
			b.leave()
			x.reaches(g, "Dead", 0)
			x.Note("without offsets an empty group goes at the next check")
			x.show(g)
			x.Note("with offsets it stays")
			x.show(h)
			a.heartbeat()
			x.Note("a group of one that was only sent back for an id")
			pending := x.Group("pending")
			p := x.member(pending, 3, newJoin, patient(short, lasting))
			p.does(p.joinRequest())
			x.reaches(pending, "Dead", 0)
			x.show(pending)
		}),
	}
	return append(all, expirySequences()...)
}

// keep gives a group an offset, without which it would go when it is empty.
func (s *Script) keep(group string) {
	t, ok := s.kept, s.kept.Name != ""
	if !ok {
		t = s.Topic("kept", 1)
		s.kept = t
	}
	s.quiet(offsetCommit(8, group, commits(t, 0, 1)))
}

func expirySequences() []Case {
	return []Case{
		timed("expiry-simple", func(x *Script) {
			a, b := x.Topic("a", 1), x.Topic("b", 1)
			g := x.Group("g")
			x.Do(offsetCommit(9, g, commits(a, 0, 5)))
			start := time.Now()
			x.pass(8*time.Second, time.Second, func() {})
			x.Do(offsetCommit(2, g, commits(b, 0, 6)))
			later := time.Now()
			x.expires("the first offset to expire", start, retention, func() bool { return x.offsetOf(g, a, 0) == -1 })
			x.Do(offsetFetch(9, g, committed(a, 0), committed(b, 0)))
			x.show(g)
			x.expires("the second one to expire", later, retention, func() bool { return x.offsetOf(g, b, 0) == -1 })
			x.reaches(g, "Dead", 0)
			x.Do(offsetFetch(9, g))
			x.show(g)
			x.Do(listGroups(5, nil, nil))
			x.Do(deleteGroups(2, g))
		}),
		timed("expiry-kept-alive", func(x *Script) {
			t := x.Topic("t", 2)
			g := x.Group("g")
			x.Do(offsetCommit(9, g, commits(t, 0, 5), commits(t, 1, 5)))
			start := time.Now()
			x.pass(10*time.Second, time.Second, func() {})
			x.Note("again, the same offset")
			x.Do(offsetCommit(9, g, commits(t, 0, 5)))
			again := time.Now()
			x.expires("the offset that was left alone", start, retention, func() bool { return x.offsetOf(g, t, 1) == -1 })
			x.Do(offsetFetch(9, g))
			x.expires("the offset that was committed again", again, retention, func() bool { return x.offsetOf(g, t, 0) == -1 })
		}),
		timed("expiry-empty-group", func(x *Script) {
			t := x.Topic("t", 1)
			for _, v := range []int16{oldJoin, newJoin} {
				m := x.member(x.Group(fmt.Sprintf("g%d", v)), int(v), v, patient(lasting, lasting)).alone()
				m.commit(commits(t, 0, 5))
			}
			x.pass(8*time.Second, time.Second, func() {})
			for _, v := range []int16{oldJoin, newJoin} {
				g := x.Name(fmt.Sprintf("g%d", v))
				id := x.quiet(describeGroups(5, g)).(*kmsg.DescribeGroupsResponse).Groups[0].Members[0].MemberID
				x.On(int(v)).Do(leaveGroup(3, g, leaver(id, "")))
			}
			empty := time.Now()
			for _, v := range []int16{oldJoin, newJoin} {
				g := x.Name(fmt.Sprintf("g%d", v))
				x.expires("the offset, counted from when the group became empty", empty, retention, func() bool { return x.offsetOf(g, t, 0) == -1 })
				x.reaches(g, "Dead", 0)
				x.show(g)
			}
		}),
		timed("expiry-stable-group", func(x *Script) {
			a, b := x.Topic("a", 1), x.Topic("b", 1)
			m := x.member(x.Group("consumer"), 1, newJoin, speaking("range="+subscribes(a)), patient(lasting, lasting)).alone()
			n := x.member(x.Group("connect"), 2, newJoin, ofKind("connect"), patient(lasting, lasting)).alone()
			o := x.member(x.Group("opaque"), 3, newJoin, speaking("range=no words of a consumer"), patient(lasting, lasting)).alone()
			for _, who := range []*member{m, n, o} {
				who.commit(commits(a, 0, 5), commits(b, 0, 6))
			}
			start := time.Now()
			x.expires("the topic nobody subscribes to", start, retention, func() bool { return x.offsetOf(m.group, b, 0) == -1 })
			x.Note("give the others as long again")
			x.pass(5*time.Second, time.Second, func() {})
			for _, who := range []*member{m, n, o} {
				x.Do(offsetFetch(9, who.group))
				who.heartbeat()
			}
		}),
		timed("expiry-retention-time", func(x *Script) {
			t := x.Topic("t", 4)
			simple := x.Group("simple")
			m := x.member(x.Group("stable"), 1, oldJoin, ofKind("connect"), patient(lasting, lasting)).alone()
			start := time.Now()
			for _, v := range []int16{2, 3, 4} {
				req := offsetCommit(v, simple, commits(t, int32(v)-2, 5))
				req.RetentionTimeMillis = 5_000
				x.Do(req)
			}
			req := offsetCommit(4, simple, commits(t, 3, 5))
			req.RetentionTimeMillis = 86_400_000
			x.Do(req)
			req = m.commitRequest(commits(t, 0, 6))
			req.RetentionTimeMillis = 5_000
			x.On(1).Do(req)
			for _, v := range []int32{0, 1, 2} {
				x.expires("an offset with a retention of five seconds", start, 5*time.Second, func() bool { return x.offsetOf(simple, t, v) == -1 })
			}
			x.Note("of a stable group")
			x.Do(offsetFetch(8, m.group, committed(t, 0)))
			x.expires("a minute to pass", start, retention+5*time.Second, func() bool { return time.Since(start) > retention+5*time.Second })
			x.Note("the one that wanted a day")
			x.Do(offsetFetch(8, simple))
			x.Do(offsetFetch(8, m.group, committed(t, 0)))
		}),
	}
}

// afterwards is a sequence on the broker with short sessions that restarts it.
func afterwards(name string, run func(*Script)) Case {
	c := timed(name, run)
	c.Alone = true
	return c
}

func restartTimerSequences() []Case {
	return []Case{
		afterwards("restart-session", func(x *Script) {
			g, h := x.Group("g"), x.Group("h")
			x.keep(g)
			x.keep(h)
			a, b := x.member(g, 1, newJoin, patient(lasting, lasting)), x.member(g, 2, newJoin, static("b"), patient(3*time.Second, lasting))
			a.alone()
			b.enters(a)
			c := x.member(h, 3, oldJoin, patient(3*time.Second, lasting)).alone()
			x.restartGroups(g, h)
			back := time.Now()
			x.Note("sessions begin anew with the broker")
			a.heartbeat()
			x.reaches(g, "PreparingRebalance", 1)
			x.reaches(h, "Empty", 0)
			x.record(Answer{Request: "sessions", Leaves: []Leaf{{"", "ended-at-once", strconv.FormatBool(time.Since(back) < time.Second)}}})
			a.heartbeat()
			b.heartbeat()
			c.heartbeat()
			a.join()
			a.sync(a.gets("all"))
			x.show(g)
			x.show(h)
		}),
		afterwards("restart-expiry", func(x *Script) {
			t := x.Topic("t", 2)
			g, h := x.Group("g"), x.Group("h")
			start := time.Now()
			for _, group := range []string{g, h} {
				req := offsetCommit(3, group, commits(t, 0, 5))
				req.RetentionTimeMillis = 5_000
				x.Do(req)
			}
			x.Do(offsetCommit(3, h, commits(t, 1, 6)))
			x.restartGroups(g, h)
			for _, group := range []string{g, h} {
				x.expires("an offset committed before the restart", start, 5*time.Second, func() bool { return x.offsetOf(group, t, 0) == -1 })
			}
			x.reaches(g, "Dead", 0)
			x.show(g)
			x.show(h)
			x.Do(offsetFetch(8, h))
			x.restartGroups(g, h)
			x.Note("what expired does not come back")
			x.show(g)
			x.Do(offsetFetch(8, h))
		}),
	}
}
