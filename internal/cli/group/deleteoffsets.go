package group

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

// deletedOffset is an offset that is gone or, in a dry run, would be.
type deletedOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"`
}

type deleteOffsetsAnswer struct {
	Group   string          `json:"group"`
	DryRun  bool            `json:"dryRun"`
	Offsets []deletedOffset `json:"offsets"`
}

func deleteOffsetsCommand(to *client.Options) *cobra.Command {
	var topics []string
	c := &cobra.Command{
		Use:   "delete-offsets GROUP",
		Short: "Delete what a group has committed for some topics",
		Long: `Delete what a group has committed for topics, or some of their partitions, so that it starts there anew. The group may have
members as long as none subscribes to the topic. Nothing is changed without --yes; the command prints what would be
deleted.`,
		Example:           "  moldau group delete-offsets billing --topic returns --topic orders:0,1 --yes",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete.Groups(to, 1),
	}
	c.Flags().StringArrayVar(&topics, "topic", nil, "TOPIC or TOPIC:PARTITION[,PARTITION]; may be repeated")
	yes := yesFlag(c.Flags())
	format := output.Flag(c.Flags())
	_ = c.RegisterFlagCompletionFunc("topic", complete.Topics(to, 0))
	c.RunE = func(c *cobra.Command, args []string) error {
		group := args[0]
		choices, err := parseChoices(topics)
		if err != nil {
			return err
		}
		if len(choices) == 0 {
			return errors.New("want --topic; \"moldau group delete\" deletes all that a group has committed")
		}
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		a := newAsker(to, cl)
		if _, err := a.state(c.Context(), group); err != nil {
			return err
		}
		committed, err := a.committed(c.Context(), group)
		if err != nil {
			return err
		}
		gone, err := pick(committed, choices)
		if err != nil {
			return to.Explain("delete offsets of group "+group, err, "")
		}
		var failed error
		if *yes {
			gone, failed = a.deleteOffsets(c, group, gone)
		}
		list := output.List{Heading: []string{"TOPIC", "PARTITION", "COMMITTED"}, Document: deleteOffsetsAnswer{group, !*yes, gone}}
		for _, o := range gone {
			list.Rows = append(list.Rows, []string{o.Topic, fmt.Sprint(o.Partition), fmt.Sprint(o.Committed)})
		}
		if len(gone) > 0 || *format == output.JSON {
			failed = errors.Join(list.Print(c.OutOrStdout(), *format), failed)
		}
		if !*yes {
			notYet(c)
		}
		return failed
	}
	return c
}

// pick finds what is chosen among what is committed. A choice that finds nothing is a mistake.
func pick(committed kadm.OffsetResponses, choices []choice) ([]deletedOffset, error) {
	gone := []deletedOffset{}
	for _, one := range choices {
		has := committed[one.topic]
		if len(has) == 0 {
			return nil, fmt.Errorf("it has committed nothing for topic %s; \"moldau group describe\" shows what it has", one.topic)
		}
		partitions := one.partitions
		if len(partitions) == 0 {
			partitions = slices.Sorted(maps.Keys(has))
		}
		for _, p := range partitions {
			o, ok := has[p]
			if !ok {
				return nil, fmt.Errorf("it has committed nothing for %v; \"moldau group describe\" shows what it has", place{one.topic, p})
			}
			gone = append(gone, deletedOffset{one.topic, p, o.At})
		}
	}
	return gone, nil
}

// deleteOffsets returns those that are gone.
func (a asker) deleteOffsets(c *cobra.Command, group string, all []deletedOffset) ([]deletedOffset, error) {
	set := kadm.TopicsSet{}
	for _, o := range all {
		set.Add(o.Topic, o.Partition)
	}
	tried := "delete offsets of group " + group
	var answers kadm.DeleteOffsetsResponses
	err := client.UntilReady(c.Context(), func() (err error) {
		answers, err = a.adm.DeleteOffsets(c.Context(), group, set)
		return err
	})
	if err != nil {
		return []deletedOffset{}, a.to.ExplainGroup(c.Context(), a.cl, tried, group, err, "")
	}
	gone, failed := []deletedOffset{}, error(nil)
	for _, o := range all {
		err, ok := answers.Lookup(o.Topic, o.Partition)
		if !ok {
			err = errors.New("the broker did not answer for it")
		}
		if err != nil {
			failed = errors.Join(failed, a.to.Explain(fmt.Sprintf("%s for %v", tried, place{o.Topic, o.Partition}), err, ""))
			continue
		}
		gone = append(gone, o)
	}
	return gone, failed
}
