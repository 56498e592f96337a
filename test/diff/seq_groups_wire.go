package diff

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// soon is how long a script waits for an answer that a broker may have forgotten.
const soon = 3 * time.Second

// within bounds how long the script waits for this answer.
func (p *Pending) within(d time.Duration) *Pending { p.patience = d; return p }

func groupWireSequences() []Case {
	return []Case{
		groupSequence("connection-lost", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, newJoin)
			a.alone()
			b.parks(2)
			x.On(2).Close()
			x.Note("the other's connection went away while its join waited")
			a.heartbeat()
			x.show(g)
			a.join()
			b.generation, b.protocol = a.generation, a.protocol
			bs := b.startSync()
			a.sync(a.gets("1"), b.gets("2"))
			x.Note("it is a member all the same")
			bs.Answer()
			b.heartbeat()
			x.On(1).Close()
			x.On(2).Close()
			x.Note("connections do not matter to members")
			a.heartbeat()
			b.heartbeat()
		}),
		groupSequence("join-twice", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, newJoin)
			a.alone()
			first := b.parks(2)
			x.Note("the same join on another connection, while the first waits")
			second := x.On(3).Start(b.joinRequest())
			x.settles(g)
			a.joined(a.startJoin())
			b.joined(second)
			b.conn = 3
			x.assign(a, b)
			first.within(soon).Answer()
		}),
		groupSequence("sync-twice", func(x *Script) {
			g := x.Group("g")
			a, b := x.member(g, 1, newJoin), x.member(g, 2, newJoin)
			a.alone()
			in := b.parks(2)
			a.joined(a.startJoin())
			b.joined(in)
			first := b.startSync()
			x.settles(g)
			x.Note("the same sync on another connection, while the first waits")
			second := x.On(3).Start(b.syncRequest())
			x.settles(g)
			a.sync(a.gets("1"), b.gets("2"))
			second.Answer()
			first.within(soon).Answer()
		}),
		groupSequence("pipelined", func(x *Script) {
			g := x.Group("g")
			t := x.Topic("t", 1)
			a, b := x.member(g, 1, newJoin), x.member(g, 2, newJoin)
			a.alone()
			b.enters(a)
			b.commit(commits(t, 0, 5))
			x.Note("the leader joins, and asks on the same connection for what has nothing to do with that")
			aj := a.startJoin()
			af, ao, ac := x.On(1).Start(findCoordinator(3, coordinateGroup, g)), x.On(1).Start(offsetFetch(7, g)), x.On(1).Start(a.commitRequest(commits(absentTopic, 0, 5)))
			x.reaches(g, "PreparingRebalance", 2)
			b.joined(b.startJoin())
			a.joined(aj)
			af.Answer()
			ao.Answer()
			ac.Answer()
			x.assign(a, b)
		}),
		groupSequence("two-groups", func(x *Script) {
			t := x.Topic("t", 1)
			g, h := x.Group("g"), x.Group("h")
			a, b := x.member(g, 1, newJoin, static("i")).alone(), x.member(h, 2, newJoin, static("i")).alone()
			x.Note("an instance of each group")
			a.heartbeat()
			b.heartbeat()
			x.Note("a member of one group in the other")
			x.Do(heartbeat(4, h, a.generation, a.id))
			x.Do(syncGroup(4, h, a.generation, a.id))
			x.Do(leaveGroup(5, h, leaver(a.id, ""), leaver(a.id, "i")))
			req := b.commitRequest(commits(t, 0, 5))
			req.MemberID, req.InstanceID = a.id, nil
			x.Do(req)
			x.Do(joinGroup(newJoin, h, a.id, "range=x"))
			x.Note("both go on")
			a.heartbeat()
			b.heartbeat()
			a.commit(commits(t, 0, 1))
			b.commit(commits(t, 0, 2))
			x.Do(offsetFetch(7, g))
			x.Do(offsetFetch(7, h))
		}),
		groupSequence("tags", func(x *Script) {
			g := x.Group("g")
			t := x.Topic("t", 1)
			join := joinGroup(newJoin, g, "", "range=x")
			join.UnknownTags.Set(100, []byte("root"))
			join.Protocols[0].UnknownTags.Set(100, []byte("protocol"))
			resp := x.On(1).Do(join).(*kmsg.JoinGroupResponse)
			join.MemberID = resp.MemberID
			x.On(1).Do(join)
			a := x.member(g, 1, newJoin)
			a.id, a.generation, a.protocol = resp.MemberID, 1, ptr("range")
			sync := a.syncRequest(a.gets("all"))
			sync.GroupAssignment[0].UnknownTags.Set(7, []byte("share"))
			x.On(1).Do(sync)
			commit := a.commitRequest(commits(t, 0, 5))
			commit.Topics[0].UnknownTags.Set(7, []byte("topic"))
			commit.Topics[0].Partitions[0].UnknownTags.Set(7, []byte("partition"))
			x.On(1).Do(commit)
			fetch := offsetFetch(9, g, committed(t, 0))
			fetch.Groups[0].UnknownTags.Set(7, []byte("group"))
			fetch.Groups[0].Topics[0].UnknownTags.Set(7, []byte("topic"))
			x.Do(fetch)
			l := leaver(a.id, "")
			l.UnknownTags.Set(7, []byte("member"))
			x.On(1).Do(leaveGroup(5, g, l))
		}),
		groupSequence("protocol-without-name", func(x *Script) {
			for _, v := range []int16{oldJoin, midJoin, 7, newJoin} {
				m := x.member(x.Group("g"+string(rune('0'+v))), 1, v, speaking("=nameless"))
				m.join()
				m.sync(m.gets("all"))
				x.show(m.group)
			}
		}),
		groupSequence("session-of-old-versions", func(x *Script) {
			// Each version of the request between others of the same group, since answers depend on the version and not on the member.
			g := x.Group("g")
			a := x.member(g, 1, newJoin, static("i")).alone()
			for v := range int16(5) {
				req := a.heartbeatRequest()
				req.Version = v
				x.On(1).Do(req)
				req.Generation++
				x.On(1).Do(req)
			}
			for v := range int16(6) {
				req := a.syncRequest()
				req.Version, req.ProtocolType, req.Protocol = v, ptr("consumer"), ptr("range")
				x.On(1).Do(req)
			}
			for v := range int16(10) {
				a.version = v
				req := a.joinRequest()
				x.Note("joins again")
				x.On(1).Do(req)
				x.Note("and is in the way of a heartbeat")
				x.On(1).Do(heartbeat(2, g, 1, a.id))
			}
		}),
		groupSequence("long-metadata", func(x *Script) {
			t := x.Topic("t", 1)
			meta := speaking("range=" + strings.Repeat("m", 100_000))
			g := x.Group("g")
			a, b, c := x.member(g, 1, oldJoin, meta), x.member(g, 2, oldJoin, meta), x.member(g, 3, oldJoin, meta)
			a.alone()
			ids := 0
			for _, m := range []*member{b, c} {
				in := m.parks(ids + 2)
				others := []*member{a, b}[:ids+1]
				var joins []*Pending
				for _, o := range others {
					joins = append(joins, o.startJoin())
				}
				m.elected(in)
				for i, o := range others {
					o.elected(joins[i])
				}
				x.assign(append([]*member{m}, others...)...)
				ids++
			}
			a.commit(commits(t, 0, 1))
			a.heartbeat()
		}),
	}
}

// settles waits until a group answers, by which it has also dealt with what was sent to it before, unless that was slower on its way.
func (s *Script) settles(group string) {
	for range 5 {
		s.coordinated(group)
		time.Sleep(pollPause)
	}
}
