// Package broker is "moldau broker": the brokers of a cluster and what one of them is doing, one file per verb. It owns their flags and what
// they print. What a broker does it reads from the broker's admin listener, as Prometheus does; it never changes anything.
package broker

import (
	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/client"
)

// Command returns "moldau broker".
func Command(to *client.Options) *cobra.Command {
	c := &cobra.Command{
		Use:   "broker",
		Short: "List brokers and show what one is doing",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(listCommand(to), statusCommand(to))
	return c
}
