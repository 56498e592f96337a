package topic

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

func deleteCommand(to *client.Options) *cobra.Command {
	var ifExists bool
	c := &cobra.Command{
		Use:               "delete TOPIC...",
		Short:             "Delete topics and all their records",
		Example:           "  moldau topic delete orders",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: complete.Topics(to, 0),
	}
	c.Flags().BoolVar(&ifExists, "if-exists", false, "say nothing of topics that are not there")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, names []string) error {
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		answers, err := kadm.NewClient(cl).DeleteTopics(c.Context(), names...)
		if err != nil {
			return to.Explain("delete topics", err, "")
		}
		gone := []string{}
		var failed error
		for _, a := range answers.Sorted() {
			switch {
			case a.Err == nil:
				gone = append(gone, a.Topic)
			case ifExists && errors.Is(a.Err, kerr.UnknownTopicOrPartition):
			default:
				failed = errors.Join(failed, to.ExplainTopic(c.Context(), cl, "delete topic "+a.Topic, a.Topic, a.Err, a.ErrMessage))
			}
		}
		list := output.List{Heading: []string{"DELETED"}, Document: map[string]any{"deleted": gone}}
		for _, name := range gone {
			list.Rows = append(list.Rows, []string{name})
		}
		if len(gone) > 0 || *format == output.JSON {
			failed = errors.Join(list.Print(c.OutOrStdout(), *format), failed)
		}
		return failed
	}
	return c
}
