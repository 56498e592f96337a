package diff

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetOf asks quietly for one committed offset.
func (s *Script) offsetOf(group string, t Topic, partition int32) int64 {
	resp, ok := s.quiet(offsetFetch(5, group, committed(t, partition))).(*kmsg.OffsetFetchResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		panic("no answer about a committed offset")
	}
	return resp.Topics[0].Partitions[0].Offset
}

func committedSequences() []Case {
	return []Case{
		groupSequence("simple-consumer", func(x *Script) {
			t := x.Topic("t", 2)
			g := x.Group("g")
			x.Do(offsetFetch(1, g, committed(t, 0, 1)))
			x.Do(offsetCommit(2, g, commits(t, 0, 10)))
			x.Do(offsetFetch(1, g, committed(t, 0, 1)))
			x.show(g)
			x.Do(listGroups(5, nil, nil))
			x.Do(listGroups(5, []string{"Empty"}, []string{"classic"}))
			x.Note("a member comes in")
			m := x.member(g, 1, newJoin).alone()
			x.Do(offsetFetch(9, g))
			x.Note("simple commits are refused now")
			for _, v := range []int16{2, 5, 7, 9} {
				x.Do(offsetCommit(v, g, commits(t, 0, 11)))
			}
			m.commit(commits(t, 1, 12))
			m.leave()
			x.Note("and taken again")
			x.Do(offsetCommit(9, g, commits(t, 0, 13)))
			x.Do(offsetFetch(9, g))
			x.show(g)
		}),
		groupSequence("commit-and-rebalance", func(x *Script) {
			t := x.Topic("t", 2)
			g := x.Group("g")
			for _, v := range []int16{oldJoin, midJoin, newJoin} {
				a, b := x.member(g, 1, v), x.member(g, 2, v)
				a.alone()
				a.commit(commits(t, 0, 1))
				in := b.parks(2)
				x.Note("while the group prepares a rebalance")
				a.commit(commits(t, 0, 2))
				x.On(102).Do(b.commitRequest(commits(t, 0, 3)))
				old := a.commitRequest(commits(t, 0, 4))
				a.joined(a.startJoin())
				b.joined(in)
				x.Note("while it completes one")
				a.commit(commits(t, 0, 5))
				b.commit(commits(t, 0, 6))
				x.Note("with the generation before")
				x.On(1).Do(old)
				x.assign(a, b)
				x.On(1).Do(old)
				b.commit(commits(t, 1, 7))
				x.Do(offsetFetch(eras[v].fetch, g, committed(t, 0, 1)))
				b.leave()
				x.Note("by one that left")
				b.commit(commits(t, 1, 8))
				a.commit(commits(t, 0, 9))
				a.leave()
				x.Do(offsetFetch(eras[v].fetch, g, committed(t, 0, 1)))
			}
		}),
		groupSequence("commit-static", func(x *Script) {
			t := x.Topic("t", 1)
			a := x.member(x.Group("g"), 1, newJoin, static("a")).alone()
			for _, odd := range []struct {
				about  string
				change func(*kmsg.OffsetCommitRequest)
			}{
				{"as it is", func(*kmsg.OffsetCommitRequest) {}},
				{"another instance", func(r *kmsg.OffsetCommitRequest) { r.InstanceID = ptr("b") }},
				{"another member", func(r *kmsg.OffsetCommitRequest) { r.MemberID = "nobody" }},
				{"another member, generation before", func(r *kmsg.OffsetCommitRequest) { r.MemberID = "nobody"; r.Generation-- }},
				{"generation before", func(r *kmsg.OffsetCommitRequest) { r.Generation-- }},
				{"no generation", func(r *kmsg.OffsetCommitRequest) { r.Generation = -1 }},
				{"neither member nor generation", func(r *kmsg.OffsetCommitRequest) { r.Generation, r.MemberID = -1, "" }},
				{"no member", func(r *kmsg.OffsetCommitRequest) { r.MemberID = "" }},
			} {
				for _, v := range []int16{7, 9} {
					req := a.commitRequest(commits(t, 0, 5))
					req.Version = v
					odd.change(req)
					x.Note(odd.about)
					x.Do(req)
				}
			}
		}),
		groupSequence("offsets-by-topic-id", func(x *Script) {
			g := x.Group("g")
			t, other := x.Topic("t", 1), x.Topic("other", 1)
			x.Do(offsetCommit(10, g, commits(t, 0, 5), commits(x.missing(), 0, 6), commits(Topic{}, 0, 7)))
			x.Note("by name and by id")
			x.Do(offsetFetch(9, g))
			x.Do(offsetFetch(10, g))
			x.Do(offsetCommit(9, g, commits(other, 0, 8)))
			x.Do(offsetFetch(10, g, committed(other, 0), committed(t, 0), committed(x.missing(), 0), committed(Topic{}, 0)))
			x.quiet(deleteTopics(6, other.Name))
			x.Settle()
			x.waitFor("the offset of a deleted topic to go", func() bool { return x.offsetOf(g, other, 0) == -1 })
			x.Note("a topic was deleted")
			x.Do(offsetFetch(10, g, committed(other, 0), committed(t, 0)))
			x.Do(offsetCommit(10, g, commits(other, 0, 9), commits(t, 0, 9)))
			x.Do(offsetFetch(10, g))
			again := x.Topic("other", 1)
			x.norm.topicIs(again.ID, "other-again")
			x.Note("and made again")
			x.Do(offsetFetch(10, g, committed(again, 0), committed(other, 0)))
			x.Do(offsetCommit(10, g, commits(other, 0, 10), commits(again, 0, 11)))
			x.Do(offsetFetch(10, g))
			x.Do(offsetFetch(9, g))
		}),
		groupSequence("deleted-topic", func(x *Script) {
			a, b := x.Topic("a", 2), x.Topic("b", 1)
			simple := x.Group("simple")
			only := x.Group("only")
			m := x.member(x.Group("stable"), 1, newJoin, speaking("range="+subscribes(a, b))).alone()
			x.Do(offsetCommit(9, simple, commits(a, 0, 5), commits(a, 1, 6), commits(b, 0, 7)))
			x.Do(offsetCommit(9, only, commits(a, 0, 5)))
			m.commit(commits(a, 0, 8), commits(b, 0, 9))
			x.Do(deleteTopics(6, a.Name))
			x.waitFor("the offsets of a deleted topic to go", func() bool {
				return x.offsetOf(simple, a, 0) == -1 && x.offsetOf(m.group, a, 0) == -1 && x.offsetOf(only, a, 0) == -1
			})
			for _, g := range []string{simple, only, m.group} {
				x.Do(offsetFetch(9, g))
				x.show(g)
			}
			m.heartbeat()
			x.Topic("a", 2)
			x.Note("a topic of that name again")
			x.Do(offsetFetch(9, simple, committed(a, 0, 1), committed(b, 0)))
		}),
		groupSequence("deleted-group", func(x *Script) {
			t := x.Topic("t", 1)
			m := x.member(x.Group("g"), 1, newJoin, static("i")).alone()
			m.commit(commits(t, 0, 5))
			x.Note("live")
			x.Do(deleteGroups(3, m.group))
			m.leave()
			x.Do(deleteGroups(3, m.group))
			x.Do(offsetFetch(9, m.group, committed(t, 0)))
			x.show(m.group)
			x.Do(describeGroups(5, m.group))
			x.Do(listGroups(5, nil, nil))
			x.Note("what its member sees")
			m.heartbeat()
			m.sync()
			m.commit(commits(t, 0, 6))
			m.leave()
			x.On(1).Do(m.joinRequest())
			n := m.again(2)
			x.Note("a new life")
			n.alone()
			x.Do(offsetFetch(9, m.group, committed(t, 0)))
			x.show(m.group)
		}),
		groupSequence("offset-delete", func(x *Script) {
			a, b, c := x.Topic("a", 2), x.Topic("b", 1), x.Topic("c", 1)
			m := x.member(x.Group("g"), 1, newJoin, speaking("range="+subscribes(a), "sticky="+subscribes(a, b)))
			n := x.member(m.group, 2, newJoin, speaking("range="+subscribes(b), "sticky="+subscribes(b)))
			m.alone()
			m.commit(commits(a, 0, 1), commits(a, 1, 2), commits(b, 0, 3), commits(c, 0, 4))
			x.Note("one subscribed to, one not, one never committed, one unknown")
			x.Do(offsetDelete(m.group, committed(a, 0), committed(b, 0, 7), committed(x.missing(), 0)))
			x.Do(offsetFetch(9, m.group))
			in := n.parks(2)
			x.Note("while the group prepares a rebalance")
			x.Do(offsetDelete(m.group, committed(a, 0), committed(c, 0)))
			x.rejoin(in, n, m)
			x.Note("subscribed to by another member")
			x.Do(offsetDelete(m.group, committed(b, 0), committed(a, 0), committed(c, 0)))
			n.leave()
			m.leave()
			x.Note("empty")
			x.Do(offsetDelete(m.group, committed(a, 0, 1), committed(b, 0)))
			x.Do(offsetFetch(9, m.group))
			x.show(m.group)
		}),
		groupSequence("offset-metadata", func(x *Script) {
			t := x.Topic("t", 3)
			m := x.member(x.Group("g"), 1, newJoin).alone()
			x.Note("one of three is too long")
			m.commit(commits(t, 0, 1).with("fine"), commits(t, 1, 2).with(strings.Repeat("m", 4097)), commits(t, 2, 3))
			x.Do(offsetFetch(9, m.group))
			none := commits(t, 0, 4)
			none.metadata = nil
			x.Note("null")
			m.commit(none)
			for _, v := range []int16{1, 3, 5, 7, 9} {
				x.Do(offsetFetch(v, m.group, committed(t, 0, 1, 2)))
			}
		}),
		groupSequence("offset-epochs", func(x *Script) {
			t := x.Topic("t", 2)
			g := x.Group("g")
			x.Do(offsetCommit(6, g, commits(t, 0, 5).at(3), commits(t, 1, 5).at(0)))
			for _, v := range []int16{4, 5, 7, 8} {
				x.Do(offsetFetch(v, g, committed(t, 0, 1)))
			}
			x.Note("by a version without epochs")
			x.Do(offsetCommit(5, g, commits(t, 0, 6)))
			x.Do(offsetFetch(8, g))
		}),
		groupSequence("offset-fetch-many", func(x *Script) {
			a, b := x.Topic("a", 5), x.Topic("b", 1)
			var groups []string
			for _, name := range many(6) {
				g := x.Group("g" + name[6:])
				groups = append(groups, g)
				x.Do(offsetCommit(8, g, commits(a, int32(len(groups)-1)%5, int64(len(groups))), commits(b, 0, 7)))
			}
			req := offsetFetch(8, groups[0])
			for _, g := range groups[1:] {
				req.Groups = append(req.Groups, ofGroup(g))
			}
			x.Do(req)
			req.Version = 9
			req.RequireStable = true
			x.Do(req)
			req.Version = 10
			x.Do(req)
		}),
		groupSequence("internal-topic", func(x *Script) {
			// What clients see of the topic that all this is kept in, and what they may not do with it.
			const offsets = "__consumer_offsets"
			resp := x.quiet(metadata(12, false, offsets)).(*kmsg.MetadataResponse)
			x.norm.topicIs(resp.Topics[0].TopicID, "offsets")
			x.Do(metadata(12, false, offsets))
			x.Do(describeConfigs(4, resourceTopic, offsets, "cleanup.policy", "segment.bytes", "compression.type", "retention.ms", "min.insync.replicas"))
			x.Do(produce(9, -1, on(Topic{Name: offsets}, 0, of("x"))))
			x.Do(produce(9, -1, on(Topic{Name: offsets}, 50, of("x"))))
			x.Do(fetch(12, from(Topic{Name: offsets}, 50, 0)))
			x.Do(deleteRecords(2, offsets, 0, 0))
			x.Do(createTopics(7, newTopic(offsets, 1, 1)))
			dry := createPartitions(3, grow(offsets, 51))
			dry.ValidateOnly = true
			x.Do(dry)
			g := x.Group("g")
			x.Note("offsets of the topic of offsets")
			x.Do(offsetCommit(9, g, commits(Topic{Name: offsets}, 0, 5)))
			x.Do(offsetFetch(9, g))
		}),
	}
}

// waitFor polls for what cannot be seen in a group.
func (s *Script) waitFor(what string, done func() bool) {
	for !done() {
		s.later(what)
	}
	s.waiting = time.Time{}
}
