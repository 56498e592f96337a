package franz

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/test/compat/broker"
)

// TestTopics creates, lists, describes, grows and deletes a topic.
func TestTopics(t *testing.T) {
	ctx, admin, name := broker.Context(t), broker.Admin(t), broker.Name(t)
	broker.Create(t, admin, name, 2, "retention.ms=12345678")
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, name); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("created twice: %v", err)
	}
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, "no/such name"); !errors.Is(err, kerr.InvalidTopicException) {
		t.Errorf("created with a bad name: %v", err)
	}
	if r, err := admin.CreatePartitions(ctx, 3, name); err != nil || r[name].Err != nil {
		t.Errorf("create partitions: %v %v", err, r[name].Err)
	}
	var d kadm.TopicDetail
	broker.Eventually(t, "the topic has five partitions", func() bool {
		all, err := admin.ListTopics(ctx)
		d = all[name]
		return err == nil && len(d.Partitions) == 5
	})
	if d.ID == (kadm.TopicID{}) {
		t.Errorf("described with id %v", d.ID)
	}
	for _, p := range d.Partitions {
		if p.Leader < 0 || len(p.Replicas) != broker.Replicas() || len(p.ISR) != broker.Replicas() || p.Err != nil {
			t.Errorf("partition %+v", p)
		}
	}
	if r, err := admin.DeleteTopics(ctx, name); err != nil || r[name].Err != nil {
		t.Fatalf("delete: %v %v", err, r[name].Err)
	}
	if r, err := admin.DeleteTopics(ctx, name); err != nil || !errors.Is(r[name].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("deleted twice: %v %v", err, r[name].Err)
	}
	broker.Eventually(t, "the deleted topic is no longer listed", func() bool {
		all, err := admin.ListTopics(ctx)
		return err == nil && !all.Has(name)
	})
}

// TestRecreate deletes a topic and creates it anew: another id, no records.
func TestRecreate(t *testing.T) {
	ctx, admin, name := broker.Context(t), broker.Admin(t), broker.Name(t)
	var ids []kadm.TopicID
	for range 2 {
		broker.Create(t, admin, name, 1)
		d, err := broker.Admin(t).ListTopics(ctx, name) // a new client, since one keeps what it learnt for a moment
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d[name].ID)
		r := produce(t, broker.Client(t, kgo.DefaultProduceTopic(name)), records(1))
		if r[0].Offset != 0 {
			t.Errorf("the first record of a new topic has offset %d", r[0].Offset)
		}
		if r, err := admin.DeleteTopics(ctx, name); err != nil || r[name].Err != nil {
			t.Fatalf("delete: %v %v", err, r[name].Err)
		}
	}
	if ids[0] == ids[1] {
		t.Error("the new topic has the old one's id")
	}
}

// TestConfigs describes and alters a topic's settings.
func TestConfigs(t *testing.T) {
	ctx, admin, topic := broker.Context(t), broker.Admin(t), broker.Topic(t, 1, "segment.bytes=2000000")
	value := func(name string) (string, kmsg.ConfigSource) {
		t.Helper()
		rs, err := admin.DescribeTopicConfigs(ctx, topic)
		if err != nil || len(rs) != 1 || rs[0].Err != nil {
			t.Fatalf("describe configs: %v %+v", err, rs)
		}
		for _, c := range rs[0].Configs {
			if c.Key == name {
				return c.MaybeValue(), c.Source
			}
		}
		t.Fatalf("no setting %s", name)
		return "", 0
	}
	if v, source := value("segment.bytes"); v != "2000000" || source != kmsg.ConfigSourceDynamicTopicConfig {
		t.Errorf("segment.bytes is %s by %v", v, source)
	}
	if v, source := value("cleanup.policy"); v != "delete" || source != kmsg.ConfigSourceDefaultConfig {
		t.Errorf("cleanup.policy is %s by %v", v, source)
	}
	alter := func(op kadm.IncrementalOp, name, value string) error {
		t.Helper()
		rs, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: op, Name: name, Value: &value}}, topic)
		if err != nil {
			t.Fatal(err)
		}
		return rs[0].Err
	}
	if err := alter(kadm.SetConfig, "retention.ms", "1234"); err != nil {
		t.Error(err)
	}
	if v, _ := value("retention.ms"); v != "1234" {
		t.Errorf("retention.ms is %s", v)
	}
	if err := alter(kadm.DeleteConfig, "segment.bytes", ""); err != nil {
		t.Error(err)
	}
	if v, _ := value("segment.bytes"); v != "1073741824" {
		t.Errorf("segment.bytes is %s", v)
	}
	if err := alter(kadm.SetConfig, "no.such.setting", "1"); !errors.Is(err, kerr.InvalidConfig) {
		t.Errorf("set a setting that does not exist: %v", err)
	}
}

// TestDeleteRecords raises the start of a log.
func TestDeleteRecords(t *testing.T) {
	topic, _ := hundred(t)
	ctx, admin := broker.Context(t), broker.Admin(t)
	var to kadm.Offsets
	to.Add(kadm.Offset{Topic: topic, Partition: 0, At: 40})
	r, err := admin.DeleteRecords(ctx, to)
	if err != nil || r.Error() != nil || r[topic][0].LowWatermark != 40 {
		t.Fatalf("delete records: %v %v %+v", err, r.Error(), r[topic][0])
	}
	start, err := admin.ListStartOffsets(ctx, topic)
	if err != nil || start[topic][0].Offset != 40 {
		t.Errorf("start is %d: %v", start[topic][0].Offset, err)
	}
	if r := consume(t, topic, 60)[0]; r.Offset != 40 {
		t.Errorf("the first record has offset %d", r.Offset)
	}
	to = nil
	to.Add(kadm.Offset{Topic: topic, Partition: 0, At: 101})
	if r, err := admin.DeleteRecords(ctx, to); err != nil || !errors.Is(r[topic][0].Err, kerr.OffsetOutOfRange) {
		t.Errorf("deleted past the end: %v %v", err, r[topic][0].Err)
	}
}

// TestCluster describes the brokers themselves.
func TestCluster(t *testing.T) {
	m, err := broker.Admin(t).BrokerMetadata(broker.Context(t))
	if err != nil || len(m.Brokers) != broker.Brokers() || m.Cluster == "" || m.Controller < 0 {
		t.Errorf("%+v: %v", m, err)
	}
}

// TestOffsetForLeaderEpoch asks where the current epoch ends.
func TestOffsetForLeaderEpoch(t *testing.T) {
	topic, _ := hundred(t)
	ctx, admin := broker.Context(t), broker.Admin(t)
	d, err := admin.ListTopics(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	var req kadm.OffsetForLeaderEpochRequest
	req.Add(topic, 0, d[topic].Partitions[0].LeaderEpoch)
	r, err := admin.OffsetForLeaderEpoch(ctx, req)
	if err != nil || r[topic][0].EndOffset != 100 {
		t.Errorf("%+v: %v", r[topic][0], err)
	}
}
