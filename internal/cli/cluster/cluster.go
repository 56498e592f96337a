// Package cluster is "moldau cluster": what state a cluster is in, on one page. It owns what is shown and how; it asks any broker with the
// requests that Apache Kafka serves as well, and changes nothing.
package cluster

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

// Command returns "moldau cluster".
func Command(to *client.Options) *cobra.Command {
	var top int
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Show brokers, voters, leaders, and the partitions that are not as they should be",
		Long: `Show the state of a cluster: its brokers with what each leads, hosts and has in sync; the voters of the metadata quorum and those who
follow it, with how far each is behind the leader; and the partitions that are not as they should be, the worst first:

  offline           no leader: nothing can be produced or consumed
  under-min-isr     fewer in-sync replicas than min.insync.replicas, or eligible leaders besides them, so that acks=all is refused
  under-replicated  fewer in-sync replicas than replicas

A partition that is offline counts under each of the three. A broker is fenced while the controller does not count on it; one that is
gone hosts partitions and is not known. Of several brokers in --bootstrap any that answers will do.`,
		Example: `  moldau cluster
  moldau cluster --bootstrap 127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094 --format json`,
		Args: cobra.NoArgs,
	}
	c.Flags().IntVar(&top, "top", 20, "how many of the partitions in a bad state to show; 0 shows all")
	format := output.Flag(c.Flags())
	_ = c.RegisterFlagCompletionFunc("top", complete.Nothing)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if top < 0 {
			return fmt.Errorf("--top %d: want a number of partitions, or 0 for all", top)
		}
		brokers, err := to.ConnectAny(c.Context())
		if err != nil {
			return err
		}
		defer brokers.Close()
		r, err := look(c.Context(), to, brokers)
		if err != nil {
			return err
		}
		if err := r.print(c.OutOrStdout(), *format, top, time.Now()); err != nil {
			return err
		}
		for _, note := range r.notes {
			fmt.Fprintln(c.ErrOrStderr(), "moldau: "+note)
		}
		return nil
	}
	return c
}
