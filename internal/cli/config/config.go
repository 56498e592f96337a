// Package config is "moldau config": the settings of topics, brokers, groups and client metrics, one file per verb. It owns their flags and what they
// print; the cluster decides what may be set, and its answer is shown as it is.
package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
)

// Command returns "moldau config".
func Command(to *client.Options) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show and change the settings of topics, brokers and groups",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(describeCommand(to), diffCommand(to), setCommand(to), unsetCommand(to))
	return c
}

// subject is what is configured.
type subject struct {
	kind kmsg.ConfigResourceType
	name string // a topic, a broker's id, "" for all brokers, a group, or a subscription to client metrics
}

// kinds are what has settings, in the words of the command line.
var kinds = []string{"topic", "broker", "group", "client-metrics"}

// quotaKinds are what Kafka's tool for settings takes too, and here has a command of its own.
var quotaKinds = []string{"user", "users", "client", "clients", "ip", "ips"}

var kindOf = map[string]kmsg.ConfigResourceType{
	"topic": kmsg.ConfigResourceTypeTopic, "broker": kmsg.ConfigResourceTypeBroker,
	"group": kmsg.ConfigResourceTypeGroupConfig, "client-metrics": kmsg.ConfigResourceTypeClientMetrics,
}

func (s subject) String() string {
	kind, name := s.words()
	if s.kind == kmsg.ConfigResourceTypeBroker && s.name == "" {
		return "all brokers"
	}
	return kind + " " + name
}

// words are the subject as the command line and JSON have it.
func (s subject) words() (kind, name string) {
	for _, kind := range kinds {
		if kindOf[kind] != s.kind {
			continue
		}
		if kind == "broker" && s.name == "" {
			return kind, "all"
		}
		return kind, s.name
	}
	return s.kind.String(), s.name
}

// parseSubject reads "topic NAME", "broker ID", "broker all", "group NAME" or "client-metrics NAME".
func parseSubject(kind, name string) (subject, error) {
	k, ok := kindOf[kind]
	switch {
	case slices.Contains(quotaKinds, kind):
		return subject{}, fmt.Errorf("%s: want one of %s; users, client ids and addresses have quotas: \"moldau quota\"", kind, strings.Join(kinds, ", "))
	case !ok:
		return subject{}, fmt.Errorf("%s: want one of %s", kind, strings.Join(kinds, ", "))
	case name == "":
		return subject{}, fmt.Errorf("%s: a name is needed", kind)
	case kind == "broker" && name == "all":
		return subject{k, ""}, nil
	case kind == "broker":
		if id, err := strconv.ParseInt(name, 10, 32); err != nil || id < 0 {
			return subject{}, fmt.Errorf("broker %s: want a broker's id, or all for what is set for all of them", name)
		}
	}
	return subject{k, name}, nil
}

// subjectArgs wants a kind, a name and so many settings more.
func subjectArgs(settings int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= 2+settings {
			return nil
		}
		example, _, _ := strings.Cut(strings.TrimSpace(c.Example), "\n")
		return fmt.Errorf("want %s, such as \"%s\"", strings.TrimPrefix(c.Use, c.Name()+" "), example)
	}
}

// completeSubject completes the words of the subject, and then the settings with what follows their name.
func completeSubject(to *client.Options, suffix string) complete.Func {
	return func(c *cobra.Command, before []string, begun string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(before) == 0:
			return complete.Words(kinds...)(c, before, begun)
		case len(before) == 1:
			switch before[0] {
			case "topic":
				return complete.Topics(to, 0)(c, nil, begun)
			case "broker":
				return complete.Brokers(to)(c, nil, begun)
			case "group":
				return complete.Groups(to, 0)(c, nil, begun)
			}
			return complete.Nothing(c, before, begun)
		}
		s, err := parseSubject(before[0], before[1])
		if err != nil {
			return complete.Nothing(c, before, begun)
		}
		return complete.Settings(to, s.kind, s.name, suffix)(c, before[2:], begun)
	}
}

// ask returns the settings of a subject in the order of their names.
func ask(ctx context.Context, to *client.Options, cl *kgo.Client, s subject) ([]setting, error) {
	tried := "describe settings of " + s.String()
	if err := s.exists(ctx, cl); err != nil {
		return nil, to.Explain(tried, err, "")
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: s.kind, ResourceName: s.name}}
	answer, err := cl.Request(ctx, req)
	if err != nil {
		return nil, s.explain(ctx, to, cl, tried, err, "")
	}
	all := []setting{}
	for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return nil, s.explain(ctx, to, cl, tried, err, text(r.ErrorMessage))
		}
		for _, c := range r.Configs {
			all = append(all, newSetting(c))
		}
	}
	slices.SortFunc(all, func(a, b setting) int { return cmp.Compare(a.Name, b.Name) })
	if s.kind == kmsg.ConfigResourceTypeTopic && slices.ContainsFunc(all, setting.unexplained) {
		if brokers, err := kadm.NewClient(cl).ListBrokers(ctx); err == nil && len(brokers) > 0 {
			// Any broker will do: the default is a help for the reader, and without an answer there is none.
			if of, err := ask(ctx, to, cl, subject{kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(brokers[0].NodeID))}); err == nil {
				explainUnits(all, of)
			}
		}
	}
	return all, nil
}

// exists says of a broker that is not there what brokers there are. A topic is asked for by name, which the broker answers itself.
func (s subject) exists(ctx context.Context, cl *kgo.Client) error {
	if s.kind != kmsg.ConfigResourceTypeBroker || s.name == "" {
		return nil
	}
	brokers, err := kadm.NewClient(cl).ListBrokers(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, id := range brokers.NodeIDs() {
		ids = append(ids, strconv.Itoa(int(id)))
	}
	if !slices.Contains(ids, s.name) {
		return fmt.Errorf("there is no such broker; the brokers are %s", strings.Join(ids, ", "))
	}
	return nil
}

// alter changes settings and returns the broker's answer.
func alter(ctx context.Context, to *client.Options, cl *kgo.Client, s subject, tried string, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig, dryRun bool) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = dryRun
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: s.kind, ResourceName: s.name, Configs: changes}}
	answer, err := cl.Request(ctx, req)
	if err != nil {
		return s.explain(ctx, to, cl, tried, err, "")
	}
	var failed error
	for _, r := range answer.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		failed = errors.Join(failed, s.explain(ctx, to, cl, tried, kerr.ErrorForCode(r.ErrorCode), text(r.ErrorMessage)))
	}
	return failed
}

// explain adds what to do next where the general answer is not enough.
func (s subject) explain(ctx context.Context, to *client.Options, cl *kgo.Client, tried string, err error, message string) error {
	if s.kind == kmsg.ConfigResourceTypeTopic {
		return to.ExplainTopic(ctx, cl, tried, s.name, err, message)
	}
	if errors.Is(err, kerr.InvalidRequest) {
		return fmt.Errorf("%w; the file that the broker is started with sets what cannot be set while it runs", to.Explain(tried, err, message))
	}
	return to.Explain(tried, err, message)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
