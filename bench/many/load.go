package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	produceVersion  = 9
	fetchVersion    = 12
	metadataVersion = 9
)

// create makes the topics and waits until a Metadata answer shows a leader of every partition.
func (b *bench) create(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.broker.addr()), kgo.MaxVersions(nil))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return err
	}
	began := time.Now()
	for r := range b.requests {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis = 120_000
		for i := r * b.topics / b.requests; i < (r+1)*b.topics/b.requests; i++ {
			t := kmsg.NewCreateTopicsRequestTopic()
			t.Topic, t.NumPartitions, t.ReplicationFactor = topic(i), int32(b.partitions), 1
			req.Topics = append(req.Topics, t)
		}
		resp, err := client.Request(ctx, req)
		if err != nil {
			return fmt.Errorf("create topics: %w", err)
		}
		for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
				return fmt.Errorf("create %s: %w", t.Topic, err)
			}
		}
	}
	answered := time.Since(began)
	for visible := 0; visible < b.topics*b.partitions; {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = nil
		resp, err := client.Request(ctx, req)
		if err != nil {
			return fmt.Errorf("ask for metadata: %w", err)
		}
		visible = 0
		for _, t := range resp.(*kmsg.MetadataResponse).Topics {
			for _, p := range t.Partitions {
				if t.ErrorCode == 0 && p.ErrorCode == 0 && p.Leader >= 0 && t.Topic != nil && *t.Topic >= "many-" && *t.Topic < "many." {
					visible++
				}
			}
		}
	}
	what := fmt.Sprintf("%d topics of %d partition(s), %d request(s): ", b.topics, b.partitions, b.requests)
	b.note(what+"answered", "%s", ms(answered))
	b.note(what+"and visible", "%s", ms(time.Since(began)))
	return nil
}

// cost produces a record at a time to one topic.
func (b *bench) cost(ctx context.Context, what string) error {
	c, err := dial(b.broker.addr())
	if err != nil {
		return err
	}
	defer c.Close()
	name := "cost"
	req := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
	req.Topics = append(req.Topics, t)
	req.TimeoutMillis = 30000
	if _, err := c.ask(6, req); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	const requests = 10_000
	var took []time.Duration
	pid := b.broker.pid()
	var before time.Duration
	for i := range requests + 2000 {
		if i == 2000 {
			if before, err = cpu(pid); err != nil {
				return err
			}
			took = took[:0]
		}
		began := time.Now()
		if err := c.produce(1, name, 0); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	after, err := cpu(pid)
	if err != nil {
		return err
	}
	slices.Sort(took)
	b.note(what+", acks=1: broker CPU, us", "%.1f", float64((after-before).Microseconds())/requests)
	b.note(what+", acks=1: p50 / p99, us", "%d / %d", took[requests/2].Microseconds(), took[requests*99/100].Microseconds())
	return nil
}

// fill puts the records into every partition, one after another, some hundred with each request.
func (b *bench) fill() error {
	for range b.records {
		if err := b.fillOnce(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fillOnce() error {
	c, err := dial(b.broker.addr())
	if err != nil {
		return err
	}
	defer c.Close()
	batch := batchOf()
	const each = 500
	req := kmsg.NewPtrProduceRequest()
	n := 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		resp, err := c.ask(produceVersion, req)
		if err != nil {
			return err
		}
		if err := produced(resp); err != nil {
			return err
		}
		req, n = kmsg.NewPtrProduceRequest(), 0
		return nil
	}
	for i := range b.topics {
		t := kmsg.NewProduceRequestTopic()
		t.Topic = topic(i)
		for p := range b.partitions {
			part := kmsg.NewProduceRequestTopicPartition()
			part.Partition, part.Records = int32(p), batch
			t.Partitions = append(t.Partitions, part)
			n++
		}
		req.Acks, req.TimeoutMillis = -1, 60000
		req.Topics = append(req.Topics, t)
		if n >= each {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// serve puts a record into the first topic, the last one and some others, with acks=all, and reads it. A broker that has started answers that it does
// not lead a partition, or does not know it, until it does: then it is asked again.
func (b *bench) serve() error {
	c, err := dial(b.broker.addr())
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range 10 {
		which := rand.IntN(b.topics)
		switch i {
		case 0:
			which = 0
		case 1:
			which = b.topics - 1
		}
		partition := int32(rand.IntN(b.partitions))
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
			err := c.produce(-1, topic(which), partition)
			if err == nil {
				err = c.fetch(topic(which), partition)
			}
			if err == nil {
				break
			}
			if time.Now().After(end) || !kerr.IsRetriable(err) {
				return fmt.Errorf("%s-%d is not served: %w", topic(which), partition, err)
			}
		}
	}
	return nil
}

// conn is one connection, for one request at a time.
type conn struct {
	net.Conn
	sent int32
	read int // bytes of the last answer
}

func dial(addr string) (*conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	c, err := d.DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// firstAnswer asks for the API versions until they come.
func firstAnswer(ctx context.Context, addr string, within time.Duration) (time.Duration, error) {
	began := time.Now()
	for ctx.Err() == nil {
		c, err := dial(addr)
		if err == nil {
			_, err = c.ask(0, kmsg.NewPtrApiVersionsRequest())
			c.Close()
		}
		if err == nil {
			return time.Since(began), nil
		}
		if time.Since(began) > within {
			return 0, fmt.Errorf("no answer: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	return 0, ctx.Err()
}

func (c *conn) ask(version int16, req kmsg.Request) (kmsg.Response, error) {
	c.sent++
	req.SetVersion(version)
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := c.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("many")).AppendRequest(nil, req, c.sent)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	c.read = len(body)
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(version)
	header := 4
	if resp.IsFlexible() && resp.Key() != 18 {
		header = 5
	}
	if len(body) < header {
		return nil, errors.New("short response")
	}
	return resp, resp.ReadFrom(body[header:])
}

func (c *conn) produce(acks int16, topic string, partition int32) error {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 60000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batchOf()
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := c.ask(produceVersion, req)
	if err != nil {
		return err
	}
	return produced(resp)
}

func produced(resp kmsg.Response) error {
	for _, t := range resp.(*kmsg.ProduceResponse).Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch reads from the beginning of a partition, which has a record.
func (c *conn) fetch(topic string, partition int32) error {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 1000, 1, 1<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.PartitionMaxBytes = partition, 1<<20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := c.ask(fetchVersion, req)
	if err != nil {
		return err
	}
	f := resp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(f.ErrorCode); err != nil {
		return err
	}
	for _, t := range f.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
			if len(p.RecordBatches) == 0 {
				return errors.New("nothing to read where a record was acknowledged")
			}
		}
	}
	return nil
}

// batchOf is a batch of one record.
func batchOf() []byte {
	r := kmsg.Record{Value: []byte("a record of some thirty bytes.")}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	now := time.Now().UnixMilli()
	batch := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1,
		FirstTimestamp: now, MaxTimestamp: now, Records: r.AppendTo(nil)}
	batch.Length = int32(len(batch.AppendTo(nil)) - 12)
	batch.CRC = int32(crc32.Checksum(batch.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	return batch.AppendTo(nil)
}
