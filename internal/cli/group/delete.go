package group

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

// deleted is a group that is gone or, in a dry run, would be.
type deleted struct {
	Group   string `json:"group"`
	State   string `json:"state"`
	Offsets int    `json:"offsets"` // how many partitions it had committed
}

type deleteAnswer struct {
	DryRun bool      `json:"dryRun"`
	Groups []deleted `json:"groups"`
}

func deleteCommand(to *client.Options) *cobra.Command {
	c := &cobra.Command{
		Use:   "delete GROUP...",
		Short: "Delete groups and all they have committed",
		Long: `Delete groups without members, and all they have committed. Nothing is changed without --yes; the command prints what would
be deleted.`,
		Example:           "  moldau group delete billing shipping --yes",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: complete.Groups(to, 0),
	}
	yes := yesFlag(c.Flags())
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, names []string) error {
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		a, gone, failed := newAsker(to, cl), []deleted{}, error(nil)
		for _, name := range names {
			one, err := a.deletable(c, name)
			if err == nil && *yes {
				var answer kadm.DeleteGroupResponse
				err = client.UntilReady(c.Context(), func() (err error) {
					answer, err = a.adm.DeleteGroup(c.Context(), name)
					return err
				})
				err = to.ExplainGroup(c.Context(), cl, "delete group "+name, name, err, answer.ErrMessage)
			}
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			gone = append(gone, one)
		}
		heading := "DELETED"
		if !*yes {
			heading = "WOULD BE DELETED"
		}
		list := output.List{Heading: []string{heading, "STATE", "OFFSETS"}, Document: deleteAnswer{!*yes, gone}}
		for _, one := range gone {
			list.Rows = append(list.Rows, []string{one.Group, one.State, fmt.Sprint(one.Offsets)})
		}
		if len(gone) > 0 || *format == output.JSON {
			failed = errors.Join(list.Print(c.OutOrStdout(), *format), failed)
		}
		if !*yes && len(gone) > 0 {
			notYet(c)
		}
		return failed
	}
	return c
}

// deletable looks at a group before it goes, so that a dry run tells the truth.
func (a asker) deletable(c *cobra.Command, group string) (deleted, error) {
	one, err := a.state(c.Context(), group)
	if err != nil {
		return deleted{}, err
	}
	if len(one.Members) > 0 {
		return deleted{}, a.to.Explain("delete group "+group, kerr.NonEmptyGroup, fmt.Sprintf("it is %s and has %s", one.State, members(len(one.Members))))
	}
	committed, err := a.committed(c.Context(), group)
	if err != nil {
		return deleted{}, err
	}
	n := 0
	for _, partitions := range committed {
		n += len(partitions)
	}
	return deleted{group, one.State, n}, nil
}
