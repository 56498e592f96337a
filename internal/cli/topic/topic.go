// Package topic is "moldau topic": create, list, describe, size and delete, one file per verb. It owns their flags and what they
// print; the cluster decides.
package topic

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/client"
)

// Command returns "moldau topic".
func Command(to *client.Options) *cobra.Command {
	c := &cobra.Command{
		Use:   "topic",
		Short: "Create, list, describe, measure and delete topics",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(createCommand(to), listCommand(to), describeCommand(to), sizeCommand(to), deleteCommand(to))
	return c
}

// parsePairs reads the values of a repeated flag of the form key=value.
func parsePairs(flag string, pairs []string) (map[string]*string, error) {
	m := make(map[string]*string, len(pairs))
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--%s %s: want KEY=VALUE", flag, pair)
		}
		m[key] = &value
	}
	return m, nil
}
