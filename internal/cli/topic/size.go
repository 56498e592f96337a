package topic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

// sized is how big a topic is.
type sized struct {
	Name       string           `json:"name"`
	Records    int64            `json:"records"`
	Bytes      int64            `json:"bytes"` // of the segments of all replicas
	Partitions []sizedPartition `json:"partitions"`
}

type sizedPartition struct {
	Partition int32          `json:"partition"`
	Records   int64          `json:"records"`
	Bytes     int64          `json:"bytes"`
	Replicas  []sizedReplica `json:"replicas"`
}

type sizedReplica struct {
	Broker    int32  `json:"broker"`
	Directory string `json:"directory"`
	Bytes     int64  `json:"bytes"`
}

func sizeCommand(to *client.Options) *cobra.Command {
	var internal, partitions bool
	c := &cobra.Command{
		Use:   "size [TOPIC...]",
		Short: "Show how many records and bytes topics have, the largest first",
		Long: `Show how many records topics have and how many bytes they take on the disks of all brokers, the largest first; without a name
for every topic. Records are counted by their offsets, from the first that is left to the end: of a compacted topic it is the most
there can be. A partition nothing was written to takes no bytes.`,
		Example: `  moldau topic size
  moldau topic size orders --partitions`,
		ValidArgsFunction: complete.Topics(to, 0),
	}
	c.Flags().BoolVar(&internal, "internal", false, "also the topics in which the cluster keeps its own state")
	c.Flags().BoolVar(&partitions, "partitions", false, "each replica of each partition, with the directory it lies in")
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, names []string) error {
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		found, err := measure(c.Context(), to, cl, names, internal)
		if len(found) == 0 && err != nil {
			return err
		}
		return errors.Join(printSizes(c.OutOrStdout(), *format, found, partitions), err)
	}
	return c
}

// measure asks for the partitions of topics, for their offsets and for their sizes. Topics that are not there are an error beside what was
// found of the others.
func measure(ctx context.Context, to *client.Options, cl *kgo.Client, names []string, internal bool) (found []sized, failed error) {
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, to.Explain("list topics", err, "")
	}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		t := topics[name]
		if t.Err != nil {
			failed = errors.Join(failed, to.ExplainTopic(ctx, cl, "size of topic "+name, name, t.Err, ""))
			delete(topics, name)
		} else if t.IsInternal && !internal && len(names) == 0 {
			delete(topics, name)
		}
	}
	if len(topics) == 0 {
		return nil, failed
	}
	starts, err := adm.ListStartOffsets(ctx, topics.Names()...)
	if err != nil {
		return nil, to.Explain("list start offsets", err, "")
	}
	ends, err := adm.ListEndOffsets(ctx, topics.Names()...)
	if err != nil {
		return nil, to.Explain("list end offsets", err, "")
	}
	dirs, err := adm.DescribeAllLogDirs(ctx, topics.TopicsSet())
	if err != nil {
		return nil, to.Explain("describe log directories", err, "")
	}
	return sum(topics, starts, ends, dirs), failed
}

// sum puts the answers together.
func sum(topics kadm.TopicDetails, starts, ends kadm.ListedOffsets, dirs kadm.DescribedAllLogDirs) []sized {
	found := []sized{}
	for _, t := range topics.Sorted() {
		one := sized{Name: t.Topic, Partitions: []sizedPartition{}}
		for _, p := range t.Partitions.Sorted() {
			part := sizedPartition{Partition: p.Partition, Replicas: []sizedReplica{}}
			start, known := starts.Lookup(t.Topic, p.Partition)
			end, alsoKnown := ends.Lookup(t.Topic, p.Partition)
			if known && alsoKnown && start.Err == nil && end.Err == nil {
				part.Records = end.Offset - start.Offset
			}
			for _, d := range dirs.Sorted() {
				if on, ok := d.Topics.Lookup(t.Topic, p.Partition); ok && !on.IsFuture { // a copy on its way to another directory is not yet one
					part.Replicas = append(part.Replicas, sizedReplica{d.Broker, d.Dir, on.Size})
					part.Bytes += on.Size
				}
			}
			one.Records += part.Records
			one.Bytes += part.Bytes
			one.Partitions = append(one.Partitions, part)
		}
		found = append(found, one)
	}
	slices.SortStableFunc(found, func(a, b sized) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Records, a.Records)) })
	return found
}

func printSizes(w io.Writer, format output.Format, found []sized, partitions bool) error {
	size := output.Bytes
	if format == output.Plain { // programs count
		size = func(n int64) string { return fmt.Sprint(n) }
	}
	list := output.List{Heading: []string{"TOPIC", "PARTITIONS", "RECORDS", "ON DISK"}, Document: found}
	if partitions {
		list.Heading = []string{"TOPIC", "PARTITION", "RECORDS", "ON DISK", "BROKER", "DIRECTORY"}
	}
	for _, t := range found {
		if !partitions {
			list.Rows = append(list.Rows, []string{t.Name, fmt.Sprint(len(t.Partitions)), fmt.Sprint(t.Records), size(t.Bytes)})
			continue
		}
		for _, p := range t.Partitions {
			row := []string{t.Name, fmt.Sprint(p.Partition), fmt.Sprint(p.Records)}
			for _, r := range p.Replicas {
				list.Rows = append(list.Rows, append(slices.Clone(row), size(r.Bytes), fmt.Sprint(r.Broker), r.Directory))
			}
			if len(p.Replicas) == 0 { // nothing was written to it, or its brokers are away
				list.Rows = append(list.Rows, append(row, size(0), "-", "-"))
			}
		}
	}
	return list.Print(w, format)
}
