package quota

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

func listCommand(to *client.Options) *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List quotas",
		Long: `List the quotas that are set: all, or those of entities with the parts that flags name. Rates are per second and broker: bytes produced and fetched,
partitions created and deleted, connections; the percentage is of one thread's time.`,
		Example: `  moldau quota list
  moldau quota list --user alice
  moldau quota list --ip-defaults`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	s := newSelector(c)
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		with, err := s.entity()
		if err != nil {
			return err
		}
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		all, err := ask(c.Context(), to, cl, with, false)
		if err != nil {
			return err
		}
		return printQuotas(c.OutOrStdout(), *format, with, all)
	}
	return c
}

func printQuotas(w io.Writer, format output.Format, with entity, all []quotas) error {
	list := output.List{Heading: []string{"USER", "CLIENT-ID", "IP", "QUOTA", "VALUE"}, Document: all}
	for _, q := range all {
		for _, name := range slices.Sorted(maps.Keys(q.Quotas)) {
			list.Rows = append(list.Rows, append(q.Entity.cells(), name, number(q.Quotas[name])))
		}
	}
	if len(list.Rows) == 0 && format == output.Table {
		what := "no quotas are set"
		if len(with) > 0 {
			what = "no quotas are set for " + with.String()
		}
		_, err := fmt.Fprintln(w, what)
		return err
	}
	return list.Print(w, format)
}
