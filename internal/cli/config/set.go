package config

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

// changed is what set and unset print.
type changed struct {
	Kind    string   `json:"kind"`
	Name    string   `json:"name"`
	DryRun  bool     `json:"dryRun"`
	Changes []change `json:"changes"`
}

type change struct {
	Name   string  `json:"name"`
	Before *string `json:"before"`
	After  *string `json:"after"`
}

func setCommand(to *client.Options) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:   "set topic|broker|group|client-metrics NAME SETTING=VALUE...",
		Short: "Change settings",
		Long: `Change settings of a topic, broker or group, all of them or none. "broker all" sets for all brokers. Many settings of a broker can
only be changed in the file it is started with; it says so then.`,
		Example: `  moldau config set topic orders retention.ms=86400000 cleanup.policy=compact,delete
  moldau config set broker all log.cleaner.threads=2`,
		Args:              subjectArgs(1),
		ValidArgsFunction: completeSubject(to, "="),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only ask the broker whether it would take them")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := parseSubject(args[0], args[1])
		if err != nil {
			return err
		}
		changes, err := parseChanges(args[2:])
		if err != nil {
			return err
		}
		return apply(c, to, s, "set", changes, dryRun, *format)
	}
	return c
}

// parseChanges reads SETTING=VALUE.
func parseChanges(pairs []string) ([]change, error) {
	var changes []change
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%s: want SETTING=VALUE", pair)
		}
		if slices.ContainsFunc(changes, func(c change) bool { return c.Name == name }) {
			return nil, fmt.Errorf("%s: the setting is given twice", pair)
		}
		changes = append(changes, change{Name: name, After: &value})
	}
	return changes, nil
}

// apply makes the changes and prints them beside what was before. A change without a value after it takes the setting away.
func apply(c *cobra.Command, to *client.Options, s subject, verb string, changes []change, dryRun bool, format output.Format) error {
	cl, err := to.Connect(c.Context())
	if err != nil {
		return err
	}
	defer cl.Close()
	settings, err := ask(c.Context(), to, cl, s)
	if err != nil {
		return err
	}
	asked, hints, err := prepare(s, settings, changes)
	if err != nil {
		return err
	}
	if err := alter(c.Context(), to, cl, s, verb+" settings of "+s.String(), asked, dryRun); err != nil {
		if len(hints) > 0 {
			return fmt.Errorf("%w; %s", err, strings.Join(hints, "; "))
		}
		return err
	}
	for _, hint := range hints { // brokers keep settings that they do not know
		fmt.Fprintf(c.ErrOrStderr(), "moldau: %v took it, but does not know %s\n", s, hint)
	}
	kind, name := s.words()
	return printChanges(c.OutOrStdout(), format, changed{kind, name, dryRun, changes})
}

// prepare fills in what was before, and after where a setting is taken away. The hints are for names that the broker does not
// describe: it may take them all the same, such as those of its plug-ins.
func prepare(s subject, settings []setting, changes []change) (asked []kmsg.IncrementalAlterConfigsRequestResourceConfig, hints []string, err error) {
	for i := range changes {
		one := &changes[i]
		var was setting
		if at := slices.IndexFunc(settings, func(x setting) bool { return x.Name == one.Name }); at >= 0 {
			was = settings[at]
		} else if s.name != "" { // of all brokers only what is set is described
			hints = append(hints, fmt.Sprintf("%s: %s", one.Name, meant(s, settings, one.Name)))
		}
		request := kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: one.Name, Op: kmsg.IncrementalAlterConfigOpSet, Value: one.After}
		one.Before = was.Value
		if one.After == nil {
			if err := was.removable(s, settings, one.Name); err != nil {
				return nil, nil, err
			}
			request.Op, one.After = kmsg.IncrementalAlterConfigOpDelete, was.Default
		} else if was.Sensitive {
			one.After = nil
		}
		asked = append(asked, request)
	}
	return asked, hints, nil
}

func printChanges(w io.Writer, format output.Format, done changed) error {
	list := output.List{Heading: []string{"SETTING", "BEFORE", "AFTER"}, Document: done}
	if done.DryRun {
		list.Heading[2] = "WOULD BE"
	}
	for _, c := range done.Changes {
		list.Rows = append(list.Rows, []string{c.Name, shown(c.Before), shown(c.After)})
	}
	return list.Print(w, format)
}
