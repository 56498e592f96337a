package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
)

// silence is how long partitions may bring nothing before their end counts as reached. It matters only where the last offsets
// hold no record, such as after compaction.
const silence = 5 * time.Second

// reader prints the records of topics.
type reader struct {
	to     *client.Options
	topics []string
	follow bool
	left   int64 // records still to print; negative for no limit
	line   recordFormat
	out    *bufio.Writer
	notes  io.Writer
	spans  map[place]span // what is still to read
	buf    []byte
}

// fetching are the options of both kinds of consumers. Markers of transactions count as reached too, or a partition that ends
// in one would never end.
func fetching() []kgo.Opt {
	return []kgo.Opt{kgo.KeepControlRecords(), kgo.FetchMaxWait(500 * time.Millisecond)}
}

func (r *reader) run(ctx context.Context) error {
	offsets := map[string]map[int32]kgo.Offset{}
	for at, s := range r.spans {
		if !r.follow && s.start >= s.end {
			delete(r.spans, at)
			continue
		}
		if offsets[at.topic] == nil {
			offsets[at.topic] = map[int32]kgo.Offset{}
		}
		offsets[at.topic][at.partition] = kgo.NewOffset().At(s.start)
	}
	if len(offsets) == 0 || r.left == 0 {
		return nil
	}
	cl, err := r.to.Connect(ctx, append(fetching(), kgo.ConsumePartitions(offsets))...)
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
		if err := r.fatal(e); err != nil {
			return true, err
		}
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

// fatal is the error of a partition that will not go away.
func (r *reader) fatal(e kgo.FetchError) error {
	if kerr.IsRetriable(e.Err) {
		return nil
	}
	if e.Topic == "" {
		return r.to.Explain(r.tried(), e.Err, "")
	}
	return r.to.Explain(fmt.Sprintf("consume topic %s partition %d", e.Topic, e.Partition), e.Err, "")
}

func (r *reader) tried() string { return "consume topic " + strings.Join(r.topics, ", ") }

// silence tells a broker that is gone, which is an error, from partitions that hold no more records before their end.
func (r *reader) silence(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	if err := cl.Ping(ctx); err != nil {
		return r.to.Explain(r.tried(), err, "")
	}
	for _, at := range slices.SortedFunc(maps.Keys(r.spans), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	}) {
		s, where := r.spans[at], ""
		if len(r.topics) > 1 {
			where = "topic " + at.topic + " "
		}
		fmt.Fprintf(r.notes, "moldau: %spartition %d: nothing came within %v between offset %d and the end, %d\n", where, at.partition, silence, s.start, s.end)
	}
	return nil
}

// take prints one record if it is wanted.
func (r *reader) take(rec *kgo.Record) (done bool, err error) {
	at := place{rec.Topic, rec.Partition}
	s, wanted := r.spans[at]
	if !wanted || !r.follow && rec.Offset >= s.end {
		delete(r.spans, at)
		return !r.follow && len(r.spans) == 0, nil
	}
	r.spans[at] = span{rec.Offset + 1, s.end}
	if !r.follow && rec.Offset >= s.end-1 {
		delete(r.spans, at)
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
