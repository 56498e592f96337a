package cluster

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
)

// asker is what a question goes to.
type asker interface {
	Ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
	AskUntil(ctx context.Context, req kmsg.Request, good func(kmsg.Response) error) (kmsg.Response, error)
}

// answers are what brokers say of a cluster.
type answers struct {
	cluster  *kmsg.DescribeClusterResponse // nil: the cluster is older than the request
	quorum   *kmsg.DescribeQuorumResponse  // nil: no broker knows of a quorum, or of its leader
	noQuorum error
	metadata *kmsg.MetadataResponse
	minISR   map[string]int              // by topic, of those with a partition that has too few in sync; what is missing is not known
	elr      map[string]map[int32]leader // likewise
}

// leader are the replicas besides the ISR that may lead a partition.
type leader struct{ eligible, lastKnown []int32 }

// look asks what there is to know.
func look(ctx context.Context, to *client.Options, brokers asker) (*report, error) {
	a := answers{minISR: map[string]int{}, elr: map[string]map[int32]leader{}}
	if err := a.describe(ctx, brokers); err != nil {
		return nil, to.Explain("describe the cluster", err, "")
	}
	a.noQuorum = a.describeQuorum(ctx, brokers)
	resp, err := brokers.Ask(ctx, allTopics())
	if err != nil {
		return nil, to.Explain("list topics", err, "")
	}
	a.metadata = resp.(*kmsg.MetadataResponse)
	ill := a.ill()
	for names := range slices.Chunk(ill, topicsAtOnce) {
		if err := a.askMinISR(ctx, brokers, names); err != nil {
			return nil, to.Explain("describe settings of topics", err, "")
		}
		if err := a.askELR(ctx, brokers, names); err != nil && !client.NotServed(err) {
			return nil, to.Explain("describe partitions", err, "")
		}
	}
	return newReport(&a), nil
}

// topicsAtOnce is how many topics one request names.
const topicsAtOnce = 500

func (a *answers) describe(ctx context.Context, brokers asker) error {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.EndpointType, req.IncludeFencedBrokers = 1, true // brokers, not controllers
	resp, err := brokers.AskUntil(ctx, req, func(r kmsg.Response) error { return kerr.ErrorForCode(r.(*kmsg.DescribeClusterResponse).ErrorCode) })
	if err != nil && client.NotServed(err) {
		return nil // the metadata name brokers too
	}
	if err == nil {
		a.cluster = resp.(*kmsg.DescribeClusterResponse)
	}
	return err
}

// metadataLog is the name under which the log of the quorum is asked for.
const metadataLog = "__cluster_metadata"

// describeQuorum asks who votes. A quorum without a leader is no reason to show nothing.
func (a *answers) describeQuorum(ctx context.Context, brokers asker) error {
	partition, topic, req := kmsg.NewDescribeQuorumRequestTopicPartition(), kmsg.NewDescribeQuorumRequestTopic(), kmsg.NewPtrDescribeQuorumRequest()
	topic.Topic, topic.Partitions = metadataLog, append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	resp, err := brokers.AskUntil(ctx, req, func(r kmsg.Response) error {
		q := r.(*kmsg.DescribeQuorumResponse)
		if err := kerr.ErrorForCode(q.ErrorCode); err != nil {
			return err
		}
		if len(q.Topics) != 1 || len(q.Topics[0].Partitions) != 1 {
			return kerr.UnknownTopicOrPartition
		}
		return kerr.ErrorForCode(q.Topics[0].Partitions[0].ErrorCode)
	})
	if err == nil {
		a.quorum = resp.(*kmsg.DescribeQuorumResponse)
	}
	return err
}

func allTopics() *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil // all
	return req
}

// ill are the topics with a partition that has too few replicas in sync.
func (a *answers) ill() []string {
	var names []string
	for _, t := range a.metadata.Topics {
		if t.Topic != nil && slices.ContainsFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return len(p.ISR) < len(p.Replicas) }) {
			names = append(names, *t.Topic)
		}
	}
	return names
}

func (a *answers) askMinISR(ctx context.Context, brokers asker, names []string) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, name, []string{"min.insync.replicas"}
		req.Resources = append(req.Resources, r)
	}
	resp, err := brokers.Ask(ctx, req)
	if err != nil {
		return err
	}
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range r.Configs { // none of a topic that was deleted meanwhile
			if n, err := strconv.Atoi(value(c.Value)); err == nil {
				a.minISR[r.ResourceName] = n
			}
		}
	}
	return nil
}

// askELR asks for the replicas that may lead besides the ISR (KIP-966), page after page.
func (a *answers) askELR(ctx context.Context, brokers asker, names []string) error {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 2000
	for _, name := range names {
		t := kmsg.NewDescribeTopicPartitionsRequestTopic()
		t.Topic = name
		req.Topics = append(req.Topics, t)
	}
	for {
		answer, err := brokers.Ask(ctx, req)
		if err != nil {
			return err
		}
		resp := answer.(*kmsg.DescribeTopicPartitionsResponse)
		for _, t := range resp.Topics {
			name := value(t.Topic)
			if a.elr[name] == nil {
				a.elr[name] = map[int32]leader{}
			}
			for _, p := range t.Partitions {
				a.elr[name][p.Partition] = leader{p.EligibleLeaderReplicas, p.LastKnownELR}
			}
		}
		next := resp.NextCursor
		if next == nil || req.Cursor != nil && next.Topic == req.Cursor.Topic && next.Partition <= req.Cursor.Partition {
			return nil
		}
		cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
		cursor.Topic, cursor.Partition = next.Topic, next.Partition
		req.Cursor = &cursor
	}
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
