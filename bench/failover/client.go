package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/bench/node"
)

// askMax is how long a client tries to connect, and waits for metadata: another broker knows them too.
const askMax = time.Second

// load is what the clients of all partitions share.
type load struct {
	topic          string
	addrs          []string
	interval       time.Duration
	requestTimeout time.Duration
	producer       int64
	epoch          int16
	gaps           *gaps
	clients        []*client
	running        sync.WaitGroup
}

// client writes to one partition.
type client struct {
	*load
	partition int32
	conns     []*node.Conn // by broker; nil: not connected
	leader    int          // -1: not known
	asked     int          // the broker that was asked for metadata last

	mu      sync.Mutex // guards what follows
	offsets []int64    // of what was acknowledged, by sequence; -1: it was only told that it is there
	trouble error      // that no client could go on after
	errors  map[string]int
}

// newLoad gets a producer id for the clients of a topic.
func newLoad(topic string, addrs []string, partitions int, o options) (*load, error) {
	l := &load{topic: topic, addrs: addrs, interval: o.interval, requestTimeout: o.requestTimeout, gaps: newGaps(partitions)}
	for p := range partitions {
		l.clients = append(l.clients, &client{load: l, partition: int32(p), conns: make([]*node.Conn, len(addrs)), leader: -1, errors: map[string]int{}})
	}
	for end := time.Now().Add(readyMax); ; time.Sleep(100 * time.Millisecond) {
		err := l.register()
		if err == nil {
			return l, nil
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("get a producer id: %w", err)
		}
	}
}

func (l *load) register() error {
	c, err := node.DialWithin(l.addrs[0], askMax)
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.SetVersion(2)
	req.TransactionTimeoutMillis = 60_000
	resp, err := c.Ask(req)
	if err != nil {
		return err
	}
	r := resp.(*kmsg.InitProducerIDResponse)
	l.producer, l.epoch = r.ProducerID, r.ProducerEpoch
	return kerr.ErrorForCode(r.ErrorCode)
}

// start lets the clients write until ctx ends; each still brings the record to an end that it is at.
func (l *load) start(ctx context.Context) {
	for i, c := range l.clients {
		first := time.Now().Add(l.interval * time.Duration(i) / time.Duration(len(l.clients)))
		l.running.Go(func() { c.run(ctx, first) })
	}
}

// trouble returns what a client could not go on after.
func (l *load) trouble() error {
	for _, c := range l.clients {
		c.mu.Lock()
		err := c.trouble
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *client) run(ctx context.Context, due time.Time) {
	defer func() {
		for i := range c.conns {
			c.drop(i)
		}
	}()
	for sequence := int32(0); ctx.Err() == nil; sequence++ {
		if now := time.Now(); due.Before(now.Add(-c.interval)) {
			due = now // what was due while nothing went on is left out
		}
		time.Sleep(time.Until(due))
		due = due.Add(c.interval)
		batch := node.Record(c.producer, c.epoch, sequence, loadValue(c.partition, sequence))
		for end := (time.Time{}); ; {
			offset, err := c.once(batch)
			if err == nil {
				c.gaps.ack(c.partition, time.Now())
				c.mu.Lock()
				c.offsets = append(c.offsets, offset)
				c.mu.Unlock()
				break
			}
			if ctx.Err() != nil && end.IsZero() {
				end = time.Now().Add(readyMax)
			}
			if c.note(err, sequence, !end.IsZero() && time.Now().After(end)) {
				return
			}
			time.Sleep(10*time.Millisecond + rand.N(10*time.Millisecond))
			c.refresh()
		}
	}
}

// note counts an error, and says whether it is the end.
func (c *client) note(err error, sequence int32, late bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var code *kerr.Error
	if errors.As(err, &code) {
		c.errors[code.Message]++
		if !code.Retriable {
			c.trouble = fmt.Errorf("partition %d: sequence %d was refused: %w", c.partition, sequence, err)
			return true
		}
	} else {
		c.errors["no answer"]++
	}
	if late {
		c.trouble = fmt.Errorf("partition %d: sequence %d was not acknowledged within %v, with all brokers there: %w", c.partition, sequence, readyMax, err)
	}
	return late
}

// once sends a batch to the leader, and returns its offset.
func (c *client) once(batch []byte) (int64, error) {
	if c.leader < 0 {
		return 0, errNoLeader
	}
	conn, err := c.conn(c.leader)
	if err != nil {
		return 0, err
	}
	conn.Within = c.requestTimeout
	offset, err := produce(conn, c.topic, c.partition, batch)
	if code := (*kerr.Error)(nil); err != nil && !errors.As(err, &code) {
		c.drop(c.leader)
	}
	return offset, err
}

var errNoLeader = errors.New("no leader is known")

// produce writes a batch with acks=all, and returns its offset; -1 where the broker tells only that it has it.
func produce(conn *node.Conn, topic string, partition int32, batch []byte) (int64, error) {
	resp, err := conn.Ask(node.Produce(topic, partition, -1, batch))
	if err != nil {
		return 0, err
	}
	r := resp.(*kmsg.ProduceResponse)
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return 0, errors.New("the answer has another partition")
	}
	p := r.Topics[0].Partitions[0]
	if p.ErrorCode == kerr.DuplicateSequenceNumber.Code {
		return -1, nil
	}
	return p.BaseOffset, kerr.ErrorForCode(p.ErrorCode)
}

// refresh asks for the metadata: each broker but the one that was thought to lead, which comes last, until one answers.
func (c *client) refresh() {
	not := c.leader
	c.leader = -1
	for range c.addrs {
		if c.asked = (c.asked + 1) % len(c.addrs); c.asked != not && c.ask(c.asked) {
			return
		}
	}
	if not >= 0 {
		c.ask(not)
	}
}

func (c *client) ask(broker int) bool {
	conn, err := c.conn(broker)
	if err != nil {
		return false
	}
	conn.Within = askMax
	m, err := conn.Metadata(c.topic)
	if err != nil {
		c.drop(broker)
		return false
	}
	c.leader = leaderOf(m, c.partition)
	return true
}

// leaderOf returns the index of the broker that leads a partition, or -1.
func leaderOf(m *kmsg.MetadataResponse, partition int32) int {
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			if p.Partition == partition && p.ErrorCode == 0 {
				return max(-1, int(p.Leader)-1)
			}
		}
	}
	return -1
}

func (c *client) conn(broker int) (*node.Conn, error) {
	if broker >= len(c.conns) {
		return nil, errNoLeader
	}
	if c.conns[broker] != nil {
		return c.conns[broker], nil
	}
	conn, err := node.DialWithin(c.addrs[broker], askMax)
	c.conns[broker] = conn
	return conn, err
}

func (c *client) drop(broker int) {
	if conn := c.conns[broker]; conn != nil {
		conn.Close()
		c.conns[broker] = nil
	}
}

// loadValue is the value of a record of the load.
func loadValue(partition, sequence int32) []byte {
	return fmt.Appendf(nil, "load %d %d", partition, sequence)
}
