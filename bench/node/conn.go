package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// dialMax is how long a connection may take, and answerMax one request.
const (
	dialMax   = 10 * time.Second
	answerMax = time.Minute
)

// Conn is one connection to a broker, for one goroutine.
type Conn struct {
	net.Conn
	ClientID string
	Within   time.Duration // how long an answer may take; after that the connection is of no use
	sent     int32
}

// Dial connects to a broker.
func Dial(addr string) (*Conn, error) { return DialWithin(addr, dialMax) }

// DialWithin connects to a broker that may not be there.
func DialWithin(addr string, limit time.Duration) (*Conn, error) {
	c, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, ClientID: "bench", Within: answerMax}, nil
}

// Frame returns the bytes of a request with the size in front.
func (c *Conn) Frame(req kmsg.Request) []byte {
	c.sent++
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.ClientID)).AppendRequest(nil, req, c.sent)
}

// Send sends a request, whose version is set, without waiting for the answer.
func (c *Conn) Send(req kmsg.Request) error {
	_, err := c.Write(c.Frame(req))
	return err
}

// Receive reads the answer to req, which is the oldest that has none.
func (c *Conn) Receive(req kmsg.Request) (kmsg.Response, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.Within)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	header := 4
	if resp.IsFlexible() && resp.Key() != 18 { // ApiVersions is answered with the old header always
		header = 5
	}
	if len(body) < header {
		return nil, errors.New("short response")
	}
	if err := resp.ReadFrom(body[header:]); err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp, nil
}

// Ask sends a request and waits for its answer.
func (c *Conn) Ask(req kmsg.Request) (kmsg.Response, error) {
	if err := c.Send(req); err != nil {
		return nil, err
	}
	return c.Receive(req)
}

// Versions asks for the API versions, which is what clients begin with.
func (c *Conn) Versions() error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(3)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "bench", "1"
	_, err := c.Ask(req)
	return err
}

// Metadata asks for a topic.
func (c *Conn) Metadata(topic string) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(9)
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	resp, err := c.Ask(req)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.MetadataResponse), nil
}

// QuorumLeader asks which broker leads the quorum, and so decides for the cluster; -1: none is known.
func (c *Conn) QuorumLeader() (int32, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.SetVersion(1)
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic = "__cluster_metadata"
	t.Partitions = append(t.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, t)
	resp, err := c.Ask(req)
	if err != nil {
		return -1, err
	}
	topics := resp.(*kmsg.DescribeQuorumResponse).Topics
	if len(topics) != 1 || len(topics[0].Partitions) != 1 {
		return -1, errors.New("the answer is not about the metadata log")
	}
	return topics[0].Partitions[0].LeaderID, nil
}

// ElectPreferred asks that the preferred brokers lead these partitions; what becomes of it shows in the metadata.
func (c *Conn) ElectPreferred(topic string, partitions []int32) error {
	req := kmsg.NewPtrElectLeadersRequest()
	req.SetVersion(2)
	req.TimeoutMillis = 5000
	t := kmsg.NewElectLeadersRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	req.Topics = append(req.Topics, t)
	_, err := c.Ask(req)
	return err
}

// answers makes one ApiVersions request on a connection of its own.
func answers(addr string) bool {
	c, err := Dial(addr)
	if err != nil {
		return false
	}
	defer c.Close()
	return c.Versions() == nil
}
