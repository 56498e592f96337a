package group

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
)

// asker collects what several requests say of groups.
type asker struct {
	to  *client.Options
	cl  *kgo.Client
	adm *kadm.Client
}

func newAsker(to *client.Options, cl *kgo.Client) asker { return asker{to, cl, kadm.NewClient(cl)} }

// state describes one group without its offsets. A group that is not there is the error GROUP_ID_NOT_FOUND.
func (a asker) state(ctx context.Context, group string) (*description, error) {
	tried := "describe group " + group
	var g kadm.DescribedGroup
	err := client.UntilReady(ctx, func() error {
		found, err := a.adm.DescribeGroups(ctx, group)
		if err == nil {
			g, err = found.On(group, nil)
		}
		return cmp.Or(err, g.Err)
	})
	message := g.ErrMessage
	if err == nil && g.State == "Dead" && len(g.Members) == 0 { // how brokers before Kafka 4 say it
		err = kerr.GroupIDNotFound
	}
	if errors.Is(err, kerr.GroupIDNotFound) { // to the classic protocol only
		if other := a.nextGeneration(ctx, group); other != nil {
			return other, nil
		}
	}
	if err != nil {
		return nil, a.to.ExplainGroup(ctx, a.cl, tried, group, err, message)
	}
	one := &description{Group: group, State: g.State, Type: "Classic", ProtocolType: g.ProtocolType, Assignor: g.Protocol,
		Coordinator: brokerOf(g.Coordinator), Members: []member{}, Offsets: []offset{}}
	for _, m := range g.Members {
		has := kadm.TopicsSet{}
		if c, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range c.Topics {
				has.Add(t.Topic, t.Partitions...)
			}
		}
		one.Members = append(one.Members, member{m.MemberID, m.InstanceID, m.ClientID, hostText(m.ClientHost), assignment(has)})
	}
	return one, nil
}

// nextGeneration describes a group of the protocol of KIP-848, or is nil.
func (a asker) nextGeneration(ctx context.Context, group string) *description {
	found, err := a.adm.DescribeConsumerGroups(ctx, group)
	g, ok := found[group]
	if err != nil || !ok || g.Err != nil {
		return nil
	}
	one := &description{Group: group, State: g.State, Type: "Consumer", ProtocolType: "consumer", Assignor: g.AssignorName,
		Coordinator: brokerOf(g.Coordinator), Members: []member{}, Offsets: []offset{}}
	for _, m := range g.Members {
		one.Members = append(one.Members, member{m.MemberID, m.InstanceID, m.ClientID, hostText(m.ClientHost), assignment(m.Assignment)})
	}
	return one
}

func brokerOf(d kadm.BrokerDetail) broker { return broker{d.NodeID, d.Host, d.Port} }

// hostText leaves out the slash that Java puts before an address without a name.
func hostText(host string) string { return strings.TrimPrefix(host, "/") }

func assignment(set kadm.TopicsSet) []assigned {
	all := []assigned{}
	for _, topic := range slices.Sorted(maps.Keys(set)) {
		all = append(all, assigned{topic, slices.Sorted(maps.Keys(set[topic]))})
	}
	return all
}

// committed are the offsets of a group.
func (a asker) committed(ctx context.Context, group string) (kadm.OffsetResponses, error) {
	var found kadm.OffsetResponses
	err := client.UntilReady(ctx, func() (err error) {
		if found, err = a.adm.FetchOffsets(ctx, group); err == nil {
			err = found.Error()
		}
		return err
	})
	if err != nil {
		return nil, a.to.ExplainGroup(ctx, a.cl, "fetch offsets of group "+group, group, err, "")
	}
	found.DeleteFunc(func(o kadm.OffsetResponse) bool { return o.At < 0 })
	return found, nil
}

// ends are where the logs of some topics begin and end.
type ends struct{ starts, ends kadm.ListedOffsets }

func (a asker) ends(ctx context.Context, topics []string) (e ends, err error) {
	if len(topics) == 0 {
		return e, nil
	}
	if e.starts, err = a.adm.ListStartOffsets(ctx, topics...); err == nil || partial(err) {
		e.ends, err = a.adm.ListEndOffsets(ctx, topics...)
	}
	if err != nil && !partial(err) {
		return e, a.to.Explain("list offsets of topics "+strings.Join(topics, ", "), err, "")
	}
	return e, nil
}

// partial says whether some brokers have answered.
func partial(err error) bool {
	var shards *kadm.ShardErrors
	return errors.As(err, &shards) && !shards.AllFailed
}

// of are the ends of one partition.
func (e ends) of(topic string, partition int32) (start, end int64, err error) {
	s, ok := e.starts.Lookup(topic, partition)
	if !ok {
		return -1, -1, kerr.UnknownTopicOrPartition
	}
	n, ok := e.ends.Lookup(topic, partition)
	if !ok {
		return -1, -1, kerr.UnknownTopicOrPartition
	}
	return s.Offset, n.Offset, cmp.Or(s.Err, n.Err)
}

// describe is state with the offsets.
func (a asker) describe(ctx context.Context, group string) (*description, error) {
	one, err := a.state(ctx, group)
	if err != nil {
		return nil, err
	}
	committed, err := a.committed(ctx, group)
	if err != nil {
		return nil, err
	}
	topics := map[string]bool{}
	for topic := range committed {
		topics[topic] = true
	}
	for _, m := range one.Members {
		for _, t := range m.Assignment {
			topics[t.Topic] = true
		}
	}
	e, err := a.ends(ctx, slices.Sorted(maps.Keys(topics)))
	if err != nil {
		return nil, err
	}
	one.measure(committed, e.of)
	return one, nil
}
