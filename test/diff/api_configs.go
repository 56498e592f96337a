package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeConfigsCases(v int16) *suite {
	s := newSuite(keyDescribeConfigs, v)
	s.add(Ordinary, "", func(x *Script) {
		a := x.Topic("a", 1, "retention.ms=1000", "cleanup.policy=compact")
		x.Do(describeConfigs(v, resourceTopic, a.Name))
		x.Do(describeConfigs(v, resourceTopic, a.Name, "retention.ms", "segment.bytes"))
	})
	s.add(Ordinary, "broker", func(x *Script) {
		x.Do(describeConfigs(v, resourceBroker, "1", "num.partitions", "auto.create.topics.enable", "message.max.bytes",
			"delete.topic.enable", "log.retention.hours", "log.retention.ms", "min.insync.replicas", "compression.type"))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 1, "segment.ms=5000"), x.Topic("b", 1)
		full := describeConfigs(v, resourceTopic, a.Name)
		full.IncludeSynonyms, full.IncludeDocumentation = true, true
		x.Do(full)
		x.Do(describeConfigs(v, resourceTopic, a.Name, "no.such.config", "segment.ms", "segment.ms"))
		none := describeConfigs(v, resourceTopic, a.Name)
		none.Resources[0].ConfigNames = []string{}
		x.Do(none)
		two := describeConfigs(v, resourceTopic, a.Name, "segment.ms")
		two.Resources = append(two.Resources, describeConfigs(v, resourceTopic, b.Name, "segment.ms").Resources...)
		x.Do(two)
		two.Resources = append(two.Resources, two.Resources[0])
		x.Do(two)
		x.Do(&kmsg.DescribeConfigsRequest{Version: v, Resources: []kmsg.DescribeConfigsRequestResource{}})
	})
	s.add(Wrong, "", func(x *Script) {
		x.Do(describeConfigs(v, resourceTopic, x.missing().Name))
		x.Do(describeConfigs(v, resourceTopic, ""))
		x.Do(describeConfigs(v, resourceTopic, "bad name"))
		x.Do(describeConfigs(v, resourceBroker, "9"))
		x.Do(describeConfigs(v, resourceBroker, "one"))
		for _, kind := range []int8{0, 1, 3, 99, -1} {
			x.Do(describeConfigs(v, kind, "x"))
		}
	})
	s.add(Boundary, "other-resources", func(x *Script) {
		x.Do(describeConfigs(v, resourceBroker, "", "num.partitions"))
		x.Do(describeConfigs(v, resourceClient, "x"))
		x.Do(describeConfigs(v, resourceGroup, "x", "consumer.session.timeout.ms"))
	})
	s.malformed(func(x *Script) kmsg.Request { return describeConfigs(v, resourceTopic, absentTopic.Name) })
	return s
}

func incrementalAlterConfigsCases(v int16) *suite {
	s := newSuite(keyIncrementalAlterConfigs, v)
	overrides := func(x *Script, t Topic) {
		x.Settle()
		req := describeConfigs(2, resourceTopic, t.Name, "retention.ms", "cleanup.policy", "segment.bytes", "compression.type",
			"leader.replication.throttled.replicas")
		x.Do(req)
	}
	s.add(Ordinary, "", func(x *Script) {
		a := x.Topic("a", 1)
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opSet, "retention.ms=1000"), alter(opSet, "segment.bytes=1048576")))
		overrides(x, a)
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opDelete, "retention.ms"), alter(opAppend, "cleanup.policy=compact")))
		overrides(x, a)
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opSubtract, "cleanup.policy=delete")))
		overrides(x, a)
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 1), x.Topic("b", 1)
		x.Do(alterConfigs(v, resourceTopic, a.Name))
		dry := alterConfigs(v, resourceTopic, a.Name, alter(opSet, "retention.ms=1000"))
		dry.ValidateOnly = true
		x.Do(dry)
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opDelete, "retention.ms")))          // not set
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opDelete, "segment.bytes=ignored"))) // a value that means nothing
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opAppend, "cleanup.policy=delete"))) // there already
		overrides(x, a)
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opSubtract, "cleanup.policy=compact"))) // not there
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opSubtract, "cleanup.policy=delete")))  // the last one
		overrides(x, a)
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opSet, "retention.ms= 2000 "), alter(opSet, "leader.replication.throttled.replicas=0:1,1:1")))
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opSet, "compression.type=ZSTD")))
		overrides(x, a)
		two := alterConfigs(v, resourceTopic, a.Name, alter(opSet, "retention.ms=3000"))
		two.Resources = append(two.Resources, alterConfigs(v, resourceTopic, b.Name, alter(opSet, "retention.ms=4000")).Resources...)
		two.Resources = append(two.Resources, alterConfigs(v, resourceTopic, x.missing().Name, alter(opSet, "retention.ms=4000")).Resources...)
		x.Do(two)
		overrides(x, a)
		overrides(x, b)
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 1)
		for _, op := range []kmsg.IncrementalAlterConfigsRequestResourceConfig{
			alter(opSet, "no.such.config=1"),
			alter(opDelete, "no.such.config"),
			alter(opSet, "retention.ms=soon"),
			alter(opSet, "retention.ms=-2"),
			alter(opSet, "retention.ms"),
			alter(opSet, "segment.bytes=1"),
			alter(opSet, "cleanup.policy=keep"),
			alter(opAppend, "cleanup.policy=keep"),
			alter(opAppend, "retention.ms=1"),
			alter(opSubtract, "retention.ms=1"),
			alter(opSet, "=1"),
			alter(9, "retention.ms=1"),
			alter(-1, "retention.ms=1"),
			alter(opSet, "message.format.version=2.8"),
			alter(opSet, "min.insync.replicas=0"),
			alter(opSet, "leader.replication.throttled.replicas=nonsense"),
		} {
			x.Do(alterConfigs(v, resourceTopic, a.Name, op))
		}
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opSet, "retention.ms=1"), alter(opSet, "retention.ms=2")))
		x.Do(alterConfigs(v, resourceTopic, a.Name, alter(opSet, "retention.ms=1"), alter(opSet, "segment.bytes=1")))
		x.Do(alterConfigs(v, resourceTopic, x.missing().Name, alter(opSet, "retention.ms=1")))
		x.Do(alterConfigs(v, resourceTopic, "", alter(opSet, "retention.ms=1")))
		x.Do(alterConfigs(v, resourceTopic, "bad name", alter(opSet, "retention.ms=1")))
		twice := alterConfigs(v, resourceTopic, a.Name, alter(opSet, "retention.ms=1000"))
		twice.Resources = append(twice.Resources, twice.Resources[0])
		x.Do(twice)
		for _, kind := range []int8{0, 1, 3, 99, -1} {
			x.Do(alterConfigs(v, kind, "x", alter(opSet, "retention.ms=1")))
		}
		overrides(x, a)
	})
	s.add(Boundary, "broker", func(x *Script) {
		dry := alterConfigs(v, resourceBroker, "1", alter(opSet, "background.threads=12"))
		dry.ValidateOnly = true
		x.Do(dry)
		dry.Resources[0].ResourceName = ""
		x.Do(dry)
	})
	s.add(Wrong, "broker", func(x *Script) {
		dry := alterConfigs(v, resourceBroker, "9", alter(opSet, "log.cleaner.threads=2"))
		dry.ValidateOnly = true
		x.Do(dry)
		dry.Resources[0].ResourceName = "one"
		x.Do(dry)
		dry.Resources[0].ResourceName = "1"
		dry.Resources[0].Configs = append(dry.Resources[0].Configs[:0], alter(opSet, "log.dirs=/elsewhere"))
		x.Do(dry)
	})
	s.malformed(func(x *Script) kmsg.Request {
		return alterConfigs(v, resourceTopic, absentTopic.Name, alter(opSet, "retention.ms=1"))
	})
	return s
}
