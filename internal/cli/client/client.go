// Package client connects the command line to a cluster, Moldau's or Apache Kafka's, and says what went wrong: what was
// tried, on what, and what to do next. It owns no command.
package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say which cluster to talk to.
type Options struct {
	Bootstrap string // HOST:PORT, several separated by commas
}

// DefaultBootstrap is where moldau serve listens when it is told nothing.
const DefaultBootstrap = "127.0.0.1:9092"

// Flags adds --bootstrap, whose default is $MOLDAU_BOOTSTRAP.
func (o *Options) Flags(flags *pflag.FlagSet) {
	def := os.Getenv("MOLDAU_BOOTSTRAP")
	if def == "" {
		def = DefaultBootstrap
	}
	flags.StringVar(&o.Bootstrap, "bootstrap", def, "brokers to ask first, HOST:PORT[,HOST:PORT...] (env MOLDAU_BOOTSTRAP)")
}

// Time-outs of the command line. A person waits, so they are shorter than a program's.
const (
	connectTimeout = 10 * time.Second
	requestTimeout = 30 * time.Second
)

// Connect opens a client and makes sure that some broker answers.
func (o *Options) Connect(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, error) {
	for address := range strings.SplitSeq(o.Bootstrap, ",") {
		if address == "" {
			return nil, fmt.Errorf("--bootstrap %q: want HOST:PORT[,HOST:PORT...]", o.Bootstrap)
		}
	}
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(o.Bootstrap, ",")...),
		kgo.ClientID("moldau-cli"),
		kgo.DialTimeout(connectTimeout),
		kgo.RetryTimeout(requestTimeout),
		// A record that fails is the end of the command, so nothing is sent again after it and an unknown outcome may be given up.
		kgo.RecordDeliveryTimeout(requestTimeout),
		kgo.AllowIdempotentProduceCancellation(),
	}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", o.Bootstrap, err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := c.Ping(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to %s: %w; is a broker running there? Start one with \"moldau serve\" or name another with --bootstrap",
			o.Bootstrap, err)
	}
	return c, nil
}

// Explain wraps what a broker answered: what was tried ("create topic orders"), the broker's own message if it sent one, and
// what to do next.
func (o *Options) Explain(tried string, err error, message string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	var code *kerr.Error
	if errors.As(err, &code) {
		if text = code.Message; message != "" {
			text += ": " + strings.TrimSuffix(message, ".")
		}
	}
	if next := nextStep(err); next != "" {
		text += "; " + next
	}
	return &explained{fmt.Sprintf("%s on %s: %s", tried, o.Bootstrap, text), err}
}

type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

func nextStep(err error) string {
	for _, hint := range []struct {
		err  error
		next string
	}{
		{kerr.UnknownTopicOrPartition, "see what there is with \"moldau topic list\""},
		{kerr.TopicAlreadyExists, "look at it with \"moldau topic describe\", or choose another name"},
		{kerr.InvalidTopicException, "use up to 249 letters, digits, points, underscores and dashes"},
		{kerr.InvalidReplicationFactor, "ask for as many replicas as there are brokers, or fewer"},
		{kerr.InvalidConfig, "docs/configuration.md lists the settings of a topic"},
		{kerr.MessageTooLarge, "raise max.message.bytes of the topic, or send smaller records"},
		{kerr.InvalidRecord, "a compacted topic takes only records with a key: give one with --key-separator"},
		{kerr.NotEnoughReplicas, "wait for replicas to come back, or send with --acks 1"},
		{kerr.OffsetOutOfRange, "start inside the log: --from start, --from end or an offset between them"},
		{kerr.TopicDeletionDisabled, "the broker has delete.topic.enable=false"},
		{kerr.TopicAuthorizationFailed, "the cluster asks for a login this command cannot give yet"},
		{kgo.ErrRecordTimeout, "the broker kept refusing or did not answer; its log says why"},
		{context.DeadlineExceeded, "the broker did not answer in time; look at its log"},
	} {
		if errors.Is(err, hint.err) {
			return hint.next
		}
	}
	return ""
}
