package quota

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

func unsetCommand(to *client.Options) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:     "unset [flags] QUOTA...",
		Short:   "Take quotas away, so that broader ones count again",
		Long:    "Take quotas away, all of them or none. " + whose,
		Example: "  moldau quota unset --user alice producer_byte_rate",
		Args:    some("QUOTA"),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only ask the broker whether it would do it")
	s := newSelector(c)
	c.ValidArgsFunction = s.completeNames("")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		e, err := s.one()
		if err != nil {
			return err
		}
		var changes []change
		for _, name := range args {
			if slices.ContainsFunc(changes, func(c change) bool { return c.Name == name }) {
				return fmt.Errorf("%s: the quota is given twice", name)
			}
			changes = append(changes, change{Name: name})
		}
		return apply(c, to, e, "unset", changes, dryRun, *format)
	}
	return c
}
