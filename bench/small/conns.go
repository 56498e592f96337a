package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/bench/node"
)

const (
	partitions = 8
	// workers open and use connections, so many at a time.
	workers = 8
	// records and size make the batch that each connection produces and fetches: about 16 KiB, what producers send unless told otherwise.
	records, size = 16, 1000
)

type connections []*node.Conn

// open opens n connections and does on each what every client begins with.
func open(addr, topic string, n int) (connections, error) {
	conns := make(connections, n)
	err := each(n, func(i int) error {
		c, err := node.Dial(addr)
		if err != nil {
			return fmt.Errorf("open connection %d: %w", i, err)
		}
		conns[i] = c
		if err := c.Versions(); err != nil {
			return fmt.Errorf("ask for versions on connection %d: %w", i, err)
		}
		m, err := c.Metadata(topic)
		if err != nil {
			return fmt.Errorf("ask for metadata on connection %d: %w", i, err)
		}
		if len(m.Topics) != 1 || len(m.Topics[0].Partitions) != partitions {
			return fmt.Errorf("metadata on connection %d show no topic %s", i, topic)
		}
		return nil
	})
	return conns, err
}

// use lets every connection produce a batch and fetch one.
func (cs connections) use(topic string) error {
	batch := node.Batch(records, size, 0)
	return each(len(cs), func(i int) error {
		c, partition := cs[i], int32(i%partitions)
		resp, err := c.Ask(node.Produce(topic, partition, 1, batch))
		if err != nil {
			return fmt.Errorf("produce on connection %d: %w", i, err)
		}
		p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return fmt.Errorf("produce on connection %d: %w", i, err)
		}
		for end := time.Now().Add(time.Minute); ; {
			resp, err := c.Ask(node.Fetch(topic, partition, p.BaseOffset, int32(len(batch)), time.Second))
			if err != nil {
				return fmt.Errorf("fetch on connection %d: %w", i, err)
			}
			got := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
			if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
				return fmt.Errorf("fetch on connection %d: %w", i, err)
			}
			if len(got.RecordBatches) > 0 {
				return nil
			}
			if time.Now().After(end) { // it is not synced yet
				return fmt.Errorf("connection %d does not see what it has produced", i)
			}
		}
	})
}

func (cs connections) close() {
	for i, c := range cs {
		if c != nil {
			c.Close()
			cs[i] = nil
		}
	}
}

// each calls f with the numbers below n, from a few goroutines, and returns the first error.
func each(n int, f func(int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = f(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
