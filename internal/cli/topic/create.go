package topic

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
	"github.com/moldau/moldau/internal/uuid"
)

func createCommand(to *client.Options) *cobra.Command {
	var partitions int32
	var replicas int16
	var configs []string
	var ifNotExists bool
	c := &cobra.Command{
		Use:     "create TOPIC...",
		Short:   "Create topics",
		Example: "  moldau topic create orders --partitions 12 --config retention.ms=86400000",
		Args:    cobra.MinimumNArgs(1),

		ValidArgsFunction: complete.Nothing, // a new topic has a new name
	}
	c.Flags().Int32Var(&partitions, "partitions", -1, "number of partitions; -1 is the broker's num.partitions")
	c.Flags().Int16Var(&replicas, "replication-factor", -1, "replicas of each partition; -1 is the broker's default.replication.factor")
	c.Flags().StringArrayVar(&configs, "config", nil, "setting of the topic, KEY=VALUE; may be repeated")
	c.Flags().BoolVar(&ifNotExists, "if-not-exists", false, "say nothing of topics that are already there")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, names []string) error {
		settings, err := parsePairs("config", configs)
		if err != nil {
			return err
		}
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		answers, err := kadm.NewClient(cl).CreateTopics(c.Context(), partitions, replicas, settings, names...)
		if err != nil {
			return to.Explain("create topics", err, "")
		}
		made := []created{}
		var failed error
		for _, a := range answers.Sorted() {
			switch {
			case a.Err == nil:
				made = append(made, created{a.Topic, uuid.UUID(a.ID).String(), a.NumPartitions, a.ReplicationFactor})
			case ifNotExists && errors.Is(a.Err, kerr.TopicAlreadyExists):
			default:
				failed = errors.Join(failed, to.Explain("create topic "+a.Topic, a.Err, a.ErrMessage))
			}
		}
		return errors.Join(printCreated(c, *format, made), failed)
	}
	return c
}

type created struct {
	Name              string `json:"name"`
	ID                string `json:"id"`
	Partitions        int32  `json:"partitions"`
	ReplicationFactor int16  `json:"replicationFactor"`
}

func printCreated(c *cobra.Command, format output.Format, made []created) error {
	list := output.List{Heading: []string{"CREATED", "PARTITIONS", "REPLICAS"}, Document: made}
	for _, t := range made {
		list.Rows = append(list.Rows, []string{t.Name, fmt.Sprint(t.Partitions), fmt.Sprint(t.ReplicationFactor)})
	}
	if len(made) == 0 && format != output.JSON {
		return nil
	}
	return list.Print(c.OutOrStdout(), format)
}
