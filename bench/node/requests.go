package node

import (
	"context"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic makes a topic of so many replicas with settings, and waits until all its partitions have leaders.
func CreateTopic(ctx context.Context, addr, topic string, partitions int32, replicas int16, settings map[string]string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	configs := map[string]*string{}
	for name, value := range settings {
		configs[name] = &value
	}
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, partitions, replicas, configs, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	for end := time.Now().Add(answerMax); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		details, err := admin.ListTopics(ctx, topic)
		if err == nil && len(details[topic].Partitions) == int(partitions) && details.Error() == nil {
			return nil
		}
	}
	return fmt.Errorf("topic %s has no leaders", topic)
}

// Batch is a record batch of n records, whose values of size bytes do not compress and whose keys, where there are any, are from 0 to keys-1.
func Batch(n, size, keys int) []byte {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	now := time.Now().UnixMilli()
	batch := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(n - 1), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(n), FirstTimestamp: now, MaxTimestamp: now}
	for i := range n {
		r := kmsg.Record{OffsetDelta: int32(i), Value: value}
		if keys > 0 {
			r.Key = fmt.Appendf(nil, "key-%d", rand.IntN(keys))
		}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // what a length of 0 takes
		batch.Records = r.AppendTo(batch.Records)
	}
	return seal(&batch)
}

// Record is a batch of one record of an idempotent producer.
func Record(producer int64, epoch int16, sequence int32, value []byte) []byte {
	now := time.Now().UnixMilli()
	batch := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, ProducerID: producer, ProducerEpoch: epoch, FirstSequence: sequence,
		NumRecords: 1, FirstTimestamp: now, MaxTimestamp: now}
	r := kmsg.Record{Value: value}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	batch.Records = r.AppendTo(nil)
	return seal(&batch)
}

// seal gives a batch its length and its CRC.
func seal(batch *kmsg.RecordBatch) []byte {
	batch.Length = int32(len(batch.AppendTo(nil)) - 12)
	batch.CRC = int32(crc32.Checksum(batch.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	return batch.AppendTo(nil)
}

// Produce is a request that appends a batch to a partition.
func Produce(topic string, partition int32, acks int16, batch []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Acks, req.TimeoutMillis = acks, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// Fetch is a request for records of a partition from an offset on, of which one comes at least, however large.
func Fetch(topic string, partition int32, offset int64, maxBytes int32, wait time.Duration) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(12)
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = int32(wait.Milliseconds()), 1, maxBytes, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, maxBytes
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}
