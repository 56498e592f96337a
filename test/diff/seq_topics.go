package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func topicSequences() []Case {
	return []Case{
		sequence("delete-recreate", func(x *Script) {
			old := x.Topic("a", 2)
			x.put(old, 0, "old")
			x.Do(deleteTopics(6, old.Name))
			x.Settle()
			x.Do(metadata(12, false, old.Name))
			x.Do(metadataByID(12, old.ID))
			x.Do(produce(9, -1, on(old, 0, of("to a deleted topic"))))
			x.Do(produce(13, -1, on(old, 0, of("to a deleted topic"))))
			x.Do(fetch(12, from(old, 0, 0)))
			x.Do(fetch(13, from(old, 0, 0)))
			x.Do(listOffsets(7, old.Name, 0, -1))
			now := x.Topic("a", 1)
			x.norm.topicIs(now.ID, "a-again")
			x.Do(metadata(12, false, now.Name))
			x.Do(metadataByID(12, old.ID, now.ID))
			x.Do(fetch(12, from(now, 0, 0), from(now, 1, 0)))
			x.Do(fetch(13, from(old, 0, 0)))
			x.Do(fetch(13, from(now, 0, 0)))
			x.Do(produce(13, -1, on(old, 0, of("by the old id"))))
			x.Do(produce(13, -1, on(now, 0, of("by the new id"))))
			x.Do(produce(9, -1, on(now, 0, of("by name"))))
			x.Do(fetch(13, from(now, 0, 0)))
			x.Do(deleteTopicIDs(old.ID))
			x.Do(deleteTopicIDs(now.ID))
		}),
		sequence("auto-create", func(x *Script) {
			for _, name := range []string{"a", "b.dot", "b_dot", "c"} {
				x.Do(metadata(12, true, x.Name(name)))
			}
			x.await(x.Name("a"), 1)
			x.await(x.Name("c"), 1)
			x.Settle()
			x.Do(metadata(12, false, x.Name("a"), x.Name("b.dot"), x.Name("b_dot")))
			x.Do(metadata(12, true, x.Name("d"), "bad name", x.Name("a")))
			x.await(x.Name("d"), 1)
			x.Do(describeConfigs(4, resourceTopic, x.Name("d"), "cleanup.policy", "retention.ms"))
			x.Note("by version 3, which has no say in it")
			x.Do(metadata(3, false, x.Name("e")))
			x.await(x.Name("e"), 1)
			x.Do(metadata(3, false, x.Name("e")))
			x.Do(produce(9, -1, on(Topic{Name: x.Name("not-by-produce")}, 0, of("x"))))
			x.Do(metadata(12, false, x.Name("not-by-produce")))
		}),
		sequence("partitions-added", func(x *Script) {
			t := x.Topic("a", 1)
			x.put(t, 0, "p0")
			x.Do(produce(9, -1, on(t, 1, of("too early"))))
			s := x.open(12, from(t, 0, 1), from(t, 1, 0))
			x.Do(createPartitions(3, grow(t.Name, 3)))
			x.await(t.Name, 3)
			s.next("the partition is there now")
			x.Do(produce(9, -1, on(t, 1, of("p1")), on(t, 2, of("p2"))))
			s.next("and has data")
			x.Do(metadata(12, false, t.Name))
			x.Do(fetch(12, from(t, 0, 0), from(t, 1, 0), from(t, 2, 0), from(t, 3, 0)))
		}),
		sequence("configs", func(x *Script) {
			t := x.Topic("a", 1, "retention.ms=60000")
			show := func() {
				x.Settle()
				req := describeConfigs(4, resourceTopic, t.Name, "retention.ms", "max.message.bytes", "cleanup.policy", "min.insync.replicas", "segment.ms")
				req.IncludeSynonyms = true
				x.Do(req)
			}
			show()
			x.Do(alterConfigs(1, resourceTopic, t.Name, alter(opSet, "max.message.bytes=100"), alter(opSet, "segment.ms=60000")))
			show()
			x.Do(produce(9, -1, on(t, 0, of("a value that makes the batch longer than one hundred bytes"))))
			x.Do(alterConfigs(1, resourceTopic, t.Name, alter(opDelete, "max.message.bytes"), alter(opDelete, "retention.ms")))
			show()
			x.Do(produce(9, -1, on(t, 0, of("a value that makes the batch longer than one hundred bytes"))))
			x.Do(alterConfigs(1, resourceTopic, t.Name, alter(opSet, "cleanup.policy=compact"), alter(opSet, "min.insync.replicas=2")))
			show()
			x.Note("min.insync.replicas above the replication factor")
			x.Do(produce(9, -1, on(t, 0, batch{records: []rec{text("k", "v")}})))
			x.Do(produce(9, -1, on(t, 0, of("no key any more"))))
			x.Do(alterConfigs(1, resourceTopic, t.Name, alter(opSet, "cleanup.policy=delete,compact"), alter(opSet, "retention.ms=-1")))
			show()
		}),
		sequence("create-configs", func(x *Script) {
			req := createTopics(7, newTopic(x.Name("a"), 2, 1, "cleanup.policy=compact,delete", "compression.type=zstd", "segment.ms=100000",
				"message.timestamp.type=LogAppendTime", "retention.bytes=1000000"))
			x.Do(req)
			x.await(x.Name("a"), 2)
			all := describeConfigs(4, resourceTopic, x.Name("a"))
			all.IncludeSynonyms = true
			x.Do(all)
		}),
		sequence("describe-broker", func(x *Script) {
			all := describeConfigs(4, resourceBroker, "1")
			all.IncludeDocumentation = true
			x.Do(all)
			x.Do(describeClusterRequest(2))
		}),
		sequence("validate-only", func(x *Script) {
			req := createTopics(7, newTopic(x.Name("a"), 2, 1))
			req.ValidateOnly = true
			x.Do(req)
			x.Settle()
			x.Do(metadata(12, false, x.Name("a")))
			t := x.Topic("b", 1)
			more := createPartitions(3, grow(t.Name, 5))
			more.ValidateOnly = true
			x.Do(more)
			x.Settle()
			x.Do(metadata(12, false, t.Name))
			change := alterConfigs(1, resourceTopic, t.Name, alter(opSet, "retention.ms=1"))
			change.ValidateOnly = true
			x.Do(change)
			x.Settle()
			x.Do(describeConfigs(4, resourceTopic, t.Name, "retention.ms"))
		}),
		sequence("many-topics", func(x *Script) {
			req := createTopics(4)
			for _, name := range many(12) {
				req.Topics = append(req.Topics, newTopic(x.Name("t"+name[6:]), 2, 1))
			}
			x.Do(req)
			for _, t := range req.Topics {
				x.await(t.Topic, 2)
			}
			all := metadata(9, false)
			all.Topics = nil
			x.Do(all)
			var names []string
			for _, t := range req.Topics {
				names = append(names, t.Topic)
			}
			x.Do(deleteTopics(5, names[2:]...))
			x.Settle()
			x.Do(all)
		}),
		sequence("internal-names", func(x *Script) {
			// Names that Kafka keeps for itself; none of these requests creates a topic.
			for _, name := range []string{"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"} {
				x.Do(metadata(12, false, name))
				x.Do(produce(9, -1, on(Topic{Name: name}, 0, of("x"))))
				x.Do(fetch(12, from(Topic{Name: name}, 0, 0)))
				x.Do(listOffsets(7, name, 0, -1))
				x.Do(deleteTopics(5, name))
				dry := createTopics(4, newTopic(name, 1, 1))
				dry.ValidateOnly = true
				x.Do(dry)
			}
		}),
		sequence("metadata-mixed", func(x *Script) {
			a, b := x.Topic("a", 1), x.Topic("b", 2)
			req := metadata(12, false, a.Name, x.missing().Name, "bad name")
			req.Topics = append(req.Topics, metadataByID(12, b.ID).Topics...)
			req.IncludeTopicAuthorizedOperations = true
			x.Do(req)
			req = metadataByID(12, b.ID, unknownID, a.ID)
			x.Do(req)
			req = &kmsg.MetadataRequest{Version: 12, Topics: req.Topics, AllowAutoTopicCreation: true}
			x.Do(req)
		}),
	}
}
