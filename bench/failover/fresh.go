package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/bench/node"
)

// fresh is clients that begin while a broker does not answer: for each partition one after the other, until one gets an acknowledgement. Each
// asks a broker that answers for the metadata. One that would be sent to the broker that does not waits for nothing: it gives up at once.
type fresh struct {
	end     context.CancelFunc
	running sync.WaitGroup
	tried   atomic.Int64

	mu     sync.Mutex // guards what follows
	took   []float64  // from the fault to the acknowledgement, of each partition
	placed []placed
	errs   []error
}

// freshNumber makes the values of all new clients different.
var freshNumber atomic.Int64

func (r *round) newClients(began time.Time, victim int, partitions []int32) *fresh {
	f := new(fresh)
	ctx, end := context.WithCancel(context.Background())
	f.end = end
	for _, p := range partitions {
		f.running.Go(func() {
			for stop := began.Add(readyMax); ; {
				value := fmt.Sprintf("new %d %d", p, freshNumber.Add(1))
				offset, err := r.begins(p, victim, value)
				f.tried.Add(1)
				if err == nil {
					f.mu.Lock()
					f.took = append(f.took, ms(time.Since(began)))
					f.placed = append(f.placed, placed{p, offset, value})
					f.mu.Unlock()
					return
				}
				if wait(ctx, lookEach) != nil {
					return
				}
				if time.Now().After(stop) {
					f.mu.Lock()
					f.errs = append(f.errs, fmt.Errorf("no new client got an acknowledgement for partition %d within %v: %w", p, readyMax, err))
					f.mu.Unlock()
					return
				}
			}
		})
	}
	return f
}

// begins is what a new client does: it asks a broker for the metadata, and writes a record to the leader.
func (r *round) begins(partition int32, victim int, value string) (int64, error) {
	first, err := node.DialWithin(r.cluster.Addrs[(victim+1)%len(r.cluster.Addrs)], askMax)
	if err != nil {
		return 0, err
	}
	defer first.Close()
	first.Within = askMax
	if err := first.Versions(); err != nil {
		return 0, err
	}
	m, err := first.Metadata(topic)
	if err != nil {
		return 0, err
	}
	leader := leaderOf(m, partition)
	if leader < 0 || leader == victim {
		return 0, errNotMoved
	}
	c, err := node.DialWithin(r.cluster.Addrs[leader], askMax)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.Within = askMax
	return produce(c, topic, partition, node.Record(-1, -1, -1, []byte(value)))
}

var errNotMoved = errors.New("the broker that does not answer leads it still")

// wait returns when each partition has had an acknowledgement.
func (f *fresh) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, f.end)
	defer stop()
	f.running.Wait()
	return errors.Join(append(f.errs, ctx.Err())...)
}

func (f *fresh) stop() {
	f.end()
	f.running.Wait()
}
