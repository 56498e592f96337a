// Package client connects the command line to a cluster, Moldau's or Apache Kafka's, and says what went wrong: what was
// tried, on what, and what to do next. It owns no command.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
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
	return o.connect(ctx, connectTimeout, opts)
}

// Glance is Connect for a question that may go without an answer, such as what to complete a word with: it gives up soon.
// All questions asked must end with the context it returns.
func (o *Options) Glance(ctx context.Context) (context.Context, *kgo.Client, func(), error) {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	cl, err := o.connect(ctx, patience, nil)
	if err != nil {
		cancel()
		return nil, nil, nil, err
	}
	return ctx, cl, func() { cl.Close(); cancel() }, nil
}

func (o *Options) connect(ctx context.Context, patience time.Duration, opts []kgo.Opt) (*kgo.Client, error) {
	c, err := o.open(patience, opts)
	if err != nil {
		return nil, err
	}
	ping, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.Ping(ping); err != nil {
		c.Close()
		return nil, o.noAnswer(ctx, err)
	}
	return c, nil
}

// open opens a client that has asked nobody yet.
func (o *Options) open(patience time.Duration, opts []kgo.Opt) (*kgo.Client, error) {
	for address := range strings.SplitSeq(o.Bootstrap, ",") {
		if address == "" {
			return nil, fmt.Errorf("--bootstrap %q: want HOST:PORT[,HOST:PORT...]", o.Bootstrap)
		}
	}
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(o.Bootstrap, ",")...),
		kgo.ClientID("moldau-cli"),
		kgo.DialTimeout(patience),
		kgo.RetryTimeout(requestTimeout),
		// A record that fails is the end of the command, so nothing is sent again after it and an unknown outcome may be given up.
		kgo.RecordDeliveryTimeout(requestTimeout),
		kgo.AllowIdempotentProduceCancellation(),
	}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", o.Bootstrap, err)
	}
	return c, nil
}

// noAnswer explains that no broker answered, or that the user would not wait for one.
func (o *Options) noAnswer(ctx context.Context, err error) error {
	if ctx.Err() != nil { // interrupted
		return fmt.Errorf("connect to %s: %w", o.Bootstrap, ctx.Err())
	}
	return fmt.Errorf("connect to %s: %w; %s", o.Bootstrap, err, o.unreachable(err))
}

// unreachable says what to do about a cluster that did not answer.
func (o *Options) unreachable(err error) string {
	var name *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start a broker with \"moldau serve\", or name another with --bootstrap"
	case errors.As(err, &name):
		return fmt.Sprintf("the host %s is not known here: look at --bootstrap and MOLDAU_BOOTSTRAP", name.Name)
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer came in time: is it a Kafka broker, and is the way to it open? \"moldau serve\" starts one here"
	}
	return "is a broker running there? Start one with \"moldau serve\" or name another with --bootstrap"
}
