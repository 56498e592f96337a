package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
)

// silence is how long a partition may bring nothing before its end counts as reached. It matters only where the last offsets
// hold no record, such as after compaction.
const silence = 5 * time.Second

func consumeCommand(to *client.Options) *cobra.Command {
	var from, format string
	var partitions []int32
	var follow bool
	var count int64
	c := &cobra.Command{
		Use:   "consume TOPIC",
		Short: "Print the records of a topic",
		Long: `Print the records of a topic from a position up to what is its end when the command starts, or on and on with --follow.

--from takes start, end, an offset, -N for the last N records of each partition, @TIME (2026-01-31T15:04:05Z, or
milliseconds since 1970), or @DURATION for how long ago (@90s, @2h, @7d).
--format takes plain (values), table, json (one object per line), or a template with the fields {topic} {partition}
{offset} {timestamp} {millis} {key} {value} {headers}.`,
		Example: `  moldau consume orders --from start
  moldau consume orders --from @1h --follow --format '{partition}/{offset} {key}={value}'
  moldau consume orders --partition 2 --from 1000 --count 10 --format json`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&from, "from", "", "where to start (default start, with --follow end)")
	c.Flags().Int32SliceVar(&partitions, "partition", nil, "partition to read; may be repeated (default all)")
	c.Flags().BoolVar(&follow, "follow", false, "go on with new records until interrupted")
	c.Flags().Int64Var(&count, "count", -1, "stop after this many records; -1 for no limit")
	c.Flags().StringVar(&format, "format", "plain", "plain, table, json or a template")
	c.RunE = func(c *cobra.Command, args []string) error {
		if from == "" {
			if from = "start"; follow {
				from = "end"
			}
		}
		where, err := parsePosition(from, time.Now())
		if err != nil {
			return err
		}
		line, err := parseRecordFormat(format)
		if err != nil {
			return err
		}
		r := reader{to: to, topic: args[0], follow: follow, left: count, line: line, out: bufio.NewWriterSize(c.OutOrStdout(), 64<<10),
			notes: c.ErrOrStderr()}
		if err := r.begin(c.Context(), where, partitions); err != nil {
			return err
		}
		return errors.Join(r.run(c.Context()), r.out.Flush())
	}
	return c
}

// reader prints the records of one topic.
type reader struct {
	to     *client.Options
	topic  string
	follow bool
	left   int64 // records still to print; negative for no limit
	line   recordFormat
	out    *bufio.Writer
	notes  io.Writer
	spans  map[int32]span // what is still to read, by partition
	buf    []byte
}

// begin finds where to read.
func (r *reader) begin(ctx context.Context, where position, partitions []int32) error {
	cl, err := r.to.Connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopicsWithInternal(ctx, r.topic)
	if err == nil {
		err = topics[r.topic].Err
	}
	if err == nil {
		r.spans, err = where.spans(ctx, adm, r.topic, partitions)
	}
	return r.to.Explain("consume topic "+r.topic, err, "")
}

func (r *reader) run(ctx context.Context) error {
	offsets := map[int32]kgo.Offset{}
	for partition, s := range r.spans {
		if r.follow || s.start < s.end {
			offsets[partition] = kgo.NewOffset().At(s.start)
		} else {
			delete(r.spans, partition)
		}
	}
	if len(offsets) == 0 || r.left == 0 {
		return nil
	}
	// Markers of transactions count as reached too, or a partition that ends in one would never end.
	cl, err := r.to.Connect(ctx, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: offsets}), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		done, err := r.poll(ctx, cl)
		if err != nil || done {
			return err
		}
	}
}

// poll prints what comes next and says whether that was all.
func (r *reader) poll(ctx context.Context, cl *kgo.Client) (done bool, err error) {
	wait, cancel := ctx, context.CancelFunc(func() {})
	if !r.follow {
		wait, cancel = context.WithTimeout(ctx, silence)
	}
	fetches := cl.PollFetches(wait)
	silent := wait.Err() != nil
	cancel()
	if ctx.Err() != nil { // interrupted: what a person who follows a topic does to stop
		return true, nil
	}
	for _, e := range fetches.Errors() {
		if silent && errors.Is(e.Err, context.DeadlineExceeded) {
			return true, r.silence(ctx, cl)
		}
		if kerr.IsRetriable(e.Err) {
			continue
		}
		return true, r.to.Explain(fmt.Sprintf("consume topic %s partition %d", r.topic, e.Partition), e.Err, "")
	}
	for it := fetches.RecordIter(); !it.Done(); {
		if done, err = r.take(it.Next()); err != nil || done {
			return done, err
		}
	}
	if err := r.out.Flush(); err != nil {
		return true, broken(err)
	}
	return !r.follow && len(r.spans) == 0, nil
}

// silence tells a broker that is gone, which is an error, from partitions that hold no more records before their end.
func (r *reader) silence(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	if err := cl.Ping(ctx); err != nil {
		return r.to.Explain("consume topic "+r.topic, err, "")
	}
	for _, partition := range slices.Sorted(maps.Keys(r.spans)) {
		s := r.spans[partition]
		fmt.Fprintf(r.notes, "moldau: partition %d: nothing came within %v between offset %d and the end, %d\n", partition, silence, s.start, s.end)
	}
	return nil
}

// take prints one record if it is wanted.
func (r *reader) take(rec *kgo.Record) (done bool, err error) {
	s, wanted := r.spans[rec.Partition]
	if !wanted || !r.follow && rec.Offset >= s.end {
		delete(r.spans, rec.Partition)
		return !r.follow && len(r.spans) == 0, nil
	}
	r.spans[rec.Partition] = span{rec.Offset + 1, s.end}
	if !r.follow && rec.Offset >= s.end-1 {
		delete(r.spans, rec.Partition)
	}
	if !rec.Attrs.IsControl() {
		if r.buf, err = r.line(r.buf[:0], rec); err != nil {
			return true, err
		}
		if _, err := r.out.Write(r.buf); err != nil {
			return true, broken(err)
		}
		if r.left > 0 {
			r.left--
		}
	}
	return r.left == 0 || !r.follow && len(r.spans) == 0, nil
}

// broken says what it means when the output takes no more; a closed pipe is how "head" says that it has enough.
func broken(err error) error {
	if errors.Is(err, io.ErrClosedPipe) || isClosedPipe(err) {
		return nil
	}
	return fmt.Errorf("print records: %w", err)
}
