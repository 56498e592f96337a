package group

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

func describeCommand(to *client.Options) *cobra.Command {
	c := &cobra.Command{
		Use:   "describe GROUP...",
		Short: "Show state, coordinator, members, offsets and lag of groups",
		Long: `Show groups: state, type, protocol and coordinator; the members with what is assigned to each; and for every partition that has
a committed offset or is assigned how far the group is behind its end. A partition without a committed offset has "-".`,
		Example:           "  moldau group describe billing",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: complete.Groups(to, 0),
	}
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, names []string) error {
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		a, found, failed := newAsker(to, cl), []*description{}, error(nil)
		for _, name := range names {
			one, err := a.describe(c.Context(), name)
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			found = append(found, one)
		}
		if len(found) == 0 {
			return failed
		}
		if *format == output.JSON {
			return errors.Join(output.Document(c.OutOrStdout(), found), failed)
		}
		for i, one := range found {
			if err := one.print(c.OutOrStdout(), *format, i > 0); err != nil {
				return err
			}
		}
		return failed
	}
	return c
}

func (d *description) print(w io.Writer, format output.Format, again bool) error {
	inside := output.List{Heading: []string{"MEMBER", "INSTANCE", "CLIENT", "HOST", "ASSIGNMENT"}}
	for _, m := range d.Members {
		instance := "-"
		if m.InstanceID != nil {
			instance = *m.InstanceID
		}
		inside.Rows = append(inside.Rows, []string{m.ID, instance, output.Text(m.ClientID), output.Text(m.Host), assignmentText(m.Assignment)})
	}
	offsets := output.List{Heading: []string{"TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"},
		Styles: map[int]func(string) output.Style{4: lagStyle}}
	for _, o := range d.Offsets {
		owner := "-"
		if o.MemberID != nil {
			owner = *o.MemberID
		}
		end := output.Number(o.End)
		if o.Error != "" {
			end = o.Error
		}
		offsets.Rows = append(offsets.Rows, []string{o.Topic, fmt.Sprint(o.Partition), output.Number(o.Committed), end, output.Number(o.Lag), owner})
	}
	at := fmt.Sprintf("%d (%s:%d)", d.Coordinator.ID, d.Coordinator.Host, d.Coordinator.Port)
	if format == output.Plain { // every line says what it is, so that one pass of a script can tell them apart
		state := output.List{Rows: [][]string{{"group", d.Group, d.State, d.Type, output.Text(d.ProtocolType), output.Text(d.Assignor), fmt.Sprint(d.Coordinator.ID)}}}
		mark(inside.Rows, "member", d.Group)
		mark(offsets.Rows, "offset", d.Group)
		return errors.Join(state.Print(w, format), inside.Print(w, format), offsets.Print(w, format))
	}
	if again {
		fmt.Fprintln(w)
	}
	head := output.List{Heading: []string{"GROUP", "STATE", "TYPE", "PROTOCOL", "ASSIGNOR", "COORDINATOR", "MEMBERS", "LAG"},
		Styles: map[int]func(string) output.Style{1: stateStyle, 7: lagStyle},
		Rows: [][]string{{d.Group, d.State, d.Type, output.Text(d.ProtocolType), output.Text(d.Assignor), at,
			fmt.Sprint(len(d.Members)), d.lagText()}}}
	err := head.Print(w, format)
	if len(inside.Rows) > 0 {
		fmt.Fprintln(w)
		err = errors.Join(err, inside.Print(w, format))
	}
	if len(offsets.Rows) > 0 {
		fmt.Fprintln(w)
		err = errors.Join(err, offsets.Print(w, format))
	}
	return err
}

// lagText is the whole lag, or "-" where no partition has one.
func (d *description) lagText() string {
	for _, o := range d.Offsets {
		if o.Lag != nil {
			return fmt.Sprint(d.Lag)
		}
	}
	return "-"
}

// mark puts words before every row.
func mark(rows [][]string, words ...string) {
	for i := range rows {
		rows[i] = append(append([]string{}, words...), rows[i]...)
	}
}

// assignmentText is written as --topic takes it.
func assignmentText(all []assigned) string {
	if len(all) == 0 {
		return "-"
	}
	var parts []string
	for _, a := range all {
		parts = append(parts, a.Topic+":"+output.Numbers(a.Partitions))
	}
	return strings.Join(parts, " ")
}
