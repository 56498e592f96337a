package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// str is a string as requests that are not flexible carry it.
func str(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }

// null and others are lengths of strings, byte strings and arrays that mean no length, or more than there is.
var (
	nullString = []byte{0xff, 0xff}
	nullArray  = []byte{0xff, 0xff, 0xff, 0xff}
	minusTwo   = []byte{0xff, 0xff, 0xff, 0xfe}
	veryMany   = []byte{0x7f, 0xff, 0xff, 0xff}
	one        = []byte{0, 0, 0, 1}
	noArray    = []byte{0, 0, 0, 0}
)

func hostileGroupSequences() []Case {
	return []Case{
		groupSequence("array-lengths", func(x *Script) {
			body := func(about string, key, version int16, flexible bool, parts ...[]byte) {
				x.Note(about)
				x.On(0).Body(key, version, flexible, slices.Concat(parts...))
			}
			g := x.Group("g")
			join := [][]byte{str(g), {0, 0, 0xea, 0x60}, str(""), str("consumer")}
			for _, n := range []struct {
				about string
				bytes []byte
			}{{"null", nullArray}, {"-2", minusTwo}, {"2^31-1", veryMany}, {"none", noArray}} {
				body("JoinGroup: protocols "+n.about, keyJoinGroup, 0, false, append(join[:4:4], n.bytes)...)
				body("JoinGroup: metadata "+n.about, keyJoinGroup, 0, false, append(join[:4:4], one, str("range"), n.bytes)...)
				body("SyncGroup: shares "+n.about, keySyncGroup, 0, false, str(g), one, str("nobody"), n.bytes)
				body("SyncGroup: share "+n.about, keySyncGroup, 0, false, str(g), one, str("nobody"), one, str("nobody"), n.bytes)
				body("LeaveGroup: members "+n.about, keyLeaveGroup, 3, false, str(g), n.bytes)
				body("DescribeGroups: groups "+n.about, keyDescribeGroups, 0, false, n.bytes)
				body("DeleteGroups: groups "+n.about, keyDeleteGroups, 0, false, n.bytes)
				body("OffsetCommit: topics "+n.about, keyOffsetCommit, 5, false, str(g), nullArray, str(""), n.bytes)
				body("OffsetCommit: partitions "+n.about, keyOffsetCommit, 5, false, str(g), nullArray, str(""), one, str("no-such-topic"), n.bytes)
				body("OffsetFetch: topics "+n.about, keyOffsetFetch, 1, false, str(g), n.bytes)
				body("OffsetFetch: topics in version 2 "+n.about, keyOffsetFetch, 2, false, str(g), n.bytes)
				body("OffsetFetch: partitions "+n.about, keyOffsetFetch, 1, false, str(g), one, str("no-such-topic"), n.bytes)
				body("OffsetDelete: topics "+n.about, keyOffsetDelete, 0, false, str(g), n.bytes)
				body("OffsetDelete: partitions "+n.about, keyOffsetDelete, 0, false, str(g), one, str("no-such-topic"), n.bytes)
			}
			for _, n := range []struct {
				about string
				bytes []byte
			}{{"null", []byte{0}}, {"2^28", []byte{0x80, 0x80, 0x80, 0x80, 0x01}}, {"2^32-1", []byte{0xff, 0xff, 0xff, 0xff, 0x0f}}, {"a varint without an end", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}} {
				tail := []byte{0}
				body("FindCoordinator: keys "+n.about, keyFindCoordinator, 4, true, []byte{0}, n.bytes, tail)
				body("ListGroups: states "+n.about, keyListGroups, 4, true, n.bytes, tail)
				body("ListGroups: types "+n.about, keyListGroups, 5, true, []byte{1}, n.bytes, tail)
				body("OffsetFetch: groups "+n.about, keyOffsetFetch, 8, true, n.bytes, []byte{0}, tail)
				body("DescribeGroups: groups "+n.about, keyDescribeGroups, 5, true, n.bytes, []byte{0}, tail)
				body("DeleteGroups: groups "+n.about, keyDeleteGroups, 2, true, n.bytes, tail)
				body("LeaveGroup: members "+n.about, keyLeaveGroup, 4, true, []byte{2, 'g'}, n.bytes, tail)
				body("Heartbeat: group "+n.about, keyHeartbeat, 4, true, n.bytes, one, []byte{2, 'm', 0}, tail)
			}
		}),
		groupSequence("null-strings", func(x *Script) {
			body := func(about string, key, version int16, parts ...[]byte) {
				x.Note(about)
				x.On(0).Body(key, version, false, slices.Concat(parts...))
			}
			g := x.Group("g")
			body("FindCoordinator: key", keyFindCoordinator, 0, nullString)
			body("JoinGroup: group", keyJoinGroup, 0, nullString, one, str(""), str("consumer"), noArray)
			body("JoinGroup: member", keyJoinGroup, 0, str(g), one, nullString, str("consumer"), noArray)
			body("JoinGroup: protocol type", keyJoinGroup, 0, str(g), one, str(""), nullString, noArray)
			body("JoinGroup: protocol name", keyJoinGroup, 0, str(g), one, str(""), str("consumer"), one, nullString, noArray)
			body("SyncGroup: group", keySyncGroup, 0, nullString, one, str("nobody"), noArray)
			body("SyncGroup: member", keySyncGroup, 0, str(g), one, nullString, noArray)
			body("SyncGroup: member of a share", keySyncGroup, 0, str(g), one, str("nobody"), one, nullString, noArray)
			body("Heartbeat: group", keyHeartbeat, 0, nullString, one, str("nobody"))
			body("Heartbeat: member", keyHeartbeat, 0, str(g), one, nullString)
			body("Heartbeat: instance, which may be", keyHeartbeat, 3, str(g), one, str("nobody"), nullString)
			body("LeaveGroup: group", keyLeaveGroup, 0, nullString, str("nobody"))
			body("LeaveGroup: member", keyLeaveGroup, 0, str(g), nullString)
			body("DescribeGroups: group", keyDescribeGroups, 0, one, nullString)
			body("DeleteGroups: group", keyDeleteGroups, 0, one, nullString)
			body("OffsetCommit: group", keyOffsetCommit, 5, nullString, nullArray, str(""), noArray)
			body("OffsetCommit: member", keyOffsetCommit, 5, str(g), nullArray, nullString, noArray)
			body("OffsetCommit: topic", keyOffsetCommit, 5, str(g), nullArray, str(""), one, nullString, noArray)
			body("OffsetFetch: group", keyOffsetFetch, 2, nullString, nullArray)
			body("OffsetFetch: topic", keyOffsetFetch, 2, str(g), one, nullString, noArray)
			body("OffsetDelete: group", keyOffsetDelete, 0, nullString, noArray)
			body("OffsetDelete: topic", keyOffsetDelete, 0, str(g), one, nullString, noArray)
		}),
		groupSequence("odd-names", func(x *Script) {
			t := x.Topic("t", 1)
			for _, name := range []string{strings.Repeat("g", 1000), "with spaces/and:ü", "\x00\x01", "..", "🐟"} {
				g := x.Group(name)
				about := name[:min(len(name), 20)]
				x.Note("commit")
				x.Do(offsetCommit(9, g, commits(t, 0, 5)))
				x.Do(offsetFetch(5, g, committed(t, 0)))
				m := x.member(g, 1, oldJoin, speaking("an odd protocol/ü="+about))
				m.join()
				m.sync(m.gets("all"))
				m.heartbeat()
				m.leave()
				x.Do(deleteGroups(1, g))
			}
			x.Note("a name that is not UTF-8")
			x.On(0).Body(keyDescribeGroups, 0, false, slices.Concat(one, str("\xff\xfe")))
		}),
		groupSequence("very-many", func(x *Script) {
			// Lists that are long and otherwise all right. What is recorded of the answers is how long they are.
			g := x.Group("g")
			a := x.member(g, 1, newJoin).alone()
			names := make([]string, 2000)
			leavers := make([]kmsg.LeaveGroupRequestMember, 2000)
			protocols := make([]string, 2000)
			for i := range names {
				names[i] = fmt.Sprintf("%s-%d", g, i)
				leavers[i] = leaver(names[i], "")
				protocols[i] = fmt.Sprintf("p%d=m", i)
			}
			count := func(about string, n int, code int16) {
				x.record(Answer{Request: about, Leaves: []Leaf{{"", "answers", fmt.Sprint(n)}, {"", "code", fmt.Sprint(code)}}})
			}
			leave := x.quiet(leaveGroup(5, g, leavers...)).(*kmsg.LeaveGroupResponse)
			count("leave by strangers", len(leave.Members), leave.Members[len(leave.Members)-1].ErrorCode)
			find := x.quiet(findCoordinator(4, coordinateGroup, names...)).(*kmsg.FindCoordinatorResponse)
			count("coordinators", len(find.Coordinators), find.Coordinators[len(find.Coordinators)-1].ErrorCode)
			describe := x.quiet(describeGroups(5, names...)).(*kmsg.DescribeGroupsResponse)
			count("groups described", len(describe.Groups), describe.Groups[0].ErrorCode)
			remove := x.quiet(deleteGroups(2, names...)).(*kmsg.DeleteGroupsResponse)
			count("groups deleted", len(remove.Groups), remove.Groups[0].ErrorCode)
			t := x.Topic("t", 1)
			numbers := make([]int32, 5000)
			for i := range numbers {
				numbers[i] = int32(i)
			}
			fetch := x.quiet(offsetFetch(5, g, committed(t, numbers...))).(*kmsg.OffsetFetchResponse)
			count("offsets", len(fetch.Topics[0].Partitions), fetch.Topics[0].Partitions[0].ErrorCode)
			h := x.Group("h")
			b := x.member(h, 2, newJoin, speaking(protocols...))
			b.join()
			b.sync(b.gets("all"))
			a.heartbeat()
		}),
		groupSequence("too-large", func(x *Script) {
			// More than a batch of the topic of offsets may hold.
			g := x.Group("g")
			a := x.member(g, 1, newJoin)
			a.join()
			x.Note("a share of two megabytes")
			a.sync(a.gets(strings.Repeat("s", 2<<20)))
			a.heartbeat()
			x.Note("a smaller one")
			a.sync(a.gets("all"))
			a.join()
			a.sync(a.gets("all"))
			a.heartbeat()
			const partitions = 300
			t := x.Topic("t", partitions)
			var all []commitOf
			for p := range int32(partitions) {
				all = append(all, commits(t, p, 1).with(strings.Repeat("m", 4096)))
			}
			codes := map[int16]int{}
			resp := x.quiet(a.commitRequest(all...)).(*kmsg.OffsetCommitResponse)
			for _, p := range resp.Topics[0].Partitions {
				codes[p.ErrorCode]++
			}
			x.record(Answer{Request: "a commit with more than a megabyte of metadata", Leaves: []Leaf{{"", "codes", strings.ReplaceAll(fmt.Sprint(codes), " ", ",")}}})
			x.Do(offsetFetch(9, g, committed(t, 0)))
			a.heartbeat()
		}),
	}
}

// firstUse is the last of all cases of the plain broker: before it nobody has asked for a coordinator.
func firstUse() Case {
	return on1(plainBroker, "first-use", func(x *Script) {
		g, t := x.Name("g"), x.Topic("t", 1)
		x.Note("before anybody looked for a coordinator")
		x.Do(joinGroup(oldJoin, g, "", "range=x"))
		x.Do(syncGroup(4, g, 1, "nobody"))
		x.Do(heartbeat(4, g, 1, "nobody"))
		x.Do(leaveGroup(2, g, leaver("nobody", "")))
		x.Do(leaveGroup(5, g, leaver("nobody", "")))
		x.Do(offsetFetch(5, g))
		x.Do(offsetFetch(9, g))
		x.Do(describeGroups(5, g))
		x.Do(describeGroups(6, g))
		x.Do(listGroups(5, nil, nil))
		x.Do(deleteGroups(2, g))
		x.Do(offsetDelete(g, committed(absentTopic, 0)))
		x.Do(offsetCommit(9, g, commits(t, 0, 1)))
		x.Do(metadata(12, false, "__consumer_offsets"))
		x.Do(findCoordinator(1, coordinateGroup, g))
		for {
			resp := x.quiet(findCoordinator(1, coordinateGroup, g)).(*kmsg.FindCoordinatorResponse)
			if !comesUp(resp.ErrorCode) {
				break
			}
			x.later("a coordinator")
		}
		x.coordinated(g)
		x.Do(findCoordinator(1, coordinateGroup, g))
		m := x.member(g, 1, oldJoin)
		x.Note("and after")
		m.heartbeat()
		x.Do(metadata(12, false, "__consumer_offsets"))
	})
}
