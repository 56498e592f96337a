package quota

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

// changed is what set and unset print.
type changed struct {
	Entity  entity   `json:"entity"`
	DryRun  bool     `json:"dryRun"`
	Changes []change `json:"changes"`
}

// change is one quota before and after; nil is none.
type change struct {
	Name   string   `json:"name"`
	Before *float64 `json:"before"`
	After  *float64 `json:"after"`
}

func setCommand(to *client.Options) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:   "set [flags] QUOTA=VALUE...",
		Short: "Set quotas of a user, client id or address",
		Long: `Set quotas, all of them or none. ` + whose + `

Quotas of users and client ids, per broker:
  producer_byte_rate        bytes a second that are produced
  consumer_byte_rate        bytes a second that are fetched
  request_percentage        percent of one thread's time
  controller_mutation_rate  partitions a second that are created or deleted
Quota of addresses:
  connection_creation_rate  connections a second`,
		Example: `  moldau quota set --user alice producer_byte_rate=1048576
  moldau quota set --user alice --client importer producer_byte_rate=524288 request_percentage=50
  moldau quota set --client-defaults consumer_byte_rate=10485760
  moldau quota set --ip 192.0.2.7 connection_creation_rate=5`,
		Args: some("QUOTA=VALUE"),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only ask the broker whether it would take them")
	s := newSelector(c)
	c.ValidArgsFunction = s.completeNames("=")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		e, err := s.one()
		if err != nil {
			return err
		}
		changes, err := parseChanges(args)
		if err != nil {
			return err
		}
		return apply(c, to, e, "set", changes, dryRun, *format)
	}
	return c
}

// some wants at least one argument.
func some(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		example, _, _ := strings.Cut(strings.TrimSpace(c.Example), "\n")
		return fmt.Errorf("want %s, such as \"%s\"", what, example)
	}
}

// parseChanges reads QUOTA=VALUE.
func parseChanges(pairs []string) ([]change, error) {
	var changes []change
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%s: want QUOTA=VALUE", pair)
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fmt.Errorf("%s: want a number", pair)
		}
		if slices.ContainsFunc(changes, func(c change) bool { return c.Name == name }) {
			return nil, fmt.Errorf("%s: the quota is given twice", pair)
		}
		changes = append(changes, change{Name: name, After: &v})
	}
	return changes, nil
}

// apply makes the changes and prints them beside what was before. One without a value after it takes the quota away.
func apply(c *cobra.Command, to *client.Options, e entity, verb string, changes []change, dryRun bool, format output.Format) error {
	cl, err := to.Connect(c.Context())
	if err != nil {
		return err
	}
	defer cl.Close()
	found, err := ask(c.Context(), to, cl, e, true)
	if err != nil {
		return err
	}
	now := map[string]float64{}
	if len(found) > 0 {
		now = found[0].Quotas
	}
	if err := compare(e, now, changes); err != nil {
		return err
	}
	if err := alter(c.Context(), to, cl, e, verb, changes, dryRun); err != nil {
		return err
	}
	return printChanges(c.OutOrStdout(), format, changed{e, dryRun, changes})
}

// compare fills in what was before. To take away what is not there is refused: a broker takes it for done, and a mistyped name goes unnoticed.
func compare(e entity, now map[string]float64, changes []change) error {
	var failed error
	for i := range changes {
		one := &changes[i]
		before, ok := now[one.Name]
		if ok {
			one.Before = &before
		} else if one.After == nil {
			failed = errors.Join(failed, fmt.Errorf("%s is not set for %v, so there is nothing to take away", one.Name, e))
		}
	}
	return failed
}

func alter(ctx context.Context, to *client.Options, cl *kgo.Client, e entity, verb string, changes []change, dryRun bool) error {
	entry := kadm.AlterClientQuotaEntry{Entity: e.wire()}
	for _, c := range changes {
		op := kadm.AlterClientQuotaOp{Key: c.Name, Remove: c.After == nil}
		if c.After != nil {
			op.Value = *c.After
		}
		entry.Ops = append(entry.Ops, op)
	}
	do := kadm.NewClient(cl).AlterClientQuotas
	if dryRun {
		do = kadm.NewClient(cl).ValidateAlterClientQuotas
	}
	tried := verb + " quotas of " + e.String()
	done, err := do(ctx, []kadm.AlterClientQuotaEntry{entry})
	if err != nil {
		return to.Explain(tried, err, "")
	}
	var failed error
	for _, d := range done {
		failed = errors.Join(failed, explain(to, tried, e, changes, d.Err, d.ErrMessage))
	}
	return failed
}

// explain names the quota that was probably meant.
func explain(to *client.Options, tried string, e entity, changes []change, err error, message string) error {
	names := clientQuotas
	if e[0].Kind == "ip" {
		names = addressQuotas
	}
	if failed := to.Explain(tried, err, message); failed != nil {
		for _, c := range changes {
			if slices.Contains(names, c.Name) {
				continue
			}
			if near := client.Nearest(c.Name, names); near != "" {
				return fmt.Errorf("%w; %s: did you mean %s?", failed, c.Name, near)
			}
			return fmt.Errorf("%w; the quotas of %v are %s", failed, e, strings.Join(names, ", "))
		}
		return failed
	}
	return nil
}

func printChanges(w io.Writer, format output.Format, done changed) error {
	list := output.List{Heading: []string{"QUOTA", "BEFORE", "AFTER"}, Document: done}
	if done.DryRun {
		list.Heading[2] = "WOULD BE"
	}
	cell := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return number(*v)
	}
	for _, c := range done.Changes {
		list.Rows = append(list.Rows, []string{c.Name, cell(c.Before), cell(c.After)})
	}
	return list.Print(w, format)
}
