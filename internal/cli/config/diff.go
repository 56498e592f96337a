package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

// difference is a setting that is not at its default.
type difference struct {
	Kind    string  `json:"kind"`
	Name    string  `json:"name"`
	Setting string  `json:"setting"`
	Value   *string `json:"value"` // null for none, and for what is secret
	Default *string `json:"default"`
	Source  string  `json:"source"`

	secret bool
}

// diffBatch is how many topics are asked about at once.
const diffBatch = 200

func diffCommand(to *client.Options) *cobra.Command {
	var internal bool
	c := &cobra.Command{
		Use:   "diff [topic|broker|group|client-metrics]...",
		Short: "Show all settings that differ from their defaults",
		Long: `Show the settings of all brokers, topics, groups and client metrics, or of those kinds alone, that somebody has set to
something else than their default. A topic's default is what its broker has: what is set for brokers is shown with them, and not
once more for every topic. What is set for all brokers is shown once, as broker all.`,
		Example: `  moldau config diff
  moldau config diff topic`,
		ValidArgsFunction: complete.Words(kinds...),
	}
	c.Flags().BoolVar(&internal, "internal", false, "also the topics in which the cluster keeps its own state")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, only []string) error {
		for _, kind := range only {
			if kindOf[kind] == kmsg.ConfigResourceTypeUnknown {
				return fmt.Errorf("%s: want some of topic, broker, group, client-metrics, or nothing for all of them", kind)
			}
		}
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		subjects, err := everything(c.Context(), to, cl, internal)
		if err != nil {
			return err
		}
		found, failed := differences(c.Context(), to, cl, subjects)
		if len(only) > 0 {
			found = slices.DeleteFunc(found, func(d difference) bool { return !slices.Contains(only, d.Kind) })
		}
		if failed != nil && len(found) == 0 {
			return failed
		}
		return errors.Join(printDifferences(c.OutOrStdout(), *format, found), failed)
	}
	return c
}

// everything lists what may have settings: brokers first, as topics follow them.
func everything(ctx context.Context, to *client.Options, cl *kgo.Client, internal bool) ([]subject, error) {
	adm := kadm.NewClient(cl)
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return nil, to.Explain("list brokers", err, "")
	}
	var all []subject
	for _, id := range brokers.NodeIDs() {
		all = append(all, subject{kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(id))})
	}
	list := adm.ListTopics
	if internal {
		list = adm.ListTopicsWithInternal
	}
	topics, err := list(ctx)
	if err != nil {
		return nil, to.Explain("list topics", err, "")
	}
	for _, name := range topics.Names() {
		all = append(all, subject{kmsg.ConfigResourceTypeTopic, name})
	}
	req := kmsg.NewPtrListConfigResourcesRequest()
	req.ResourceTypes = []int8{int8(kmsg.ConfigResourceTypeGroupConfig), int8(kmsg.ConfigResourceTypeClientMetrics)}
	answer, err := req.RequestWith(ctx, cl)
	switch {
	case err == nil:
		err = kerr.ErrorForCode(answer.ErrorCode)
	case client.NotServed(err): // an older broker has no settings of groups
		return all, nil
	}
	if err != nil {
		return nil, to.Explain("list what has settings", err, "")
	}
	for _, r := range answer.ConfigResources {
		all = append(all, subject{kmsg.ConfigResourceType(r.Type), r.Name})
	}
	return all, nil
}

// differences asks for the settings of all subjects, some at a time.
func differences(ctx context.Context, to *client.Options, cl *kgo.Client, subjects []subject) (found []difference, failed error) {
	var broker []setting // what topics follow
	found = []difference{}
	for batch := range slices.Chunk(subjects, diffBatch) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.IncludeSynonyms = true
		for _, s := range batch {
			req.Resources = append(req.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: s.kind, ResourceName: s.name})
		}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return found, to.Explain("describe settings", err, "")
		}
		// The answers come from several brokers, in any order.
		order := func(r kmsg.DescribeConfigsResponseResource) int {
			return slices.Index(batch, subject{r.ResourceType, r.ResourceName})
		}
		slices.SortFunc(resp.Resources, func(a, b kmsg.DescribeConfigsResponseResource) int { return cmp.Compare(order(a), order(b)) })
		for _, r := range resp.Resources {
			s := subject{r.ResourceType, r.ResourceName}
			if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
				if !errors.Is(err, kerr.UnknownTopicOrPartition) { // which is one that was deleted meanwhile
					failed = errors.Join(failed, s.explain(ctx, to, cl, "describe settings of "+s.String(), err, text(r.ErrorMessage)))
				}
				continue
			}
			var settings []setting
			for _, c := range r.Configs {
				settings = append(settings, newSetting(c))
			}
			if s.kind == kmsg.ConfigResourceTypeBroker && broker == nil {
				broker = settings
			}
			for _, d := range s.differences(settings, broker) {
				// What is set for all brokers each of them tells.
				if !slices.ContainsFunc(found, func(x difference) bool {
					return x.Kind == d.Kind && x.Name == "all" && d.Name == "all" && x.Setting == d.Setting
				}) {
					found = append(found, d)
				}
			}
		}
	}
	return found, failed
}

// differences are the settings of one subject that are set to something else than their default, in the order of their names.
func (s subject) differences(settings, broker []setting) (found []difference) {
	explainUnits(settings, broker)
	own := map[kmsg.ConfigResourceType]string{
		kmsg.ConfigResourceTypeTopic:         kmsg.ConfigSourceDynamicTopicConfig.String(),
		kmsg.ConfigResourceTypeGroupConfig:   kmsg.ConfigSourceGroupConfig.String(),
		kmsg.ConfigResourceTypeClientMetrics: kmsg.ConfigSourceClientMetricsConfig.String(),
	}
	for _, one := range settings {
		if !one.set() || own[s.kind] != "" && own[s.kind] != one.Source {
			continue
		}
		kind, name := s.words()
		without := one.Default
		if s.kind == kmsg.ConfigResourceTypeBroker {
			without = one.original
			if one.Source == kmsg.ConfigSourceDynamicDefaultBrokerConfig.String() {
				name = "all"
			}
		}
		if one.Value != nil && without != nil && *one.Value == *without {
			continue
		}
		found = append(found, difference{kind, name, one.Name, one.Value, without, one.Source, one.Sensitive})
	}
	slices.SortStableFunc(found, func(a, b difference) int { return cmp.Compare(a.Setting, b.Setting) })
	return found
}

func printDifferences(w io.Writer, format output.Format, found []difference) error {
	list := output.List{Heading: []string{"KIND", "NAME", "SETTING", "VALUE", "DEFAULT", "SOURCE"}, Document: found}
	for _, d := range found {
		value, without := shown(d.Value), shown(d.Default)
		if d.secret {
			value, without = "(hidden)", "(hidden)"
		}
		list.Rows = append(list.Rows, []string{d.Kind, d.Name, d.Setting, value, without, d.Source})
	}
	if len(list.Rows) == 0 && format == output.Table {
		_, err := fmt.Fprintln(w, "every setting is at its default")
		return err
	}
	return list.Print(w, format)
}
