package diff

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// with returns the member speaking another version of JoinGroup, and the versions of the other APIs that go with it.
func withSync(v int16) int16 {
	for join, e := range eras {
		if e.sync == v {
			return int16(join)
		}
	}
	panic("no client syncs in this version")
}

func withHeartbeat(v int16) int16 {
	for join, e := range eras {
		if e.heartbeat == v {
			return int16(join)
		}
	}
	panic("no client sends heartbeats in this version")
}

func withLeave(v int16) int16 {
	for join, e := range eras {
		if e.leave == v {
			return int16(join)
		}
	}
	panic("no client leaves in this version")
}

func joinGroupCases(v int16) *suite {
	s := newSuite(keyJoinGroup, v)
	s.add(Ordinary, "", func(x *Script) {
		m := x.member(x.Group("g"), 1, v)
		m.join()
		m.sync(m.gets("all of it"))
		m.join()
		m.sync(m.gets("all of it"))
		x.Do(describeGroups(5, m.group))
	})
	s.add(Ordinary, "two", func(x *Script) {
		g := x.Group("g")
		a, b := x.member(g, 1, v), x.member(g, 2, v)
		a.alone()
		b.enters(a)
		x.Do(describeGroups(5, g))
	})
	s.add(Boundary, "", func(x *Script) {
		odd := func(about string, change func(*kmsg.JoinGroupRequest)) {
			m := x.member(x.Group(strings.ReplaceAll(about, " ", "-")), 1, v)
			req := m.joinRequest()
			change(req)
			x.Note(about)
			resp := m.does(req).(*kmsg.JoinGroupResponse)
			if resp.ErrorCode == memberIDRequired {
				req.MemberID = resp.MemberID
				x.Note(about)
				m.does(req)
			}
			x.Do(describeGroups(5, m.group))
		}
		odd("shortest session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 6_000 })
		odd("longest session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_000 })
		odd("longest rebalance timeout", func(r *kmsg.JoinGroupRequest) { r.RebalanceTimeoutMillis = 1<<31 - 1 })
		odd("another protocol type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
		odd("three protocols", func(r *kmsg.JoinGroupRequest) {
			r.Protocols = joinGroup(v, "", "", "b=1", "a=2", "c").Protocols
		})
		odd("metadata that says a topic", func(r *kmsg.JoinGroupRequest) {
			r.Protocols = joinGroup(v, "", "", "range="+subscribes(Topic{Name: x.Name("t")})).Protocols
		})
		odd("a reason", func(r *kmsg.JoinGroupRequest) { r.Reason = ptr(strings.Repeat("because ", 100)) })
		odd("static", func(r *kmsg.JoinGroupRequest) { r.InstanceID = ptr("an-instance") })
		odd("static with an odd name", func(r *kmsg.JoinGroupRequest) { r.InstanceID = ptr("an instance/with:ü") })
	})
	s.add(Wrong, "", func(x *Script) {
		odd := func(about string, change func(*kmsg.JoinGroupRequest)) {
			m := x.member(x.Group(strings.ReplaceAll(about, " ", "-")), 1, v)
			req := m.joinRequest()
			change(req)
			x.Note(about)
			if resp := m.does(req).(*kmsg.JoinGroupResponse); resp.ErrorCode == 0 {
				x.Do(describeGroups(5, m.group))
			}
		}
		odd("empty group", func(r *kmsg.JoinGroupRequest) { r.Group = "" })
		for _, session := range []int32{5_999, 1_800_001, 0, -1} {
			odd("session too short or too long", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = session })
		}
		odd("no protocols", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil })
		odd("empty protocol type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" })
		odd("unknown member of an unknown group", func(r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" })
		odd("empty instance", func(r *kmsg.JoinGroupRequest) { r.InstanceID = ptr("") })
		odd("instance named like a directory", func(r *kmsg.JoinGroupRequest) { r.InstanceID = ptr("..") })
		odd("long instance", func(r *kmsg.JoinGroupRequest) { r.InstanceID = ptr(strings.Repeat("i", 250)) })
		odd("unknown instance with a member", func(r *kmsg.JoinGroupRequest) { r.InstanceID, r.MemberID = ptr("i"), "nobody" })
	})
	s.add(Wrong, "occupied", func(x *Script) {
		g := x.Group("g")
		a := x.member(g, 1, v, speaking("range=a", "roundrobin=a")).alone()
		odd := func(about string, change func(*kmsg.JoinGroupRequest)) {
			m := x.member(g, 2, v)
			req := m.joinRequest()
			change(req)
			x.Note(about)
			m.does(req)
		}
		odd("unknown member", func(r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" })
		odd("another protocol type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
		odd("no common protocol", func(r *kmsg.JoinGroupRequest) { r.Protocols = joinGroup(v, "", "", "sticky=b").Protocols })
		odd("no protocol", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil })
		odd("unknown instance with a member", func(r *kmsg.JoinGroupRequest) { r.InstanceID, r.MemberID = ptr("i"), "nobody" })
		a.heartbeat()
		x.Do(describeGroups(5, g))
	})
	s.malformed(func(x *Script) kmsg.Request { return joinGroup(v, absentGroup, "nobody", "range=x") })
	return s
}

func syncGroupCases(v int16) *suite {
	s := newSuite(keySyncGroup, v)
	join := withSync(v)
	s.add(Ordinary, "", func(x *Script) {
		g := x.Group("g")
		a, b := x.member(g, 1, join), x.member(g, 2, join)
		a.alone()
		b.enters(a)
		x.Do(describeGroups(5, g))
	})
	s.add(Boundary, "", func(x *Script) {
		m := x.member(x.Group("g"), 1, join)
		m.join()
		x.Note("shares for nobody known")
		stranger := &member{id: "nobody"}
		m.sync(stranger.gets("lost"), m.gets("kept"))
		x.Note("again")
		m.sync()
		x.Note("again, with another share")
		m.sync(m.gets("changed"))
		x.Do(describeGroups(5, m.group))
		n := x.member(x.Group("nothing"), 2, join)
		n.join()
		x.Note("the leader assigns nothing")
		n.sync()
		x.Note("and asks again")
		n.sync()
		x.Do(describeGroups(5, n.group))
		o := x.member(x.Group("twice"), 3, join)
		o.join()
		x.Note("one member twice")
		o.sync(o.gets("first"), o.gets("second"))
		x.Do(describeGroups(5, o.group))
		p := x.member(x.Group("large"), 4, join)
		p.join()
		x.Note("a large share")
		p.sync(p.gets(strings.Repeat("s", 2000)))
	})
	s.add(Wrong, "", func(x *Script) {
		x.Note("empty group")
		x.Do(syncGroup(v, "", 1, "nobody"))
		x.Note("unknown group")
		x.Do(syncGroup(v, x.Group("unknown"), 1, "nobody"))
		a := x.member(x.Group("g"), 1, join)
		a.join()
		wrong := func() {
			odd := func(about string, change func(*kmsg.SyncGroupRequest)) {
				req := a.syncRequest(a.gets("x"))
				change(req)
				x.Note(about)
				a.does(req)
			}
			odd("unknown member", func(r *kmsg.SyncGroupRequest) { r.MemberID = "nobody" })
			odd("no member", func(r *kmsg.SyncGroupRequest) { r.MemberID = "" })
			odd("generation before", func(r *kmsg.SyncGroupRequest) { r.Generation-- })
			odd("generation after", func(r *kmsg.SyncGroupRequest) { r.Generation++ })
			odd("generation -1", func(r *kmsg.SyncGroupRequest) { r.Generation = -1 })
			odd("unknown instance", func(r *kmsg.SyncGroupRequest) { r.InstanceID = ptr("i") })
			odd("empty instance", func(r *kmsg.SyncGroupRequest) { r.InstanceID = ptr("") })
			if v >= 5 {
				odd("another protocol", func(r *kmsg.SyncGroupRequest) { r.Protocol = ptr("sticky") })
				odd("another protocol type", func(r *kmsg.SyncGroupRequest) { r.ProtocolType = ptr("connect") })
				odd("empty protocol", func(r *kmsg.SyncGroupRequest) { r.Protocol = ptr("") })
			}
		}
		wrong()
		if v >= 5 {
			req := a.syncRequest(a.gets("x"))
			req.Protocol = nil
			x.Note("no protocol")
			a.does(req)
			req = a.syncRequest(a.gets("x"))
			req.ProtocolType = nil
			x.Note("no protocol type")
			a.does(req)
			req.Protocol = nil
			x.Note("neither")
			a.does(req)
		}
		a.sync(a.gets("all"))
		wrong()
		b := x.member(a.group, 2, join)
		in := b.parks(2)
		x.Note("while the group prepares a rebalance")
		a.sync()
		wrong()
		x.rejoin(in, b, a)
	})
	s.malformed(func(x *Script) kmsg.Request { return syncGroup(v, absentGroup, 1, "nobody") })
	return s
}

func heartbeatCases(v int16) *suite {
	s := newSuite(keyHeartbeat, v)
	join := withHeartbeat(v)
	s.add(Ordinary, "", func(x *Script) {
		m := x.member(x.Group("g"), 1, join).alone()
		m.heartbeat()
		m.heartbeat()
	})
	s.add(Boundary, "", func(x *Script) {
		a := x.member(x.Group("g"), 1, join)
		a.join()
		x.Note("the group completes its rebalance")
		a.heartbeat()
		a.sync(a.gets("all"))
		x.Note("it is stable")
		a.heartbeat()
		b := x.member(a.group, 2, join)
		in := b.parks(2)
		x.Note("it prepares another")
		a.heartbeat()
		x.rejoin(in, b, a)
		b.heartbeat()
		b.leave()
		x.Note("the other one left")
		a.heartbeat()
		a.leave()
		x.Note("the group is empty")
		a.heartbeat()
		x.Do(deleteGroups(2, a.group))
		x.Note("the group is gone")
		a.heartbeat()
	})
	s.add(Wrong, "", func(x *Script) {
		x.Note("empty group")
		x.Do(heartbeat(v, "", 1, "nobody"))
		x.Note("unknown group")
		x.Do(heartbeat(v, x.Group("unknown"), 1, "nobody"))
		a := x.member(x.Group("g"), 1, join)
		a.join()
		wrong := func() {
			odd := func(about string, change func(*kmsg.HeartbeatRequest)) {
				req := a.heartbeatRequest()
				change(req)
				x.Note(about)
				a.does(req)
			}
			odd("unknown member", func(r *kmsg.HeartbeatRequest) { r.MemberID = "nobody" })
			odd("no member", func(r *kmsg.HeartbeatRequest) { r.MemberID = "" })
			odd("generation before", func(r *kmsg.HeartbeatRequest) { r.Generation-- })
			odd("generation after", func(r *kmsg.HeartbeatRequest) { r.Generation++ })
			odd("generation -1", func(r *kmsg.HeartbeatRequest) { r.Generation = -1 })
			odd("unknown instance", func(r *kmsg.HeartbeatRequest) { r.InstanceID = ptr("i") })
		}
		wrong()
		a.sync(a.gets("all"))
		wrong()
		b := x.member(a.group, 2, join)
		in := b.parks(2)
		wrong()
		x.rejoin(in, b, a)
	})
	s.malformed(func(x *Script) kmsg.Request { return heartbeat(v, absentGroup, 1, "nobody") })
	return s
}

func leaveGroupCases(v int16) *suite {
	s := newSuite(keyLeaveGroup, v)
	join := withLeave(v)
	s.add(Ordinary, "", func(x *Script) {
		g := x.Group("g")
		a, b := x.member(g, 1, join), x.member(g, 2, join)
		a.alone()
		b.enters(a)
		b.leave()
		a.heartbeat()
		a.join()
		a.sync(a.gets("all"))
		a.leave()
		x.Do(describeGroups(5, g))
	})
	s.add(Boundary, "", func(x *Script) {
		g := x.Group("g")
		a := x.member(g, 1, join).alone()
		a.leave()
		x.Note("again")
		a.leave()
		a.id = ""
		b := x.member(g, 2, join, speaking("range=b"), patient(time.Minute, time.Minute))
		a.alone()
		b.enters(a)
		if v >= 3 {
			x.Note("nobody")
			x.Do(leaveGroup(v, g))
			x.Note("two and a stranger and one twice")
			x.Do(leaveGroup(v, g, leaver(a.id, ""), leaver("nobody", ""), leaver(b.id, ""), leaver(a.id, "")))
			x.Do(describeGroups(5, g))
			c := x.member(g, 3, max(join, 5), static("one")).alone()
			d := x.member(g, 4, max(join, 5), static("two"))
			d.enters(c)
			x.Note("one by its instance alone")
			x.Do(leaveGroup(v, g, leaver("", "one")))
			x.Do(describeGroups(5, g))
			x.Note("one by both")
			x.Do(leaveGroup(v, g, leaver(d.id, "two")))
			x.Do(describeGroups(5, g))
		}
	})
	s.add(Wrong, "", func(x *Script) {
		x.Note("empty group")
		x.Do(leaveGroup(v, "", leaver("nobody", "")))
		x.Note("unknown group")
		x.Do(leaveGroup(v, x.Group("unknown"), leaver("nobody", "")))
		g := x.Group("g")
		a := x.member(g, 1, join).alone()
		x.Note("unknown member")
		x.Do(leaveGroup(v, g, leaver("nobody", "")))
		x.Note("no member")
		x.Do(leaveGroup(v, g, leaver("", "")))
		if v >= 3 {
			x.Note("unknown instance")
			x.Do(leaveGroup(v, g, leaver("", "i")))
			x.Note("unknown instance with a member that is there")
			x.Do(leaveGroup(v, g, leaver(a.id, "i")))
			b := x.member(g, 2, max(join, 5), static("i"))
			b.enters(a)
			x.Note("instance of another member")
			x.Do(leaveGroup(v, g, leaver(a.id, "i")))
			x.Note("instance with a stranger")
			x.Do(leaveGroup(v, g, leaver("nobody", "i")))
			x.Note("static member without its instance")
			x.Do(leaveGroup(v, g, leaver(b.id, "")))
			x.Do(describeGroups(5, g))
		}
		x.Do(describeGroups(5, g))
	})
	s.malformed(func(x *Script) kmsg.Request { return leaveGroup(v, absentGroup, leaver("nobody", "")) })
	return s
}
