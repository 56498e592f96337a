package topic

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadata asks for a topic, and for the addresses of brokers.
func (d describer) metadata(ctx context.Context, name string) (*kmsg.MetadataResponseTopic, map[int32]string, error) {
	t, req := kmsg.NewMetadataRequestTopic(), kmsg.NewPtrMetadataRequest()
	t.Topic = &name
	req.Topics, req.AllowAutoTopicCreation = append(req.Topics, t), false
	answer, err := d.any.Ask(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	resp := answer.(*kmsg.MetadataResponse)
	if len(resp.Topics) != 1 {
		return nil, nil, kerr.UnknownTopicOrPartition
	}
	brokers := map[int32]string{}
	for _, b := range resp.Brokers {
		brokers[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	return &resp.Topics[0], brokers, kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

// eligibility are the replicas besides the ISR that may lead a partition (KIP-966).
type eligibility struct{ elr, lastKnown []int32 }

// eligible asks for them, page after page. Clusters from before the request do not serve it.
func (d describer) eligible(ctx context.Context, topic string) (map[int32]eligibility, error) {
	found := map[int32]eligibility{}
	t, req := kmsg.NewDescribeTopicPartitionsRequestTopic(), kmsg.NewPtrDescribeTopicPartitionsRequest()
	t.Topic = topic
	req.Topics, req.ResponsePartitionLimit = append(req.Topics, t), 2000
	for {
		answer, err := d.any.Ask(ctx, req)
		if err != nil {
			return nil, err
		}
		resp := answer.(*kmsg.DescribeTopicPartitionsResponse)
		for _, t := range resp.Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) { // a broker that has not heard of it yet
				return nil, err
			}
			for _, p := range t.Partitions {
				found[p.Partition] = eligibility{p.EligibleLeaderReplicas, p.LastKnownELR}
			}
		}
		next := resp.NextCursor
		if next == nil || req.Cursor != nil && next.Partition <= req.Cursor.Partition {
			return found, nil
		}
		cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
		cursor.Topic, cursor.Partition = next.Topic, next.Partition
		req.Cursor = &cursor
	}
}

// offsets are where the log of a partition starts, and its high watermark.
type offsets struct{ start, end int64 }

// Timestamps that ask for them.
const (
	latest   = -1
	earliest = -2
)

// offsets asks the leaders, all at the same time. What one does not answer is missing: the rest is to be seen while it is dead or frozen.
func (d describer) offsets(ctx context.Context, t *kmsg.MetadataResponseTopic, brokers map[int32]string) map[int32]offsets {
	led := map[int32][]int32{}
	for _, p := range t.Partitions {
		led[p.Leader] = append(led[p.Leader], p.Partition)
	}
	var mu sync.Mutex
	found := map[int32]offsets{}
	var asking sync.WaitGroup
	for leader, partitions := range led {
		address, known := brokers[leader]
		if !known {
			continue
		}
		asking.Go(func() {
			starts, startErr := d.listed(ctx, address, *t.Topic, partitions, earliest)
			if startErr != nil {
				return
			}
			ends, endErr := d.listed(ctx, address, *t.Topic, partitions, latest)
			if endErr != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range partitions {
				start, has := starts[p]
				if end, both := ends[p]; has && both {
					found[p] = offsets{start, end}
				}
			}
		})
	}
	asking.Wait()
	return found
}

// listed asks one leader for offsets by their time.
func (d describer) listed(ctx context.Context, address, topic string, partitions []int32, when int64) (map[int32]int64, error) {
	t, req := kmsg.NewListOffsetsRequestTopic(), kmsg.NewPtrListOffsetsRequest()
	t.Topic = topic
	for _, number := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = number, when
		t.Partitions = append(t.Partitions, p)
	}
	req.ReplicaID, req.Topics = -1, append(req.Topics, t)
	answer, err := d.any.AskAt(ctx, address, req)
	if err != nil {
		return nil, err
	}
	found := map[int32]int64{}
	for _, t := range answer.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == 0 {
				found[p.Partition] = p.Offset
			}
		}
	}
	return found, nil
}

// configs asks for the settings of a topic. With an error there may be what the broker says of it.
func (d describer) configs(ctx context.Context, topic string) (all []kmsg.DescribeConfigsResponseResourceConfig, message string, err error) {
	r, req := kmsg.NewDescribeConfigsRequestResource(), kmsg.NewPtrDescribeConfigsRequest()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	req.Resources = append(req.Resources, r)
	answer, err := d.any.Ask(ctx, req)
	if err != nil {
		return nil, "", err
	}
	for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			if r.ErrorMessage != nil {
				message = *r.ErrorMessage
			}
			return nil, message, err
		}
		all = append(all, r.Configs...)
	}
	return all, "", nil
}
