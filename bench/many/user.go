package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupPartitions is how many partitions the group of the phase user reads, or all there are.
const groupPartitions = 1000

// user does what people and their tools do with many topics that have records: asks for all of them, reads some in a group, and removes them all.
func (b *bench) user(ctx context.Context) error {
	c, err := dial(b.broker.addr())
	if err != nil {
		return err
	}
	defer c.Close()
	all := kmsg.NewPtrMetadataRequest()
	all.Topics = nil
	offsets := kmsg.NewPtrListOffsetsRequest()
	configs := kmsg.NewPtrDescribeConfigsRequest()
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.TimeoutMillis = 120_000
	for i := range b.topics {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic(i)
		for p := range b.partitions {
			part := kmsg.NewListOffsetsRequestTopicPartition()
			part.Partition, part.Timestamp = int32(p), -1
			t.Partitions = append(t.Partitions, part)
		}
		offsets.Topics = append(offsets.Topics, t)
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, t.Topic
		configs.Resources = append(configs.Resources, r)
		d := kmsg.NewDeleteTopicsRequestTopic()
		d.Topic = &t.Topic
		remove.Topics, remove.TopicNames = append(remove.Topics, d), append(remove.TopicNames, t.Topic)
	}
	dirs := kmsg.NewPtrDescribeLogDirsRequest()
	dirs.Topics = nil
	for _, q := range []struct {
		what    string
		version int16
		req     kmsg.Request
	}{
		{"Metadata of all", metadataVersion, all},
		{"ListOffsets of all, the end", 7, offsets},
		{"DescribeConfigs of all topics", 4, configs},
		{"DescribeLogDirs of all", 2, dirs},
	} {
		if err := b.question(c, q.what, q.version, q.req); err != nil {
			return err
		}
	}
	if err := b.group(ctx, c); err != nil {
		return err
	}
	if err := b.question(c, "DeleteTopics of all", 5, remove); err != nil {
		return err
	}
	return b.question(c, "Metadata of none", metadataVersion, all)
}

// question notes how long one answer takes, and how long it is.
func (b *bench) question(c *conn, what string, version int16, req kmsg.Request) error {
	began := time.Now()
	resp, err := c.ask(version, req)
	if err == nil {
		err = refused(resp)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	b.note(what, "%s, %.1f MB", ms(time.Since(began)), float64(c.read)/1e6)
	return nil
}

// refused is the first error in an answer of those that user asks for.
func refused(resp kmsg.Response) error {
	switch r := resp.(type) {
	case *kmsg.ListOffsetsResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Errorf("%s-%d: %w", t.Topic, p.Partition, err)
				}
			}
		}
	case *kmsg.DescribeConfigsResponse:
		for _, of := range r.Resources {
			if err := kerr.ErrorForCode(of.ErrorCode); err != nil {
				return fmt.Errorf("%s: %w", of.ResourceName, err)
			}
		}
	case *kmsg.DeleteTopicsResponse:
		for _, t := range r.Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
				return fmt.Errorf("%s: %w", *t.Topic, err)
			}
		}
	case *kmsg.OffsetFetchResponse:
		return kerr.ErrorForCode(r.Groups[0].ErrorCode)
	}
	return nil
}

// group reads many topics in a group from their beginning, has a second member come and go, and commits.
func (b *bench) group(ctx context.Context, c *conn) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var topics []string
	for i := 0; i < b.topics && i*b.partitions < groupPartitions; i++ {
		topics = append(topics, topic(i))
	}
	n := len(topics) * b.partitions
	assigned := make(chan int, 16)
	member := func() (*kgo.Client, error) {
		return kgo.NewClient(kgo.SeedBrokers(b.broker.addr()), kgo.ConsumerGroup("many"), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(),
			kgo.Balancers(kgo.RangeBalancer()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
				count := 0
				for _, partitions := range got {
					count += len(partitions)
				}
				assigned <- count
			}))
	}
	began := time.Now()
	first, err := member()
	if err != nil {
		return err
	}
	defer first.Close()
	seen := map[string]bool{}
	for len(seen) < n {
		fetches := first.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("%d of %d partitions read in a group: %w", len(seen), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { seen[fmt.Sprintf("%s-%d", r.Topic, r.Partition)] = true })
	}
	<-assigned
	what := fmt.Sprintf("a group of %d partitions: ", n)
	b.note(what+"joined, and a record of each", "%s", ms(time.Since(began)))
	began = time.Now()
	if err := first.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	b.note(what+"commit of all", "%s", ms(time.Since(began)))
	fetch := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = "many", nil
	fetch.Groups = append(fetch.Groups, g)
	if err := b.question(c, what+"OffsetFetch", 8, fetch); err != nil {
		return err
	}
	began = time.Now()
	second, err := member()
	if err != nil {
		return err
	}
	for shared := 0; shared < n; { // both are given theirs, in any order
		select {
		case count := <-assigned:
			shared += count
		case <-ctx.Done():
			second.Close()
			return fmt.Errorf("a second member: %w", ctx.Err())
		}
	}
	b.note(what+"a second member came", "%s", ms(time.Since(began)))
	second.Close()
	return nil
}
