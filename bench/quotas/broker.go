package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/bench/node"
)

// broker is one that is measured.
type broker struct {
	name, addr string
	admin      *conn
	set        []kmsg.AlterClientQuotasRequestEntry // what is to be taken back
	topics     []string
}

var serial atomic.Int64

// unique returns a name that nobody has used.
func unique(what string) string { return fmt.Sprintf("%s-%d-%d", what, os.Getpid(), serial.Add(1)) }

func newBroker(name, addr string) (*broker, error) {
	b := &broker{name: name, addr: addr}
	var err error
	b.admin, err = b.dial(unique("admin"), "")
	return b, err
}

// close takes back what was set, and removes topics.
func (b *broker) close() {
	for _, e := range b.set {
		for i := range e.Ops {
			e.Ops[i].Remove = true
		}
		req := kmsg.NewPtrAlterClientQuotasRequest()
		req.Entries = append(req.Entries, e)
		_, _ = b.admin.ask(1, req)
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	for _, name := range b.topics {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	_, _ = b.admin.ask(6, req)
	b.admin.Close()
}

// quota sets a quota of an entity of one kind, and waits until it counts everywhere.
func (b *broker) quota(kind, name, key string, value float64) error {
	req := kmsg.NewPtrAlterClientQuotasRequest()
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	part := kmsg.NewAlterClientQuotasRequestEntryEntity()
	part.Type, part.Name = kind, &name
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value = key, value
	entry.Entity, entry.Ops = append(entry.Entity, part), append(entry.Ops, op)
	req.Entries = append(req.Entries, entry)
	resp, err := b.admin.ask(1, req)
	if err != nil {
		return err
	}
	for _, e := range resp.(*kmsg.AlterClientQuotasResponse).Entries {
		if err := kerr.ErrorForCode(e.ErrorCode); err != nil {
			return fmt.Errorf("set %s of %s: %w", key, name, err)
		}
	}
	b.set = append(b.set, entry)
	time.Sleep(time.Second)
	return nil
}

// client dials as a new client that has a quota.
func (b *broker) client(key string, value float64) (string, error) {
	id := unique("client")
	return id, b.quota("client-id", id, key, value)
}

// topic makes a topic with one partition, and waits until it has a leader.
func (b *broker) topic() (string, error) {
	name := unique("topic")
	req := kmsg.NewPtrCreateTopicsRequest()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
	req.Topics = append(req.Topics, t)
	resp, err := b.admin.ask(6, req)
	if err != nil {
		return "", err
	}
	if err := kerr.ErrorForCode(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode); err != nil {
		return "", err
	}
	b.topics = append(b.topics, name)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		req := kmsg.NewPtrMetadataRequest()
		mt := kmsg.NewMetadataRequestTopic()
		mt.Topic = &name
		req.Topics = append(req.Topics, mt)
		resp, err := b.admin.ask(9, req)
		if err != nil {
			return "", err
		}
		if t := resp.(*kmsg.MetadataResponse).Topics[0]; t.ErrorCode == 0 && t.Partitions[0].ErrorCode == 0 {
			return name, nil
		}
	}
	return "", fmt.Errorf("topic %s has no leader", name)
}

// conn is one connection, for one request at a time.
type conn struct{ *node.Conn }

// dial connects as a client id, from an address of this machine if one is given.
func (b *broker) dial(id, from string) (*conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.DialContext(context.Background(), "tcp", b.addr)
	if err != nil {
		return nil, err
	}
	return &conn{&node.Conn{Conn: c, ClientID: id}}, nil
}

// once sends one request on a connection of its own, which nobody has throttled.
func (b *broker) once(id string, version int16, req kmsg.Request) (kmsg.Response, error) {
	c, err := b.dial(id, "")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ask(version, req)
}

func (c *conn) send(version int16, req kmsg.Request) error {
	req.SetVersion(version)
	return c.Send(req)
}

func (c *conn) ask(version int16, req kmsg.Request) (kmsg.Response, error) {
	req.SetVersion(version)
	return c.Ask(req)
}

// produceOf makes a request with one batch of one record, of n bytes together, 100 at least.
func produceOf(topic string, acks int16, n int) *kmsg.ProduceRequest {
	return node.Produce(topic, 0, acks, node.Batch(1, n-batchBytes(n), 0))
}

// batchBytes is what stands around the value in a batch of n bytes.
func batchBytes(n int) int {
	varint := func(v int) (bytes int) {
		for v <<= 1; v > 0x7f; v >>= 7 {
			bytes++
		}
		return bytes + 1
	}
	around := 61 + 5 // the batch, and of the record attributes, two deltas, no key, no headers
	for value := n - around - 2; ; value-- {
		record := 5 + varint(value) + value
		if 61+varint(record)+record <= n {
			return n - value
		}
	}
}

const (
	produceVersion  = 9
	fetchVersion    = 12
	metadataVersion = 9
)

// fetchOf asks for records from an offset on.
func fetchOf(topic string, offset int64, maxBytes int32) *kmsg.FetchRequest {
	return node.Fetch(topic, 0, offset, maxBytes, 100*time.Millisecond)
}

func recordBytes(r *kmsg.FetchResponse) (n int) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			n += len(p.RecordBatches)
		}
	}
	return n
}
