package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
)

// consumeFlags are the flags of "moldau consume".
type consumeFlags struct {
	from       string
	format     string
	partitions []int32
	follow     bool
	count      int64
	group      string
	instance   string
	session    time.Duration
	commits    time.Duration
}

func consumeCommand(to *client.Options) *cobra.Command {
	var f consumeFlags
	c := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Print the records of topics",
		Long: `Print the records of topics from a position up to what is their end when the command starts, or on and on with --follow.

--from takes start, end, an offset, -N for the last N records of each partition, @TIME (2026-01-31T15:04:05Z, or
milliseconds since 1970), or @DURATION for how long ago (@90s, @2h, @7d).
--format takes plain (values), table, json (one object per line), or a template with the fields {topic} {partition}
{offset} {timestamp} {millis} {key} {value} {headers}.

With --group it joins a consumer group, which divides the partitions among its members, and goes on where the group has
stopped; --from counts where the group has committed nothing. What has been printed is committed: every few seconds, before
a partition goes to another member, and at the end. It ends once it has read what it was given, and leaves the group; with
--instance-id the group keeps its place until the session times out (KIP-345).`,
		Example: `  moldau consume orders --from start
  moldau consume orders --from @1h --follow --format '{partition}/{offset} {key}={value}'
  moldau consume orders --partition 2 --from 1000 --count 10 --format json
  moldau consume orders returns --group billing --from earliest --follow`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: complete.Topics(to, 0),
	}
	c.Flags().StringVar(&f.from, "from", "", "where to start (default start, with --follow end)")
	c.Flags().Int32SliceVar(&f.partitions, "partition", nil, "partition to read; may be repeated (default all)")
	c.Flags().BoolVar(&f.follow, "follow", false, "go on with new records until interrupted")
	c.Flags().Int64Var(&f.count, "count", -1, "stop after this many records; -1 for no limit")
	c.Flags().StringVar(&f.format, "format", "plain", "plain, table, json or a template")
	c.Flags().StringVar(&f.group, "group", "", "consumer group to join")
	c.Flags().StringVar(&f.instance, "instance-id", "", "name of this member, under which it keeps its partitions over a restart")
	c.Flags().DurationVar(&f.commits, "commit-interval", 5*time.Second, "how often to commit what has been printed")
	c.Flags().DurationVar(&f.session, "session-timeout", 45*time.Second, "after how long without a sign of life the group gives the partitions to others")
	_ = c.RegisterFlagCompletionFunc("group", complete.Groups(to, 0))
	_ = c.RegisterFlagCompletionFunc("from", complete.Words("start", "end"))
	_ = c.RegisterFlagCompletionFunc("format", complete.Words("plain", "table", "json"))
	c.RunE = func(c *cobra.Command, topics []string) error {
		where, err := f.check(c, topics, time.Now())
		if err != nil {
			return err
		}
		line, err := parseRecordFormat(f.format)
		if err != nil {
			return err
		}
		r := reader{to: to, topics: slices.Compact(slices.Sorted(slices.Values(topics))), follow: f.follow, left: f.count, line: line,
			out: bufio.NewWriterSize(c.OutOrStdout(), 64<<10), notes: c.ErrOrStderr()}
		if err := r.begin(c.Context(), where, f.partitions); err != nil {
			return err
		}
		if f.group == "" {
			return errors.Join(r.run(c.Context()), r.out.Flush())
		}
		m := member{reader: &r, group: f.group, instance: f.instance, session: f.session, commits: f.commits, where: where, found: r.spans}
		return m.run(c.Context())
	}
	return c
}

// check reads --from and refuses flags that contradict one another.
func (f *consumeFlags) check(c *cobra.Command, topics []string, now time.Time) (position, error) {
	if f.from == "" {
		if f.from = "start"; f.follow {
			f.from = "end"
		}
	}
	where, err := parsePosition(f.from, now)
	switch {
	case err != nil:
		return where, err
	case len(topics) > 1 && len(f.partitions) > 0:
		return where, errors.New("--partition: with several topics it does not say of which; read one topic, or all partitions")
	case len(topics) > 1 && where.kind == fromOffset:
		return where, fmt.Errorf("--from %s: an offset is one of one topic; read one topic, or start elsewhere", f.from)
	case f.group == "" && c.Flags().Changed("group"):
		return where, errors.New("--group: a group needs a name")
	case f.group == "" && slices.ContainsFunc([]string{"instance-id", "session-timeout", "commit-interval"}, c.Flags().Changed):
		return where, errors.New("--instance-id, --session-timeout and --commit-interval are for members of a group; name it with --group")
	case f.group != "" && len(f.partitions) > 0:
		return where, errors.New("--partition: the group divides the partitions among its members; leave out --partition or --group")
	case f.group != "" && where.kind == fromOffset:
		return where, fmt.Errorf("--from %s: a group goes on where it has committed; \"moldau group reset\" moves it to an offset", f.from)
	case f.session < time.Second:
		return where, fmt.Errorf("--session-timeout %v: want 1s or more, and what the broker allows", f.session)
	case f.commits < 100*time.Millisecond:
		return where, fmt.Errorf("--commit-interval %v: want 100ms or more", f.commits)
	}
	return where, nil
}

// begin finds what there is to read.
func (r *reader) begin(ctx context.Context, where position, partitions []int32) error {
	cl, err := r.to.Connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	r.spans = map[place]span{}
	for _, topic := range r.topics {
		topics, err := adm.ListTopicsWithInternal(ctx, topic)
		if err == nil {
			err = topics[topic].Err
		}
		var found map[place]span
		if err == nil {
			found, err = where.spans(ctx, adm, topic, partitions)
		}
		if err != nil {
			return r.to.ExplainTopic(ctx, cl, "consume topic "+topic, topic, err, "")
		}
		for at, s := range found {
			r.spans[at] = s
		}
	}
	return nil
}
