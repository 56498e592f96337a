package topic

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
	"github.com/moldau/moldau/internal/uuid"
)

type listed struct {
	Name              string `json:"name"`
	ID                string `json:"id,omitempty"`
	Partitions        int    `json:"partitions"`
	ReplicationFactor int    `json:"replicationFactor"`
	Internal          bool   `json:"internal,omitempty"`
}

func listCommand(to *client.Options) *cobra.Command {
	var internal bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List topics",
		Args:  cobra.NoArgs,
	}
	c.Flags().BoolVar(&internal, "internal", false, "also the topics in which the cluster keeps its own state")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		ask := kadm.NewClient(cl).ListTopics
		if internal {
			ask = kadm.NewClient(cl).ListTopicsWithInternal
		}
		topics, err := ask(c.Context())
		if err != nil {
			return to.Explain("list topics", err, "")
		}
		all := []listed{}
		for _, t := range topics.Sorted() {
			all = append(all, listed{t.Topic, idText(t), len(t.Partitions), t.Partitions.NumReplicas(), t.IsInternal})
		}
		list := output.List{Heading: []string{"TOPIC", "PARTITIONS", "REPLICAS"}, Document: all}
		for _, t := range all {
			list.Rows = append(list.Rows, []string{t.Name, fmt.Sprint(t.Partitions), fmt.Sprint(t.ReplicationFactor)})
		}
		return list.Print(c.OutOrStdout(), *format)
	}
	return c
}

// idText is empty for brokers older than topic ids.
func idText(t kadm.TopicDetail) string {
	if t.ID == (kadm.TopicID{}) {
		return ""
	}
	return uuid.UUID(t.ID).String()
}
