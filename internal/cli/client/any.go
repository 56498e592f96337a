package client

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Any asks whichever broker answers. It is for looking at a cluster of which some brokers may be dead or, what is worse for who asks,
// frozen: they take connections and say nothing.
type Any struct {
	client  *kgo.Client
	brokers []*kgo.Broker // those of --bootstrap; the one that answered last comes first
	each    time.Duration // how long one of them may take
}

// answerTimeout is how long a broker may take before another one is asked.
const answerTimeout = 5 * time.Second

// ConnectAny asks all brokers of --bootstrap at the same time, and returns when the first has answered.
func (o *Options) ConnectAny(ctx context.Context) (*Any, error) {
	c, err := o.open(connectTimeout, nil)
	if err != nil {
		return nil, err
	}
	a := &Any{client: c, brokers: c.SeedBrokers(), each: answerTimeout}
	type answer struct {
		broker int
		err    error
	}
	ask, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	answers := make(chan answer, len(a.brokers))
	for i, b := range a.brokers {
		go func() { // which ends when cancel is called, at the latest
			req := kmsg.NewPtrMetadataRequest()
			req.Topics = []kmsg.MetadataRequestTopic{} // none
			_, err := b.Request(ask, req)
			answers <- answer{i, err}
		}()
	}
	for range a.brokers {
		got := <-answers
		if err = got.err; err == nil {
			a.prefer(got.broker)
			return a, nil
		}
	}
	c.Close()
	return nil, o.noAnswer(ctx, err)
}

// Ask sends a request to one broker after the other until one answers. A request that a broker does not know goes to no other.
func (a *Any) Ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return a.AskUntil(ctx, req, func(kmsg.Response) error { return nil })
}

// AskUntil is Ask that goes on where good finds an error in the answer. If none is good, what was found in the first says more than that
// another broker does not answer.
func (a *Any) AskUntil(ctx context.Context, req kmsg.Request, good func(kmsg.Response) error) (kmsg.Response, error) {
	var found, last error
	for i, b := range slices.Clone(a.brokers) {
		one, cancel := context.WithTimeout(ctx, a.each)
		resp, err := b.Request(one, req)
		cancel()
		if err == nil {
			if err = good(resp); err == nil {
				a.prefer(i)
				return resp, nil
			}
			found = cmp.Or(found, err)
		}
		last = err
		if ctx.Err() != nil || NotServed(err) {
			break
		}
	}
	return nil, cmp.Or(found, last)
}

// AskAt sends a request to the broker at an address, and to no other.
func (a *Any) AskAt(ctx context.Context, address string, req kmsg.Request) (kmsg.Response, error) {
	c, err := (&Options{Bootstrap: address}).open(a.each, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, a.each)
	defer cancel()
	return c.SeedBrokers()[0].Request(ctx, req)
}

// Client is the client, whose own requests may go to a broker that does not answer.
func (a *Any) Client() *kgo.Client { return a.client }

func (a *Any) prefer(i int) {
	b := a.brokers[i]
	a.brokers = slices.Insert(slices.Delete(a.brokers, i, i+1), 0, b)
}

// Close closes the connections.
func (a *Any) Close() { a.client.Close() }
