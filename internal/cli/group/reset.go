package group

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/moment"
	"github.com/moldau/moldau/internal/cli/output"
)

// resetFlags are the flags of "moldau group reset".
type resetFlags struct {
	topics   []string
	earliest bool
	latest   bool
	current  bool
	offset   int64
	shift    int64
	at       string
	duration string
	file     string
	export   string
}

// aims are the flags of which one is to be given.
var aims = []string{"to-earliest", "to-latest", "to-current", "to-offset", "to-time", "by-duration", "shift", "from-file"}

func resetCommand(to *client.Options) *cobra.Command {
	var f resetFlags
	c := &cobra.Command{
		Use:   "reset GROUP",
		Short: "Move what a group has committed",
		Long: `Move what a group has committed to where it shall go on: for all partitions it has committed, or those that --topic names.
Nothing is changed without --yes; the command prints what would be. The group must have no members meanwhile: they would
commit their own offsets over it. An offset outside the log becomes the end of the log that is nearest.

A file for --from-file has lines topic,partition,offset, as kafka-consumer-groups reads and exports them; --export writes
the plan as such a file (- for the output), with --to-current what is committed now.`,
		Example: `  moldau group reset billing --to-earliest
  moldau group reset billing --topic orders:0,1 --to-time 2026-01-31T15:04:05Z --yes
  moldau group reset billing --shift -100 --yes
  moldau group reset billing --to-current --export before.csv`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete.Groups(to, 1),
	}
	f.add(c.Flags())
	yes := yesFlag(c.Flags())
	format := output.Flag(c.Flags())
	_ = c.RegisterFlagCompletionFunc("topic", complete.Topics(to, 0))
	c.RunE = func(c *cobra.Command, args []string) error {
		group := args[0]
		goal, err := f.aim(c, group, time.Now())
		if err != nil {
			return err
		}
		choices, err := parseChoices(f.topics)
		if err != nil {
			return err
		}
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		r := resetter{newAsker(to, cl), group, c.ErrOrStderr()}
		changes, err := r.plan(c.Context(), goal, choices)
		if err != nil {
			return err
		}
		if f.export != "" {
			if err := exportTo(f.export, c.OutOrStdout(), changes); err != nil {
				return err
			}
		}
		if *yes {
			if err := r.commit(c.Context(), changes); err != nil {
				return err
			}
		}
		if f.export != "-" {
			if err := printChanges(c.OutOrStdout(), *format, resetAnswer{group, !*yes, changes}); err != nil {
				return err
			}
		}
		if !*yes {
			notYet(c)
		}
		return nil
	}
	return c
}

// add declares the flags.
func (f *resetFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.topics, "topic", nil, "TOPIC or TOPIC:PARTITION[,PARTITION]; may be repeated (default all the group has committed)")
	flags.BoolVar(&f.earliest, "to-earliest", false, "to the start of the log")
	flags.BoolVar(&f.latest, "to-latest", false, "to the end of the log")
	flags.BoolVar(&f.current, "to-current", false, "to where it is; to the end where nothing is committed")
	flags.Int64Var(&f.offset, "to-offset", 0, "to this offset")
	flags.StringVar(&f.at, "to-time", "", "to the first record of this time or later: "+moment.Times)
	flags.StringVar(&f.duration, "by-duration", "", "to the first record of this long ago or later: "+moment.Durations)
	flags.Int64Var(&f.shift, "shift", 0, "forward by so many records, or back by -N")
	flags.StringVar(&f.file, "from-file", "", "to the offsets in this file; - for the input")
	flags.StringVar(&f.export, "export", "", "write the new offsets to this file; - for the output")
}

// aim reads the one flag that says where to.
func (f resetFlags) aim(c *cobra.Command, group string, now time.Time) (aim, error) {
	var given []string
	for _, name := range aims {
		if c.Flags().Changed(name) {
			given = append(given, name)
		}
	}
	if len(given) != 1 {
		return aim{}, fmt.Errorf("want one of --%s; there are %d", strings.Join(aims, ", --"), len(given))
	}
	switch given[0] {
	case "to-earliest":
		return aim{kind: toEarliest}, asked(given[0], f.earliest)
	case "to-latest":
		return aim{kind: toLatest}, asked(given[0], f.latest)
	case "to-current":
		return aim{kind: toCurrent}, asked(given[0], f.current)
	case "to-offset":
		return aim{kind: toOffset, offset: f.offset}, nil
	case "shift":
		return aim{kind: shift, offset: f.shift}, nil
	case "to-time":
		at, err := moment.Time(f.at, now.Location())
		if err != nil {
			return aim{}, fmt.Errorf("--to-time %s: %w", f.at, err)
		}
		return aim{kind: toTime, at: at}, nil
	case "by-duration":
		d, err := moment.Duration(f.duration)
		if err != nil {
			return aim{}, fmt.Errorf("--by-duration %s: %w", f.duration, err)
		}
		return aim{kind: toTime, at: now.Add(-d)}, nil
	}
	if len(f.topics) > 0 {
		return aim{}, errors.New("--from-file: the file says which partitions; leave out --topic")
	}
	in := c.InOrStdin()
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return aim{}, fmt.Errorf("read offsets: %w", err)
		}
		defer file.Close()
		in = file
	}
	found, err := readOffsets(in, f.file, group)
	return aim{kind: fromFile, file: found}, err
}

// asked refuses --to-earliest=false, which says where not to go.
func asked(name string, yes bool) error {
	if !yes {
		return fmt.Errorf("--%s=false: want one of --%s", name, strings.Join(aims, ", --"))
	}
	return nil
}

// exportTo writes the new offsets to a file, whole or not at all.
func exportTo(name string, out io.Writer, changes []change) error {
	if name == "-" {
		return writeOffsets(out, changes)
	}
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("export offsets: %w", err)
	}
	if err := errors.Join(writeOffsets(file, changes), file.Close()); err != nil {
		return fmt.Errorf("export offsets to %s: %w", name, errors.Join(err, os.Remove(name)))
	}
	return nil
}

type resetAnswer struct {
	Group   string   `json:"group"`
	DryRun  bool     `json:"dryRun"`
	Changes []change `json:"changes"`
}

func printChanges(w io.Writer, format output.Format, answer resetAnswer) error {
	list := output.List{Heading: []string{"TOPIC", "PARTITION", "BEFORE", "AFTER", "START", "END", "NOTE"}, Document: answer,
		Styles: map[int]func(string) output.Style{6: func(string) output.Style { return output.Warn }}}
	for _, c := range answer.Changes {
		row := []string{c.Topic, fmt.Sprint(c.Partition), output.Number(c.Before), strconv.FormatInt(c.After, 10), fmt.Sprint(c.Start), fmt.Sprint(c.End), output.Text(c.Note)}
		list.Rows = append(list.Rows, row)
	}
	return list.Print(w, format)
}
