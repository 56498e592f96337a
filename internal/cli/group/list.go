package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

// States and types that a group can have, in Kafka's words.
var (
	states = []string{"PreparingRebalance", "CompletingRebalance", "Stable", "Empty", "Dead", "Assigning", "Reconciling", "NotReady"}
	types  = []string{"Classic", "Consumer", "Share", "Streams"}
)

type listed struct {
	Group        string `json:"group"`
	State        string `json:"state"`
	Type         string `json:"type"`
	ProtocolType string `json:"protocolType"`
	Coordinator  int32  `json:"coordinator"`
}

func listCommand(to *client.Options) *cobra.Command {
	var inStates, ofTypes []string
	c := &cobra.Command{
		Use:   "list",
		Short: "List groups",
		Example: `  moldau group list
  moldau group list --state stable,preparingrebalance --type classic`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringSliceVar(&inStates, "state", nil, "only groups in these states: "+strings.Join(states, ", "))
	c.Flags().StringSliceVar(&ofTypes, "type", nil, "only groups of these types: "+strings.Join(types, ", "))
	format := output.Flag(c.Flags())
	_ = c.RegisterFlagCompletionFunc("state", complete.Words(states...))
	_ = c.RegisterFlagCompletionFunc("type", complete.Words(types...))
	c.RunE = func(c *cobra.Command, _ []string) error {
		inStates, err := oneOf("state", inStates, states)
		if err != nil {
			return err
		}
		ofTypes, err := oneOf("type", ofTypes, types)
		if err != nil {
			return err
		}
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		all, failed := find(c.Context(), to, cl, inStates, ofTypes)
		slices.SortFunc(all, func(a, b listed) int { return cmp.Compare(a.Group, b.Group) })
		if failed != nil && len(all) == 0 {
			return failed
		}
		return errors.Join(printGroups(c, *format, all), failed)
	}
	return c
}

// find asks every broker for the groups it coordinates.
func find(ctx context.Context, to *client.Options, cl *kgo.Client, inStates, ofTypes []string) (all []listed, failed error) {
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = inStates, ofTypes
	err := client.UntilReady(ctx, func() (err error) {
		all = []listed{}
		for _, shard := range cl.RequestSharded(ctx, req) {
			if shard.Err != nil {
				err = errors.Join(err, shard.Err)
				continue
			}
			resp := shard.Resp.(*kmsg.ListGroupsResponse)
			err = errors.Join(err, kerr.ErrorForCode(resp.ErrorCode))
			for _, g := range resp.Groups {
				one := listed{g.Group, g.GroupState, typeName(g.GroupType), g.ProtocolType, shard.Meta.NodeID}
				if one.among(inStates, ofTypes) {
					all = append(all, one)
				}
			}
		}
		return err
	})
	return all, to.Explain("list groups", err, "")
}

// among filters once more, since a broker older than a filter passes over it.
func (g listed) among(inStates, ofTypes []string) bool {
	return (len(inStates) == 0 || slices.Contains(inStates, g.State)) && (len(ofTypes) == 0 || slices.Contains(ofTypes, g.Type))
}

// oneOf turns the values of a filter into Kafka's words, however they are capitalised.
func oneOf(flag string, values, words []string) ([]string, error) {
	var found []string
	for _, value := range values {
		i := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, strings.TrimSpace(value)) })
		if i < 0 {
			return nil, fmt.Errorf("--%s %s: want some of %s", flag, value, strings.Join(words, ", "))
		}
		found = append(found, words[i])
	}
	return found, nil
}

// typeName is the type as Kafka's tools write it, which brokers send in one spelling or another; those older than types have
// classic groups only.
func typeName(s string) string {
	if s == "" {
		return "Classic"
	}
	return strings.ToUpper(s[:1]) + strings.ToLower(s[1:])
}

func printGroups(c *cobra.Command, format output.Format, all []listed) error {
	list := output.List{Heading: []string{"GROUP", "STATE", "TYPE", "PROTOCOL", "COORDINATOR"}, Document: all,
		Styles: map[int]func(string) output.Style{1: stateStyle}}
	for _, g := range all {
		list.Rows = append(list.Rows, []string{g.Group, output.Text(g.State), g.Type, output.Text(g.ProtocolType), fmt.Sprint(g.Coordinator)})
	}
	return list.Print(c.OutOrStdout(), format)
}
