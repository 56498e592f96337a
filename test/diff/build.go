package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// unknownID is a topic id no broker hands out.
var unknownID = [16]byte{0xde, 0xad, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}

// missing is a topic that does not exist.
func (s *Script) missing() Topic {
	s.norm.topicIs(unknownID, "missing")
	return Topic{Name: s.Name("missing"), ID: unknownID}
}

// absentTopic is a topic that does not exist under the same name in every run, so that requests cut in the middle are the same too.
var absentTopic = Topic{Name: "no-such-topic", ID: unknownID}

// part is what a request says about one partition. Each request uses the fields it knows.
type part struct {
	topic     Topic
	partition int32
	offset    int64
	records   []byte
	epoch     *int32 // current leader epoch; nil: the default of the message
	fetched   *int32 // last fetched epoch; nil: the default of the message
	maxBytes  int32  // 0: 1 MiB
}

// on names a partition with records for it; several batches are put behind each other.
func on(t Topic, partition int32, batches ...batch) part {
	p := part{topic: t, partition: partition, records: []byte{}}
	for _, b := range batches {
		p.records = append(p.records, b.bytes()...)
	}
	return p
}

// from names a partition with an offset.
func from(t Topic, partition int32, offset int64) part {
	return part{topic: t, partition: partition, offset: offset}
}

// produce builds a Produce request; partitions of one topic must follow each other.
func produce(version, acks int16, parts ...part) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, acks, 10_000
	for _, p := range parts {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.topic.Name {
			t := kmsg.NewProduceRequestTopic()
			t.Topic, t.TopicID = p.topic.Name, p.topic.ID
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = p.partition, p.records
		t.Partitions = append(t.Partitions, rp)
	}
	return req
}

// fetch builds a Fetch request outside any session that does not wait.
func fetch(version int16, parts ...part) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version = version
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 1, 50<<20
	req.SessionEpoch = -1
	for _, p := range parts {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.topic.Name || req.Topics[n-1].TopicID != p.topic.ID {
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = p.topic.Name, p.topic.ID
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p.partition, p.offset, p.maxBytes
		if p.maxBytes == 0 {
			rp.PartitionMaxBytes = 1 << 20
		}
		rp.CurrentLeaderEpoch = orElse(p.epoch, rp.CurrentLeaderEpoch)
		rp.LastFetchedEpoch = orElse(p.fetched, rp.LastFetchedEpoch)
		t.Partitions = append(t.Partitions, rp)
	}
	return req
}

// stored fetches a partition from an offset: what a case wrote, as a consumer sees it.
func stored(t Topic, partition int32, offset int64) *kmsg.FetchRequest {
	return fetch(12, from(t, partition, offset))
}

// listOffsets asks for one timestamp of one partition.
func listOffsets(version int16, topic string, partition int32, timestamps ...int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID, req.TimeoutMillis = version, -1, 10_000
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for _, ts := range timestamps {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = partition, ts
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// metadata asks for topics by name; no name at all asks for none (or, in version 0, for all).
func metadata(version int16, autoCreate bool, names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation = version, autoCreate
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = ptr(name)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// metadataByID asks for a topic by its id.
func metadataByID(version int16, ids ...[16]byte) *kmsg.MetadataRequest {
	req := metadata(version, false)
	for _, id := range ids {
		t := kmsg.NewMetadataRequestTopic()
		t.TopicID = id
		req.Topics = append(req.Topics, t)
	}
	return req
}

// initProducerID asks for an id for a producer that only wants idempotence.
func initProducerID(version int16) *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = version, 60_000, -1, -1
	return req
}

// deleteTopics deletes by name, in the form the version has for it.
func deleteTopics(version int16, names ...string) *kmsg.DeleteTopicsRequest {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = version, 10_000
	req.TopicNames = names
	for _, name := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = ptr(name)
		req.Topics = append(req.Topics, t)
	}
	if version >= 6 {
		req.TopicNames = nil
	} else {
		req.Topics = nil
	}
	return req
}

// deleteTopicIDs deletes by id, which version 6 can.
func deleteTopicIDs(ids ...[16]byte) *kmsg.DeleteTopicsRequest {
	req := deleteTopics(6)
	for _, id := range ids {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.TopicID = id
		req.Topics = append(req.Topics, t)
	}
	return req
}

// newTopic describes a topic for CreateTopics.
func newTopic(name string, partitions int32, replication int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replication
	for _, kv := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = cutConfig(kv)
		t.Configs = append(t.Configs, c)
	}
	return t
}

// assigned gives a topic an explicit assignment of replicas, one list per partition.
func assigned(t kmsg.CreateTopicsRequestTopic, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
	for i, r := range replicas {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), r
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	return t
}

func createTopics(version int16, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = version, 10_000
	req.Topics = topics
	return req
}

// cutConfig splits "name=value"; without an equals sign the value is null.
func cutConfig(kv string) (name string, value *string) {
	for i := range len(kv) {
		if kv[i] == '=' {
			return kv[:i], ptr(kv[i+1:])
		}
	}
	return kv, nil
}

// grow describes a topic for CreatePartitions; the replica lists are for the new partitions.
func grow(topic string, count int32, replicas ...[]int32) kmsg.CreatePartitionsRequestTopic {
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, count
	for _, r := range replicas {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = r
		t.Assignment = append(t.Assignment, a)
	}
	return t
}

func createPartitions(version int16, topics ...kmsg.CreatePartitionsRequestTopic) *kmsg.CreatePartitionsRequest {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = version, 10_000
	req.Topics = topics
	return req
}

// deleteRecords moves the log start of one partition.
func deleteRecords(version int16, topic string, partition int32, offset int64) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version, req.TimeoutMillis = version, 10_000
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// epochEnd asks where a leader epoch ended.
func epochEnd(version int16, topic string, partition, current, epoch int32) *kmsg.OffsetForLeaderEpochRequest {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.Version, req.ReplicaID = version, -1
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, epoch
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// The types of resources that have configurations.
const (
	resourceTopic  = 2
	resourceBroker = 4
	resourceLogger = 8
	resourceClient = 16
	resourceGroup  = 32
)

// describeConfigs asks for some configurations of a resource; no names at all asks for every one.
func describeConfigs(version int16, kind int8, resource string, names ...string) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = version
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceType(kind), resource, names
	req.Resources = append(req.Resources, r)
	return req
}

// The operations of IncrementalAlterConfigs.
const (
	opSet      = 0
	opDelete   = 1
	opAppend   = 2
	opSubtract = 3
)

// alter is one operation of IncrementalAlterConfigs.
func alter(op int8, kv string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Op = kmsg.IncrementalAlterConfigOp(op)
	c.Name, c.Value = cutConfig(kv)
	return c
}

func alterConfigs(version int16, kind int8, resource string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version = version
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.Configs = kmsg.ConfigResourceType(kind), resource, ops
	req.Resources = append(req.Resources, r)
	return req
}
