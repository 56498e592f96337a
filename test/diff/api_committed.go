package diff

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// withCommit is the version of JoinGroup that a client which commits in a version uses.
func withCommit(v int16) int16 {
	join := int16(0)
	for i, e := range eras {
		if e.commit <= v {
			join = int16(i)
		}
	}
	return join
}

func offsetCommitCases(v int16) *suite {
	s := newSuite(keyOffsetCommit, v)
	s.add(Ordinary, "", func(x *Script) {
		t := x.Topic("t", 2)
		m := x.member(x.Group("g"), 1, withCommit(v)).alone()
		req := offsetCommit(v, m.group, commits(t, 0, 5), commits(t, 1, 7).with("a note").at(3))
		req.Generation, req.MemberID = m.generation, m.id
		x.Do(req)
		x.Do(offsetFetch(9, m.group))
	})
	s.add(Ordinary, "simple", func(x *Script) {
		t := x.Topic("t", 1)
		g := x.Group("g")
		x.Do(offsetCommit(v, g, commits(t, 0, 5)))
		x.Do(offsetCommit(v, g, commits(t, 0, 4)))
		x.Do(offsetFetch(9, g))
		x.Do(describeGroups(5, g))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 3), x.Topic("b", 1)
		g := x.Group("g")
		none := commits(a, 2, 1)
		none.metadata = nil
		x.Note("no metadata, odd offsets and epochs")
		x.Do(offsetCommit(v, g, commits(a, 0, 0).at(0), commits(a, 1, 1<<62).at(1<<30), none, commits(b, 0, -1)))
		x.Do(offsetFetch(9, g))
		x.Do(offsetCommit(v, g, commits(a, 0, -5).at(-7)))
		x.Do(offsetFetch(9, g))
		x.Note("some that cannot be")
		x.Do(offsetCommit(v, g, commits(a, 0, 8), commits(a, 3, 8), commits(a, -1, 8), commits(x.missing(), 0, 8), commits(b, 0, 8)))
		x.Do(offsetFetch(9, g))
		x.Note("one partition twice")
		x.Do(offsetCommit(v, g, commits(a, 0, 10), commits(a, 0, 11)))
		x.Do(offsetFetch(9, g))
		x.Note("one topic twice")
		x.Do(offsetCommit(v, g, commits(a, 0, 12), commits(b, 0, 13), commits(a, 1, 14)))
		x.Do(offsetFetch(9, g))
		x.Note("nothing")
		x.Do(offsetCommit(v, x.Group("nothing")))
		x.Note("a topic without partitions")
		empty := offsetCommit(v, x.Name("nothing"), commits(a, 0, 1))
		empty.Topics[0].Partitions = nil
		x.Do(empty)
		x.Do(describeGroups(6, x.Name("nothing")))
		if v <= 4 {
			req := offsetCommit(v, g, commits(a, 2, 77))
			for _, ms := range []int64{0, 86_400_000, 1<<63 - 1, -2} {
				req.RetentionTimeMillis = ms
				x.Do(req)
				x.Do(offsetFetch(9, g, committed(a, 2)))
			}
		}
	})
	s.add(Boundary, "metadata", func(x *Script) {
		t := x.Topic("t", 2)
		g := x.Group("g")
		x.Do(offsetCommit(v, g, commits(t, 0, 1).with(strings.Repeat("m", 4096))))
		x.Note("one too large, one not")
		x.Do(offsetCommit(v, g, commits(t, 0, 2).with(strings.Repeat("m", 4097)), commits(t, 1, 3)))
		x.Note("too large in bytes, not in characters")
		x.Do(offsetCommit(v, g, commits(t, 0, 4).with(strings.Repeat("ü", 2049))))
		x.Do(offsetCommit(v, g, commits(t, 0, 5).with("\x00\x01ü€")))
		x.Do(offsetFetch(9, g))
		x.Note("a group that would begin with it")
		x.Do(offsetCommit(v, x.Group("h"), commits(t, 0, 2).with(strings.Repeat("m", 4097))))
	})
	s.add(Boundary, "empty-group-id", func(x *Script) {
		t := x.Topic("t", 1)
		x.Do(offsetCommit(v, "", commits(t, 0, 5)))
		x.Do(offsetFetch(5, "", committed(t, 0)))
		x.Do(offsetFetch(9, "", committed(t, 0)))
		req := offsetCommit(v, "", commits(t, 0, 6))
		req.Generation, req.MemberID = 1, "nobody"
		x.Note("as a member")
		x.Do(req)
		x.Do(deleteGroups(2, ""))
	})
	s.add(Wrong, "", func(x *Script) {
		t := x.Topic("t", 1)
		odd := func(about, group string, change func(*kmsg.OffsetCommitRequest)) {
			req := offsetCommit(v, group, commits(t, 0, 5))
			change(req)
			x.Note(about)
			x.Do(req)
		}
		odd("unknown group, generation", x.Group("unknown"), func(r *kmsg.OffsetCommitRequest) { r.Generation = 1 })
		odd("unknown group, member", x.Name("unknown"), func(r *kmsg.OffsetCommitRequest) { r.MemberID = "nobody" })
		odd("unknown group, both", x.Name("unknown"), func(r *kmsg.OffsetCommitRequest) { r.Generation, r.MemberID = 1, "nobody" })
		odd("unknown group, generation -2", x.Name("unknown"), func(r *kmsg.OffsetCommitRequest) { r.Generation = -2 })
		odd("unknown group, instance", x.Name("unknown"), func(r *kmsg.OffsetCommitRequest) { r.InstanceID = ptr("i") })
		x.Do(describeGroups(6, x.Name("unknown")))
		m := x.member(x.Group("g"), 1, withCommit(v))
		m.join()
		wrong := func() {
			as := func(change func(*kmsg.OffsetCommitRequest)) func(*kmsg.OffsetCommitRequest) {
				return func(r *kmsg.OffsetCommitRequest) {
					r.Generation, r.MemberID = m.generation, m.id
					change(r)
				}
			}
			odd("nothing wrong", m.group, as(func(*kmsg.OffsetCommitRequest) {}))
			odd("as no member", m.group, func(*kmsg.OffsetCommitRequest) {})
			odd("generation before", m.group, as(func(r *kmsg.OffsetCommitRequest) { r.Generation-- }))
			odd("generation after", m.group, as(func(r *kmsg.OffsetCommitRequest) { r.Generation++ }))
			odd("generation -1", m.group, as(func(r *kmsg.OffsetCommitRequest) { r.Generation = -1 }))
			odd("unknown member", m.group, as(func(r *kmsg.OffsetCommitRequest) { r.MemberID = "nobody" }))
			odd("no member", m.group, as(func(r *kmsg.OffsetCommitRequest) { r.MemberID = "" }))
			odd("unknown instance", m.group, as(func(r *kmsg.OffsetCommitRequest) { r.InstanceID = ptr("i") }))
		}
		x.Note("while the rebalance completes")
		wrong()
		m.sync(m.gets("all"))
		wrong()
		n := x.member(m.group, 2, withCommit(v))
		in := n.parks(2)
		x.Note("while another is prepared")
		wrong()
		x.rejoin(in, n, m)
		n.leave()
		m.leave()
		x.Note("when it is empty")
		wrong()
		x.Do(offsetFetch(9, m.group))
	})
	s.add(Wrong, "topics", func(x *Script) {
		t := x.Topic("t", 1)
		g := x.Group("g")
		x.Do(offsetCommit(v, g, commits(x.missing(), 0, 5)))
		x.Do(offsetCommit(v, g, commits(t, 1, 5)))
		x.Do(offsetCommit(v, g, commits(Topic{}, 0, 5)))
		x.Do(offsetCommit(v, g, commits(Topic{Name: "bad name", ID: [16]byte{1}}, 0, 5)))
		x.Note("nothing of that made a group")
		x.Do(describeGroups(6, g))
		m := x.member(g, 1, withCommit(v)).alone()
		req := offsetCommit(v, g, commits(x.missing(), 0, 5), commits(t, 0, 5))
		req.Generation, req.MemberID = m.generation+1, m.id
		x.Note("wrong generation, and a topic that is not there")
		x.Do(req)
	})
	s.malformed(func(x *Script) kmsg.Request { return offsetCommit(v, absentGroup, commits(absentTopic, 0, 1)) })
	return s
}

func offsetFetchCases(v int16) *suite {
	s := newSuite(keyOffsetFetch, v)
	fill := func(x *Script) (Topic, Topic, string) {
		a, b := x.Topic("a", 3), x.Topic("b", 1)
		g := x.Group("g")
		x.Do(offsetCommit(8, g, commits(a, 0, 5).with("a note").at(2), commits(a, 1, 0), commits(b, 0, 9).at(0)))
		return a, b, g
	}
	s.add(Ordinary, "", func(x *Script) {
		a, b, g := fill(x)
		x.Do(offsetFetch(v, g, committed(a, 0, 1), committed(b, 0)))
		x.Note("never committed")
		x.Do(offsetFetch(v, g, committed(a, 2)))
		if v >= 2 {
			x.Note("all")
			x.Do(offsetFetch(v, g))
		}
	})
	s.add(Ordinary, "member", func(x *Script) {
		t := x.Topic("t", 1)
		m := x.member(x.Group("g"), 1, newJoin)
		m.join()
		fetch := func() {
			x.Do(offsetFetch(v, m.group, committed(t, 0)))
			if v >= 7 {
				req := offsetFetch(v, m.group, committed(t, 0))
				req.RequireStable = true
				x.Note("stable ones")
				x.Do(req)
			}
		}
		fetch()
		m.sync(m.gets("all"))
		m.commit(commits(t, 0, 5))
		fetch()
		m.leave()
		fetch()
	})
	s.add(Boundary, "", func(x *Script) {
		a, b, g := fill(x)
		x.Note("some that are not there")
		x.Do(offsetFetch(v, g, committed(a, 0, 3, -1), committed(x.missing(), 0), committed(b, 0)))
		x.Note("one partition twice")
		x.Do(offsetFetch(v, g, committed(a, 0, 0)))
		x.Note("one topic twice")
		x.Do(offsetFetch(v, g, committed(a, 0), committed(b, 0), committed(a, 1)))
		x.Note("a topic without partitions")
		x.Do(offsetFetch(v, g, committed(a)))
		x.Note("no topics")
		none := offsetFetch(v, g)
		none.Topics = []kmsg.OffsetFetchRequestTopic{}
		if v >= 8 {
			none.Groups[0].Topics = []kmsg.OffsetFetchRequestGroupTopic{}
		}
		x.Do(none)
		x.Note("unknown group")
		x.Do(offsetFetch(v, x.Group("unknown"), committed(a, 0)))
		if v >= 2 {
			x.Note("all of an unknown group")
			x.Do(offsetFetch(v, x.Name("unknown")))
		}
		x.Note("empty group")
		x.Do(offsetFetch(v, "", committed(a, 0)))
		if v < 8 {
			return
		}
		h := x.Group("h")
		x.Do(offsetCommit(8, h, commits(a, 0, 77)))
		two := offsetFetch(v, g)
		two.Groups = append(two.Groups, ofGroup(h, committed(a, 0)), ofGroup(x.Name("unknown"), committed(a, 0)), ofGroup(x.Name("unknown-too")), ofGroup("", committed(a, 0)))
		x.coordinated(x.Name("unknown-too"))
		x.Note("several groups")
		x.Do(two)
		two.RequireStable = true
		x.Note("several groups, stable")
		x.Do(two)
		twice := offsetFetch(v, g, committed(a, 0))
		twice.Groups = append(twice.Groups, ofGroup(g, committed(b, 0)))
		x.Note("one group twice")
		x.Do(twice)
		twice.Groups = nil
		x.Note("no group")
		x.Do(twice)
		if v < 9 {
			return
		}
		as := offsetFetch(v, g, committed(a, 0))
		as.Groups[0].MemberID, as.Groups[0].MemberEpoch = ptr("nobody"), 3
		x.Note("as an unknown member")
		x.Do(as)
		as.Groups[0].MemberEpoch = -1
		x.Note("as an unknown member without an epoch")
		x.Do(as)
		as.Groups[0].MemberID, as.Groups[0].MemberEpoch = nil, 3
		x.Note("an epoch of nobody")
		x.Do(as)
		as.Groups[0].MemberID = ptr("")
		x.Note("an epoch of an empty member")
		x.Do(as)
		m := x.member(x.Group("m"), 1, newJoin).alone()
		m.commit(commits(a, 0, 3))
		as.Groups[0].Group = m.group
		as.Groups[0].MemberID, as.Groups[0].MemberEpoch = ptr(m.id), m.generation
		x.Note("as a member")
		x.Do(as)
		as.Groups[0].MemberEpoch = m.generation + 1
		x.Note("as a member, another epoch")
		x.Do(as)
		as.Groups[0].MemberID = ptr("nobody")
		x.Note("as an unknown member of a live group")
		x.Do(as)
		as.Groups[0].MemberEpoch = -1
		x.Note("as an unknown member of a live group, without an epoch")
		x.Do(as)
	})
	s.add(Wrong, "", func(x *Script) {
		g := x.Group("g")
		x.Note("unknown topic")
		x.Do(offsetFetch(v, g, committed(x.missing(), 0, 1)))
		x.Note("topic without name and id")
		x.Do(offsetFetch(v, g, committed(Topic{}, 0)))
		x.Note("bad name")
		x.Do(offsetFetch(v, g, committed(Topic{Name: "bad name", ID: [16]byte{1}}, 0)))
		if v >= 10 {
			t := x.Topic("t", 1)
			x.Note("one id that is there, one that is not")
			x.Do(offsetFetch(v, g, committed(t, 0), committed(x.missing(), 0)))
			x.quiet(deleteTopics(6, t.Name))
			x.Settle()
			x.Note("a topic that was deleted")
			x.Do(offsetFetch(v, g, committed(t, 0)))
		}
		if v == 1 {
			x.Note("null topics in version 1")
			x.On(0).Body(keyOffsetFetch, v, false, []byte{0, 1, 'g', 0xff, 0xff, 0xff, 0xff})
		}
	})
	s.malformed(func(x *Script) kmsg.Request { return offsetFetch(v, absentGroup, committed(absentTopic, 0)) })
	return s
}

func offsetDeleteCases(v int16) *suite {
	s := newSuite(keyOffsetDelete, v)
	s.add(Ordinary, "", func(x *Script) {
		a, b := x.Topic("a", 2), x.Topic("b", 1)
		g := x.Group("g")
		x.Do(offsetCommit(8, g, commits(a, 0, 5), commits(a, 1, 6), commits(b, 0, 9)))
		x.Do(offsetDelete(g, committed(a, 0)))
		x.Do(offsetFetch(8, g))
		x.Do(offsetDelete(g, committed(a, 1), committed(b, 0)))
		x.Do(offsetFetch(8, g))
		x.Note("the last offset is gone")
		x.Do(describeGroups(6, g))
	})
	s.add(Boundary, "", func(x *Script) {
		a := x.Topic("a", 2)
		g := x.Group("g")
		x.Do(offsetCommit(8, g, commits(a, 0, 5)))
		x.Note("never committed, not there")
		x.Do(offsetDelete(g, committed(a, 1, 2, -1), committed(x.missing(), 0)))
		x.Note("twice")
		x.Do(offsetDelete(g, committed(a, 0, 0)))
		x.Do(offsetDelete(g, committed(a, 0), committed(a, 1)))
		x.Note("nothing")
		x.Do(offsetDelete(g))
		x.Do(offsetDelete(g, committed(a)))
		m := x.member(x.Group("stable"), 1, newJoin, speaking("range="+subscribes(a))).alone()
		b := x.Topic("b", 1)
		m.commit(commits(a, 0, 5), commits(b, 0, 6))
		x.Note("one it subscribes to, one it does not")
		x.Do(offsetDelete(m.group, committed(a, 0), committed(b, 0)))
		x.Do(offsetFetch(8, m.group))
		m.leave()
		x.Note("empty now")
		x.Do(offsetDelete(m.group, committed(a, 0)))
		x.Do(offsetFetch(8, m.group))
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 1)
		x.Note("empty group")
		x.Do(offsetDelete("", committed(a, 0)))
		x.Note("unknown group")
		x.Do(offsetDelete(x.Group("unknown"), committed(a, 0)))
		x.Note("unknown group, unknown topic")
		x.Do(offsetDelete(x.Name("unknown"), committed(x.missing(), 0)))
		m := x.member(x.Group("connect"), 1, newJoin, ofKind("connect")).alone()
		m.commit(commits(a, 0, 5))
		x.Note("a group that is live and no consumer's")
		x.Do(offsetDelete(m.group, committed(a, 0), committed(x.missing(), 0)))
		n := x.member(x.Group("opaque"), 2, newJoin, speaking("range=not what consumers say")).alone()
		n.commit(commits(a, 0, 5))
		x.Note("consumers whose subscription cannot be read")
		x.Do(offsetDelete(n.group, committed(a, 0)))
		o := x.member(x.Group("completing"), 3, newJoin, speaking("range="+subscribes()))
		o.join()
		x.Note("consumers that are joining")
		x.Do(offsetDelete(o.group, committed(a, 0)))
	})
	s.malformed(func(x *Script) kmsg.Request { return offsetDelete(absentGroup, committed(absentTopic, 0)) })
	return s
}
