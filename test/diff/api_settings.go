package diff

import "github.com/twmb/franz-go/pkg/kmsg"

// settingKeys lists the APIs that change or list what all cases of a broker share.
var settingKeys = []int16{keyAlterConfigs, keyListConfigResources}

// replaceConfigs is an AlterConfigs request. Configurations are "name=value", or a name alone for a null.
func replaceConfigs(version int16, kind int8, resource string, configs ...string) *kmsg.AlterConfigsRequest {
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Version = version
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceType(kind), resource
	for _, kv := range configs {
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = cutConfig(kv)
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
	return req
}

func alterConfigsCases(v int16) *suite {
	s := newSuite(keyAlterConfigs, v)
	show := func(x *Script, kind int8, name string, configs ...string) {
		x.Settle()
		req := describeConfigs(4, kind, name, configs...)
		req.IncludeSynonyms = true
		x.Do(req)
	}
	s.add(Ordinary, "", func(x *Script) {
		a := x.Topic("a", 1, "retention.ms=5000")
		x.Do(replaceConfigs(v, resourceTopic, a.Name, "segment.bytes=2097152", "cleanup.policy=compact,delete"))
		show(x, resourceTopic, a.Name, "retention.ms", "segment.bytes", "cleanup.policy")
		x.Do(replaceConfigs(v, resourceTopic, a.Name))
		show(x, resourceTopic, a.Name, "retention.ms", "segment.bytes", "cleanup.policy")
	})
	s.add(Boundary, "", func(x *Script) {
		a := x.Topic("a", 1)
		dry := replaceConfigs(v, resourceTopic, a.Name, "retention.ms=1")
		dry.ValidateOnly = true
		x.Do(dry)
		two := replaceConfigs(v, resourceTopic, a.Name, "retention.ms=7000")
		two.Resources = append(two.Resources, replaceConfigs(v, resourceTopic, x.missing().Name, "retention.ms=7000").Resources...)
		x.Do(two)
		show(x, resourceTopic, a.Name, "retention.ms")
		x.Do(&kmsg.AlterConfigsRequest{Version: v, Resources: []kmsg.AlterConfigsRequestResource{}})
	})
	s.add(Boundary, "other-resources", func(x *Script) {
		x.Do(replaceConfigs(v, resourceBroker, "1", "log.segment.bytes=2097152", "my.own=1"))
		show(x, resourceBroker, "1", "log.segment.bytes", "my.own", "log.retention.bytes")
		x.Do(replaceConfigs(v, resourceBroker, "1", "log.retention.bytes=5000000"))
		show(x, resourceBroker, "1", "log.segment.bytes", "my.own", "log.retention.bytes")
		x.Do(replaceConfigs(v, resourceBroker, "1"))
		x.Do(replaceConfigs(v, resourceBroker, "", "min.insync.replicas=1", "log.retention.bytes=6000000"))
		show(x, resourceBroker, "")
		x.Do(replaceConfigs(v, resourceBroker, "", "min.insync.replicas=1"))
		g := x.Name("g")
		x.Do(replaceConfigs(v, resourceGroup, g, "share.record.lock.duration.ms=20000"))
		show(x, resourceGroup, g, "share.record.lock.duration.ms", "share.isolation.level")
		x.Do(replaceConfigs(v, resourceGroup, g))
		x.Do(replaceConfigs(v, resourceClient, g, "interval.ms=1000"))
		show(x, resourceClient, g)
		x.Do(replaceConfigs(v, resourceClient, g))
		show(x, resourceClient, g)
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 1)
		for _, kv := range []string{"no.such.config=1", "retention.ms=soon", "retention.ms", "cleanup.policy=keep", "=1"} {
			x.Do(replaceConfigs(v, resourceTopic, a.Name, kv))
		}
		x.Do(replaceConfigs(v, resourceTopic, a.Name, "retention.ms=1", "retention.ms=2"))
		x.Do(replaceConfigs(v, resourceTopic, x.missing().Name, "retention.ms=1"))
		x.Do(replaceConfigs(v, resourceTopic, "", "retention.ms=1"))
		twice := replaceConfigs(v, resourceTopic, a.Name, "retention.ms=1000")
		twice.Resources = append(twice.Resources, twice.Resources[0])
		x.Note("a resource twice")
		x.Do(twice)
		for _, kind := range []int8{0, 1, 3, resourceLogger, 99, -1} {
			x.Do(replaceConfigs(v, kind, "1", "root=INFO"))
		}
		x.Do(replaceConfigs(v, resourceBroker, "9", "log.retention.ms=1"))
		x.Do(replaceConfigs(v, resourceBroker, "one", "log.retention.ms=1"))
		x.Do(replaceConfigs(v, resourceBroker, "1", "node.id=2"))
		x.Do(replaceConfigs(v, resourceBroker, "1", "log.retention.ms"))
		x.Do(replaceConfigs(v, resourceBroker, "1", "min.insync.replicas=1"))
		x.Do(replaceConfigs(v, resourceBroker, "", "log.retention.ms=1000"))
		x.Do(replaceConfigs(v, resourceGroup, "", "share.isolation.level=read_committed"))
		x.Do(replaceConfigs(v, resourceGroup, "g", "no.such=1"))
		x.Do(replaceConfigs(v, resourceClient, "", "interval.ms=1000"))
		x.Do(replaceConfigs(v, resourceClient, "m", "interval.ms=1"))
	})
	s.malformed(func(x *Script) kmsg.Request {
		return replaceConfigs(v, resourceTopic, absentTopic.Name, "retention.ms=1")
	})
	return s
}

// listConfigResources asks for resources of some types; none asks for all.
func listConfigResources(version int16, kinds ...int8) *kmsg.ListConfigResourcesRequest {
	req := kmsg.NewPtrListConfigResourcesRequest()
	req.Version, req.ResourceTypes = version, kinds
	return req
}

func listConfigResourcesCases(v int16) *suite {
	s := newSuite(keyListConfigResources, v)
	s.add(Ordinary, "", func(x *Script) {
		for _, name := range []string{"one", "two"} {
			x.Do(alterConfigs(1, resourceClient, x.Name("m-"+name), alter(opSet, "interval.ms=1000")))
			x.Do(alterConfigs(1, resourceGroup, x.Name("g-"+name), alter(opSet, "share.isolation.level=read_committed")))
		}
		x.Settle()
		x.Do(listConfigResources(v, resourceClient, resourceGroup))
		for _, name := range []string{"one", "two"} {
			x.Do(alterConfigs(1, resourceClient, x.Name("m-"+name), alter(opDelete, "interval.ms")))
			x.Do(alterConfigs(1, resourceGroup, x.Name("g-"+name), alter(opDelete, "share.isolation.level")))
			x.Settle()
			x.Do(listConfigResources(v, resourceClient, resourceGroup))
		}
	})
	s.add(Boundary, "", func(x *Script) {
		x.Do(listConfigResources(v, resourceBroker))
		x.Do(listConfigResources(v, resourceLogger, resourceLogger))
		x.Do(listConfigResources(v, resourceClient))
		x.Do(listConfigResources(v, resourceGroup, resourceGroup))
	})
	s.add(Wrong, "", func(x *Script) {
		for _, kind := range []int8{0, 1, 3, 99, -1} {
			x.Do(listConfigResources(v, kind, resourceBroker))
		}
	})
	s.malformed(func(x *Script) kmsg.Request { return listConfigResources(v, resourceBroker) })
	return s
}
