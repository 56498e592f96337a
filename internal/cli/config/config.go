// Package config is "moldau config": the settings of topics and brokers, one file per verb. It owns their flags and what they
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
		Short: "Show and change the settings of topics and brokers",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(describeCommand(to), setCommand(to), unsetCommand(to))
	return c
}

// subject is what is configured.
type subject struct {
	kind kmsg.ConfigResourceType
	name string // a topic, a broker's id, or "" for all brokers
}

func (s subject) String() string {
	switch {
	case s.kind == kmsg.ConfigResourceTypeTopic:
		return "topic " + s.name
	case s.name == "":
		return "all brokers"
	}
	return "broker " + s.name
}

// words are the subject as the command line and JSON have it.
func (s subject) words() (kind, name string) {
	if s.kind == kmsg.ConfigResourceTypeTopic {
		return "topic", s.name
	}
	if s.name == "" {
		return "broker", "all"
	}
	return "broker", s.name
}

// parseSubject reads "topic NAME", "broker ID" or "broker all".
func parseSubject(kind, name string) (subject, error) {
	switch kind {
	case "topic":
		return subject{kmsg.ConfigResourceTypeTopic, name}, nil
	case "broker":
		if name == "all" {
			return subject{kmsg.ConfigResourceTypeBroker, ""}, nil
		}
		if id, err := strconv.ParseInt(name, 10, 32); err != nil || id < 0 {
			return subject{}, fmt.Errorf("broker %s: want a broker's id, or all for what is set for all of them", name)
		}
		return subject{kmsg.ConfigResourceTypeBroker, name}, nil
	}
	return subject{}, fmt.Errorf("%s: want topic or broker", kind)
}

// completeSubject completes the words of the subject, and then the settings with what follows their name.
func completeSubject(to *client.Options, suffix string) complete.Func {
	return func(c *cobra.Command, before []string, begun string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(before) == 0:
			return complete.Words("topic", "broker")(c, before, begun)
		case len(before) == 1 && before[0] == "topic":
			return complete.Topics(to, 0)(c, nil, begun)
		case len(before) == 1:
			return complete.Brokers(to)(c, nil, begun)
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
