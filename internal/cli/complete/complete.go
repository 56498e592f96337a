// Package complete answers the shell when it completes a word: what topics, groups, brokers and settings there are. It asks the
// cluster, waits for about a second, and stays silent when no answer comes: a person at the prompt has not asked anything yet.
package complete

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
)

// Func is what cobra calls: the words before, and the beginning of the one to complete.
type Func = cobra.CompletionFunc

// Words completes with these words.
func Words(words ...string) Func {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// Nothing completes with nothing, not even files.
func Nothing(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// Topics completes with topics that the words before do not name. At most so many are taken; 0 is no limit.
func Topics(to *client.Options, most int) Func {
	return names(to, most, func(ctx context.Context, cl *kgo.Client) ([]string, error) {
		topics, err := kadm.NewClient(cl).ListTopics(ctx)
		return topics.Names(), err
	})
}

// Groups is Topics for groups.
func Groups(to *client.Options, most int) Func {
	return names(to, most, func(ctx context.Context, cl *kgo.Client) ([]string, error) {
		groups, err := kadm.NewClient(cl).ListGroups(ctx)
		return groups.Groups(), err
	})
}

// Brokers completes with the ids of the brokers, and all.
func Brokers(to *client.Options) Func {
	return names(to, 0, func(ctx context.Context, cl *kgo.Client) ([]string, error) {
		found := []string{"all"}
		brokers, err := kadm.NewClient(cl).ListBrokers(ctx)
		for _, b := range brokers {
			found = append(found, strconv.Itoa(int(b.NodeID)))
		}
		return found, err
	})
}

// BrokerIDs completes with the id of one broker.
func BrokerIDs(to *client.Options) Func {
	return names(to, 1, func(ctx context.Context, cl *kgo.Client) ([]string, error) {
		var found []string
		brokers, err := kadm.NewClient(cl).ListBrokers(ctx)
		for _, b := range brokers {
			found = append(found, strconv.Itoa(int(b.NodeID)))
		}
		return found, err
	})
}

// Settings completes with the names of the settings of a topic or broker. Suffix follows each, such as "=".
func Settings(to *client.Options, kind kmsg.ConfigResourceType, name, suffix string) Func {
	return names(to, 0, func(ctx context.Context, cl *kgo.Client) ([]string, error) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name}}
		resp, err := cl.Request(ctx, req)
		if err != nil {
			return nil, err
		}
		var found []string
		for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
			for _, c := range r.Configs {
				found = append(found, c.Name+suffix)
			}
		}
		return found, nil
	})
}

func names(to *client.Options, most int, ask func(context.Context, *kgo.Client) ([]string, error)) Func {
	return func(c *cobra.Command, before []string, begun string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(before) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		parent := c.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cl, done, err := to.Glance(parent)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer done()
		found, err := ask(ctx, cl)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found = slices.DeleteFunc(found, func(name string) bool {
			return !strings.HasPrefix(name, begun) || slices.Contains(before, name)
		})
		slices.Sort(found)
		directive := cobra.ShellCompDirectiveNoFileComp
		if len(found) > 0 && strings.HasSuffix(found[0], "=") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return found, directive
	}
}
