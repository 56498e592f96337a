package config

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

func unsetCommand(to *client.Options) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:               "unset topic|broker|group|client-metrics NAME SETTING...",
		Short:             "Take settings away, so that their defaults count again",
		Example:           "  moldau config unset topic orders retention.ms",
		Args:              subjectArgs(1),
		ValidArgsFunction: completeSubject(to, ""),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only ask the broker whether it would do it")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := parseSubject(args[0], args[1])
		if err != nil {
			return err
		}
		var changes []change
		for _, name := range args[2:] {
			if slices.ContainsFunc(changes, func(c change) bool { return c.Name == name }) {
				return fmt.Errorf("%s: the setting is given twice", name)
			}
			changes = append(changes, change{Name: name})
		}
		return apply(c, to, s, "unset", changes, dryRun, *format)
	}
	return c
}

// removable says whether there is anything to take away, as Kafka's tool does. A broker takes it for done otherwise, and a mistyped
// name goes unnoticed.
func (was setting) removable(s subject, settings []setting, name string) error {
	own := map[kmsg.ConfigResourceType]kmsg.ConfigSource{
		kmsg.ConfigResourceTypeTopic: kmsg.ConfigSourceDynamicTopicConfig, kmsg.ConfigResourceTypeBroker: kmsg.ConfigSourceDynamicBrokerConfig,
		kmsg.ConfigResourceTypeGroupConfig: kmsg.ConfigSourceGroupConfig, kmsg.ConfigResourceTypeClientMetrics: kmsg.ConfigSourceClientMetricsConfig,
	}[s.kind]
	if s.name == "" {
		own = kmsg.ConfigSourceDynamicDefaultBrokerConfig
	}
	switch {
	case was.Name == "" && s.name == "":
		return fmt.Errorf("%s is not set for %v", name, s)
	case was.Name == "":
		return unknown(s, settings, name)
	case was.Source != own.String():
		return fmt.Errorf("%s is not set for %v, so there is nothing to take away: it has its value from %s", name, s, was.Source)
	}
	return nil
}
