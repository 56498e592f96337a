package topic

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

type description struct {
	Name       string                 `json:"name"`
	ID         string                 `json:"id,omitempty"`
	Internal   bool                   `json:"internal,omitempty"`
	Partitions []partitionDescription `json:"partitions"`
	Configs    []configDescription    `json:"configs"`
}

type partitionDescription struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"`
	LeaderEpoch int32   `json:"leaderEpoch"`
	Replicas    []int32 `json:"replicas"`
	ISR         []int32 `json:"isr"`
	Offline     []int32 `json:"offline,omitempty"`
	Start       int64   `json:"start"` // log start offset
	End         int64   `json:"end"`   // high watermark

	ELR          []int32 `json:"elr,omitempty"`          // may lead besides the ISR (KIP-966)
	LastKnownELR []int32 `json:"lastKnownElr,omitempty"` // and once could
}

type configDescription struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

func describeCommand(to *client.Options) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:               "describe TOPIC...",
		Short:             "Show partitions, leaders, replicas, offsets and settings of topics",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: complete.Topics(to, 0),
	}
	c.Flags().BoolVar(&all, "all", false, "also settings that are at their default")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, names []string) error {
		brokers, err := to.ConnectAny(c.Context())
		if err != nil {
			return err
		}
		defer brokers.Close()
		d := describer{to: to, any: brokers, all: all}
		found := make([]description, 0, len(names))
		for _, name := range names {
			one, err := d.topic(c.Context(), name)
			if err != nil {
				return err
			}
			found = append(found, one)
		}
		if *format == output.JSON {
			return output.Document(c.OutOrStdout(), found)
		}
		for i, one := range found {
			if err := one.print(c.OutOrStdout(), *format, i > 0); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

type describer struct {
	to  *client.Options
	any *client.Any
	all bool
}

func (d describer) topic(ctx context.Context, name string) (description, error) {
	t, brokers, err := d.metadata(ctx, name)
	if err != nil {
		return description{}, d.to.ExplainTopic(ctx, d.any.Client(), "describe topic "+name, name, err, "")
	}
	one := description{Name: name, ID: idText(kadm.TopicDetail{ID: t.TopicID}), Internal: t.IsInternal, Configs: []configDescription{}}
	may, err := d.eligible(ctx, name)
	if err != nil && !client.NotServed(err) {
		return one, d.to.Explain("describe partitions of topic "+name, err, "")
	}
	at := d.offsets(ctx, t, brokers)
	for _, p := range t.Partitions {
		marks, known := at[p.Partition]
		if !known {
			marks = offsets{-1, -1} // no leader answers for it
		}
		one.Partitions = append(one.Partitions, partitionDescription{p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR, p.OfflineReplicas,
			marks.start, marks.end, may[p.Partition].elr, may[p.Partition].lastKnown})
	}
	slices.SortFunc(one.Partitions, func(a, b partitionDescription) int { return cmp.Compare(a.Partition, b.Partition) })
	configs, message, err := d.configs(ctx, name)
	if err != nil {
		return one, d.to.Explain("describe settings of topic "+name, err, message)
	}
	for _, cfg := range configs {
		if d.all || cfg.Source != kmsg.ConfigSourceDefaultConfig {
			text := ""
			if cfg.Value != nil {
				text = *cfg.Value
			}
			one.Configs = append(one.Configs, configDescription{cfg.Name, text, cfg.Source.String()})
		}
	}
	slices.SortFunc(one.Configs, func(a, b configDescription) int { return cmp.Compare(a.Name, b.Name) })
	return one, nil
}

// replicas is the replication factor: of the first partition, as a topic of several is one whose replicas move.
func (one description) replicas() int {
	if len(one.Partitions) == 0 {
		return 0
	}
	return len(one.Partitions[0].Replicas)
}

func (one description) print(w io.Writer, format output.Format, again bool) error {
	partitions := output.List{Heading: []string{"PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END", "ELR", "LAST ELR"}}
	for _, p := range one.Partitions {
		partitions.Rows = append(partitions.Rows, []string{fmt.Sprint(p.Partition), fmt.Sprint(p.Leader), fmt.Sprint(p.LeaderEpoch),
			output.Numbers(p.Replicas), output.Numbers(p.ISR), fmt.Sprint(p.Start), fmt.Sprint(p.End), output.Numbers(p.ELR), output.Numbers(p.LastKnownELR)})
	}
	configs := output.List{Heading: []string{"SETTING", "VALUE", "SOURCE"}}
	for _, c := range one.Configs {
		configs.Rows = append(configs.Rows, []string{c.Name, c.Value, c.Source})
	}
	if format == output.Plain { // every line says what it is, so that one pass of a script can tell them apart
		for i := range partitions.Rows {
			partitions.Rows[i] = append([]string{"partition", one.Name}, partitions.Rows[i]...)
		}
		for i := range configs.Rows {
			configs.Rows[i] = append([]string{"config", one.Name}, configs.Rows[i]...)
		}
	} else {
		if again {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "topic %s", one.Name)
		if one.ID != "" {
			fmt.Fprintf(w, "  id %s", one.ID)
		}
		fmt.Fprintf(w, "  partitions %d  replicas %d\n\n", len(one.Partitions), one.replicas())
	}
	if err := partitions.Print(w, format); err != nil || len(configs.Rows) == 0 {
		return err
	}
	if format != output.Plain {
		fmt.Fprintln(w)
	}
	return configs.Print(w, format)
}
