package group

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

// lagged is the lag of one group.
type lagged struct {
	Group      string          `json:"group"`
	State      string          `json:"state"`
	Lag        int64           `json:"lag"`
	Unknown    int             `json:"unknown"`
	Partitions []laggedAtPlace `json:"partitions"`
}

type laggedAtPlace struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed *int64 `json:"committed"`
	End       *int64 `json:"end"`
	Lag       *int64 `json:"lag"`
	Error     string `json:"error,omitempty"`
}

func lagCommand(to *client.Options) *cobra.Command {
	var most int64
	c := &cobra.Command{
		Use:   "lag [GROUP...]",
		Short: "Show how far groups are behind, by partition and in all",
		Long: `Show how far groups are behind the ends of their partitions, by partition and in all; without a name for every group, the one
furthest behind first. With --max-lag the exit status is 2 when a group is further behind than that, and 1 when the lag could not
be found out. Partitions without a committed offset have "-" and count as 0.`,
		Example: `  moldau group lag billing
  moldau group lag billing shipping --max-lag 1000 --format plain || page-someone`,
		ValidArgsFunction: complete.Groups(to, 0),
	}
	c.Flags().Int64Var(&most, "max-lag", -1, "records a group may be behind in all before the exit status is 2; -1 for no limit")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, names []string) error {
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		everyone := len(names) == 0
		if everyone {
			all, err := find(c.Context(), to, cl, nil, []string{"Classic", "Consumer"})
			if err != nil {
				return err
			}
			for _, g := range all {
				names = append(names, g.Group)
			}
		}
		a, found, failed := newAsker(to, cl), []lagged{}, error(nil)
		for _, name := range names {
			one, err := a.describe(c.Context(), name)
			switch {
			case err == nil:
				found = append(found, one.lag())
			case everyone && errors.Is(err, kerr.GroupIDNotFound): // it was deleted meanwhile
			default:
				failed = errors.Join(failed, err)
			}
		}
		if everyone {
			slices.SortFunc(found, func(a, b lagged) int { return cmp.Or(cmp.Compare(b.Lag, a.Lag), cmp.Compare(a.Group, b.Group)) })
		}
		if len(found) > 0 || failed == nil {
			failed = errors.Join(printLag(c.OutOrStdout(), *format, found), failed)
		}
		if failed != nil {
			return failed
		}
		return tooFar(found, most)
	}
	return c
}

func (d *description) lag() lagged {
	l := lagged{d.Group, d.State, d.Lag, d.Unknown, []laggedAtPlace{}}
	for _, o := range d.Offsets {
		l.Partitions = append(l.Partitions, laggedAtPlace{o.Topic, o.Partition, o.Committed, o.End, o.Lag, o.Error})
	}
	return l
}

// behind is the error of groups that are further behind than --max-lag allows. Its exit status tells it from other errors.
type behind struct{ error }

func (behind) ExitStatus() int { return 2 }

func tooFar(found []lagged, most int64) error {
	var late, unknown error
	for _, l := range found {
		if l.Lag > most {
			late = errors.Join(late, fmt.Errorf("group %s is %d records behind in all, --max-lag is %d", l.Group, l.Lag, most))
		}
		for _, p := range l.Partitions {
			if p.Error != "" {
				unknown = errors.Join(unknown, fmt.Errorf("group %s: how far it is behind in partition %d of topic %s is not known: %s", l.Group, p.Partition, p.Topic, p.Error))
			}
		}
	}
	if most < 0 || late == nil && unknown == nil {
		return nil
	}
	if late == nil {
		return unknown
	}
	return behind{errors.Join(late, unknown)}
}

func printLag(w io.Writer, format output.Format, found []lagged) error {
	list := output.List{Heading: []string{"GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG"}, Document: found,
		Styles: map[int]func(string) output.Style{5: lagStyle}}
	totals := output.List{Heading: []string{"GROUP", "STATE", "LAG"}, Styles: map[int]func(string) output.Style{1: stateStyle, 2: lagStyle}}
	for _, l := range found {
		for _, p := range l.Partitions {
			end := output.Number(p.End)
			if p.Error != "" {
				end = p.Error
			}
			list.Rows = append(list.Rows, []string{l.Group, p.Topic, fmt.Sprint(p.Partition), output.Number(p.Committed), end, output.Number(p.Lag)})
		}
		totals.Rows = append(totals.Rows, []string{l.Group, l.State, fmt.Sprint(l.Lag)})
	}
	switch format {
	case output.JSON:
		return list.Print(w, format)
	case output.Plain: // every line says what it is
		mark(list.Rows, "partition")
		mark(totals.Rows, "total")
	default:
		if len(list.Rows) == 0 {
			return totals.Print(w, format)
		}
	}
	err := list.Print(w, format)
	if format == output.Table {
		fmt.Fprintln(w)
	}
	return errors.Join(err, totals.Print(w, format))
}
