package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/record"
)

// prepare makes the topics that the attackers use.
func prepare(ctx context.Context, addr string) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer c.Close()
	small := "104857600"
	for _, name := range []string{"large", "empty", "bombs"} {
		if _, err := kadm.NewClient(c).CreateTopic(ctx, 1, 1, map[string]*string{"retention.bytes": &small, "segment.bytes": &small}, name); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
	}
	// The groups' topic is made on first use, and takes a moment.
	for range 100 {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKeys = []string{"huge"}
		resp, err := req.RequestWith(ctx, c)
		if err != nil {
			return err
		}
		if len(resp.Coordinators) == 1 && resp.Coordinators[0].ErrorCode == 0 {
			break
		}
		if err := pause(ctx, time.Second/10); err != nil {
			return err
		}
	}
	for range 40 {
		if err := c.ProduceSync(ctx, &kgo.Record{Topic: "large", Value: make([]byte, 900<<10)}).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

func fetch(topic string, bytes int32, wait int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, -1, wait, bytes, bytes, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes = bytes
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return req
}

func produce(topic string, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 20_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: records}}}}
	return req
}

func batchOf(codec record.Codec, value []byte) record.Batch {
	b := record.NewBuilder(record.CompressionOf(codec))
	b.Append(record.Record{Timestamp: time.Now().UnixMilli(), Value: value})
	return b.Build()
}

func bombs() (all [][]byte) {
	zeros := make([]byte, 200<<20)
	for codec, n := range map[record.Codec]int{record.Gzip: len(zeros), record.Snappy: 18 << 20, record.LZ4: len(zeros), record.Zstd: len(zeros)} {
		all = append(all, request(produce("bombs", batchOf(codec, zeros[:n]))))
	}
	return all
}

func strangerBatch() []byte {
	b := record.NewBuilder(record.CompressionOf(record.None))
	b.Append(record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte("x")})
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = rand.Int64N(1<<62), 0, 0
	return request(produce("bombs", b.Build()))
}

// millionPartitions are requests that name partitions 0 to 999,999 of a topic.
func millionPartitions() [][]byte {
	const many = 1_000_000
	fetch := fetch("empty", 1<<20, 0)
	fetch.Topics[0].Partitions = make([]kmsg.FetchRequestTopicPartition, many)
	offsets := kmsg.NewPtrListOffsetsRequest()
	offsets.Version, offsets.ReplicaID = 7, -1
	offsets.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "empty", Partitions: make([]kmsg.ListOffsetsRequestTopicPartition, many)}}
	committed := kmsg.NewPtrOffsetFetchRequest()
	committed.Version, committed.Group = 7, "hostile"
	committed.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "empty", Partitions: make([]int32, many)}}
	produce := produce("empty", nil)
	produce.Topics[0].Partitions = make([]kmsg.ProduceRequestTopicPartition, many)
	described := kmsg.NewPtrDescribeTopicPartitionsRequest()
	described.ResponsePartitionLimit = 1<<31 - 1
	described.Topics = make([]kmsg.DescribeTopicPartitionsRequestTopic, many)
	for i := range int32(many) {
		fetch.Topics[0].Partitions[i].Partition = i
		offsets.Topics[0].Partitions[i].Partition = i
		committed.Topics[0].Partitions[i] = i
		produce.Topics[0].Partitions[i].Partition = i
		described.Topics[i].Topic = fmt.Sprintf("t-%d", i)
	}
	return [][]byte{request(fetch), request(offsets), request(committed), request(produce), request(described)}
}

// manyTopics asks for a hundred thousand topics at a time, which is more than a request may make, for a thousand, which are made, and for
// partitions without number.
func manyTopics(turn int) []byte {
	first, many := rand.IntN(1<<30), 100_000
	switch turn % 5 {
	case 0, 1:
		if turn%5 == 1 {
			many = 1000
		}
		req := kmsg.NewPtrMetadataRequest()
		req.Version, req.AllowAutoTopicCreation = 9, true
		for i := range many {
			name := fmt.Sprintf("asked-%d-%d", first, i)
			req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &name})
		}
		return request(req)
	case 2, 3:
		if turn%5 == 3 {
			many = 1000
		}
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version, req.TimeoutMillis = 7, 20_000
		for i := range many {
			req.Topics = append(req.Topics, kmsg.CreateTopicsRequestTopic{Topic: fmt.Sprintf("made-%d-%d", first, i), NumPartitions: 1, ReplicationFactor: 1})
		}
		return request(req)
	}
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = 3, 20_000
	req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "empty", Count: 1<<31 - 1}}
	return request(req)
}

func hugeGroup(c *hostile, shared []byte) []byte {
	if c.n == 0 {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.Generation = 8, fmt.Sprintf("unknown-%d", rand.IntN(1<<30)), -1
		text := string(make([]byte, 4000))
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Metadata = &text
		for i := range int32(partitions) {
			p.Partition = i
			req.Topics = append(req.Topics, kmsg.OffsetCommitRequestTopic{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
		}
		return request(req)
	}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType = 3, "huge", "consumer"
	if c.n == 1 {
		req.Group = fmt.Sprintf("huge-%d", rand.IntN(1<<30))
	}
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 1_800_000, 1<<31-1
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: shared[:256<<10]}}
	return request(req)
}

func manyTags(turn int) []byte {
	tags := binary.AppendUvarint(nil, 1_000_000)
	for i := range uint64(1_000_000) {
		tags = append(binary.AppendUvarint(tags, i), 0)
	}
	if turn%2 == 0 {
		b := append([]byte{0, 18, 0, 3, 0, 0, 0, 1, 0, 1, 'h'}, tags...)
		return claim(uint32(len(b)), b)
	}
	return raw(18, 3, true, append([]byte{2, 'x', 2, '1'}, tags...))
}
