package diff

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// strictProperties are settings that nobody leaves at these values, so that it shows whether each of them acts.
var strictProperties = []string{
	"broker.rack=r1", "auto.create.topics.enable=false", "delete.topic.enable=false", "num.partitions=3", "default.replication.factor=2",
	"message.max.bytes=2000", "socket.request.max.bytes=100000", "fetch.max.bytes=1500", "max.incremental.fetch.session.cache.slots=0",
	"max.request.partition.size.limit=2", "offset.metadata.max.bytes=3000", "offsets.topic.num.partitions=3", "group.initial.rebalance.delay.ms=0",
	"group.min.session.timeout.ms=8000", "group.max.session.timeout.ms=9000", "log.message.timestamp.after.max.ms=7200000",
	"log.message.timestamp.before.max.ms=3600000", "log.cleanup.policy=compact", "compression.type=uncompressed", "log.retention.minutes=1000",
	"log.roll.hours=5", "log.roll.jitter.hours=1", "log.flush.scheduler.interval.ms=5000", "log.segment.bytes=2097152", "log.retention.bytes=3000000",
}

// started is a sequence on the broker that is started with settings.
func started(name string, run func(*Script)) Case {
	c := sequence("started-"+name, run)
	c.Broker = strictBroker
	return c
}

// keyed is a batch of one record with a key, stamped now.
func keyed(value string) batch {
	return batch{timestamp: hours(0), records: []rec{text("k", value)}}
}

// startedSequences show that what a broker is started with acts, and as in Kafka.
func startedSequences() []Case {
	return []Case{
		started("topics", func(x *Script) {
			x.Do(metadata(9, true, x.Name("none")))
			x.Do(produce(9, -1, on(x.missing(), 0, keyed("x"))))
			x.Note("replicas by default")
			x.Do(createTopics(7, newTopic(x.Name("a"), -1, -1)))
			x.Note("partitions by default")
			x.Do(createTopics(7, newTopic(x.Name("a"), -1, 1)))
			x.await(x.Name("a"), 3)
			x.Do(metadata(9, false, x.Name("a")))
			x.shows(resourceTopic, x.Name("a"))
			var names []string
			for _, p := range strictProperties {
				name, _ := cutConfig(p)
				names = append(names, name)
			}
			x.shows(resourceBroker, "1", names...)
			for v := int16(1); v <= 6; v++ {
				x.Do(deleteTopics(v, x.Name("a"), x.Name("none")))
			}
			x.Do(deleteTopicIDs(x.missing().ID))
			x.Do(describePartitions(0, 100, nil, x.Name("a")))
			x.Do(describePartitions(0, 1, nil, x.Name("a")))
			x.Do(describePartitions(0, 100, cursor(x.Name("a"), 2), x.Name("a")))
		}),
		started("records", func(x *Script) {
			t := x.Topic("a", 2)
			for _, one := range []struct {
				about string
				b     batch
			}{
				{"no key", of("x").at(hours(0))}, {"with a key", keyed("x")}, {"too large", keyed(strings.Repeat("x", 2000))},
				{"too old", keyed("x").at(hours(-2))}, {"old", keyed("x").at(hours(0) - 30*time.Minute.Milliseconds())}, {"too new", keyed("x").at(hours(3))},
				{"compressed by another", keyed("y").with(attrZstd)},
			} {
				x.Note(one.about)
				x.Do(produce(9, -1, on(t, 0, one.b)))
			}
			x.Do(stored(t, 0, 0))
			x.Note("the fetch is limited by the broker")
			for p := range int32(2) {
				for range 4 {
					x.quiet(produce(9, -1, on(t, p, keyed(random(400)))))
				}
			}
			x.Do(fetch(12, from(t, 0, 3), from(t, 1, 0)))
			x.Note("no sessions")
			x.open(12, from(t, 1, 0))
		}),
		started("frames", func(x *Script) {
			large := metadata(9, false, x.Name("a"))
			large.UnknownTags.Set(9, make([]byte, 99_000))
			x.Do(large)
			large.UnknownTags.Set(9, make([]byte, 100_100))
			x.Note("above socket.request.max.bytes")
			x.Do(large)
		}),
		started("groups", func(x *Script) {
			t, g := x.Topic("a", 1), x.Group("g")
			x.Note("partitions of the topic of offsets")
			x.Do(metadata(9, false, "__consumer_offsets"))
			commit := func(note string, metadata string) {
				x.Note(note)
				x.Do(offsetCommit(8, g, commitOf{topic: t, offset: 1, metadata: ptr(metadata), epoch: -1}))
			}
			commit("short notes", "short")
			commit("more than the log takes at once", random(2500))
			commit("longer than allowed", random(3001))
			x.Do(offsetFetch(7, g, committed(t, 0)))
			for _, session := range []time.Duration{7999, 8000, 9000, 9001} {
				m := x.member(x.Group("s"), 1, 3)
				m.session = session * time.Millisecond
				x.Note((session * time.Millisecond).String())
				if resp, ok := m.does(m.joinRequest()).(*kmsg.JoinGroupResponse); ok && resp.ErrorCode == 0 {
					x.Do(leaveGroup(1, m.group, leaver(resp.MemberID, "")))
				}
			}
		}),
	}
}

// random is text that does not become much smaller by compression, the same in every run.
func random(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
	b, state := make([]byte, n), uint32(1)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = letters[state>>26]
	}
	return string(b)
}
