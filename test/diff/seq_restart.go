package diff

import "github.com/twmb/franz-go/pkg/kmsg"

// epoch asks for the leader epoch of the first partition of a topic.
func (s *Script) epoch(t Topic) int32 {
	return s.Do(metadata(12, false, t.Name)).(*kmsg.MetadataResponse).Topics[0].Partitions[0].LeaderEpoch
}

func restartSequences() []Case {
	return []Case{
		sequence("restart-log", func(x *Script) {
			x.Restarts()
			t := x.Topic("a", 2)
			x.Do(produce(9, -1, on(t, 0, of("a", "b"))))
			x.Do(produce(9, -1, on(t, 0, of("c", "d").with(attrZstd)), on(t, 1, of("e"))))
			x.Do(deleteRecords(2, t.Name, 0, 1))
			s := x.open(12, from(t, 0, 1), from(t, 1, 0))
			x.Restart()
			x.await(t.Name, 2)
			x.Do(metadata(12, false, t.Name))
			s.next("the session is gone")
			x.Do(stored(t, 0, 0))
			x.Do(stored(t, 0, 1))
			x.Do(stored(t, 1, 0))
			for _, ts := range []int64{-1, -2, -3, baseTime} {
				if ts == -3 {
					x.Note(deletedByTime)
				}
				x.Do(listOffsets(7, t.Name, 0, ts))
			}
			now := x.epoch(t)
			epochs := func() {
				for _, epoch := range []int32{0, now, now + 50, now + 100} {
					x.Do(epochEnd(4, t.Name, 0, -1, epoch))
				}
			}
			x.Note("nothing written in the new epoch")
			epochs()
			x.Do(produce(9, -1, on(t, 0, of("f"))))
			x.Do(stored(t, 0, 4))
			epochs()
			for _, epoch := range []int32{0, now, now + 50} {
				x.Do(fetch(16, part{topic: t, offset: 4, epoch: ptr(epoch)}))
				x.Do(fetch(11, part{topic: t, offset: 4, epoch: ptr(epoch)}))
				x.Do(epochEnd(4, t.Name, 0, epoch, 0))
				old := listOffsets(7, t.Name, 0, -1)
				old.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
				x.Do(old)
			}
			x.Note("fetched too far in the first epoch")
			x.Do(fetch(16, part{topic: t, offset: 5, fetched: ptr(int32(0))}))
			x.Note("fetched to the end of the first epoch")
			x.Do(fetch(16, part{topic: t, offset: 4, fetched: ptr(int32(0))}))
			x.Note("a second restart, after which the epochs are told apart")
			before := x.epoch(t)
			x.Restart()
			x.await(t.Name, 2)
			x.epoch(t)
			x.Do(epochEnd(4, t.Name, 0, -1, 0))
			x.Do(epochEnd(4, t.Name, 0, -1, before))
			x.Do(stored(t, 0, 1))
		}),
		sequence("restart-idempotent", func(x *Script) {
			x.Restarts()
			t := x.Topic("a", 1)
			id := x.newProducer()
			for i := range int32(3) {
				x.send("in order", t, 2, id, 0, 2*i)
			}
			x.send("another producer", t, 1, 7000, 2, 0)
			x.Restart()
			x.await(t.Name, 1)
			x.send("duplicate of the last", t, 2, id, 0, 4)
			x.send("duplicate of the first", t, 2, id, 0, 0)
			x.send("gap", t, 1, id, 0, 7)
			x.send("next", t, 1, id, 0, 6)
			x.send("the other producer, old epoch", t, 1, 7000, 1, 0)
			x.send("the other producer", t, 1, 7000, 2, 1)
			if other := x.newProducer(); other == id {
				panic("a producer id was given twice")
			}
			x.Do(stored(t, 0, 0))
		}),
		sequence("restart-topics", func(x *Script) {
			x.Restarts()
			kept, gone := x.Topic("kept", 1, "retention.ms=-1", "max.message.bytes=90"), x.Topic("gone", 1)
			x.put(kept, 0, "a")
			x.put(gone, 0, "b")
			x.Do(createPartitions(3, grow(kept.Name, 2)))
			x.await(kept.Name, 2)
			x.put(kept, 1, "c")
			x.Do(alterConfigs(1, resourceTopic, kept.Name, alter(opSet, "segment.ms=70000")))
			x.Do(deleteTopics(6, gone.Name))
			x.Settle()
			x.Restart()
			x.await(kept.Name, 2)
			x.Do(metadata(12, false, kept.Name, gone.Name))
			x.Do(metadataByID(12, kept.ID, gone.ID))
			x.Do(describeConfigs(4, resourceTopic, kept.Name, "retention.ms", "segment.ms", "max.message.bytes"))
			x.Do(produce(9, -1, on(kept, 0, of("too long for the limit of the topic"))))
			x.Do(fetch(13, from(kept, 0, 0), from(kept, 1, 0), from(gone, 0, 0)))
			again := x.Topic("gone", 1)
			x.norm.topicIs(again.ID, "gone-again")
			x.Do(stored(again, 0, 0))
		}),
	}
}
