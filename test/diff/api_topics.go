package diff

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func createTopicsCases(v int16) *suite {
	s := newSuite(keyCreateTopics, v)
	s.add(Ordinary, "", func(x *Script) {
		x.Do(createTopics(v, newTopic(x.Name("a"), 3, 1)))
		x.Do(createTopics(v, newTopic(x.Name("b"), 1, 1, "retention.ms=1000", "cleanup.policy=compact,delete")))
		x.await(x.Name("a"), 3)
		x.Do(metadata(9, false, x.Name("a")))
	})
	s.add(Boundary, "", func(x *Script) {
		x.Do(createTopics(v))
		x.Do(createTopics(v, newTopic(x.Name("a"), 1, 1), newTopic(x.Name("b"), 2, 1)))
		x.Do(createTopics(v, newTopic(x.Name("defaults"), -1, -1)))
		x.Do(createTopics(v, newTopic(x.Name("half"), -1, 1), newTopic(x.Name("other-half"), 1, -1)))
		x.Do(createTopics(v, newTopic(x.Name(strings.Repeat("l", 249-len(x.prefix))), 1, 1)))
		x.Do(createTopics(v, assigned(newTopic(x.Name("assigned"), -1, -1), []int32{1}, []int32{1})))
		dry := createTopics(v, newTopic(x.Name("dry"), 2, 1, "segment.bytes=1048576"))
		dry.ValidateOnly = true
		x.Do(dry)
		x.Do(dry)
		dry.Topics[0].Topic = x.Name("a")
		x.Do(dry)
		hurried := createTopics(v, newTopic(x.Name("hurried"), 1, 1))
		hurried.TimeoutMillis = 30_000
		x.Do(hurried)
	})
	s.add(Boundary, "configs", func(x *Script) {
		x.Do(createTopics(v, newTopic(x.Name("a"), 1, 1, "max.message.bytes=100", "min.insync.replicas=1", "compression.type=lz4",
			"message.timestamp.type=LogAppendTime", "segment.bytes=1048576", "unclean.leader.election.enable=true")))
		x.Do(createTopics(v, newTopic(x.Name("spaces"), 1, 1, "retention.ms= 5 ", "cleanup.policy=compact, delete")))
		x.Do(createTopics(v, newTopic(x.Name("empty-policy"), 1, 1, "cleanup.policy=")))
	})
	s.add(Wrong, "", func(x *Script) {
		x.Topic("there", 1)
		for _, t := range []kmsg.CreateTopicsRequestTopic{
			newTopic(x.Name("there"), 1, 1),
			newTopic(x.Name("zero"), 0, 1),
			newTopic(x.Name("negative"), -2, 1),
			newTopic(x.Name("many"), 1, 2),
			newTopic(x.Name("none"), 1, 0),
			newTopic(x.Name("less"), 1, -2),
			newTopic("", 1, 1),
			newTopic(".", 1, 1),
			newTopic("..", 1, 1),
			newTopic("bad name", 1, 1),
			newTopic("bad/name", 1, 1),
			newTopic(x.Name(strings.Repeat("l", 250-len(x.prefix))), 1, 1),
			newTopic(x.Name("unknown-config"), 1, 1, "no.such.config=1"),
			newTopic(x.Name("old-config"), 1, 1, "message.format.version=2.8"),
			newTopic(x.Name("text-for-number"), 1, 1, "retention.ms=soon"),
			newTopic(x.Name("too-small"), 1, 1, "segment.bytes=1"),
			newTopic(x.Name("bad-choice"), 1, 1, "cleanup.policy=keep"),
			newTopic(x.Name("null-value"), 1, 1, "retention.ms"),
			newTopic(x.Name("two-faults"), 0, 5, "no.such.config=1"),
			newTopic(x.Name("config-twice"), 1, 1, "retention.ms=1", "retention.ms=2"),
			assigned(newTopic(x.Name("both"), 1, 1), []int32{1}),
			assigned(newTopic(x.Name("no-broker"), -1, -1), []int32{9}),
			assigned(newTopic(x.Name("no-replica"), -1, -1), []int32{}),
			assigned(newTopic(x.Name("same-replica"), -1, -1), []int32{1, 1}),
			assigned(newTopic(x.Name("negative-replica"), -1, -1), []int32{-1}),
			assigned(newTopic(x.Name("uneven"), -1, -1), []int32{1}, []int32{1, 2}),
		} {
			x.Do(createTopics(v, t))
		}
		gap := assigned(newTopic(x.Name("gap"), -1, -1), []int32{1})
		gap.ReplicaAssignment[0].Partition = 1
		x.Do(createTopics(v, gap))
		x.Do(createTopics(v, newTopic(x.Name("twice"), 1, 1), newTopic(x.Name("twice"), 1, 1)))
		x.Do(createTopics(v, newTopic(x.Name("good"), 1, 1), newTopic("bad name", 1, 1)))
		x.Do(createTopics(v, newTopic(x.Name("collide.s"), 1, 1)))
		x.Do(createTopics(v, newTopic(x.Name("collide_s"), 1, 1)))
	})
	s.malformed(func(*Script) kmsg.Request { return createTopics(v, newTopic("bad name", 1, 1)) })
	return s
}

func deleteTopicsCases(v int16) *suite {
	s := newSuite(keyDeleteTopics, v)
	s.add(Ordinary, "", func(x *Script) {
		a := x.Topic("a", 2)
		x.Do(deleteTopics(v, a.Name))
		x.Settle()
		x.Do(metadata(9, false, a.Name))
		if v >= 6 {
			b := x.Topic("b", 1)
			x.Do(deleteTopicIDs(b.ID))
			x.Settle()
			x.Do(metadata(9, false, b.Name))
		}
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 1), x.Topic("b", 1)
		x.Do(deleteTopics(v))
		x.Do(deleteTopics(v, a.Name, x.missing().Name, b.Name))
		x.Do(deleteTopics(v, a.Name))
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 1)
		x.Do(deleteTopics(v, x.missing().Name))
		x.Do(deleteTopics(v, ""))
		x.Do(deleteTopics(v, "bad name"))
		x.Do(deleteTopics(v, a.Name, a.Name))
		if v >= 6 {
			b := x.Topic("b", 1)
			x.Do(deleteTopicIDs(unknownID))
			x.Do(deleteTopicIDs([16]byte{}))
			x.Do(deleteTopicIDs(b.ID, b.ID))
			both := deleteTopics(v, b.Name)
			both.Topics[0].TopicID = b.ID
			x.Do(both)
			mixed := deleteTopics(v, b.Name)
			mixed.Topics = append(mixed.Topics, deleteTopicIDs(b.ID).Topics...)
			x.Do(mixed)
		}
	})
	s.malformed(func(x *Script) kmsg.Request { return deleteTopics(v, absentTopic.Name) })
	return s
}

func createPartitionsCases(v int16) *suite {
	s := newSuite(keyCreatePartitions, v)
	s.add(Ordinary, "", func(x *Script) {
		a := x.Topic("a", 1)
		x.Do(createPartitions(v, grow(a.Name, 3)))
		x.await(a.Name, 3)
		x.Do(metadata(9, false, a.Name))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 1), x.Topic("b", 2)
		x.Do(createPartitions(v))
		dry := createPartitions(v, grow(a.Name, 2))
		dry.ValidateOnly = true
		x.Do(dry)
		x.Do(createPartitions(v, grow(a.Name, 3, []int32{1}, []int32{1}), grow(b.Name, 3), grow(x.missing().Name, 2)))
		x.await(a.Name, 3)
		x.await(b.Name, 3)
		x.Do(metadata(9, false, a.Name, b.Name))
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 2)
		for _, t := range []kmsg.CreatePartitionsRequestTopic{
			grow(a.Name, 2),
			grow(a.Name, 1),
			grow(a.Name, 0),
			grow(a.Name, -1),
			grow(x.missing().Name, 3),
			grow("", 3),
			grow("bad name", 3),
			grow(a.Name, 3, []int32{1}, []int32{1}),
			grow(a.Name, 4, []int32{1}),
			grow(a.Name, 3, []int32{9}),
			grow(a.Name, 3, []int32{}),
			grow(a.Name, 3, []int32{1, 1}),
			grow(a.Name, 3, []int32{1, 2}),
			grow(a.Name, 3, []int32{-1}),
		} {
			x.Do(createPartitions(v, t))
		}
		x.Do(createPartitions(v, grow(a.Name, 3), grow(a.Name, 4)))
		x.Do(metadata(9, false, a.Name))
	})
	s.malformed(func(x *Script) kmsg.Request { return createPartitions(v, grow(absentTopic.Name, 3)) })
	return s
}
