package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn carries one request at a time.
type conn struct {
	mu  sync.Mutex
	c   net.Conn
	id  int32
	buf []byte
}

var formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID("groupload"))

func dial() *conn {
	c, err := net.DialTimeout("tcp", *bootstrap, 10*time.Second)
	check("connect", err)
	return &conn{c: c}
}

// ask sends a request and decodes its response.
func (c *conn) ask(req kmsg.Request) (kmsg.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id++
	c.buf = formatter.AppendRequest(c.buf[:0], req, c.id)
	if _, err := c.c.Write(c.buf); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(c.c, head[:]); err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != c.id {
		return nil, fmt.Errorf("response to request %d where %d was due", got, c.id)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(c.c, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	if resp.IsFlexible() {
		body = body[1:] // no tags in the header
	}
	return resp, resp.ReadFrom(body)
}

// awaitCoordinator returns once the broker coordinates groups.
func awaitCoordinator(c *conn) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey = 3, "groupload"
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		resp, err := c.ask(req)
		check("find the coordinator", err)
		code := resp.(*kmsg.FindCoordinatorResponse).ErrorCode
		if code == 0 {
			return
		}
		if time.Since(began) > time.Minute {
			die("find the coordinator:", kerr.ErrorForCode(code))
		}
	}
}

// createTopic makes a topic, or leaves the one that is there.
func createTopic(c *conn, name string, partitions int) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 5, 30_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, int32(partitions), 1
	req.Topics = append(req.Topics, t)
	resp, err := c.ask(req)
	check("create topic", err)
	if err := kerr.ErrorForCode(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		die("create topic:", err)
	}
}
