package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
)

// produceFlags are the flags of "moldau produce".
type produceFlags struct {
	keySeparator string
	headers      []string
	partition    int32
	acks         string
	compression  string
}

func produceCommand(to *client.Options) *cobra.Command {
	var f produceFlags
	c := &cobra.Command{
		Use:   "produce TOPIC [FILE]",
		Short: "Send the lines of the input, or of a file, as records",
		Example: `  echo hello | moldau produce greetings
  printf 'k1:v1\nk2:v2\n' | moldau produce orders --key-separator : --header source=shell
  moldau produce orders orders.txt --compression zstd`,
		Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(c *cobra.Command, before []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(before) == 1 {
				return nil, cobra.ShellCompDirectiveDefault // a file
			}
			return complete.Topics(to, 1)(c, before, begun)
		},
	}
	c.Flags().StringVar(&f.keySeparator, "key-separator", "", "what stands between key and value of a line; without it lines are values")
	c.Flags().StringArrayVar(&f.headers, "header", nil, "header of every record, KEY=VALUE; may be repeated")
	c.Flags().Int32Var(&f.partition, "partition", -1, "partition to send to; -1 chooses by key, or any for records without one")
	c.Flags().StringVar(&f.acks, "acks", "all", "whose acknowledgement to wait for: all, 1 or 0")
	c.Flags().StringVar(&f.compression, "compression", "none", "codec: none, gzip, snappy, lz4 or zstd")
	_ = c.RegisterFlagCompletionFunc("acks", complete.Words("all", "1", "0"))
	_ = c.RegisterFlagCompletionFunc("compression", complete.Words("none", "gzip", "snappy", "lz4", "zstd"))
	c.RunE = func(c *cobra.Command, args []string) error {
		opts, err := f.options()
		if err != nil {
			return err
		}
		headers, err := f.recordHeaders()
		if err != nil {
			return err
		}
		in := c.InOrStdin()
		if len(args) == 2 {
			file, err := os.Open(args[1])
			if err != nil {
				return fmt.Errorf("read records: %w", err)
			}
			defer file.Close()
			in = file
		}
		cl, err := to.Connect(c.Context(), opts...)
		if err != nil {
			return err
		}
		defer cl.Close()
		s := sender{cl: cl, topic: args[0], partition: f.partition, headers: headers, separator: []byte(f.keySeparator)}
		if err := s.send(c.Context(), in); err != nil {
			return err
		}
		return to.ExplainTopic(c.Context(), cl, "produce to topic "+args[0], args[0], s.failed(), "")
	}
	return c
}

func (f produceFlags) options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.AllowAutoTopicCreation()}
	switch f.acks {
	case "all", "-1":
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, fmt.Errorf("--acks %s: want all, 1 or 0", f.acks)
	}
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	codec, ok := codecs[f.compression]
	if !ok {
		return nil, fmt.Errorf("--compression %s: want none, gzip, snappy, lz4 or zstd", f.compression)
	}
	opts = append(opts, kgo.ProducerBatchCompression(codec))
	if f.partition >= 0 {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	return opts, nil
}

func (f produceFlags) recordHeaders() ([]kgo.RecordHeader, error) {
	var headers []kgo.RecordHeader
	for _, pair := range f.headers {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("--header %s: want KEY=VALUE", pair)
		}
		headers = append(headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	return headers, nil
}

// sender turns lines into records of one topic.
type sender struct {
	cl        *kgo.Client
	topic     string
	partition int32
	headers   []kgo.RecordHeader
	separator []byte

	mu  sync.Mutex
	err error // the first record that failed; guarded by mu
}

// send reads lines to their end and returns once every record is acknowledged or one has failed.
func (s *sender) send(ctx context.Context, in io.Reader) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	for n := 1; s.failed() == nil && ctx.Err() == nil; n++ {
		line, readErr := lines.ReadBytes('\n')
		if readErr != nil && readErr != io.EOF {
			return fmt.Errorf("read line %d: %w", n, readErr)
		}
		if len(line) == 0 && readErr == io.EOF {
			break
		}
		r, err := s.record(line)
		if err != nil {
			return errors.Join(fmt.Errorf("line %d: %w", n, err), s.cl.Flush(ctx))
		}
		s.cl.Produce(ctx, r, s.acknowledged)
		if readErr == io.EOF {
			break
		}
	}
	return s.cl.Flush(ctx)
}

func (s *sender) record(line []byte) (*kgo.Record, error) {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	r := &kgo.Record{Topic: s.topic, Headers: s.headers, Value: line}
	if s.partition >= 0 {
		r.Partition = s.partition
	}
	if len(s.separator) > 0 {
		key, value, ok := bytes.Cut(line, s.separator)
		if !ok {
			return nil, fmt.Errorf("no key separator %q in %q; lines before it were sent", s.separator, line)
		}
		r.Key, r.Value = key, value
	}
	return r, nil
}

func (s *sender) acknowledged(_ *kgo.Record, err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *sender) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
