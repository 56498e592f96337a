package diff

import "github.com/twmb/franz-go/pkg/kmsg"

// settingsSequence is a sequence on the broker whose settings change.
func settingsSequence(name string, run func(*Script)) Case {
	c := sequence("settings-"+name, run)
	c.Broker = settingsBroker
	return c
}

// change changes settings and waits until they act.
func (s *Script) change(kind int8, resource string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
	s.Do(alterConfigs(1, kind, resource, ops...))
	s.Settle()
}

// shows describes settings with all that gives them their value.
func (s *Script) shows(kind int8, resource string, names ...string) {
	req := describeConfigs(4, kind, resource, names...)
	req.IncludeSynonyms = true
	s.Do(req)
}

// tries asks whether changes would be made, each on its own.
func (s *Script) tries(kind int8, resource string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
	for _, op := range ops {
		req := alterConfigs(1, kind, resource, op)
		req.ValidateOnly = true
		s.Note(op.Name)
		s.Do(req)
	}
}

func settingsSequences() []Case {
	return []Case{
		settingsSequence("scopes", func(x *Script) {
			t := x.Topic("a", 1)
			names := []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours", "log.cleanup.policy", "max.connections", "min.insync.replicas"}
			show := func() {
				x.shows(resourceBroker, "1", names...)
				x.shows(resourceBroker, "")
				x.shows(resourceTopic, t.Name, "retention.ms", "cleanup.policy", "min.insync.replicas", "max.message.bytes")
			}
			show()
			x.change(resourceBroker, "", alter(opSet, "log.retention.ms=70000"), alter(opAppend, "log.cleanup.policy=compact"), alter(opSet, "max.connections=5000"))
			show()
			x.change(resourceBroker, "1", alter(opSet, "log.retention.ms=60000"), alter(opSet, "message.max.bytes= 500 "))
			show()
			x.change(resourceTopic, t.Name, alter(opSet, "retention.ms=50000"))
			show()
			x.change(resourceBroker, "", alter(opDelete, "log.retention.ms"), alter(opSubtract, "log.cleanup.policy=delete"), alter(opDelete, "max.connections"))
			show()
			x.change(resourceBroker, "1", alter(opDelete, "log.retention.ms"), alter(opDelete, "message.max.bytes"), alter(opDelete, "never.set"))
			x.change(resourceBroker, "", alter(opDelete, "log.cleanup.policy"), alter(opSet, "min.insync.replicas=2"))
			show()
			x.change(resourceBroker, "", alter(opSet, "min.insync.replicas=1"))
			show()
		}),
		settingsSequence("unknown", func(x *Script) {
			x.change(resourceBroker, "", alter(opSet, "nobody.knows=1"), alter(opSet, "listener.name.plaintext.max.connections=500"))
			x.change(resourceBroker, "1", alter(opSet, "nobody.knows=2"), alter(opSet, "a.password=3"), alter(opSet, "leader.replication.throttled.rate=1000"),
				alter(opSet, "listener.name.plaintext.ssl.keystore.type=JKS"))
			x.shows(resourceBroker, "")
			x.shows(resourceBroker, "1", "nobody.knows", "a.password", "leader.replication.throttled.rate",
				"listener.name.plaintext.ssl.keystore.type", "listener.name.plaintext.max.connections")
			x.Do(replaceConfigs(2, resourceBroker, "1"))
			x.change(resourceBroker, "", alter(opDelete, "nobody.knows"), alter(opDelete, "listener.name.plaintext.max.connections"))
			x.shows(resourceBroker, "")
		}),
		settingsSequence("refused", func(x *Script) {
			ops := []kmsg.IncrementalAlterConfigsRequestResourceConfig{
				alter(opSet, "log.retention.ms=abc"), alter(opSet, "log.retention.ms=0"), alter(opSet, "log.retention.ms=-2"),
				alter(opSet, "log.retention.hours=1"), alter(opSet, "log.roll.ms=0"), alter(opSet, "log.roll.jitter.ms=-1"), alter(opSet, "node.id=2"),
				alter(opDelete, "node.id"), alter(opSet, "log.segment.bytes=1"), alter(opSet, "log.segment.bytes=9999999999"),
				alter(opSet, "log.cleaner.threads=5"), alter(opSet, "log.cleaner.dedupe.buffer.size=100"), alter(opSet, "log.cleaner.enable=false"),
				alter(opSet, "log.cleaner.min.cleanable.ratio=1.5"), alter(opSet, "log.message.timestamp.type=Mine"), alter(opSet, "compression.type=brotli"),
				alter(opSet, "compression.gzip.level=10"), alter(opSet, "compression.lz4.level=0"), alter(opSet, "compression.zstd.level=23"),
				alter(opSet, "unclean.leader.election.enable=maybe"), alter(opSet, "log.cleanup.policy=keep"), alter(opAppend, "log.cleanup.policy=keep"),
				alter(opAppend, "log.retention.ms=1"), alter(opSubtract, "log.retention.ms=1"), alter(opAppend, "nobody.knows=1"), alter(9, "log.retention.ms=1"),
				alter(opSet, "num.io.threads=0"), alter(opSet, "num.io.threads=3"), alter(opSet, "num.io.threads=17"), alter(opSet, "num.io.threads=16"),
				alter(opSet, "num.network.threads=7"), alter(opSet, "background.threads=21"), alter(opSet, "num.recovery.threads.per.data.dir=5"),
				alter(opSet, "num.replica.fetchers=3"), alter(opSet, "remote.log.reader.threads=2"), alter(opSet, "max.connections=-1"),
				alter(opSet, "max.connections.per.ip=0"), alter(opSet, "min.insync.replicas=0"), alter(opDelete, "min.insync.replicas"),
				alter(opSet, "min.insync.replicas=1"), alter(opSet, "producer.id.expiration.ms=0"), alter(opSet, "log.local.retention.ms=9999999999999999"),
				alter(opSet, "group.consumer.assignment.interval.ms=-1"), alter(opSet, "group.consumer.assignment.interval.ms=99999"),
				alter(opSet, "group.coordinator.cached.buffer.max.bytes=5"), alter(opSet, "group.consumer.session.timeout.ms=50000"),
				alter(opSet, "ssl.keystore.type=JKS"), alter(opSet, "ssl.protocol=TLSv1.2"), alter(opSet, "listener.name.plaintext.ssl.keystore.type=JKS"),
				alter(opSet, "listener.name.plaintext.max.connections=many"), alter(opSet, "advertised.listeners=PLAINTEXT://h:9"),
				alter(opSet, "principal.builder.class=a.Class"), alter(opSet, "follower.replication.throttled.rate=-1"), alter(opSet, "log.retention.ms"),
			}
			x.tries(resourceBroker, "1", ops...)
			x.tries(resourceBroker, "", ops...)
			for _, name := range []string{"9", "one", "-1", "01"} {
				x.tries(resourceBroker, name, alter(opSet, "log.retention.ms=1000"), alter(opSet, "node.id=1"))
			}
			both := alterConfigs(1, resourceBroker, "1", alter(opSet, "log.retention.ms=1000"), alter(opSet, "log.retention.ms=2000"))
			x.Do(both)
			x.Do(alterConfigs(1, resourceBroker, "1"))
			twice := alterConfigs(1, resourceBroker, "1", alter(opSet, "log.retention.ms=1000"))
			twice.Resources = append(twice.Resources, twice.Resources[0])
			x.Do(twice)
		}),
		settingsSequence("act", func(x *Script) {
			t, own := x.Topic("a", 1), x.Topic("b", 1, "max.message.bytes=100000")
			big := make([]byte, 2000)
			for i := range big {
				big[i] = 'x'
			}
			codec := int16(0)
			write := func(note string) {
				for _, to := range []Topic{t, own} {
					x.Note(note)
					x.Do(produce(9, -1, on(to, 0, of(string(big)).with(codec))))
				}
			}
			write("as it was")
			x.change(resourceBroker, "", alter(opSet, "message.max.bytes=1000"))
			write("refused where the topic says nothing")
			x.change(resourceBroker, "1", alter(opSet, "message.max.bytes=3000"))
			write("one broker's wins")
			x.change(resourceBroker, "", alter(opSet, "compression.type=uncompressed"), alter(opSet, "message.max.bytes=100000"))
			x.change(resourceBroker, "1", alter(opDelete, "message.max.bytes"))
			codec = attrZstd
			write("not kept as it comes")
			codec = 0
			x.Do(stored(t, 0, 2))
			x.change(resourceBroker, "", alter(opSet, "min.insync.replicas=2"), alter(opDelete, "compression.type"))
			write("too few replicas")
			x.change(resourceTopic, own.Name, alter(opSet, "min.insync.replicas=1"))
			write("the topic's wins")
			x.change(resourceBroker, "", alter(opSet, "min.insync.replicas=1"), alter(opDelete, "message.max.bytes"))
			write("as it was again")
			x.Do(listOffsets(7, t.Name, 0, -1))
		}),
		settingsSequence("offsets", func(x *Script) {
			t, g := x.Topic("a", 1), x.Group("g")
			commit := func(note string) {
				x.Note(note)
				x.Do(offsetCommit(8, g, commitOf{topic: t, offset: 1, metadata: ptr(random(2500)), epoch: -1}))
			}
			commit("as it was")
			x.change(resourceBroker, "", alter(opSet, "message.max.bytes=2000"))
			commit("more than the log of offsets takes now")
			x.change(resourceBroker, "", alter(opSet, "message.max.bytes=20000"))
			commit("less again")
			x.change(resourceBroker, "", alter(opDelete, "message.max.bytes"))
			x.tries(resourceBroker, "", alter(opSet, "group.min.session.timeout.ms=1"), alter(opSet, "group.max.session.timeout.ms=1"), alter(opSet, "group.max.size=1"),
				alter(opSet, "offset.metadata.max.bytes=1"), alter(opSet, "offsets.retention.minutes=1"))
			x.tries(resourceBroker, "1", alter(opSet, "group.min.session.timeout.ms=1"), alter(opSet, "group.max.session.timeout.ms=1"))
		}),
		settingsSequence("groups", func(x *Script) {
			g := x.Name("g")
			x.shows(resourceGroup, g)
			x.change(resourceGroup, g, alter(opSet, "consumer.session.timeout.ms=50000"), alter(opSet, "share.auto.offset.reset=by_duration:PT1H"),
				alter(opSet, "streams.rack.aware.assignment.tags= a, b "), alter(opSet, "errors.deadletterqueue.topic.name=x"))
			x.shows(resourceGroup, g)
			x.change(resourceBroker, "", alter(opSet, "group.consumer.assignment.interval.ms=2000"))
			x.shows(resourceGroup, g, "consumer.assignment.interval.ms")
			x.change(resourceBroker, "", alter(opDelete, "group.consumer.assignment.interval.ms"))
			x.tries(resourceGroup, g, alter(opSet, "consumer.session.timeout.ms=abc"), alter(opSet, "consumer.session.timeout.ms=0"),
				alter(opSet, "consumer.session.timeout.ms=44999"), alter(opSet, "consumer.session.timeout.ms=60001"), alter(opSet, "consumer.heartbeat.interval.ms=1"),
				alter(opSet, "consumer.assignment.interval.ms=15001"), alter(opSet, "share.session.timeout.ms=1"), alter(opSet, "share.heartbeat.interval.ms=15001"),
				alter(opSet, "share.assignment.interval.ms=-1"), alter(opSet, "share.record.lock.duration.ms=999"), alter(opSet, "share.record.lock.duration.ms=1000"),
				alter(opSet, "share.delivery.count.limit=1"), alter(opSet, "share.delivery.count.limit=11"), alter(opSet, "share.partition.max.record.locks=99"),
				alter(opSet, "share.partition.max.record.locks=4001"), alter(opSet, "share.auto.offset.reset=none"), alter(opSet, "share.auto.offset.reset=by_duration:P"),
				alter(opSet, "share.isolation.level=mine"), alter(opSet, "share.renew.acknowledge.enable=1"), alter(opSet, "streams.session.timeout.ms=1"),
				alter(opSet, "streams.heartbeat.interval.ms=99999"), alter(opSet, "streams.num.standby.replicas=3"), alter(opSet, "streams.num.standby.replicas=-1"),
				alter(opSet, "streams.initial.rebalance.delay.ms=-1"), alter(opSet, "streams.assignor.name=mine"), alter(opSet, "errors.deadletterqueue.topic.name=__x"),
				alter(opSet, "no.such=1"), alter(opDelete, "no.such"), alter(opAppend, "streams.rack.aware.assignment.tags=c"), alter(opSubtract, "no.such=1"),
				alter(9, "share.isolation.level=read_committed"), alter(opSet, "share.isolation.level"))
			x.tries(resourceGroup, "", alter(opSet, "share.isolation.level=read_committed"))
			x.shows(resourceGroup, "")
			x.change(resourceGroup, g, alter(opDelete, "consumer.session.timeout.ms"), alter(opDelete, "share.auto.offset.reset"),
				alter(opDelete, "streams.rack.aware.assignment.tags"), alter(opDelete, "errors.deadletterqueue.topic.name"))
			x.shows(resourceGroup, g, "consumer.session.timeout.ms", "share.auto.offset.reset")
		}),
		settingsSequence("client-metrics", func(x *Script) {
			m := x.Name("m")
			x.shows(resourceClient, m)
			x.change(resourceClient, m, alter(opSet, "interval.ms=1000"), alter(opSet, "metrics=a, a,b"), alter(opSet, "match=client_id=c.*,client_software_name=x"))
			x.shows(resourceClient, m)
			x.tries(resourceClient, m, alter(opSet, "interval.ms=99"), alter(opSet, "interval.ms=3600001"), alter(opSet, "interval.ms=soon"),
				alter(opSet, "metrics="), alter(opSet, "metrics=a,,b"), alter(opSet, "match=a=b"), alter(opSet, "match=client_id=["), alter(opSet, "match=client_id"),
				alter(opSet, "match=client_id=a=b"), alter(opSet, "match=client_id="), alter(opSet, "no.such=1"), alter(opDelete, "no.such"), alter(opAppend, "metrics=c"),
				alter(opSubtract, "metrics=a"), alter(opSet, "metrics"))
			x.tries(resourceClient, "", alter(opSet, "interval.ms=1000"))
			x.shows(resourceClient, "")
			x.change(resourceClient, m, alter(opDelete, "interval.ms"), alter(opDelete, "metrics"), alter(opDelete, "match"))
			x.shows(resourceClient, m)
		}),
		settingsSequence("loggers", func(x *Script) {
			for _, name := range []string{"", "9", "one"} {
				x.shows(resourceLogger, name)
				x.tries(resourceLogger, name, alter(opSet, "root=INFO"))
			}
			x.tries(resourceLogger, "1", alter(opSet, "root=INFO"), alter(opSet, "root=info"), alter(opSet, "root=LOUD"), alter(opSet, "nobody=INFO"),
				alter(opDelete, "root"), alter(opAppend, "root=INFO"), alter(opSubtract, "root=INFO"), alter(opSet, "root"))
			for _, level := range []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"} {
				x.Note(level)
				x.change(resourceLogger, "1", alter(opSet, "root="+level))
				x.shows(resourceLogger, "1", "root")
			}
			x.shows(resourceLogger, "1")
		}),
		settingsSequence("restart", func(x *Script) {
			t := x.Topic("a", 1)
			names := []string{"log.retention.ms", "log.segment.bytes", "min.insync.replicas", "log.cleaner.threads"}
			x.change(resourceBroker, "", alter(opSet, "log.retention.ms=70000"), alter(opSet, "log.cleaner.threads=2"))
			x.change(resourceBroker, "1", alter(opSet, "log.segment.bytes=2097152"))
			g := x.Name("g")
			x.change(resourceGroup, g, alter(opSet, "share.isolation.level=read_committed"))
			x.Restart()
			x.await(t.Name, 1)
			x.shows(resourceBroker, "1", names...)
			x.shows(resourceTopic, t.Name, "retention.ms", "segment.bytes")
			x.shows(resourceGroup, g, "share.isolation.level")
			x.change(resourceBroker, "", alter(opDelete, "log.retention.ms"), alter(opDelete, "log.cleaner.threads"))
			x.change(resourceBroker, "1", alter(opDelete, "log.segment.bytes"))
			x.change(resourceGroup, g, alter(opDelete, "share.isolation.level"))
			x.shows(resourceBroker, "1", names...)
			x.shows(resourceTopic, t.Name, "retention.ms", "segment.bytes")
		}),
	}
}
