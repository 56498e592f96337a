package config

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

// description is what "moldau config describe" prints as JSON.
type description struct {
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`
	Settings []setting `json:"settings"`
}

func describeCommand(to *client.Options) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "describe topic|broker|group|client-metrics NAME [SETTING...]",
		Short: "Show settings with their source and default",
		Long: `Show the settings of a topic, broker, group or of client metrics that somebody has set, those named, or with --all every one. The source says who set
it; the default is what counts without it, "-" where the broker does not say. The name of a broker is its id; "broker all"
has what is set for all brokers.`,
		Example: `  moldau config describe topic orders
  moldau config describe topic orders retention.ms cleanup.policy
  moldau config describe broker 1 --all
  moldau config describe group billing`,
		Args:              subjectArgs(0),
		ValidArgsFunction: completeSubject(to, ""),
	}
	c.Flags().BoolVar(&all, "all", false, "also settings that are at their default")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := parseSubject(args[0], args[1])
		if err != nil {
			return err
		}
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		settings, err := ask(c.Context(), to, cl, s)
		if err != nil {
			return err
		}
		if len(args) > 2 {
			settings, err = named(s, settings, args[2:])
		} else if !all {
			settings = slices.DeleteFunc(settings, func(one setting) bool { return !one.set() })
		}
		if err != nil {
			return err
		}
		return printSettings(c.OutOrStdout(), *format, s, settings)
	}
	return c
}

// named picks settings by name.
func named(s subject, settings []setting, names []string) ([]setting, error) {
	var found []setting
	var failed error
	for _, name := range names {
		i := slices.IndexFunc(settings, func(one setting) bool { return one.Name == name })
		if i < 0 {
			failed = errors.Join(failed, unknown(s, settings, name))
			continue
		}
		found = append(found, settings[i])
	}
	return found, failed
}

// unknown is the error of a setting that is not there.
func unknown(s subject, settings []setting, name string) error {
	return fmt.Errorf("%v has no setting %s; %s", s, name, meant(s, settings, name))
}

// meant says what to do about a name that is not among the settings.
func meant(s subject, settings []setting, name string) string {
	var names []string
	for _, one := range settings {
		names = append(names, one.Name)
	}
	if near := client.Nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	kind, of := s.words()
	return fmt.Sprintf("\"moldau config describe %s %s --all\" shows all", kind, of)
}

func printSettings(w io.Writer, format output.Format, s subject, settings []setting) error {
	kind, name := s.words()
	list := output.List{Heading: []string{"SETTING", "VALUE", "SOURCE", "DEFAULT"}, Document: description{kind, name, settings},
		Styles: map[int]func(string) output.Style{2: sourceStyle}}
	for _, one := range settings {
		list.Rows = append(list.Rows, []string{one.Name, one.valueText(), one.Source, one.defaultText()})
	}
	if len(list.Rows) == 0 && format == output.Table {
		_, err := fmt.Fprintf(w, "nothing is set for %v; --all shows the defaults\n", s)
		return err
	}
	return list.Print(w, format)
}

// sourceStyle makes visible what somebody has set.
func sourceStyle(source string) output.Style {
	if source == "DEFAULT_CONFIG" {
		return output.None
	}
	return output.Warn
}
