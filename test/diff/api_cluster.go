package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataTopic is the name under which the quorum of the metadata is asked for.
const metadataTopic = "__cluster_metadata"

func describeQuorum(v int16, topic string, partitions ...int32) *kmsg.DescribeQuorumRequest {
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Version = v
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic = topic
	for _, p := range partitions {
		rp := kmsg.NewDescribeQuorumRequestTopicPartition()
		rp.Partition = p
		t.Partitions = append(t.Partitions, rp)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func describeQuorumCases(v int16) *suite {
	s := newSuite(keyDescribeQuorum, v)
	s.add(Ordinary, "", func(x *Script) { x.Do(describeQuorum(v, metadataTopic, 0)) })
	s.add(Boundary, "", func(x *Script) {
		empty := describeQuorum(v, metadataTopic)
		x.Do(empty)
		empty.Topics = nil
		x.Do(empty)
		x.Do(describeQuorum(v, metadataTopic, 0, 0))
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 1)
		x.Do(describeQuorum(v, a.Name, 0))
		x.Do(describeQuorum(v, x.missing().Name, 0, 1))
		x.Do(describeQuorum(v, "", 0))
		x.Do(describeQuorum(v, metadataTopic, 1))
		x.Do(describeQuorum(v, metadataTopic, -1))
		x.Do(describeQuorum(v, metadataTopic, 0, 1))
		two := describeQuorum(v, metadataTopic, 0)
		two.Topics = append(two.Topics, describeQuorum(v, a.Name, 0).Topics...)
		x.Do(two)
	})
	s.malformed(func(*Script) kmsg.Request { return describeQuorum(v, absentTopic.Name, 0) })
	return s
}

// topicPartitions names partitions of a topic, for the requests that have such lists.
type topicPartitions struct {
	topic      string
	partitions []int32
}

func these(topic string, partitions ...int32) topicPartitions {
	return topicPartitions{topic, partitions}
}

func electLeaders(v int16, election int8, topics ...topicPartitions) *kmsg.ElectLeadersRequest {
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType, req.TimeoutMillis = v, election, 10_000
	req.Topics = []kmsg.ElectLeadersRequestTopic{}
	for _, t := range topics {
		rt := kmsg.NewElectLeadersRequestTopic()
		rt.Topic, rt.Partitions = t.topic, t.partitions
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func electLeadersCases(v int16) *suite {
	s := newSuite(keyElectLeaders, v)
	const preferred, unclean = 0, 1
	s.add(Ordinary, "", func(x *Script) {
		a := x.Topic("a", 2)
		x.Do(electLeaders(v, preferred, these(a.Name, 0, 1)))
		x.Do(electLeaders(v, unclean, these(a.Name, 0)))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 1), x.Topic("b", 2)
		x.Do(electLeaders(v, preferred))
		x.Do(electLeaders(v, preferred, these(a.Name)))
		x.Do(electLeaders(v, preferred, these(b.Name, 1), these(a.Name, 0)))
		x.Do(electLeaders(v, preferred, these(a.Name, 0, 0)))
		hurried := electLeaders(v, preferred, these(a.Name, 0))
		hurried.TimeoutMillis = 30_000
		x.Do(hurried)
		all := electLeaders(v, preferred)
		all.Topics = nil
		x.Do(all)
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 1)
		x.Do(electLeaders(v, preferred, these(x.missing().Name, 0)))
		x.Do(electLeaders(v, preferred, these("", 0)))
		x.Do(electLeaders(v, preferred, these("bad name", 0)))
		x.Do(electLeaders(v, preferred, these(a.Name, 1, -1, 0)))
		x.Do(electLeaders(v, unclean, these(a.Name, 1), these(x.missing().Name, 0)))
		for _, kind := range []int8{2, -1} {
			x.Do(electLeaders(v, kind, these(a.Name, 0)))
			x.Do(electLeaders(v, kind))
		}
		late := electLeaders(v, preferred, these(a.Name, 0), these(x.missing().Name, 0))
		late.TimeoutMillis = -1
		x.Note("no time left")
		x.Do(late)
		late.ElectionType = 2
		x.Note("no time left")
		x.Do(late)
	})
	s.malformed(func(*Script) kmsg.Request { return electLeaders(v, preferred, these(absentTopic.Name, 0)) })
	return s
}

// move asks for replicas of one partition; nil cancels.
func move(v int16, topic string, partition int32, replicas []int32) *kmsg.AlterPartitionAssignmentsRequest {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.Version, req.TimeoutMillis = v, 10_000
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic = topic
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition, p.Replicas = partition, replicas
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func reassignCases(v int16) *suite {
	s := newSuite(keyAlterPartitionReassignments, v)
	s.add(Ordinary, "", func(x *Script) {
		a := x.Topic("a", 2)
		x.Do(move(v, a.Name, 0, []int32{1}))
		x.Do(metadata(9, false, a.Name))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 2), x.Topic("b", 1)
		none := move(v, a.Name, 0, nil)
		none.Topics = nil
		x.Do(none)
		empty := move(v, a.Name, 0, nil)
		empty.Topics[0].Partitions = nil
		x.Do(empty)
		several := move(v, a.Name, 0, []int32{1})
		several.Topics[0].Partitions = append(several.Topics[0].Partitions, move(v, "", 1, []int32{1}).Topics[0].Partitions...)
		several.Topics = append(several.Topics, move(v, b.Name, 0, []int32{1}).Topics...)
		x.Do(several)
		twice := move(v, a.Name, 0, []int32{1})
		twice.Topics = append(twice.Topics, twice.Topics...)
		x.Do(twice)
		if v >= 1 {
			fixed := move(v, a.Name, 0, []int32{1})
			fixed.AllowReplicationFactorChange = false
			x.Do(fixed)
		}
		x.Do(metadata(9, false, a.Name, b.Name))
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 1)
		for _, replicas := range [][]int32{nil, {}, {9}, {1, 9}, {1, 1}, {-1}} {
			x.Do(move(v, a.Name, 0, replicas))
		}
		x.Do(move(v, a.Name, 1, []int32{1}))
		x.Do(move(v, a.Name, -1, []int32{1}))
		x.Do(move(v, a.Name, 1, nil))
		x.Do(move(v, x.missing().Name, 0, []int32{1}))
		x.Do(move(v, x.missing().Name, 0, nil))
		x.Do(move(v, "", 0, []int32{1}))
		x.Do(move(v, "bad name", 0, []int32{1}))
		late := move(v, a.Name, 0, []int32{1})
		late.TimeoutMillis = -1
		x.Note("no time left")
		x.Do(late)
		mixed := move(v, a.Name, 0, []int32{1})
		mixed.Topics = append(mixed.Topics, move(v, x.missing().Name, 0, []int32{1}).Topics...)
		x.Do(mixed)
		if v >= 1 {
			for _, replicas := range [][]int32{nil, {}, {1, 9}, {1, 1}, {9}} {
				fixed := move(v, a.Name, 0, replicas)
				fixed.AllowReplicationFactorChange = false
				x.Do(fixed)
			}
		}
		x.Do(metadata(9, false, a.Name))
	})
	s.malformed(func(*Script) kmsg.Request { return move(v, absentTopic.Name, 0, []int32{1}) })
	return s
}

func reassigning(v int16, topics ...topicPartitions) *kmsg.ListPartitionReassignmentsRequest {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.Version, req.TimeoutMillis = v, 10_000
	req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{}
	for _, t := range topics {
		rt := kmsg.NewListPartitionReassignmentsRequestTopic()
		rt.Topic, rt.Partitions = t.topic, t.partitions
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func listReassignmentsCases(v int16) *suite {
	s := newSuite(keyListPartitionReassignments, v)
	s.add(Ordinary, "", func(x *Script) {
		a := x.Topic("a", 2)
		x.Do(reassigning(v, these(a.Name, 0, 1)))
		x.Do(move(0, a.Name, 0, []int32{1}))
		x.Do(reassigning(v, these(a.Name, 0)))
	})
	s.add(Boundary, "", func(x *Script) {
		a := x.Topic("a", 1)
		x.Do(reassigning(v))
		all := reassigning(v)
		all.Topics = nil
		x.Do(all)
		x.Do(reassigning(v, these(a.Name)))
		x.Do(reassigning(v, these(a.Name, 0, 0)))
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 1)
		x.Do(reassigning(v, these(a.Name, 1)))
		x.Do(reassigning(v, these(a.Name, -1)))
		x.Do(reassigning(v, these(x.missing().Name, 0)))
		x.Do(reassigning(v, these("", 0), these("bad name", 0)))
		late := reassigning(v, these(a.Name, 0))
		late.TimeoutMillis = -1
		x.Note("no time left")
		x.Do(late)
	})
	s.malformed(func(*Script) kmsg.Request { return reassigning(v, these(absentTopic.Name, 0)) })
	return s
}

func unregisterBroker(v int16, id int32) *kmsg.UnregisterBrokerRequest {
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.Version, req.BrokerID = v, id
	return req
}

// The broker that answers is never unregistered here: the cases behind would have none.
func unregisterBrokerCases(v int16) *suite {
	s := newSuite(keyUnregisterBroker, v)
	s.add(Ordinary, "", func(x *Script) { x.Do(unregisterBroker(v, 2)) })
	s.add(Boundary, "", func(x *Script) {
		x.Do(unregisterBroker(v, 0))
		x.Do(unregisterBroker(v, 1<<31-1))
	})
	s.add(Wrong, "", func(x *Script) {
		x.Do(unregisterBroker(v, -1))
		x.Do(unregisterBroker(v, -1<<31))
	})
	s.malformed(func(*Script) kmsg.Request { return unregisterBroker(v, 99) })
	return s
}

// level asks for a level of a feature. Before version 1 a downgrade is a flag.
func level(v int16, feature string, level int16, upgrade int8) *kmsg.UpdateFeaturesRequest {
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.Version, req.TimeoutMillis = v, 10_000
	u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	u.Feature, u.MaxVersionLevel, u.UpgradeType, u.AllowDowngrade = feature, level, upgrade, upgrade > 1
	req.FeatureUpdates = append(req.FeatureUpdates, u)
	return req
}

func updateFeaturesCases(v int16) *suite {
	s := newSuite(keyUpdateFeatures, v)
	const upgrade, safe, unsafe = 1, 2, 3
	s.add(Ordinary, "", func(x *Script) { x.Do(level(v, "no.such.feature", 1, upgrade)) })
	s.add(Boundary, "", func(x *Script) {
		none := level(v, "", 0, upgrade)
		none.FeatureUpdates = nil
		x.Do(none)
		none.ValidateOnly = true
		x.Do(none)
		x.Do(level(v, "no.such.feature", 0, upgrade))
		x.Do(level(v, "no.such.feature", 0, safe))
		x.Do(level(v, "no.such.feature", 0, unsafe))
		dry := level(v, "no.such.feature", 1, upgrade)
		dry.ValidateOnly = true
		x.Do(dry)
	})
	s.add(Wrong, "", func(x *Script) {
		x.Do(level(v, "no.such.feature", -1, upgrade))
		x.Do(level(v, "no.such.feature", 1, safe))
		x.Do(level(v, "no.such.feature", 1, unsafe))
		x.Do(level(v, "no.such.feature", 1, 0))
		x.Do(level(v, "no.such.feature", 1, 4))
		x.Do(level(v, "no.such.feature", 1, -1))
		x.Do(level(v, "", 1, upgrade))
		x.Do(level(v, "", 0, unsafe))
		twice := level(v, "no.such.feature", 1, upgrade)
		twice.FeatureUpdates = append(twice.FeatureUpdates, twice.FeatureUpdates...)
		x.Do(twice)
		two := level(v, "no.such.feature", 1, upgrade)
		two.FeatureUpdates = append(two.FeatureUpdates, level(v, "another.one", 1, upgrade).FeatureUpdates...)
		x.Note("two features")
		x.Do(two)
	})
	s.add(Wrong, "late", func(x *Script) {
		late := level(v, "no.such.feature", 1, upgrade)
		late.TimeoutMillis = -1
		x.Do(late)
	})
	s.add(Wrong, "known", func(x *Script) { x.Do(level(v, "metadata.version", 1, unsafe)) })
	s.malformed(func(*Script) kmsg.Request { return level(v, "no.such.feature", 1, upgrade) })
	return s
}
