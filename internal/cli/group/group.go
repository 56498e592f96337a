// Package group is "moldau group": what consumer groups there are, who is in them, how far they have read, and moving or
// deleting what they have committed; one file per verb. It owns their flags, what they print and the plan of a reset; the
// group's coordinator decides. Nothing that destroys what a group knows happens without --yes.
package group

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

// Command returns "moldau group".
func Command(to *client.Options) *cobra.Command {
	c := &cobra.Command{
		Use:   "group",
		Short: "List, describe, move and delete consumer groups",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(listCommand(to), describeCommand(to), lagCommand(to), resetCommand(to), deleteCommand(to), deleteOffsetsCommand(to))
	return c
}

// choice is the value of --topic: a topic, and which of its partitions; none is all.
type choice struct {
	topic      string
	partitions []int32
}

// parseChoices reads values such as orders or orders:0,1,2.
func parseChoices(values []string) ([]choice, error) {
	var all []choice
	for _, value := range values {
		topic, list, some := strings.Cut(value, ":")
		one := choice{topic: topic}
		if some {
			for text := range strings.SplitSeq(list, ",") {
				n, err := strconv.ParseInt(text, 10, 32)
				if err != nil || n < 0 {
					return nil, fmt.Errorf("--topic %s: want TOPIC or TOPIC:PARTITION[,PARTITION]", value)
				}
				one.partitions = append(one.partitions, int32(n))
			}
		}
		if topic == "" {
			return nil, fmt.Errorf("--topic %s: want TOPIC or TOPIC:PARTITION[,PARTITION]", value)
		}
		if slices.ContainsFunc(all, func(c choice) bool { return c.topic == topic }) {
			return nil, fmt.Errorf("--topic %s: topic %s is named twice", value, topic)
		}
		all = append(all, one)
	}
	return all, nil
}

// yesFlag adds --yes.
func yesFlag(flags *pflag.FlagSet) *bool {
	return flags.Bool("yes", false, "do it; without it the command only says what it would do")
}

// notYet says that a dry run was one, where a program that reads the output does not see it.
func notYet(c *cobra.Command) {
	fmt.Fprintln(c.ErrOrStderr(), "moldau: nothing has been changed; add --yes to do it")
}

// stateStyle colours the state of a group.
func stateStyle(state string) output.Style {
	switch state {
	case "Stable":
		return output.Good
	case "Dead":
		return output.Bad
	case "Empty", "-":
		return output.None
	}
	return output.Warn // it is about to become something else
}

// lagStyle colours a lag.
func lagStyle(lag string) output.Style {
	if lag == "0" || lag == "-" {
		return output.None
	}
	return output.Warn
}

// members counts them in words.
func members(n int) string {
	if n == 1 {
		return "1 member"
	}
	return fmt.Sprintf("%d members", n)
}
