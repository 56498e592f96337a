package broker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

func statusCommand(to *client.Options) *cobra.Command {
	var admin string
	var interval time.Duration
	var top int
	c := &cobra.Command{
		Use:   "status [BROKER]",
		Short: "Show what a broker is doing now: requests, topics, connections, memory, disks, refusals",
		Long: `Show what a broker is doing now. It asks the broker's admin listener twice, --interval apart, and shows what happened between:
requests with their mean time (a Fetch waits for records within it), and the topics with the most bytes. Since the start it shows
how many requests were refused, and with which error; the broker's log says of each client, topic and reason.

The address is the broker's setting admin.listener, or --admin; a broker that was started without "serve --admin" has none.
"/metrics" of the same address has all of it, and more, for Prometheus.`,
		Example: `  moldau broker status
  moldau broker status 2 --interval 10s
  moldau broker status --admin 127.0.0.1:9644`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: complete.BrokerIDs(to),
	}
	c.Flags().StringVar(&admin, "admin", "", "HOST:PORT of the broker's admin listener (default its setting admin.listener)")
	c.Flags().DurationVar(&interval, "interval", time.Second, "how long to look")
	c.Flags().IntVar(&top, "top", 10, "how many of the busiest topics to show")
	format := output.Flag(c.Flags())
	_ = c.RegisterFlagCompletionFunc("admin", complete.Nothing)
	c.RunE = func(c *cobra.Command, args []string) error {
		if interval <= 0 {
			return fmt.Errorf("--interval %v: want a time above zero, such as 1s", interval)
		}
		if top < 0 {
			return fmt.Errorf("--top %d: want a number of topics", top)
		}
		address := admin
		if address == "" {
			var err error
			if address, err = find(c.Context(), to, args); err != nil {
				return err
			}
		} else if len(args) > 0 {
			return fmt.Errorf("--admin names the broker already; leave out %s", args[0])
		}
		r, err := look(c.Context(), address, interval)
		if err != nil {
			return err
		}
		return r.print(c.OutOrStdout(), *format, top)
	}
	return c
}

// find finds the admin listener of a broker by asking the broker for its settings.
func find(ctx context.Context, to *client.Options, args []string) (string, error) {
	cl, err := to.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	brokers, err := kadm.NewClient(cl).ListBrokers(ctx)
	if err != nil {
		return "", to.Explain("list brokers", err, "")
	}
	b, err := choose(brokers, args)
	if err != nil {
		return "", err
	}
	listener, err := setting(ctx, to, cl, b.NodeID, "admin.listener")
	if err != nil {
		return "", err
	}
	return reachable(listener, b.Host, b.NodeID)
}

// choose returns the broker that is named, or the only one.
func choose(brokers kadm.BrokerDetails, args []string) (kadm.BrokerDetail, error) {
	var ids []string
	for _, id := range brokers.NodeIDs() {
		ids = append(ids, strconv.Itoa(int(id)))
	}
	if len(args) == 0 {
		if len(brokers) == 1 {
			return brokers[0], nil
		}
		return kadm.BrokerDetail{}, fmt.Errorf("which broker? There are %s", strings.Join(ids, ", "))
	}
	i := slices.Index(ids, args[0])
	if i < 0 {
		return kadm.BrokerDetail{}, fmt.Errorf("there is no broker %s; the brokers are %s", args[0], strings.Join(ids, ", "))
	}
	id := brokers.NodeIDs()[i]
	return brokers[slices.IndexFunc(brokers, func(b kadm.BrokerDetail) bool { return b.NodeID == id })], nil
}

// setting asks a broker for one of its settings; one that it does not have is empty.
func setting(ctx context.Context, to *client.Options, cl *kgo.Client, id int32, name string) (string, error) {
	described, err := kadm.NewClient(cl).DescribeBrokerConfigs(ctx, id)
	if err != nil {
		return "", to.Explain(fmt.Sprintf("describe settings of broker %d", id), err, "")
	}
	for _, d := range described {
		for _, c := range d.Configs {
			if c.Key == name {
				return c.MaybeValue(), nil
			}
		}
	}
	return "", nil
}

// reachable is the address at which a broker's admin listener can be asked: one that is open on every address has that of the broker.
func reachable(listener, host string, id int32) (string, error) {
	if listener == "" {
		return "", fmt.Errorf("broker %d opens no admin listener, which would say what it is doing: start it with \"moldau serve --admin HOST:PORT\", or set admin.listener", id)
	}
	on, port, err := net.SplitHostPort(listener)
	if err != nil {
		return "", fmt.Errorf("admin.listener of broker %d is %q, which is no address: name it with --admin", id, listener)
	}
	if port == "0" {
		return "", fmt.Errorf("admin.listener of broker %d takes any port, which the broker prints when it starts: name it with --admin", id)
	}
	if ip := net.ParseIP(on); on == "" || ip != nil && ip.IsUnspecified() {
		on = host
	}
	return net.JoinHostPort(on, port), nil
}

// look asks an admin listener twice.
func look(ctx context.Context, address string, interval time.Duration) (*report, error) {
	status, ready, err := get(ctx, address, "/readyz")
	if err != nil {
		return nil, fmt.Errorf("%w; is it the broker's admin listener, and is the broker running?", err)
	}
	before, err := take(ctx, address)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(interval):
	}
	after, err := take(ctx, address)
	if err != nil {
		return nil, err
	}
	r := newReport(before, after)
	r.Ready = status == http.StatusOK
	for line := range strings.Lines(string(ready)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "[") {
			r.Checks = append(r.Checks, line)
		}
	}
	for id := range after.by("moldau_node_info", "node") {
		r.Broker = id
	}
	return r, nil
}
