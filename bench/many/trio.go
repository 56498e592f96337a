package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/bench/node"
)

// others returns the brokers but one; -1: all of them.
func (t *trio) others(without int) (all []int) {
	for i := range t.conns {
		if i != without {
			all = append(all, i)
		}
	}
	return all
}

// ask asks a broker, on the connection that is kept.
func (t *trio) ask(i int, req kmsg.Request) (kmsg.Response, error) {
	c, err := t.conn(i)
	if err != nil {
		return nil, err
	}
	resp, err := c.Ask(req)
	if err != nil {
		t.drop(i)
	}
	return resp, err
}

// conn connects to a broker; a goroutine may use one broker while another uses another.
func (t *trio) conn(i int) (*node.Conn, error) {
	if t.conns[i] != nil {
		return t.conns[i], nil
	}
	c, err := node.DialWithin(t.brokers.Addrs[i], time.Second)
	if err != nil {
		return nil, err
	}
	c.Within, t.conns[i] = askMax, c
	return c, nil
}

func (t *trio) drop(i int) {
	if t.conns[i] != nil {
		t.conns[i].Close()
		t.conns[i] = nil
	}
}

func (t *trio) metadata(i int) (*kmsg.MetadataResponse, error) {
	c, err := t.conn(i)
	if err != nil {
		return nil, err
	}
	m, err := c.Metadata(replicated)
	if err == nil && len(m.Topics) != 1 {
		err = errors.New("the metadata are not of one topic")
	}
	if err != nil {
		t.drop(i)
	}
	return m, err
}

// await asks brokers for the metadata, all at once, until those of each are good, and returns when that was so of the last.
func (t *trio) await(ctx context.Context, brokers []int, what string, good func(*kmsg.MetadataResponse) bool) (time.Time, error) {
	var asking sync.WaitGroup
	at, errs := make([]time.Time, len(brokers)), make([]error, len(brokers))
	for k, i := range brokers {
		asking.Go(func() {
			for end := time.Now().Add(readyMax); ; {
				m, err := t.metadata(i)
				if at[k] = time.Now(); err == nil && good(m) {
					return
				}
				if at[k].After(end) {
					errs[k] = errors.Join(fmt.Errorf("waited for %s at broker %d for %v", what, i+1, readyMax), err)
					return
				}
				if errs[k] = wait(ctx, t.poll); errs[k] != nil {
					return
				}
			}
		})
	}
	asking.Wait()
	return slices.MaxFunc(at, time.Time.Compare), errors.Join(errs...)
}

// every says whether the topic has all its partitions, and all of them are good.
func (t *trio) every(m *kmsg.MetadataResponse, good func(*kmsg.MetadataResponseTopicPartition) bool) bool {
	partitions := m.Topics[0].Partitions
	for i := range partitions {
		if !good(&partitions[i]) {
			return false
		}
	}
	return len(partitions) == t.replicated
}

func (t *trio) inSync(m *kmsg.MetadataResponse) bool {
	return t.every(m, func(p *kmsg.MetadataResponseTopicPartition) bool {
		return p.ErrorCode == 0 && p.Leader > 0 && len(p.ISR) == len(t.conns)
	})
}

func (t *trio) preferredLead(m *kmsg.MetadataResponse) bool {
	return t.every(m, func(p *kmsg.MetadataResponseTopicPartition) bool { return p.Leader == p.Replicas[0] })
}

// ledWithout says that all partitions are led by others than one that is dead.
func (t *trio) ledWithout(dead int) func(*kmsg.MetadataResponse) bool {
	return func(m *kmsg.MetadataResponse) bool {
		return t.every(m, func(p *kmsg.MetadataResponseTopicPartition) bool { return p.Leader > 0 && int(p.Leader) != dead+1 })
	}
}

// quorumLeader returns the broker that leads the quorum, as another one tells it, too.
func (t *trio) quorumLeader(ctx context.Context) (int, error) {
	for end := time.Now().Add(readyMax); ; {
		said := make([]int32, len(t.conns))
		var errs []error
		for i := range said {
			c, err := t.conn(i)
			if err == nil {
				said[i], err = c.QuorumLeader()
			}
			errs = append(errs, err)
		}
		if err := errors.Join(errs...); err == nil && said[0] > 0 && said[0] == said[1] && said[1] == said[2] {
			return int(said[0]) - 1, nil
		} else if time.Now().After(end) {
			return 0, errors.Join(fmt.Errorf("the brokers do not agree on who leads the quorum: %v", said), err)
		}
		if err := wait(ctx, retryEach); err != nil {
			return 0, err
		}
	}
}

// elect has the preferred brokers lead, and returns when they do and all replicas are in sync. It asks again where that did not come of it: a broker may not have
// been eligible for a moment.
func (t *trio) elect(ctx context.Context) error {
	partitions := make([]int32, t.replicated)
	for p := range partitions {
		partitions[p] = int32(p)
	}
	c, err := t.conn(0)
	if err != nil {
		return err
	}
	var asked time.Time
	_, err = t.await(ctx, []int{0}, "the preferred brokers to lead", func(m *kmsg.MetadataResponse) bool {
		if t.preferredLead(m) && t.inSync(m) {
			return true
		}
		if time.Since(asked) > time.Second {
			asked = time.Now()
			_ = c.ElectPreferred(replicated, partitions) // what is wrong with it shows in the metadata, too
		}
		return false
	})
	return err
}

// write has a record acknowledged with acks=all by every partition: one request to each leader, and another for those that were refused in a way that passes.
func (t *trio) write(ctx context.Context, dead int) error {
	alive := t.others(dead)
	batch := batchOf()
	done := make([]bool, t.replicated)
	for end := time.Now().Add(readyMax); ; {
		m, err := t.metadata(alive[0])
		if err != nil {
			return fmt.Errorf("ask for metadata: %w", err)
		}
		requests := make([]*kmsg.ProduceRequest, len(t.conns)+1)
		for _, p := range m.Topics[0].Partitions {
			if done[p.Partition] || p.Leader < 0 || int(p.Leader) == dead+1 {
				continue
			}
			if requests[p.Leader] == nil {
				requests[p.Leader] = node.Produce(replicated, p.Partition, -1, batch)
				continue
			}
			topic := &requests[p.Leader].Topics[0]
			one := kmsg.NewProduceRequestTopicPartition()
			one.Partition, one.Records = p.Partition, batch
			topic.Partitions = append(topic.Partitions, one)
		}
		var writing sync.WaitGroup
		errs := make([]error, len(alive))
		for k, i := range alive {
			if req := requests[i+1]; req != nil {
				writing.Go(func() { errs[k] = t.produce(i, req, done) })
			}
		}
		writing.Wait()
		err = errors.Join(errs...)
		if err == nil && !slices.Contains(done, false) {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("not every partition acknowledged a record within %v", readyMax), err)
		}
		for _, err := range errs {
			if err != nil && !kerr.IsRetriable(err) {
				return fmt.Errorf("produce: %w", err)
			}
		}
		if err := wait(ctx, t.poll); err != nil {
			return err
		}
	}
}

// produce notes which partitions have acknowledged; of those that have not it returns one's error.
func (t *trio) produce(i int, req *kmsg.ProduceRequest, done []bool) (err error) {
	resp, askErr := t.ask(i, req)
	if askErr != nil {
		return askErr
	}
	for _, topic := range resp.(*kmsg.ProduceResponse).Topics {
		for _, p := range topic.Partitions {
			if code := kerr.ErrorForCode(p.ErrorCode); code == nil {
				done[p.Partition] = true
			} else if err == nil || kerr.IsRetriable(err) {
				err = code
			}
		}
	}
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
